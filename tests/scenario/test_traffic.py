"""What applications notice of the mesh, and should not: bytes, ends, resets, load. Both address families, real programs."""

import concurrent.futures
import hashlib
import os
import socket
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

import actors  # noqa: E402
from mesh import Mesh  # noqa: E402
from pods import Node, require_root, wait_until  # noqa: E402

FAMILIES = {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6"}
LARGE = 24 * 1024 * 1024
MEDIUM = 1024 * 1024
VIPS = {socket.AF_INET: "198.19.0.10", socket.AF_INET6: "fd00:19::10"}
OWN_VIPS = {socket.AF_INET: "198.19.0.11", socket.AF_INET6: "fd00:19::11"}
CLEAR_VIPS = {socket.AF_INET: "198.19.0.12", socket.AF_INET6: "fd00:19::12"}
MIXED_VIPS = {socket.AF_INET: "198.19.0.13", socket.AF_INET6: "fd00:19::13"}
NOWHERE = ("198.18.99.99", "fd00:18::9999")


def setUpModule():
    global NODE, MESH, CLIENT, SERVER, SECOND, OUTSIDER, PLAIN
    NODE = Node().__enter__()
    try:
        MESH = Mesh(NODE)
        CLIENT, SERVER, SECOND = (MESH.agent(name) for name in ("client", "server", "second"))
        OUTSIDER = NODE.pod("outsider")
        MESH.service("both", VIPS.values(), {80: 8080}, [SERVER, SECOND])
        MESH.service("own", OWN_VIPS.values(), {80: 8080}, [SERVER])
        PLAIN, nowhere = MESH.peer("plain"), MESH.peer("nowhere")
        PLAIN.workload["protocol"] = nowhere.workload["protocol"] = "TCP"
        nowhere.workload["workloadIps"] = NOWHERE
        for address in NOWHERE:
            CLIENT.pod.run(["ip", "route", "add", "unreachable", address])
        MESH.service("clear", CLEAR_VIPS.values(), {80: 8080}, [PLAIN, nowhere])
        MESH.service("mixed", MIXED_VIPS.values(), {80: 8080}, [SERVER, PLAIN])
        MESH.start()
    except BaseException:
        NODE.show_logs()
        NODE.close()
        raise


def tearDownModule():
    NODE.close()


def connect(pod, address, port, family):
    connection = pod.open_socket(family)
    connection.settimeout(30)
    connection.connect((address, port))
    return connection


class Case(unittest.TestCase):
    """An application in SERVER, over one address family; load_tests() runs every case over both."""

    family = socket.AF_INET

    def serve(self, behave, family, agent=None, port=0):
        server = actors.Server((agent or SERVER).pod.listen(family, port), behave)
        return self.enterContext(server)

    def dial(self, server, family):
        connection = connect(CLIENT.pod, SERVER.pod.address(family), server.port, family)
        self.addCleanup(connection.close)
        return connection

    def is_reset(self, pod, address, port):
        """The reset may come so early that connecting fails by it."""
        with self.assertRaises(ConnectionResetError), connect(pod, address, port, self.family) as connection:
            connection.recv(1)


class Traffic(Case):
    """From CLIENT to an application in SERVER."""

    def test_large_transfers_in_both_directions_at_once_arrive_whole(self):
        received = {}

        def behave(connection):
            sender = threading.Thread(target=lambda: (actors.send_pattern(connection, "down", LARGE),
                                                      connection.shutdown(socket.SHUT_WR)))
            sender.start()
            received["up"] = actors.digest_to_end(connection)
            sender.join()

        family = self.family
        server = self.serve(behave, family)
        connection = self.dial(server, family)
        sender = threading.Thread(target=lambda: (actors.send_pattern(connection, "up", LARGE),
                                                  connection.shutdown(socket.SHUT_WR)))
        sender.start()
        self.assertEqual(actors.digest_to_end(connection), actors.digest_of_pattern("down", LARGE))
        sender.join()
        wait_until(lambda: "up" in received, "the server's digest")
        self.assertEqual(received["up"], actors.digest_of_pattern("up", LARGE))

    def test_a_client_that_ends_first_still_gets_its_answer(self):
        def behave(connection):
            digest = actors.digest_to_end(connection)
            connection.sendall(digest.encode())
            actors.send_pattern(connection, "late", MEDIUM)

        family = self.family
        connection = self.dial(self.serve(behave, family), family)
        actors.send_pattern(connection, "question", MEDIUM)
        connection.shutdown(socket.SHUT_WR)
        self.assertEqual(actors.read_exactly(connection, 64).decode(), actors.digest_of_pattern("question", MEDIUM))
        self.assertEqual(actors.digest_to_end(connection), actors.digest_of_pattern("late", MEDIUM))

    def test_a_server_that_ends_first_still_gets_the_rest(self):
        received = []

        def behave(connection):
            connection.sendall(b"that is all from me")
            connection.shutdown(socket.SHUT_WR)
            received.append(actors.digest_to_end(connection))

        family = self.family
        connection = self.dial(self.serve(behave, family), family)
        self.assertEqual(actors.read_exactly(connection, 19), b"that is all from me")
        self.assertEqual(connection.recv(1), b"")
        actors.send_pattern(connection, "more", MEDIUM)
        connection.shutdown(socket.SHUT_WR)
        wait_until(lambda: received, "the server's digest")
        self.assertEqual(received[0], actors.digest_of_pattern("more", MEDIUM))

    def test_a_client_s_reset_reaches_the_server_as_a_reset(self):
        family = self.family
        server = self.serve(actors.echo, family)
        connection = self.dial(server, family)
        connection.sendall(b"x")
        actors.read_exactly(connection, 1)
        actors.reset(connection)
        wait_until(lambda: server.errors, "the server's connection to break")
        self.assertIsInstance(server.errors[0], ConnectionResetError)

    def test_a_server_s_reset_reaches_the_client_as_a_reset(self):
        def behave(connection):
            connection.recv(1)
            actors.reset(connection)

        family = self.family
        connection = self.dial(self.serve(behave, family), family)
        connection.sendall(b"x")
        with self.assertRaises(ConnectionResetError):
            connection.recv(1)

    def test_single_bytes_come_back_one_by_one(self):
        family = self.family
        connection = self.dial(self.serve(actors.echo, family), family)
        for number in range(2000):
            byte = bytes([number % 256])
            connection.sendall(byte)
            self.assertEqual(connection.recv(1), byte)

    def test_ten_thousand_short_connections_all_succeed(self):
        server = self.serve(actors.echo, self.family)

        def one(number):
            with connect(CLIENT.pod, SERVER.pod.address(self.family), server.port, self.family) as connection:
                text = b"connection %d" % number
                connection.sendall(text)
                connection.shutdown(socket.SHUT_WR)
                return actors.read_exactly(connection, len(text)) == text and connection.recv(1) == b""

        with concurrent.futures.ThreadPoolExecutor(8) as executor:
            results = list(executor.map(one, range(10000)))
        self.assertEqual(results.count(True), 10000)

    def test_a_thousand_connections_are_served_side_by_side(self):
        server = self.serve(actors.echo, self.family)
        connections = [self.dial(server, self.family) for _ in range(1000)]
        for round_number in range(2):
            for number, connection in enumerate(connections):
                connection.sendall(b"%06d" % number)
            for number, connection in enumerate(connections):
                self.assertEqual(actors.read_exactly(connection, 6), b"%06d" % number, f"round {round_number}")

    def test_a_reader_that_stops_stops_the_writer_and_costs_bounded_memory(self):
        release = threading.Event()

        def behave(connection):
            release.wait(60)
            connection.sendall(actors.digest_to_end(connection).encode())

        connection = self.dial(self.serve(behave, self.family), self.family)
        connection.setblocking(False)
        sent = 0
        blocks = actors.pattern("stuck", 1 << 30)
        pending = next(blocks)
        digest = hashlib.sha256()

        def push():
            nonlocal sent, pending
            progress = False
            while True:
                try:
                    written = connection.send(pending)
                except BlockingIOError:
                    return progress
                digest.update(pending[:written])
                sent += written
                progress = True
                pending = pending[written:] or next(blocks)

        idle_rounds = 0
        while idle_rounds < 20:
            idle_rounds = 0 if push() else idle_rounds + 1
            threading.Event().wait(0.05)
        self.assertLess(sent, 40 << 20, "the writer was never stopped")
        for agent in (CLIENT, SERVER):
            with open(f"/proc/{agent.process.pid}/status", encoding="ascii") as status:
                resident_kb = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
            self.assertLess(resident_kb, 64 << 10, agent.name)
        release.set()
        connection.settimeout(30)
        connection.shutdown(socket.SHUT_WR)
        self.assertEqual(actors.read_exactly(connection, 64).decode(), digest.hexdigest())

    def test_a_port_where_nothing_listens_is_a_reset_and_says_why_on_both_sides(self):
        family = self.family
        listener = SERVER.pod.listen(family)
        port = listener.getsockname()[1]
        listener.close()
        self.is_reset(CLIENT.pod, SERVER.pod.address(family), port)
        CLIENT.access_log(f":{port}.*peer_unreachable")
        SERVER.access_log(f":{port}.*connect_refused")


class Services(Case):
    """Through virtual addresses."""

    def who(self, name):
        return lambda connection: connection.sendall(name)

    def ask(self, pod, vip, family):
        with connect(pod, vip, 80, family) as connection:
            return connection.recv(64)

    def test_every_endpoint_of_a_service_gets_connections(self):
        family = self.family
        self.serve(self.who(b"server"), family, SERVER, 8080)
        self.serve(self.who(b"second"), family, SECOND, 8080)
        answers = {self.ask(CLIENT.pod, VIPS[family], family) for _ in range(60)}
        self.assertEqual(answers, {b"server", b"second"})

    def test_an_endpoint_whose_application_is_down_is_passed_over(self):
        family = self.family
        self.serve(self.who(b"second"), family, SECOND, 8080)
        answers = {self.ask(CLIENT.pod, VIPS[family], family) for _ in range(40)}
        self.assertEqual(answers, {b"second"})

    def test_an_endpoint_whose_agent_is_down_is_passed_over(self):
        SERVER.stop()
        try:
            family = self.family
            self.serve(self.who(b"second"), family, SECOND, 8080)
            answers = {self.ask(CLIENT.pod, VIPS[family], family) for _ in range(20)}
            self.assertEqual(answers, {b"second"})
        finally:
            SERVER.start()

    def test_an_endpoint_that_the_kernel_knows_no_way_to_is_passed_over(self):
        self.serve(self.who(b"plain"), self.family, PLAIN, 8080)
        answers = {self.ask(CLIENT.pod, CLEAR_VIPS[self.family], self.family) for _ in range(20)}
        self.assertEqual(answers, {b"plain"})

    def test_what_was_to_go_through_a_tunnel_does_not_go_to_another_endpoint_in_clear(self):
        self.serve(self.who(b"plain"), self.family, PLAIN, 8080)
        SERVER.stop()
        try:
            refused = 0
            for _ in range(30):
                try:
                    self.assertEqual(self.ask(CLIENT.pod, MIXED_VIPS[self.family], self.family), b"plain")
                except ConnectionResetError:
                    refused += 1
        finally:
            SERVER.start()
        self.assertGreater(refused, 0, "every connection that was meant for the tunnel went in clear")
        self.assertLess(refused, 30)

    def test_an_application_reaches_its_own_service(self):
        self.serve(self.who(b"myself"), self.family, SERVER, 8080)
        self.assertEqual(self.ask(SERVER.pod, OWN_VIPS[self.family], self.family), b"myself")


class Plaintext(Case):
    """From a pod without a sidecar."""

    def test_strict_refuses_before_a_byte_is_read(self):
        family = self.family
        server = self.serve(lambda connection: connection.sendall(b"secret"), family)
        self.is_reset(OUTSIDER, SERVER.pod.address(family), server.port)
        SERVER.access_log(f":{server.port}.*plaintext_refused")

    def test_permissive_serves_a_server_that_speaks_first_to_a_client_that_waits(self):
        SERVER.restart(inbound_mode="permissive")
        try:
            family = self.family
            server = self.serve(lambda connection: connection.sendall(b"220 ready"), family)
            with connect(OUTSIDER, SERVER.pod.address(family), server.port, family) as connection:
                self.assertEqual(actors.read_exactly(connection, 9), b"220 ready")
                self.assertEqual(connection.recv(1), b"")
        finally:
            SERVER.restart()

    def test_a_destination_outside_of_the_mesh_is_reached_in_plaintext(self):
        family = self.family
        with actors.Server(OUTSIDER.listen(family), actors.echo) as server:
            with connect(CLIENT.pod, OUTSIDER.address(family), server.port, family) as connection:
                connection.sendall(b"hello")
                self.assertEqual(actors.read_exactly(connection, 5), b"hello")


def load_tests(loader, _tests, _pattern):
    suite = unittest.TestSuite()
    for case in (Traffic, Services, Plaintext):
        for family in FAMILIES:
            named = type(case.__name__ + FAMILIES[family], (case,), {"family": family, "__module__": __name__})
            suite.addTests(loader.loadTestsFromTestCase(named))
    return suite


if __name__ == "__main__":
    require_root()
    unittest.main(verbosity=2)
