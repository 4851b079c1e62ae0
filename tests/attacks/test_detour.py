"""Attackers that leave the agent aside, speak something else to its ports, or claim to be somebody in words."""

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
from attack import APP_PORT, CLIENT_ID, DOOR_PORT, OTHER_DOOR_PORT, REQUEST, SECRET, Case, Row, World, add  # noqa: E402
from pods import require_root  # noqa: E402

ANYBODY = "the application answers anybody"
OUTBOUND, INBOUND, HBONE = 15001, 15006, 15008
PASSWORD = b"GET /balance HTTP/1.0\r\nAuthorization: Basic dGVsbGVyOnNlY3JldA==\r\n\r\n"
PROXY_V1 = b"PROXY TCP4 198.18.0.4 198.18.0.3 40000 8000\r\n"
ADMIN = "spiffe://cluster.local/ns/demo/sa/admin"
DENIED = b"you are not the admin\n"
PROXY_V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
PROXY_V2_HEAD = 16
PROXY_V2_IDENTITY = 0xd0


def proxy_v2(identity):
    """A PROXY header of version 2, without addresses, with the identity as Remora writes it."""
    value = identity.encode()
    body = bytes([PROXY_V2_IDENTITY]) + len(value).to_bytes(2, "big") + value
    return PROXY_V2_SIGNATURE + b"\x21\0" + len(body).to_bytes(2, "big") + body


def setUpModule():
    Case.world = World(lambda world: ({"port": DOOR_PORT, "mode": "mtls"},
                                      {"port": OTHER_DOOR_PORT, "mode": "mtls", "proxy-protocol": "v2"}))


def tearDownModule():
    Case.world.close()


def mallory_context(alpn=("h2",)):
    """Of a workload with a valid certificate that no policy lets in."""
    world = Case.world
    return attack.client_context(world.credentials(world.mallory.identity), world.root.root_file, alpn)


