"""The man in the middle: whoever has the network between two pods, in every part that he can play."""

import contextlib
import os
import socket
import ssl
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import attack  # noqa: E402, first: it knows where the others are
import actors  # noqa: E402
import hbone  # noqa: E402
from attack import APP_PORT, DOOR_PORT, SECRET, Case, World  # noqa: E402
from der import without_key  # noqa: E402
from onpath import OnPath, Relay  # noqa: E402
from pods import require_root  # noqa: E402

LIE = b"the balance is 9999\n"


def setUpModule():
    Case.world = World(lambda world: ({"port": DOOR_PORT, "mode": "mtls"},))


def tearDownModule():
    Case.world.close()


class Middle(Case):
    """He answers for the server when its link address is asked for, and so has every packet of the caller's."""

    title = "Man in the middle"

    def setUp(self):
        super().setUp()
        world = self.world
        self.attacker = world.mallory.pod
        self.serve(world.bare)
        self.serve(world.server.pod)
        world.restart_client()  # which forgets its tunnels

    def between(self, caller, callee, port, behave, rules=()):
        return OnPath(self.attacker, caller, callee.ipv4, port, behave, rules)

    def relay(self, callee, port, **changes):
        return Relay(self.attacker, callee.ipv4, port, **changes)

    def lie(self, connection):
        """Answers in the server's place, in clear."""
        self.heard = connection.recv(actors.CHUNK)
        connection.sendall(LIE)

    def take_in_clear(self, behave, family=socket.AF_INET):
        """What a caller without Remora is made to believe."""
        world = self.world
        address = world.bare.address(family)
        with OnPath(self.attacker, world.outsider, address, APP_PORT, behave):
            return self.take(world.outsider, address)

    @attack.attack("reads what two pods say to each other", "reads request and answer", "sees TLS 1.3; the connection works", ())
    def test_reading(self):
        world = self.world
        relay = self.relay(world.bare, APP_PORT)
        self.assertEqual(self.take_in_clear(relay), SECRET)
        self.assert_taken(relay.sent + relay.answered)
        relay = self.relay(world.server.pod, hbone.PORT)
        with self.between(world.client.pod, world.server.pod, hbone.PORT, relay):
            self.assert_works()
        self.assertGreater(len(relay.answered), len(SECRET))
        for seen in (relay.sent, relay.answered):
            self.assertNotIn(b"balance", seen)

    @attack.attack("the same by IPv6 (forged neighbour advertisements)", "reads request and answer",
                   "sees TLS 1.3; the connection works", ())
    def test_reading_ipv6(self):
        world = self.world
        for pod in (world.bare, world.server.pod):
            self.serve(pod, family=socket.AF_INET6)
        relay = Relay(self.attacker, world.bare.ipv6, APP_PORT)
        self.assertEqual(self.take_in_clear(relay, socket.AF_INET6), SECRET)
        self.assert_taken(relay.sent + relay.answered)
        relay = Relay(self.attacker, world.server.pod.ipv6, hbone.PORT)
        with OnPath(self.attacker, world.client.pod, world.server.pod.ipv6, hbone.PORT, relay):
            self.assertEqual(self.take(world.client.pod, world.server.pod.ipv6), SECRET)
        self.assertGreater(len(relay.answered), len(SECRET))
        for seen in (relay.sent, relay.answered):
            self.assertNotIn(b"balance", seen)

    @attack.attack("changes an answer on its way", "the caller believes it", "the connection is cut", ("tunnel_lost",))
    def test_changing(self):
        world = self.world
        relay = self.relay(world.bare, APP_PORT, change_answered=lambda data: data.replace(SECRET, LIE))
        self.assert_taken(self.take_in_clear(relay), LIE)
        armed = []
        relay = self.relay(world.server.pod, hbone.PORT, change_answered=lambda data: flip(data) if armed else data)
        with self.between(world.client.pod, world.server.pod, hbone.PORT, relay):
            with world.client.pod.connect(world.server.pod.ipv4, APP_PORT) as connection:
                self.assertEqual(attack.ask(connection), SECRET)
                armed.append(True)
                with self.refused(world.client, "tunnel_lost", text="direction=\"outbound\""):
                    self.assertEqual(attack.ask(connection), b"")

    def refuse_as_server(self, credentials, reason):
        """He ends the tunnel in the server's place, by IPv4 and by IPv6."""
        world = self.world
        context = hbone.server_context(credentials, world.root.root_file)

        def answer(connection):
            with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as tls:
                tls.recv(actors.CHUNK)

        for address in (world.server.pod.ipv4, world.server.pod.ipv6):
            with OnPath(self.attacker, world.client.pod, address, hbone.PORT, answer), \
                    self.refused(world.client, reason, text=hbone.host(address)):
                self.assertEqual(self.take(world.client.pod, address), b"")

    def take_from_caller(self, credentials, verify):
        """What a TLS client without Remora gets, whose checks are those that verify(context) leaves."""
        world = self.world
        context = hbone.server_context(credentials, None, alpn=())
        context.verify_mode = ssl.CERT_NONE

        def answer(connection):
            with context.wrap_socket(connection, server_side=True) as tls:
                self.lie(tls)

        caller = hbone.client_context(None, world.root.root_file, alpn=())
        verify(caller)
        with self.between(world.outsider, world.bare, APP_PORT, answer):
            return self.take_tls(world.outsider, world.bare.ipv4, caller)

    @attack.attack("answers in the server's place, with its name in a certificate of another CA",
                   "a caller that does not verify (`curl -k`) believes him", "the caller's agent hangs up", ("cert_untrusted",))
    def test_another_ca_toward_the_client(self):
        world = self.world
        forged = world.credentials(world.server.identity, world.other_authority())

        def unchecked(context):
            context.verify_mode = ssl.CERT_NONE

        self.assert_taken(self.take_from_caller(forged, unchecked), LIE)
        self.refuse_as_server(forged, "cert_untrusted")

    @attack.attack("answers in the server's place, with the valid certificate of another workload",
                   "a caller that verifies the CA only believes him", "the caller's agent hangs up", ("identity_mismatch",))
    def test_another_workload(self):
        own = self.world.credentials(self.world.mallory.identity)
        self.assert_taken(self.take_from_caller(own, lambda context: None), LIE)
        self.refuse_as_server(own, "identity_mismatch")

    @attack.attack("answers in the server's place, with its stolen certificate but without the key",
                   "a caller in clear believes anybody",
                   "the caller's agent hangs up: the signature is wrong", ("tls_failed",))
    def test_a_stolen_server_certificate(self):
        self.assert_taken(self.take_in_clear(self.lie), LIE)
        self.refuse_as_server(without_key(self.world.credentials(self.world.server.identity)), "tls_failed")

    def refuse_as_caller(self, credentials, reason):
        world = self.world
        context = attack.client_context(credentials, world.root.root_file)
        with self.refused(world.server, reason):
            self.assertNotIn(SECRET, self.take_tunnel(self.attacker, world.server.pod.ipv4, context))
        door = self.serve(world.server.pod, DOOR_PORT)
        with self.refused(world.server, reason):
            context = attack.client_context(credentials, world.root.root_file, alpn=())
            self.assertEqual(self.take_tls(self.attacker, world.server.pod.ipv4, context, DOOR_PORT), b"")
        self.assertEqual(door.num_accepted, 0)

    @attack.attack("asks in the client's place, with its name in a certificate of another CA",
                   "a server that asks for no certificate answers",
                   "refused by the server's agent", ("cert_untrusted",))
    def test_another_ca_toward_the_server(self):
        world = self.world
        forged = world.credentials(authority=world.other_authority())
        context = hbone.server_context(world.credentials(world.server.identity), None, alpn=())
        context.verify_mode = ssl.CERT_NONE
        self.serve_tls(world.bare, context, DOOR_PORT)
        self.assert_taken(self.take_tls(self.attacker, world.bare.ipv4, attack.client_context(forged, None, alpn=()), DOOR_PORT))
        self.refuse_as_caller(forged, "cert_untrusted")

    @attack.attack("asks in the client's place, with its stolen certificate but without the key",
                   "a server that believes the certificate in a header answers",
                   "refused by the server's agent: the signature is wrong", ("tls_failed",))
    def test_a_stolen_client_certificate(self):
        world = self.world
        stolen = world.credentials()
        with open(stolen.chain_file, "rb") as file:
            shown = b"X-Forwarded-Client-Cert: " + file.read().replace(b"\n", b"")

        def believes(connection):
            if shown in connection.recv(actors.CHUNK):
                connection.sendall(SECRET)

        self.serve(world.bare, DOOR_PORT, believes)
        with self.attacker.connect(world.bare.ipv4, DOOR_PORT) as connection:
            connection.sendall(shown)
            self.assert_taken(connection.recv(1024))
        self.refuse_as_caller(without_key(stolen), "tls_failed")

    @attack.attack("closes the port for tunnels and offers to go on in clear", "a caller that falls back tells him",
                   "the caller's agent refuses", ("tunnel_connect_refused",))
    def test_a_fallback_to_clear_text(self):
        world = self.world
        # The port for tunnels is led to one where nobody listens; the application's port is his.
        closed = f"tcp dport {hbone.PORT} redirect to :9"
        with self.between(world.outsider, world.bare, APP_PORT, self.lie, (closed,)):
            self.assertEqual(self.take(world.outsider, world.bare.ipv4, hbone.PORT), b"")
            self.assert_taken(self.take(world.outsider, world.bare.ipv4), LIE)
        self.heard = b""
        with self.between(world.client.pod, world.server.pod, APP_PORT, self.lie, (closed,)), \
                self.refused(world.client, "tunnel_connect_refused"):
            self.assertEqual(self.take(world.client.pod, world.server.pod.ipv4), b"")
        self.assertEqual(self.heard, b"")


def flip(data):
    """One bit of it changed."""
    return data[:-1] + bytes([data[-1] ^ 1])


if __name__ == "__main__":
    require_root()
    unittest.main(verbosity=2)
