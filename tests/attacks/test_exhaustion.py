"""An attacker that begins handshakes and does not end them, by the ten thousand."""

import contextlib
import os
import resource
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import attack  # noqa: E402, first: it knows where the others are
import hbone  # noqa: E402
from attack import APP_PORT, DOOR_PORT, SECRET, Case, World  # noqa: E402
from pods import require_root, wait_until  # noqa: E402

HALF_HANDSHAKES = 10_000
DESCRIPTORS = 200  # that this program has beside them
MAX_CONNECTIONS = 1024  # of the victim: a tenth of what the attacker begins
TLS_TIMEOUT_S = 10
BOUND_S = 40  # for all of them, on a machine that others use, too
GOOD_CALL_S = 5  # that a good caller may have to wait, at most
RESIDENT_MAX_KB = 512 << 10


def setUpModule():
    Case.world = World(lambda world: ({"port": DOOR_PORT, "mode": "mtls"},), tls_timeout=f"{TLS_TIMEOUT_S}s",
                       max_connections=str(MAX_CONNECTIONS))


def tearDownModule():
    Case.world.close()


class Exhaustion(Case):
    """Each connection is cheap for the attacker, and must not be dear for the victim."""

    title = "Exhaustion"

    def setUp(self):
        super().setUp()
        hello = hbone.client_hello(attack.client_context(None, None))
        self.pieces = (hello[:1], hello[:len(hello) // 2], hello)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.assertGreater(hard, HALF_HANDSHAKES + DESCRIPTORS, "the limit of open files (ulimit -Hn) is too low for this attack")
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))

    def begin(self, number):
        """One handshake that nobody means to end; tunnels and the application's door take turns."""
        world = self.world
        connection = world.outsider.open_socket()
        self.connections.append(connection)
        connection.connect((world.server.pod.ipv4, (hbone.PORT, DOOR_PORT)[number % 2]))
        connection.sendall(self.pieces[number % len(self.pieces)])

    def begin_all(self):
        with contextlib.suppress(ConnectionError):
            for number in range(HALF_HANDSHAKES):
                self.begin(number)
                self.num_begun += 1

    def assert_served_meanwhile(self, attacker):
        """Good callers, by an old tunnel and by new ones, while the attacker is at it. Returns the longest wait."""
        world = self.world
        context = attack.client_context(world.credentials(), world.root.root_file)
        longest = 0
        while attacker.is_alive():
            for good in (lambda: self.take(world.client.pod, world.server.pod.ipv4),
                         lambda: self.take_tunnel(world.mallory.pod, world.server.pod.ipv4, context),
                         lambda: self.take_tls(world.mallory.pod, world.server.pod.ipv4, self.door_context, DOOR_PORT)):
                began = time.monotonic()
                self.assertEqual(good(), SECRET)
                longest = max(longest, time.monotonic() - began)
        self.assertTrue(longest, "nobody asked while the attack lasted")
        return longest

    @attack.attack("begins 10,000 handshakes and ends none",
                   "one is enough for a server that serves one after another (`openssl s_server`)",
                   "good callers are served meanwhile: the oldest of the attacker's makes room for the next, long before "
                   "max-connections is reached; what is left is given up after tls-timeout", ("crowded_out",))
    def test_half_handshakes(self):
        world = self.world
        self.assert_victim_is_stuck()
        self.serve(world.server.pod, APP_PORT)
        self.serve(world.server.pod, DOOR_PORT)
        self.door_context = attack.client_context(world.credentials(), world.root.root_file, alpn=())
        self.connections, self.num_begun = [], 0
        self.addCleanup(lambda: [connection.close() for connection in self.connections])
        began = time.monotonic()
        attacker = threading.Thread(target=self.begin_all)
        with self.refused(world.server, "crowded_out", text=world.outsider.ipv4):
            attacker.start()
            longest = self.assert_served_meanwhile(attacker)
            attacker.join()
        self.assertEqual(self.num_begun, HALF_HANDSHAKES)
        self.assert_half_are_left_to_others()
        self.assertLess(longest, GOOD_CALL_S)
        for connection in self.connections:
            self.wait_closed(connection)
        self.assertLess(time.monotonic() - began, BOUND_S)
        self.assertLess(self.resident_kb(), RESIDENT_MAX_KB)
        self.assert_nobody_met_the_limit()
        self.assert_works()

    def assert_half_are_left_to_others(self):
        """At either door, the attacker has to give up all others; what took longer than tls-timeout to begin, by that."""
        server = self.world.server
        for total in ("remora_session_ends_total", "remora_tls_handshake_failures_total"):
            def num(reason, total=total):
                return server.metric(total, direction="inbound", reason=reason)
            wait_until(lambda num=num: num("crowded_out") + num("tls_timeout") >= (HALF_HANDSHAKES - MAX_CONNECTIONS) // 2,
                       f"the agent to give up: {total}", BOUND_S)
            self.assertGreater(num("crowded_out"), 0, total)

    def assert_nobody_met_the_limit(self):
        for total in ("remora_session_ends_total", "remora_tls_handshake_failures_total"):
            self.assertEqual(self.world.server.metric(total, reason="limit"), 0, total)

    def wait_closed(self, connection):
        """Waits until the agent has given it up."""
        connection.settimeout(BOUND_S)
        with contextlib.suppress(ConnectionError):
            while connection.recv(1 << 16):
                pass

    def resident_kb(self):
        with open(f"/proc/{self.world.server.process.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

    def assert_victim_is_stuck(self):
        world = self.world
        self.start_openssl_server("-rev", port=DOOR_PORT)
        context = attack.client_context(None, None, alpn=())
        with world.outsider.connect(world.bare.ipv4, DOOR_PORT) as half:
            half.sendall(self.pieces[1])
            with world.mallory.pod.connect(world.bare.ipv4, DOOR_PORT, timeout_s=1) as good, \
                    self.assertRaises(TimeoutError) as stuck:
                context.wrap_socket(good)
        self.assert_taken(str(stuck.exception), "timed out")


if __name__ == "__main__":
    require_root()
    unittest.main(verbosity=2)