class Past(Case):
    """To the application itself."""

    title = "Past the agent"

    def take_from(self, address, port=APP_PORT, source_port=0):
        """From a source port of the attacker's choice."""
        outsider = self.world.outsider
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with outsider.open_socket(family) as connection, contextlib.suppress(ConnectionError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            connection.bind(("", source_port))
            connection.connect((address, port))
            return attack.ask(connection)
        return b""

    def filter(self, *rules):
        """A packet filter for the pod without Remora."""
        bare = self.world.bare
        bare.run(["nft", "-f", "-"], stdin="table inet guard { chain input { type filter hook input priority 0; "
                 + "\n".join(rules) + "\n}\n}\n")
        self.addCleanup(bare.run, ["nft", "delete", "table", "inet", "guard"])

    @attack.attack("a connection to the pod's own address", ANYBODY, "reset", ("plaintext_refused",))
    def test_the_pod_s_address(self):
        world = self.world
        self.serve(world.bare)
        self.assert_taken(self.take_from(world.bare.ipv4))
        self.serve(world.server.pod)
        self.assert_works()
        with self.refused(world.server, "plaintext_refused"):
            self.assertEqual(self.take_from(world.server.pod.ipv4), b"")

    @attack.attack("the same by IPv6, which a rule for IPv4 has forgotten", "the application answers", "reset",
                   ("plaintext_refused",))
    def test_ipv6(self):
        world = self.world
        self.filter(f"ip saddr {world.outsider.ipv4} tcp dport {APP_PORT} reject")
        for pod in (world.bare, world.server.pod):
            self.serve(pod, family=socket.AF_INET6)
            self.serve(pod)
        self.assertEqual(self.take_from(world.bare.ipv4), b"")
        self.assert_taken(self.take_from(world.bare.ipv6))
        with self.refused(world.server, "plaintext_refused"):
            self.assertEqual(self.take_from(world.server.pod.ipv6), b"")

    @attack.attack("a source port that packet filters let pass (53, the agent's own ones)",
                   "the application behind such a filter answers", "reset", ("plaintext_refused",))
    def test_source_ports(self):
        world = self.world
        ports = (53, OUTBOUND, INBOUND, HBONE)
        self.filter(f"tcp sport {{ {', '.join(str(port) for port in ports)} }} accept", f"tcp dport {APP_PORT} reject")
        self.serve(world.bare)
        self.serve(world.server.pod)
        self.assertEqual(self.take_from(world.bare.ipv4), b"")
        for port in ports:
            self.assert_taken(self.take_from(world.bare.ipv4, source_port=port))
            with self.refused(world.server, "plaintext_refused", text=f"{world.outsider.ipv4}:{port}"):
                self.assertEqual(self.take_from(world.server.pod.ipv4, source_port=port), b"")

    @attack.attack("a connection to the ports that traffic is redirected to", "a port of a proxy that takes what comes answers",
                   "reset", ("self_call",))
    def test_own_ports(self):
        world = self.world
        for port in (OUTBOUND, INBOUND):
            self.serve(world.bare, port)
            self.assert_taken(self.take_from(world.bare.ipv4, port))
            for address in (world.server.pod.ipv4, world.server.pod.ipv6):
                with self.refused(world.server, "self_call"):
                    self.assertEqual(self.take_from(address, port), b"")

    @attack.attack("an application's password, stolen, but no certificate", "the application takes it",
                   "reset, in clear and by TLS", ("plaintext_refused", "tls_no_client_cert"))
    def test_a_stolen_password(self):
        world = self.world

        def by_password(connection):
            if b"dGVsbGVyOnNlY3JldA==" in connection.recv(actors.CHUNK):
                connection.sendall(SECRET)

        for pod, port in ((world.bare, APP_PORT), (world.server.pod, APP_PORT), (world.server.pod, DOOR_PORT)):
            self.serve(pod, port, by_password)
        with world.outsider.connect(world.bare.ipv4, APP_PORT) as connection:
            connection.sendall(PASSWORD)
            self.assert_taken(connection.recv(1024))
        with self.refused(world.server, "plaintext_refused"):
            self.assertEqual(self.take_from(world.server.pod.ipv4), b"")
        with self.refused(world.server, "tls_no_client_cert"):
            nobody = attack.client_context(None, None, alpn=())
            self.assertEqual(self.take_tls(world.outsider, world.server.pod.ipv4, nobody, DOOR_PORT), b"")


class Relay(Case):
    """Workloads of the mesh that ask the agent for a connection to somewhere else than its application's ports."""

    title = "Through the agent, to somewhere else"

    def relay(self, connection):
        """A proxy that connects to wherever it is asked to."""
        world = self.world
        host, _, port = connection.recv(1024).split()[1].decode().rpartition(":")
        with world.bare.connect(host, int(port)) as onward:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            onward.sendall(connection.recv(1024))
            connection.sendall(onward.recv(1024))

    def run_relay(self, host_of, port, reason):
        world = self.world
        victim, host = host_of(world.bare)
        self.serve(victim, port, host=None if victim is not world.bare else host)
        if port != 3128:
            self.serve(world.bare, 3128, self.relay)
        with world.outsider.connect(world.bare.ipv4, 3128) as connection:
            connection.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\n\r\n".encode())
            connection.recv(1024)
            self.assert_taken(attack.ask(connection))
        victim, host = host_of(world.server.pod)
        context = attack.client_context(world.credentials(), world.root.root_file)
        with self.refused(world.server, reason), \
                hbone.connect(world.mallory.pod, (world.server.pod.ipv4, hbone.PORT), context) as peer:
            self.assertNotEqual(peer.status(peer.connect_to(f"{host}:{port}")), 200)


RELAYS = (
    ("a tunnel to a port that is on loopback only", lambda pod: (pod, "127.0.0.1"), 9000, "wrong_destination"),
    ("a tunnel to another pod", lambda pod: (Case.world.outsider, Case.world.outsider.ipv4), 9000, "wrong_destination"),
    ("a tunnel to the agent's own ports", lambda pod: (pod, pod.ipv4), INBOUND, "self_call"),
)
add(Relay, ((Row(what, "a proxy that connects to what it is asked for does so", "refused, even for whom policies let in",
                 (reason,)), host_of, port, reason) for what, host_of, port, reason in RELAYS), Relay.run_relay)


class Crossed(Case):
    """Another protocol than the port's."""

    title = "Another protocol"

    @attack.attack("HTTP in clear to a port that speaks TLS", "a server that takes both answers", "closed",
                   ("tls_failed", "tls_expected"))
    def test_http_to_tls(self):
        world = self.world

        def both(connection):
            if connection.recv(1, socket.MSG_PEEK) == b"\x16":
                connection = context.wrap_socket(connection, server_side=True)
            attack.keep_secret(connection)

        context = hbone.server_context(world.credentials(world.server.identity), world.root.root_file, alpn=())
        self.serve(world.bare, behave=both)
        self.assert_taken(self.take(world.outsider, world.bare.ipv4))
        self.serve(world.server.pod, DOOR_PORT)
        for port, reason in ((HBONE, "tls_failed"), (DOOR_PORT, "tls_expected")):
            with self.refused(world.server, reason):
                self.assertNotIn(SECRET, self.take(world.outsider, world.server.pod.ipv4, port))

    def run_alpn(self, alpn):
        world = self.world
        context = hbone.server_context(world.credentials(world.server.identity), world.root.root_file, alpn=())
        self.serve_tls(world.bare, context)
        attacker = attack.client_context(world.credentials(), world.root.root_file, alpn)
        self.assert_taken(self.take_tls(world.outsider, world.bare.ipv4, attacker))
        with self.refused(world.server, "tls_alpn"):
            self.assertEqual(self.take_tls(world.outsider, world.server.pod.ipv4, attacker, HBONE), b"")


add(Crossed, ((Row(f"TLS to the port for tunnels, {what}", "a server that does not negotiate answers (ALPACA)",
                   "refused in the handshake", ("tls_alpn",)), alpn)
              for what, alpn in (("for HTTP/1.1 (ALPN)", ("http/1.1",)), ("for SMTP and IMAP (ALPN)", ("smtp", "imap")),
                                 ("without ALPN", ()))), Crossed.run_alpn)


class NotIstio(Case):
    """A workload of the mesh that the policies let in, at a port that takes Istio's mutual TLS, and nothing else."""

    title = "Another protocol, at a port of the mesh"

    def run_alpn(self, alpn):
        world = self.world
        context = hbone.server_context(world.credentials(world.server.identity), world.root.root_file, alpn)
        self.serve_tls(world.bare, context)
        attacker = attack.client_context(world.credentials(), world.root.root_file, alpn)
        self.assert_taken(self.take_tls(world.outsider, world.bare.ipv4, attacker))
        application = self.serve(world.server.pod)
        with self.refused(world.server, "plaintext_refused", text="ALPN istio"):
            self.assertEqual(self.take_tls(world.outsider, world.server.pod.ipv4, attacker), b"")
        self.assertEqual(application.num_accepted, 0)


add(NotIstio, ((Row(f"TLS with ALPN `{', '.join(alpn)}`, which is not for the application's bytes",
                    "a server that speaks it hands the bytes on", "reset", ("plaintext_refused",)), alpn)
               for alpn in (("istio-peer-exchange",), ("istio-http/1.1", "istio-h2"), ("h2",))), NotIstio.run_alpn)


class Claims(Case):
    """Somebody else's identity in a header."""

    title = "Claims in headers"

    def run_header(self, name, value):
        world = self.world
        line = f"{name}: {value}".encode()

        def believes(connection):
            if line in connection.recv(actors.CHUNK):
                connection.sendall(SECRET)

        self.serve(world.bare, behave=believes)
        with world.outsider.connect(world.bare.ipv4, APP_PORT) as connection:
            connection.sendall(b"GET /balance HTTP/1.1\r\n" + line + b"\r\n\r\n")
            self.assert_taken(connection.recv(1024))
        application = self.serve(world.server.pod)
        with self.refused(world.server, "not_allowed", text=f'src.identity="{world.mallory.identity}"'):
            got = self.take_tunnel(world.mallory.pod, world.server.pod.ipv4, mallory_context(), headers=((name, value),))
            self.assertEqual(got, b"401")
        self.assertEqual(application.num_accepted, 0)

    @attack.attack("a PROXY header of the attacker's own, in front of TLS", "a server behind a load balancer believes it", "closed",
                   ("tls_expected",))
    def test_proxy_header_before_tls(self):
        world = self.world

        def believes(connection):
            if connection.recv(actors.CHUNK).startswith(b"PROXY TCP4 198.18.0.4 "):
                connection.sendall(SECRET)

        self.serve(world.bare, behave=believes)
        application = self.serve(world.server.pod, OTHER_DOOR_PORT)
        with world.outsider.connect(world.bare.ipv4, APP_PORT) as connection:
            connection.sendall(PROXY_V1 + REQUEST)
            self.assert_taken(connection.recv(1024))
        with self.refused(world.server, "tls_expected"), \
                world.outsider.connect(world.server.pod.ipv4, OTHER_DOOR_PORT) as connection, \
                contextlib.suppress(ConnectionError, ssl.SSLError):
            connection.sendall(PROXY_V1)
            mallory_context(()).wrap_socket(connection).close()
        self.assertEqual(application.num_accepted, 0)

    @attack.attack("a PROXY header inside TLS, that claims somebody else",
                   "a proxy that only ends TLS hands it on, and it is believed",
                   "the application gets the header of his certificate's identity first; his own is content", ())
    def test_proxy_header_inside_tls(self):
        world = self.world
        heads = []

        def believes(connection):
            heads.append(actors.read_exactly(connection, PROXY_V2_HEAD))
            if heads[-1].startswith(PROXY_V2_SIGNATURE):
                body = actors.read_exactly(connection, int.from_bytes(heads[-1][-2:], "big"))
                heads[-1] += body
                connection.sendall(SECRET if ADMIN.encode() in body else DENIED)

        def ends_tls(connection):
            with context.wrap_socket(connection, server_side=True) as tls, world.bare.connect(world.bare.ipv4, APP_PORT) as onward:
                onward.sendall(tls.recv(1024))
                tls.sendall(onward.recv(1024))

        context = hbone.server_context(world.credentials(world.server.identity), world.root.root_file, alpn=())
        attacker = attack.client_context(world.credentials(), world.root.root_file, ())
        claim = proxy_v2(ADMIN)
        self.serve(world.bare, behave=believes)
        self.serve(world.bare, DOOR_PORT, ends_tls)
        self.serve(world.server.pod, OTHER_DOOR_PORT, believes)
        self.assert_taken(self.say_by_tls(world.bare.ipv4, DOOR_PORT, attacker, claim))
        self.assertEqual(self.say_by_tls(world.server.pod.ipv4, OTHER_DOOR_PORT, attacker, claim), DENIED)
        self.assertIn(CLIENT_ID.encode(), heads[-1])

    @attack.attack("a `forwarded` header of somebody who is let in, that says he comes from elsewhere",
                   "a server that believes it takes him for somebody else",
                   "the PROXY header that the application gets says where he comes from", ())
    def test_forwarded_to_a_port_with_proxy_headers(self):
        world = self.world
        claimed = "198.18.0.250"
        sources = []

        def believes(connection):
            if f"forwarded: for={claimed}".encode() in connection.recv(actors.CHUNK):
                connection.sendall(SECRET)

        def is_told(connection):
            head = actors.read_exactly(connection, PROXY_V2_HEAD)
            body = actors.read_exactly(connection, int.from_bytes(head[-2:], "big"))
            sources.append(socket.inet_ntoa(body[:4]))
            attack.keep_secret(connection)

        self.serve(world.bare, behave=believes)
        with world.outsider.connect(world.bare.ipv4, APP_PORT) as connection:
            connection.sendall(f"GET /balance HTTP/1.1\r\nforwarded: for={claimed}\r\n\r\n".encode())
            self.assert_taken(connection.recv(1024))
        self.serve(world.server.pod, OTHER_DOOR_PORT, is_told)
        attacker = attack.client_context(world.credentials(), world.root.root_file)
        told = self.take_tunnel(world.outsider, world.server.pod.ipv4, attacker, OTHER_DOOR_PORT, (("forwarded", f"for={claimed}"),))
        self.assertEqual((told, sources), (SECRET, [world.outsider.ipv4]))

    def say_by_tls(self, address, port, context, data):
        with self.world.outsider.connect(address, port) as connection, context.wrap_socket(connection) as tls:
            tls.sendall(data)
            return tls.recv(1024)


add(Claims, ((Row(f"a forged `{name}` header in a tunnel's request", "a server that believes it answers",
                  "refused, under the identity of his certificate", ("not_allowed",)), name, value)
             for name, value in (("forwarded", "for=198.18.0.4;by=cluster"), ("x-forwarded-for", "198.18.0.4"),
                                 ("baggage", "k8s.namespace.name=demo,service.name=client"),
                                 ("x-forwarded-client-cert", f"URI={CLIENT_ID}"))), Claims.run_header)


if __name__ == "__main__":
    require_root()
    unittest.main(verbosity=2)
