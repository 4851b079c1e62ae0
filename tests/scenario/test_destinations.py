"""Destinations that somebody stands in front of: waypoints, other networks' gateways; that only have a name; application tunnels."""

import contextlib
import os
import re
import socket
import struct
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

import actors  # noqa: E402
import hbone  # noqa: E402
from mesh import Mesh, replace_file  # noqa: E402
from pods import Node, require_root, wait_until  # noqa: E402

FAMILIES = {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6"}
PORT, TARGET_PORT, PROXY_PORT = 80, 8080, 15088
NETWORK = "west"
DOMAIN = "demo.svc.cluster.local"
NAMED = "db.example.test"


def vip(number, family):
    return f"198.19.0.{number}" if family == socket.AF_INET else f"fd00:19::{number}"


def both(number):
    return [vip(number, family) for family in FAMILIES]


def gateway(name, port=hbone.PORT):
    """A waypoint or network gateway that is named as a service."""
    return {"destination": f"demo/{name}.{DOMAIN}", "hboneMtlsPort": port}


def setUpModule():
    global NODE, MESH, CRL_FILE, CLIENT, SERVER, WAYPOINTS, GATEWAY, FAR, FAR_PEER, SANDWICH, NAMED_PEER
    NODE = Node().__enter__()
    try:
        MESH = Mesh(NODE, cert_source="files")
        CLIENT, SERVER, FAR, SANDWICH = (MESH.agent(name) for name in ("client", "server", "far", "sandwich"))
        WAYPOINTS = [MESH.peer(name) for name in ("waypoint", "other-waypoint", "third-waypoint")]
        GATEWAY, FAR_PEER, NAMED_PEER = (MESH.peer(name) for name in ("gateway", "far-peer", "named"))
        describe_waypoints()
        describe_networks()
        describe_names()
        MESH.start()
        FAR.restart(network=NETWORK)
        CRL_FILE = os.path.join(MESH.folder, "crl.pem")
        replace_file(CRL_FILE, MESH.authority.crl())
        CLIENT.restart(pool_idle_timeout="1s", crl_file=CRL_FILE)
    except BaseException:
        NODE.show_logs()
        NODE.close()
        raise


def tearDownModule():
    NODE.close()


def describe_waypoints():
    first, second, third = WAYPOINTS
    MESH.service("wp", both(1), {hbone.PORT: hbone.PORT}, [first, second])
    MESH.service("third", both(2), {hbone.PORT: hbone.PORT}, [third])
    MESH.service("sandwiches", both(3), {80: 80}, [SANDWICH])
    SANDWICH.workload["applicationTunnel"] = {"protocol": "PROXY", "port": PROXY_PORT}
    by_address = {"destination": f"/{first.pod.ipv4}", "hboneMtlsPort": hbone.PORT}
    SERVER.workload["waypoint"] = by_address
    weighted = [{**gateway("wp"), "weight": 1}, {**gateway("third"), "weight": 1}]
    for number, name, fields in ((10, "by-address", {"waypoint": by_address}),
                                 (11, "by-name", {"waypoint": gateway("wp")}),
                                 (12, "by-vip", {"waypoint": {"destination": f"/{vip(2, socket.AF_INET)}"}}),
                                 (13, "weighted", {"weightedWaypoints": weighted}),
                                 (14, "lost", {"waypoint": gateway("nobody")}),
                                 (15, "behind-sandwich", {"waypoint": gateway("sandwiches")})):
        MESH.service(name, both(number), {PORT: TARGET_PORT}, [SERVER], **fields)


def describe_networks():
    MESH.service("gw", both(4), {hbone.PORT: hbone.PORT}, [GATEWAY])
    by_address = {"destination": f"/{GATEWAY.pod.ipv4}", "hboneMtlsPort": hbone.PORT}
    for workload, way in ((FAR.workload, gateway("gw")), (FAR_PEER.workload, by_address)):
        workload.update({"network": NETWORK, "networkGateway": way})
    MESH.service("far", both(20), {PORT: TARGET_PORT}, [FAR], subjectAltNames=[FAR.identity])
    MESH.service("far-peer", both(21), {PORT: TARGET_PORT}, [FAR_PEER], subjectAltNames=[FAR_PEER.identity])
    MESH.service("far-unsigned", both(22), {PORT: TARGET_PORT}, [FAR_PEER])


def describe_names():
    NAMED_PEER.workload.update({"workloadIps": [], "hostname": NAMED})
    MESH.service("named", both(30), {PORT: TARGET_PORT}, [NAMED_PEER])
    nobody = {**NAMED_PEER.workload, "uid": "test/nobody", "name": "nobody", "hostname": "nobody.example.test", "protocol": "TCP",
              "services": {f"demo/nameless.{DOMAIN}": {PORT: TARGET_PORT}}}
    plain = {**nobody, "uid": "test/plain", "name": "plain", "hostname": "plain.example.test",
             "services": {f"demo/plain.{DOMAIN}": {PORT: TARGET_PORT}}}
    MESH.service("nameless", both(31), {PORT: TARGET_PORT}, [])
    MESH.service("plain", both(32), {PORT: TARGET_PORT}, [])
    for extra in (nobody, plain):
        MESH.peers[extra["name"]] = type("Described", (), {"workload": extra})
    addresses = [NAMED_PEER.pod.ipv4, NAMED_PEER.pod.ipv6]
    CLIENT.pod.hosts({"localhost": ["127.0.0.1"], NAMED: addresses, "plain.example.test": addresses})


class Case(unittest.TestCase):
    """An application behind one agent, over one address family; load_tests() runs every case over both."""

    family = socket.AF_INET

    def setUp(self):
        wait_until(lambda: CLIENT.metric("remora_tunnels_open", direction="outbound") == 0, "an empty pool")
        self.log_start = len(CLIENT.process.log())

    def context(self, peer, identity=None):
        credentials = MESH.authority.credentials([f"URI:{identity or peer.identity}"])
        return hbone.server_context(credentials, MESH.authority.root_file)

    def serve(self, peer, identity=None, family=None):
        """Whoever is meant to be in the peer's pod, or somebody else."""
        return self.enterContext(hbone.Server(peer.pod, self.context(peer, identity), family or self.family))

    def dial(self, number, port=PORT):
        return self.dial_address(vip(number, self.family), port)

    def dial_address(self, address, port):
        application = CLIENT.pod.connect(address, port)
        self.addCleanup(application.close)
        return application

    def assert_carries(self, peer, application, tunnel, text=b"hello"):
        application.sendall(text)
        self.assertEqual(peer.receive(tunnel, len(text)), text)
        peer.send(tunnel, text[::-1])
        self.assertEqual(actors.read_exactly(application, len(text)), text[::-1])

    def assert_logged(self, application, reason, text=""):
        source = re.escape(hbone.source_of(application))
        line = CLIENT.access_log(rf'src\.addr="{source}".* direction="outbound" ', self.log_start)
        self.assertRegex(line, rf' reason="{reason}" .*{text}')
        return line

    def assert_refused(self, number, reason, text=""):
        """A connection to the service is reset as soon as it is made, and the log says why."""
        CLIENT.pod.assert_reset(vip(number, self.family), PORT)
        return CLIENT.access_log(rf'direction="outbound" .* reason="{reason}" .*{text}', self.log_start)

    def assert_reset(self, application, reason, text=""):
        with self.assertRaises(ConnectionResetError):
            while application.recv(1 << 16):
                pass
        return self.assert_logged(application, reason, text)


class Waypoints(Case):
    def assert_through(self, server, application, authority):
        """The connection of the application arrives at the waypoint, for the authority; it carries bytes."""
        peer = server.accept()
        tunnel = peer.accept()
        self.assertEqual(tunnel.header(":authority"), authority)
        peer.answer(tunnel, 200)
        self.assert_carries(peer, application, tunnel)
        return peer, tunnel

    def authority(self, number):
        return f"{hbone.host(vip(number, self.family))}:{PORT}"

    def test_a_service_s_waypoint_given_as_an_address(self):
        server = self.serve(WAYPOINTS[0], family=socket.AF_INET)
        application = self.dial(10)
        peer, tunnel = self.assert_through(server, application, self.authority(10))
        self.assertIn(f";host=by-address.{DOMAIN}", tunnel.header("forwarded"))
        application.shutdown(socket.SHUT_WR)
        peer.end(tunnel)
        self.assertEqual(application.recv(1), b"")
        line = self.assert_logged(application, "done")
        self.assertIn(f'dst.identity="{WAYPOINTS[0].identity}"', line)
        self.assertIn(f'dst.service="by-address.{DOMAIN}"', line)

    def test_one_given_as_a_name_and_the_endpoint_that_is_there(self):
        server = self.serve(WAYPOINTS[1])  # nobody listens in the first one
        for _ in range(3):
            with contextlib.closing(self.dial(11)) as application:
                self.assert_through(server, application, self.authority(11))
                server.connections.pop().close()

    def test_one_given_as_a_service_s_address(self):
        self.assert_through(self.serve(WAYPOINTS[2]), self.dial(12), self.authority(12))

    def test_a_workload_s_waypoint_when_its_own_address_is_asked_for(self):
        address = SERVER.pod.address(self.family)
        server = self.serve(WAYPOINTS[0], family=socket.AF_INET)
        application = self.dial_address(address, TARGET_PORT)
        self.assert_through(server, application, f"{hbone.host(address)}:{TARGET_PORT}")

    def test_weights_send_some_here_and_some_there(self):
        servers = [self.serve(peer) for peer in WAYPOINTS]  # the first two are one waypoint, the third is the other
        asked = []
        stop = threading.Event()
        threads = [threading.Thread(target=self.answer_all, args=(server, asked, stop)) for server in servers]
        for thread in threads:
            thread.start()
        for _ in range(40):
            self.dial(13)
        wait_until(lambda: len(asked) == 40, "40 requests")
        stop.set()
        for thread in threads:
            thread.join()
        third = sum(server is servers[2] for server in asked)
        self.assertTrue(0 < third < 40, third)

    def answer_all(self, server, asked, stop):
        while server.nobody_is_there():
            if stop.wait(0.01):
                return
        peer = server.accept()
        while not stop.is_set():
            peer.poll_for(0.05)
            while peer.requests:
                peer.answer(peer.accept(), 200)
                asked.append(server)

    def test_an_unknown_waypoint_is_named_and_never_passed_by(self):
        with contextlib.closing(SERVER.pod.listen(self.family, TARGET_PORT)) as listener:
            self.assert_refused(14, "waypoint_unknown", rf"demo/nobody\.{re.escape(DOMAIN)}")
            listener.setblocking(False)
            with self.assertRaises(BlockingIOError):
                listener.accept()

    def test_somebody_else_in_the_waypoint_s_place_gets_nothing(self):
        server = self.serve(WAYPOINTS[0], identity=SERVER.identity, family=socket.AF_INET)
        application = self.dial(10)
        with contextlib.suppress(OSError):  # the handshake, which the agent breaks off
            server.accept()
        self.assert_reset(application, "identity_mismatch")

    def test_a_waypoint_s_refusal_is_told(self):
        server = self.serve(WAYPOINTS[0], family=socket.AF_INET)
        application = self.dial(10)
        peer = server.accept()
        peer.answer(peer.accept(), 401)
        self.assert_reset(application, "peer_refused")


class Networks(Case):
    def forward_to(self, peer, outer, pod):
        """The gateway's part: the outer tunnel's bytes go to the agent in the pod."""
        connection = GATEWAY.pod.connect(pod.address(self.family), hbone.PORT)
        peer.answer(outer, 200)
        thread = threading.Thread(target=self.pump, args=(peer, outer, connection))
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(peer.close)
        return connection

    def pump(self, peer, outer, connection):
        with contextlib.closing(connection), contextlib.suppress(OSError, ValueError):
            hbone.forward(peer, outer, connection)

    def ask(self, number, family=None):
        """(application, gateway's connection, outer CONNECT) of a connection to the service."""
        server = self.serve(GATEWAY, family=family)
        application = self.dial(number)
        peer = server.accept()
        return application, peer, peer.accept()

    def assert_outer(self, outer, name):
        self.assertEqual(outer.header(":authority"), f"{name}.{DOMAIN}:{PORT}")
        self.assertIsNone(outer.header("x-forwarded-network"))

    def test_bytes_go_through_the_gateway_to_an_agent_in_the_other_network(self):
        self.enterContext(actors.Server(FAR.pod.listen(self.family, TARGET_PORT), actors.echo))
        far_start = len(FAR.process.log())
        application, peer, outer = self.ask(20)
        self.assert_outer(outer, "far")
        self.forward_to(peer, outer, FAR.pod)
        sender = threading.Thread(target=actors.send_pattern, args=(application, 1, 4 << 20))
        sender.start()
        self.assertEqual(b"".join(actors.pattern(1, 4 << 20)), actors.read_exactly(application, 4 << 20))
        sender.join()
        application.shutdown(socket.SHUT_WR)
        self.assertEqual(application.recv(1), b"")
        line = self.assert_logged(application, "done")
        self.assertIn(f'dst.identity="{FAR.identity}"', line)
        self.assertIn('dst.namespace="demo"', line)
        # The far side sees the gateway's address and the client's identity.
        line = FAR.access_log(r'direction="inbound" .* reason="done"', far_start)
        self.assertIn(f'src.identity="{CLIENT.identity}"', line)
        self.assertIn(f'src.addr="{hbone.host(GATEWAY.pod.address(self.family))}:', line)
        self.assertIn(f'dst.service="far.{DOMAIN}"', line)

    def ask_inner(self, number=21):
        """(application, server in the other network, gateway's connection): the outer tunnel stands."""
        inner = self.serve(FAR_PEER)
        application, peer, outer = self.ask(number, socket.AF_INET)
        self.forward_to(peer, outer, FAR_PEER.pod)
        return application, inner, peer

    def test_the_inner_request_names_the_service_and_our_network_is_only_said_when_it_has_a_name(self):
        application, inner, _ = self.ask_inner()
        peer = inner.accept()
        tunnel = peer.accept()
        self.assertEqual(tunnel.header(":authority"), f"far-peer.{DOMAIN}:{PORT}")
        self.assertIsNone(tunnel.header("x-forwarded-network"))
        self.assertIn("k8s.namespace.name=demo", tunnel.header("baggage"))
        self.assertEqual(hbone.identity_of(peer.tls), [CLIENT.identity])
        peer.answer(tunnel, 200, ("baggage", "k8s.namespace.name=over-there,k8s.deployment.name=remote"))
        self.assert_carries(peer, application, tunnel)
        peer.end(tunnel)
        application.shutdown(socket.SHUT_WR)
        self.assertEqual(application.recv(1), b"")
        self.assertIn('dst.namespace="over-there"', self.assert_logged(application, "done"))

    def test_a_half_close_goes_all_the_way(self):
        application, inner, _ = self.ask_inner()
        peer = inner.accept()
        tunnel = peer.accept()
        peer.answer(tunnel, 200)
        application.sendall(b"question")
        application.shutdown(socket.SHUT_WR)
        self.assertEqual(peer.receive_to_end(tunnel), b"question")
        peer.send(tunnel, b"answer", end=True)
        self.assertEqual(actors.read_exactly(application, 6), b"answer")
        self.assertEqual(application.recv(1), b"")
        self.assert_logged(application, "done")

    def test_a_refusal_over_there_is_told(self):
        application, inner, _ = self.ask_inner()
        peer = inner.accept()
        peer.answer(peer.accept(), 401)
        self.assert_reset(application, "peer_refused", "in the other network")

    def test_a_gateway_that_refuses_is_told(self):
        application, peer, outer = self.ask(21, socket.AF_INET)
        peer.answer(outer, 503)
        self.assert_reset(application, "peer_unreachable", "network gateway")

    def test_somebody_else_over_there_gets_nothing(self):
        inner = self.serve(FAR_PEER, identity=WAYPOINTS[0].identity)
        application, peer, outer = self.ask(21, socket.AF_INET)
        self.forward_to(peer, outer, FAR_PEER.pod)
        with contextlib.suppress(OSError):
            inner.accept()
        self.assert_reset(application, "identity_mismatch", "in the other network")

    def test_somebody_else_in_the_gateway_s_place_gets_nothing(self):
        server = self.serve(GATEWAY, identity=FAR_PEER.identity, family=socket.AF_INET)
        application = self.dial(21)
        with contextlib.suppress(OSError):
            server.accept()
        self.assert_reset(application, "identity_mismatch", "network gateway")

    def test_a_gateway_that_goes_takes_its_tunnels_with_it(self):
        application, inner, gateway_peer = self.ask_inner()
        peer = inner.accept()
        tunnel = peer.accept()
        peer.answer(tunnel, 200)
        self.assert_carries(peer, application, tunnel)
        # Not ssl's own shutdown(), after which the thread that forwards would go on in clear.
        socket.socket.shutdown(gateway_peer.tls, socket.SHUT_RDWR)
        self.assert_reset(application, "tunnel_lost")

    def test_a_gateway_that_loses_our_trust_is_named_as_the_end_of_what_it_carries(self):
        credentials = MESH.authority.credentials([f"URI:{GATEWAY.identity}"])
        context = hbone.server_context(credentials, MESH.authority.root_file)
        server = self.enterContext(hbone.Server(GATEWAY.pod, context, socket.AF_INET))
        inner = self.serve(FAR_PEER)
        application = self.dial(21)
        gateway_peer = server.accept()
        self.forward_to(gateway_peer, gateway_peer.accept(), FAR_PEER.pod)
        peer = inner.accept()
        tunnel = peer.accept()
        peer.answer(tunnel, 200)
        self.assert_carries(peer, application, tunnel)
        with open(credentials.chain_file, encoding="ascii") as file:
            replace_file(CRL_FILE, MESH.authority.crl(file.read()))
        line = self.assert_reset(application, "cert_revoked", "network gateway: ")
        self.assertIn(f'dst.identity="{FAR_PEER.identity}"', line)

    def test_nobody_over_there_is_expected_where_the_service_names_nobody(self):
        self.assert_refused(22, "no_expected_identity")


class Names(Case):
    def test_a_workload_with_a_name_is_found_and_has_to_prove_itself(self):
        server = self.serve(NAMED_PEER)
        application = self.dial(30)
        peer = server.accept()
        tunnel = peer.accept()
        self.assertEqual(tunnel.header(":authority"), f"{hbone.host(NAMED_PEER.pod.address(self.family))}:{TARGET_PORT}")
        peer.answer(tunnel, 200)
        self.assert_carries(peer, application, tunnel)

    def test_whoever_the_name_leads_to_without_being_it_gets_nothing(self):
        server = self.serve(NAMED_PEER, identity=SERVER.identity)
        application = self.dial(30)
        with contextlib.suppress(OSError):
            server.accept()
        self.assert_reset(application, "identity_mismatch")

    def test_one_outside_the_mesh_is_connected_to(self):
        with actors.Server(NAMED_PEER.pod.listen(self.family, TARGET_PORT), actors.echo):
            application = self.dial(32)
            application.sendall(b"hello")
            self.assertEqual(actors.read_exactly(application, 5), b"hello")

    def test_a_name_that_leads_nowhere_is_told(self):
        self.assert_refused(31, "name_not_resolved", r"nobody\.example\.test")


class ApplicationTunnels(Case):
    SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"

    def accept_proxied(self):
        """(connection, source, destination, identity) as the application is told."""
        loopback = "127.0.0.1" if self.family == socket.AF_INET else "::1"
        listener = SANDWICH.pod.listen(self.family, PROXY_PORT, loopback)
        self.addCleanup(listener.close)
        return listener

    def read_header(self, connection):
        head = actors.read_exactly(connection, 16)
        self.assertEqual(head[:13], self.SIGNATURE + b"\x21")
        size = 4 if head[13] == 0x11 else 16
        body = actors.read_exactly(connection, struct.unpack("!H", head[14:])[0])
        kind = socket.AF_INET if size == 4 else socket.AF_INET6
        source, destination = (socket.inet_ntop(kind, body[at:at + size]) for at in (0, size))
        ports = struct.unpack("!HH", body[2 * size:2 * size + 4])
        tlv, length = struct.unpack("!BH", body[2 * size + 4:2 * size + 7])
        self.assertEqual(tlv, 0xD0)
        return (source, ports[0]), (destination, ports[1]), body[2 * size + 7:2 * size + 7 + length].decode()

    def test_a_waypoint_behind_an_agent_learns_who_calls_and_what_for(self):
        listener = self.accept_proxied()
        application = self.dial(15)
        connection, _ = listener.accept()
        with connection:
            source, destination, identity = self.read_header(connection)
            self.assertEqual(source[0], CLIENT.pod.address(self.family))
            self.assertEqual(destination, (vip(15, self.family), PORT))
            self.assertEqual(identity, CLIENT.identity)
            application.sendall(b"hello")
            self.assertEqual(actors.read_exactly(connection, 5), b"hello")
            connection.sendall(b"olleh")
            self.assertEqual(actors.read_exactly(application, 5), b"olleh")

    def connect_as(self, peer):
        context = hbone.client_context(MESH.authority.credentials([f"URI:{peer.identity}"]), MESH.authority.root_file)
        address = (SANDWICH.pod.address(self.family), hbone.PORT)
        return self.enterContext(hbone.connect(peer.pod, address, context, self.family))

    def test_any_address_and_any_service_that_it_serves_may_be_asked_for(self):
        listener = self.accept_proxied()
        peer = self.connect_as(WAYPOINTS[0])
        own = vip(3, self.family)
        for authority, expected in ((f"{hbone.host(vip(99, self.family))}:443", (vip(99, self.family), 443)),
                                    (f"sandwiches.{DOMAIN}:80", (own, 80))):
            tunnel = peer.connect_to(authority)
            connection, _ = listener.accept()
            with connection:
                self.assertEqual(peer.status(tunnel), 200)
                _, destination, identity = self.read_header(connection)
                self.assertEqual(destination, expected)
                self.assertEqual(identity, WAYPOINTS[0].identity)

    def test_a_client_in_another_network_is_described_by_itself(self):
        self.accept_proxied()
        peer = self.connect_as(WAYPOINTS[0])
        for network, expected in (("east", "over-there"), ("", "demo")):
            start = len(SANDWICH.process.log())
            tunnel = peer.connect_to(f"{hbone.host(vip(99, self.family))}:443", ("baggage", "k8s.namespace.name=over-there"),
                                     ("x-forwarded-network", network))
            self.assertEqual(peer.status(tunnel), 200)
            peer.reset(tunnel)
            line = SANDWICH.access_log(r'direction="inbound" .* reason="peer_reset"', start)
            self.assertIn(f'src.namespace="{expected}"', line)
            self.assertIn(f'src.identity="{WAYPOINTS[0].identity}"', line)

    def test_a_service_that_is_not_known_is_refused(self):
        peer = self.connect_as(WAYPOINTS[0])
        self.assertEqual(peer.status(peer.connect_to(f"nobody.{DOMAIN}:80")), 503)


class Afterwards(unittest.TestCase):
    def test_nothing_of_all_this_is_left(self):
        for agent in (CLIENT, FAR, SANDWICH):
            agent.wait_unused()


def load_tests(loader, _tests, _pattern):
    suite = unittest.TestSuite()
    for case in (Waypoints, Networks, Names, ApplicationTunnels):
        for family in FAMILIES:
            named = type(case.__name__ + FAMILIES[family], (case,), {"family": family, "__module__": __name__})
            suite.addTests(loader.loadTestsFromTestCase(named))
    suite.addTests(loader.loadTestsFromTestCase(Afterwards))
    return suite


if __name__ == "__main__":
    require_root()
    unittest.main(verbosity=2)
