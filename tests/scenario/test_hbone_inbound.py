"""Tunnels into a pod, asked for by peers that are not ours: what is answered, what is refused and why, what is relayed."""

import os
import re
import socket
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

import actors  # noqa: E402
import hbone  # noqa: E402
from h2.errors import ErrorCodes  # noqa: E402
from h2.settings import SettingCodes  # noqa: E402
from mesh import Mesh  # noqa: E402
from pods import Node, require_root, wait_until  # noqa: E402

FAMILIES = {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6"}
OTHER_FAMILY = {socket.AF_INET: socket.AF_INET6, socket.AF_INET6: socket.AF_INET}
CLIENT_ID = "spiffe://cluster.local/ns/demo/sa/client"
STRANGER_ID = "spiffe://cluster.local/ns/demo/sa/stranger"
SERVICE = "web.demo.svc.cluster.local"
SERVICE_PORT, TARGET_PORT, DENIED_PORT = 80, 8080, 9999
LARGE = 8 * 1024 * 1024
BAGGAGE = ("k8s.cluster.name=Kubernetes,k8s.namespace.name=demo,k8s.deployment.name=server,"
           "service.name=server,service.version=v1")


def setUpModule():
    global NODE, MESH, SERVER, CLIENT, CREDENTIALS, STRANGER
    NODE = Node().__enter__()
    try:
        MESH = Mesh(NODE, cert_source="files")
        SERVER, CLIENT = MESH.agent("server"), MESH.peer("client")
        CREDENTIALS = MESH.authority.credentials([f"URI:{CLIENT_ID}"])
        STRANGER = MESH.authority.credentials([f"URI:{STRANGER_ID}"])
        MESH.service("web", ["198.19.0.10", "fd00:19::10"], {SERVICE_PORT: TARGET_PORT}, [SERVER])
        MESH.allow("client-only", "demo", CLIENT_ID)
        MESH.policies.append({"name": "never-there", "namespace": "demo", "scope": "Namespace", "action": "Deny",
                              "rules": [[[{"destinationPorts": [DENIED_PORT]}]]], "dryRun": False})
        MESH.start()
    except BaseException:
        NODE.show_logs()
        NODE.close()
        raise


def tearDownModule():
    NODE.close()


class Case(unittest.TestCase):
    """A connection of the client to the server's agent, over one address family; load_tests() runs every case over both."""

    family = socket.AF_INET

    def setUp(self):
        self.log_start = len(SERVER.process.log())
        self.source = None

    def connect(self, credentials=None, **options):
        context = hbone.client_context(credentials or CREDENTIALS, MESH.authority.root_file)
        address = (SERVER.pod.address(self.family), hbone.PORT)
        peer = self.enterContext(hbone.connect(CLIENT.pod, address, context, self.family, **options))
        self.source = peer.source
        return peer

    def serve(self, behave, port=0):
        return self.enterContext(actors.Server(SERVER.pod.listen(self.family, port), behave))

    def authority(self, port, family=None):
        return f"{hbone.host(SERVER.pod.address(family or self.family))}:{port}"

    def open(self, peer, server):
        tunnel = peer.connect_to(self.authority(server.port))
        self.assertEqual(peer.status(tunnel), 200)
        return tunnel

    def assert_echoes(self, peer, tunnel, text=b"hello"):
        peer.send(tunnel, text, end=True)
        self.assertEqual(peer.receive_to_end(tunnel), text)

    def assert_logged(self, reason, text=""):
        """Of the connection that was made last; of any when it was not made here."""
        source = "[^\"]*" if self.source is None else re.escape(self.source)
        pattern = rf'src\.addr="{source}".* src\.identity="spiffe://[^"]*".* reason="{reason}" .*{text}'
        return SERVER.access_log(pattern, self.log_start)


class Tunnels(Case):
    """What is well asked for."""

    def test_a_tunnel_is_answered_with_200_and_who_answers_and_carries_bytes_both_ways(self):
        peer = self.connect()
        tunnel = peer.connect_to(self.authority(self.serve(actors.echo).port), ("baggage", "k8s.namespace.name=demo"),
                                 ("forwarded", 'for="198.18.0.77:4711"'),
                                 ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"))
        self.assertEqual(peer.status(tunnel), 200)
        self.assertEqual(tunnel.headers, [(":status", "200"), ("baggage", BAGGAGE)])
        self.assert_echoes(peer, tunnel)
        line = self.assert_logged("done")
        self.assertIn(f'src.identity="{CLIENT_ID}"', line)
        self.assertIn(f'dst.identity="{SERVER.identity}"', line)
        self.assertIn("bytes_sent=5 bytes_recv=5", line)

    def test_the_agent_speaks_tls_1_3_and_shows_its_identity(self):
        peer = self.connect()
        self.assertEqual((peer.tls.version(), peer.tls.selected_alpn_protocol()), ("TLSv1.3", "h2"))
        self.assertEqual(hbone.identity_of(peer.tls), [SERVER.identity])

    def test_a_host_name_leads_to_the_service_s_port_in_this_pod(self):
        self.serve(actors.echo, TARGET_PORT)
        peer = self.connect()
        for host in (SERVICE, SERVICE.upper(), SERVICE + "."):
            tunnel = peer.connect_to(f"{host}:{SERVICE_PORT}")
            self.assertEqual(peer.status(tunnel), 200, host)
            self.assert_echoes(peer, tunnel)

    def test_no_answer_comes_before_the_application_has_accepted(self):
        listener = SERVER.pod.listen(self.family)
        self.addCleanup(listener.close)
        listener.listen(0)
        # The kernel accepts one connection on its own; the tunnel has to wait behind it.
        port = listener.getsockname()[1]
        fillers = [SERVER.pod.open_socket(self.family) for _ in range(2)]
        for filler in fillers:
            self.addCleanup(filler.close)
            filler.setblocking(False)
            filler.connect_ex((SERVER.pod.address(self.family), port))
        peer = self.connect()
        tunnel = peer.connect_to(self.authority(port))
        peer.ping()
        self.assertIsNone(tunnel.headers)
        for _ in fillers:
            listener.accept()[0].close()
        self.assertEqual(peer.status(tunnel), 200)

    def test_bytes_that_come_with_the_request_reach_the_application(self):
        peer = self.connect()
        tunnel = peer.connect_to(self.authority(self.serve(actors.echo).port))
        peer.send(tunnel, b"early", end=True)
        self.assertEqual(peer.status(tunnel), 200)
        self.assertEqual(peer.receive_to_end(tunnel), b"early")

    def test_a_request_that_ends_at_once_is_an_application_that_sends_nothing(self):
        def behave(connection):
            connection.sendall(actors.digest_to_end(connection).encode())

        peer = self.connect()
        tunnel = peer.request([(":method", "CONNECT"), (":authority", self.authority(self.serve(behave).port))], end=True)
        self.assertEqual(peer.receive_to_end(tunnel).decode(), actors.digest_of_pattern("", 0))

    def test_large_transfers_arrive_whole(self):
        server = self.serve(lambda connection: (connection.sendall(actors.digest_to_end(connection).encode()),
                                                actors.send_pattern(connection, "down", LARGE)))
        peer = self.connect(extra_window=1 << 20)
        tunnel = self.open(peer, server)
        for block in actors.pattern("up", LARGE):
            peer.send(tunnel, block)
        peer.end(tunnel)
        self.assertEqual(peer.receive(tunnel, 64).decode(), actors.digest_of_pattern("up", LARGE))
        self.assertEqual(peer.receive_to_end(tunnel), b"".join(actors.pattern("down", LARGE)))

    def test_tunnels_of_one_connection_do_not_mix(self):
        peer = self.connect()
        server = self.serve(actors.echo)
        tunnels = [peer.connect_to(self.authority(server.port)) for _ in range(100)]
        expected = {tunnel.id: b"" for tunnel in tunnels}
        for round_number in range(5):
            for tunnel in tunnels:
                text = b"round %d of tunnel %d; " % (round_number, tunnel.id)
                expected[tunnel.id] += text
                peer.send(tunnel, text, end=round_number == 4)
        for tunnel in tunnels:
            self.assertEqual(peer.status(tunnel), 200)
            self.assertEqual(peer.receive_to_end(tunnel), expected[tunnel.id])

    def test_one_connection_carries_any_number_of_tunnels_one_after_another(self):
        peer = self.connect()
        server = self.serve(actors.echo)
        for _ in range(500):
            self.assert_echoes(peer, self.open(peer, server))

    def test_a_header_block_of_many_frames_is_read(self):
        peer = self.connect()
        many = [(f"x-{number}", f"{number:0300}") for number in range(100)]
        tunnel = peer.connect_to(self.authority(self.serve(actors.echo).port), *many)
        self.assertEqual(peer.status(tunnel), 200)
        self.assert_echoes(peer, tunnel)

    def test_padded_frames_are_read(self):
        peer = self.connect()
        tunnel = self.open(peer, self.serve(actors.echo))
        for text in (b"one ", b"two ", b"three"):
            peer.h2.send_data(tunnel.id, text, pad_length=200)
        peer.flush()
        peer.end(tunnel)
        self.assertEqual(peer.receive_to_end(tunnel), b"one two three")

    def test_trailers_end_the_peer_s_direction(self):
        peer = self.connect()
        tunnel = self.open(peer, self.serve(actors.echo))
        peer.send(tunnel, b"before")
        peer.h2.send_headers(tunnel.id, [("x-checksum", "1")], end_stream=True)
        peer.flush()
        self.assertEqual(peer.receive_to_end(tunnel), b"before")

    def test_a_new_certificate_is_shown_to_new_peers_and_disturbs_no_tunnel(self):
        server = self.serve(actors.echo)
        before = self.connect()
        tunnel = self.open(before, server)
        MESH.write_certificate(SERVER)
        SERVER.process.wait_log("certificate in force", since=self.log_start)
        after = self.connect()
        self.assertNotEqual(after.tls.getpeercert()["serialNumber"], before.tls.getpeercert()["serialNumber"])
        self.assert_echoes(after, self.open(after, server))
        before.wait(lambda: before.goaways, "GOAWAY, for the certificate that it has seen is not the latest")
        self.assert_echoes(before, tunnel)

    def test_a_ping_is_answered(self):
        peer = self.connect()
        peer.ping()
        peer.ping()


class Ends(Case):
    """How one side's end reaches the other."""

    def test_the_peer_ends_first_and_still_gets_its_answer(self):
        server = self.serve(lambda connection: connection.sendall(actors.digest_to_end(connection).encode()))
        peer = self.connect()
        tunnel = self.open(peer, server)
        peer.send(tunnel, b"question", end=True)
        self.assertEqual(len(peer.receive_to_end(tunnel)), 64)
        self.assert_logged("done")

    def test_the_application_ends_first_and_still_gets_the_rest(self):
        received = []

        def behave(connection):
            connection.sendall(b"all")
            connection.shutdown(socket.SHUT_WR)
            received.append(actors.digest_to_end(connection))

        peer = self.connect()
        tunnel = self.open(peer, self.serve(behave))
        self.assertEqual(peer.receive_to_end(tunnel), b"all")
        for block in actors.pattern("rest", 1 << 20):
            peer.send(tunnel, block)
        peer.end(tunnel)
        wait_until(lambda: received, "the application's digest")
        self.assertEqual(received[0], actors.digest_of_pattern("rest", 1 << 20))
        self.assert_logged("done")

    def test_a_reset_stream_is_a_reset_connection_of_the_application(self):
        server = self.serve(actors.echo)
        peer = self.connect()
        first, second = self.open(peer, server), self.open(peer, server)
        peer.reset(first, ErrorCodes.CANCEL)
        wait_until(lambda: server.errors, "the application's connection to break")
        self.assertIsInstance(server.errors[0], ConnectionResetError)
        self.assert_logged("peer_reset")
        self.assert_echoes(peer, second)

    def test_a_stream_reset_without_an_error_is_an_end(self):
        ended = []
        server = self.serve(lambda connection: ended.append(actors.digest_to_end(connection)))
        peer = self.connect()
        tunnel = self.open(peer, server)
        peer.send(tunnel, b"all")
        peer.reset(tunnel, ErrorCodes.NO_ERROR)
        wait_until(lambda: ended or server.errors, "the application's end")
        self.assertEqual(server.errors, [])

    def test_an_application_s_reset_is_a_reset_stream(self):
        def behave(connection):
            connection.recv(1)
            actors.reset(connection)

        peer = self.connect()
        tunnel = self.open(peer, self.serve(behave))
        peer.send(tunnel, b"x")
        peer.wait(lambda: tunnel.reset is not None, "the reset")
        self.assertEqual(tunnel.reset, ErrorCodes.CONNECT_ERROR)
        self.assert_logged("app_reset")
        self.assert_echoes(peer, self.open(peer, self.serve(actors.echo)))

    def test_a_request_that_is_given_up_before_its_answer_is_not_a_fault(self):
        server = self.serve(actors.echo)
        peer = self.connect()
        for _ in range(50):
            peer.reset(peer.connect_to(self.authority(server.port)))
        self.assert_echoes(peer, self.open(peer, server))

    def test_a_connection_cut_without_a_word_resets_its_tunnels(self):
        server = self.serve(actors.echo)
        peer = self.connect()
        self.open(peer, server)
        actors.reset(peer.tls)
        wait_until(lambda: server.errors, "the application's connection to break")
        self.assertIsInstance(server.errors[0], ConnectionResetError)
        self.assert_logged("tunnel_lost")

    def test_after_the_peer_s_goaway_live_tunnels_go_on_and_then_the_connection_is_closed(self):
        peer = self.connect()
        tunnel = self.open(peer, self.serve(actors.echo))
        peer.goaway(0)
        peer.ping()
        self.assert_echoes(peer, tunnel)
        peer.wait_closed()
        self.assertIsNone(peer.error)


class Settings(Case):
    """Flow control and settings that change under way."""

    def test_a_window_that_shrinks_below_nothing_stops_the_stream_and_one_that_grows_lets_it_go_on(self):
        server = self.serve(lambda connection: actors.send_pattern(connection, "down", LARGE))
        peer = self.connect(gives_credit=False, extra_window=LARGE)
        tunnel = self.open(peer, server)
        peer.wait(lambda: len(tunnel.data) == 65535, "a full window")
        peer.change_settings({SettingCodes.INITIAL_WINDOW_SIZE: 1000})
        peer.ping()
        self.assertEqual(len(tunnel.data), 65535)
        peer.change_settings({SettingCodes.INITIAL_WINDOW_SIZE: 100_000})
        peer.wait(lambda: len(tunnel.data) == 100_000, "the larger window")
        peer.change_settings({SettingCodes.INITIAL_WINDOW_SIZE: 2 * LARGE})
        self.assertEqual(peer.receive_to_end(tunnel), b"".join(actors.pattern("down", LARGE)))

    def test_frames_are_no_larger_than_the_peer_takes(self):
        server = self.serve(lambda connection: actors.send_pattern(connection, "down", 1 << 20))
        for size in (16384, 20000, 1 << 20):
            peer = self.connect(settings={SettingCodes.MAX_FRAME_SIZE: size, SettingCodes.INITIAL_WINDOW_SIZE: 4 << 20},
                                extra_window=4 << 20)
            self.assertEqual(len(peer.receive_to_end(self.open(peer, server))), 1 << 20)
            self.assertLessEqual(max(length for kind, _, _, length in peer.frames if kind == hbone.DATA), size)

    def test_a_smaller_header_table_is_respected(self):
        peer = self.connect(settings={SettingCodes.HEADER_TABLE_SIZE: 0})
        server = self.serve(actors.echo)
        for size in (4096, 0, 100):
            self.assert_echoes(peer, self.open(peer, server))  # python3-h2 would not decode what refers to more
            peer.change_settings({SettingCodes.HEADER_TABLE_SIZE: size})
        self.assert_echoes(peer, self.open(peer, server))

    def test_a_tunnel_of_tiny_windows_works(self):
        peer = self.connect(settings={SettingCodes.INITIAL_WINDOW_SIZE: 7})
        tunnel = self.open(peer, self.serve(actors.echo))
        self.assert_echoes(peer, tunnel, b"a good deal more than seven bytes at once")


class Refusals(Case):
    """What is understood and not given. The connection goes on."""

    def assert_refused(self, status, reason, authority, text="", credentials=None):
        peer = self.connect(credentials)
        tunnel = peer.connect_to(authority)
        self.assertEqual(peer.status(tunnel), status)
        peer.wait(lambda: tunnel.ended, "the end of the answer")
        self.assertEqual((tunnel.headers, tunnel.data), ([(":status", str(status))], b""))
        self.assert_logged(reason, text)
        if credentials is None:
            self.assert_echoes(peer, self.open(peer, self.serve(actors.echo)))

    def test_whoever_no_policy_allows_gets_401(self):
        server = self.serve(actors.echo)
        self.assert_refused(401, "not_allowed", self.authority(server.port), credentials=STRANGER)
        self.assertEqual(server.num_accepted, 0)

    def test_what_a_policy_denies_gets_401_and_the_log_names_the_policy(self):
        server = self.serve(actors.echo, DENIED_PORT)
        self.assert_refused(401, "denied_by_policy", self.authority(DENIED_PORT), 'policy="demo/never-there"')
        self.assertEqual(server.num_accepted, 0)

    def test_a_port_where_nothing_listens_gets_503(self):
        listener = SERVER.pod.listen(self.family)
        port = listener.getsockname()[1]
        listener.close()
        self.assert_refused(503, "connect_refused", self.authority(port))

    def test_an_address_that_is_not_the_pod_s_gets_400(self):
        self.assert_refused(400, "wrong_destination", f"{hbone.host(CLIENT.pod.address(self.family))}:80")

    def test_the_pod_s_address_of_the_other_family_gets_400(self):
        self.assert_refused(400, "wrong_destination", self.authority(80, OTHER_FAMILY[self.family]))

    def test_loopback_gets_400(self):
        self.assert_refused(400, "wrong_destination", "127.0.0.1:15000")
        self.assert_refused(400, "wrong_destination", "[::1]:15000")

    def test_an_unknown_host_name_gets_503(self):
        self.assert_refused(503, "unknown_destination", "other.demo.svc.cluster.local:80")

    def test_a_port_that_the_service_does_not_have_gets_503(self):
        self.assert_refused(503, "unknown_destination", f"{SERVICE}:81")

    def test_the_agent_s_own_ports_get_503(self):
        for port in (15001, 15006, 15008):
            self.assert_refused(503, "self_call", self.authority(port))

    def test_an_agent_that_discovery_does_not_know_yet_answers_503(self):
        server = self.serve(actors.echo)
        authority = self.authority(server.port)
        MESH.write_local_file([CLIENT.workload])
        try:
            SERVER.process.wait_log('"discovery loaded".*workloads=1', since=self.log_start)
            peer = self.connect()
            wait_until(lambda: peer.status(peer.connect_to(authority)) == 503, "503 after the workload has gone")
            self.assert_logged("unknown_local_workload")
        finally:
            MESH.write_local_file()
            SERVER.process.wait_log('"discovery loaded".*workloads=2', since=self.log_start)
        wait_until(lambda: peer.status(peer.connect_to(authority)) == 200, "200 after the workload has come back")


def connect_headers(authority, *more):
    return [(":method", "CONNECT"), (":authority", authority), *more]


PROTOCOL_ERROR = -ErrorCodes.PROTOCOL_ERROR
TOO_MUCH = -ErrorCodes.ENHANCE_YOUR_CALM

# Requests made from a good authority and its two parts, and the answer: a status, or minus the code that resets the stream.
MALFORMED = {
    "a_get": (lambda a, h, p: [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", a)], 400),
    "a_post": (lambda a, h, p: [(":method", "POST"), (":scheme", "https"), (":path", "/"), (":authority", a)], 400),
    "a_method_in_small_letters": (
        lambda a, h, p: [(":method", "connect"), (":scheme", "https"), (":path", "/"), (":authority", a)], 400),
    "a_scheme": (lambda a, h, p: connect_headers(a, (":scheme", "https")), PROTOCOL_ERROR),
    "a_path": (lambda a, h, p: connect_headers(a, (":path", "/")), PROTOCOL_ERROR),
    "a_scheme_and_a_path": (lambda a, h, p: connect_headers(a, (":scheme", "https"), (":path", "/")), PROTOCOL_ERROR),
    "a_protocol": (
        lambda a, h, p: connect_headers(a, (":protocol", "websocket"), (":scheme", "https"), (":path", "/")), PROTOCOL_ERROR),
    "no_authority": (lambda a, h, p: [(":method", "CONNECT")], PROTOCOL_ERROR),
    "a_host_header_instead": (lambda a, h, p: [(":method", "CONNECT"), ("host", a)], PROTOCOL_ERROR),
    "no_method": (lambda a, h, p: [(":authority", a)], PROTOCOL_ERROR),
    "two_authorities": (lambda a, h, p: connect_headers(a, (":authority", a)), PROTOCOL_ERROR),
    "two_methods": (lambda a, h, p: connect_headers(a, (":method", "CONNECT")), PROTOCOL_ERROR),
    "an_unknown_pseudo_header": (lambda a, h, p: connect_headers(a, (":what", "ever")), PROTOCOL_ERROR),
    "a_pseudo_header_at_the_end": (
        lambda a, h, p: [(":method", "CONNECT"), ("x", "y"), (":authority", a)], PROTOCOL_ERROR),
    "a_header_name_in_capitals": (lambda a, h, p: connect_headers(a, ("Baggage", "x=y")), PROTOCOL_ERROR),
    "a_header_of_http_1": (lambda a, h, p: connect_headers(a, ("connection", "keep-alive")), PROTOCOL_ERROR),
    "an_empty_authority": (lambda a, h, p: connect_headers(""), PROTOCOL_ERROR),
    "no_port": (lambda a, h, p: connect_headers(h), 400),
    "an_empty_port": (lambda a, h, p: connect_headers(f"{h}:"), 400),
    "port_0": (lambda a, h, p: connect_headers(f"{h}:0"), 400),
    "port_65536": (lambda a, h, p: connect_headers(f"{h}:65536"), 400),
    "a_port_that_is_65536_too_large": (lambda a, h, p: connect_headers(f"{h}:{p + 65536}"), 400),
    "a_port_of_2_to_the_64_and_more": (lambda a, h, p: connect_headers(f"{h}:{p + 2 ** 64}"), 400),
    "a_port_with_a_sign": (lambda a, h, p: connect_headers(f"{h}:+{p}"), 400),
    "a_port_in_hexadecimal": (lambda a, h, p: connect_headers(f"{h}:{p:#x}"), 400),
    "a_port_by_name": (lambda a, h, p: connect_headers(f"{h}:http"), 400),
    "no_host": (lambda a, h, p: connect_headers(f":{p}"), 400),
    "a_user": (lambda a, h, p: connect_headers(f"root@{a}"), 400),
    "a_url": (lambda a, h, p: connect_headers(f"https://{a}"), PROTOCOL_ERROR),
    "a_path_behind_the_port": (lambda a, h, p: connect_headers(f"{a}/"), PROTOCOL_ERROR),
    "ipv6_without_brackets": (lambda a, h, p: connect_headers(f"fd00:18::3:{p}"), 400),
    "ipv4_in_brackets": (lambda a, h, p: connect_headers(f"[198.18.0.3]:{p}"), 400),
    "a_bracket_that_is_not_closed": (lambda a, h, p: connect_headers(f"[fd00:18::3:{p}"), 400),
    "an_ipv6_zone": (lambda a, h, p: connect_headers(f"[fe80::1%25eth0]:{p}"), 400),
    "ipv4_with_an_octal_part": (lambda a, h, p: connect_headers(f"198.18.0.03:{p}"), 400),
    "ipv4_with_three_parts": (lambda a, h, p: connect_headers(f"198.18.3:{p}"), 400),
    "ipv4_as_one_number": (lambda a, h, p: connect_headers(f"3323068419:{p}"), 400),
    "a_name_with_an_empty_label": (lambda a, h, p: connect_headers(f"web..demo:{p}"), 400),
    "a_name_that_is_too_long": (lambda a, h, p: connect_headers(f"{'a.' * 127}b:{p}"), 400),
    "a_name_with_a_wrong_character": (lambda a, h, p: connect_headers(f"web!demo:{p}"), 400),
    "headers_that_are_too_large": (
        lambda a, h, p: connect_headers(a, *[(f"x-{number}", "v" * 30000) for number in range(3)]), TOO_MUCH),
    "too_many_headers": (lambda a, h, p: connect_headers(a, *[("x", "")] * 2500), TOO_MUCH),
}

# Headers that are for labels and traces only: whatever is wrong with them costs nobody a tunnel.
TOLERATED = {
    "baggage_that_is_none": [("baggage", "=,;=,,;%%%==")],
    "baggage_of_many_lines": [("baggage", "a=b"), ("baggage", ""), ("baggage", "k8s.namespace.name=x")],
    "baggage_that_is_too_long": [("baggage", "a=b," * 2000)],
    "baggage_that_is_not_ascii": [("baggage", "k8s.namespace.name=\u00e4\u00f6")],
    "forwarded_that_is_none": [("forwarded", 'for=";;=";host')],
    "traceparent_that_is_none": [("traceparent", "00-zz")],
    "traceparent_of_the_future": [("traceparent", "ff-" + "0" * 32 + "-" + "0" * 16 + "-00-more")],
    "another_network": [("x-forwarded-network", "remote")],
    "unknown_headers": [("x-anything", "goes"), ("content-length", "5")],
}


class Malformed(Case):
    """What is not understood, each with the answer that it gets. The connection goes on."""

    def refuses(self, make, answer):
        server = self.serve(actors.echo)
        peer = self.connect()
        authority = self.authority(server.port)
        tunnel = peer.request(make(authority, hbone.host(SERVER.pod.address(self.family)), server.port))
        self.assertEqual(peer.status(tunnel), answer)
        self.assert_logged("bad_request")
        self.assertEqual(server.num_accepted, 0)
        self.assert_echoes(peer, self.open(peer, server))

    def tolerates(self, headers):
        peer = self.connect()
        tunnel = peer.connect_to(self.authority(self.serve(actors.echo).port), *headers)
        self.assertEqual(peer.status(tunnel), 200)
        self.assert_echoes(peer, tunnel)


class OtherPrograms(Case):
    """curl, nghttp and openssl, which share nothing with the rest of these tests."""

    def url(self):
        return f"https://{hbone.host(SERVER.pod.address(self.family))}:{hbone.PORT}/"

    def test_curl_gets_400_for_a_get(self):
        done = CLIENT.pod.run(["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} %{http_version} %{size_download}", "--http2",
                               "-k", "--cert", CREDENTIALS.chain_file, "--key", CREDENTIALS.key_file, self.url()])
        self.assertEqual(done.stdout, "400 2 0")
        self.assert_logged("bad_request", "the method is not CONNECT")

    def test_curl_without_a_certificate_gets_nowhere(self):
        done = CLIENT.pod.run(["curl", "-sS", "--http2", "-k", self.url()], check=False)
        self.assertNotEqual(done.returncode, 0)
        SERVER.access_log('reason="tls_no_client_cert"', self.log_start)

    def test_nghttp_is_told_that_a_connect_has_no_path(self):
        done = CLIENT.pod.run(["nghttp", "-v", "-H", ":method: CONNECT", "--cert", CREDENTIALS.chain_file,
                               "--key", CREDENTIALS.key_file, self.url()], check=False)
        self.assertRegex(done.stdout, r"recv RST_STREAM frame[^\n]*\n\s*\(error_code=PROTOCOL_ERROR\(0x01\)\)")
        self.assert_logged("bad_request")

    def test_openssl_verifies_the_agent_and_is_let_in(self):
        done = self.s_client("-alpn", "h2", "-cert", CREDENTIALS.chain_file, "-key", CREDENTIALS.key_file)
        for line in ("Verify return code: 0 (ok)", "New, TLSv1.3", "ALPN protocol: h2", "Verification: OK"):
            self.assertIn(line, done.stdout)

    def test_openssl_with_tls_1_2_is_refused(self):
        done = self.s_client("-tls1_2", "-alpn", "h2", "-cert", CREDENTIALS.chain_file, "-key", CREDENTIALS.key_file)
        self.assertIn("alert protocol version", done.stderr)
        SERVER.access_log('reason="tls_version"', self.log_start)

    def s_client(self, *options):
        address = f"{hbone.host(SERVER.pod.address(self.family))}:{hbone.PORT}"
        return CLIENT.pod.run(["openssl", "s_client", "-connect", address, "-CAfile", MESH.authority.root_file, *options],
                              check=False)


def add_tests():
    for name, (make, answer) in MALFORMED.items():
        setattr(Malformed, f"test_refuses_{name}", lambda self, make=make, answer=answer: self.refuses(make, answer))
    for name, headers in TOLERATED.items():
        setattr(Malformed, f"test_tolerates_{name}", lambda self, headers=headers: self.tolerates(headers))


class Afterwards(unittest.TestCase):
    def test_nothing_of_all_this_is_left(self):
        SERVER.wait_unused()


def load_tests(loader, _tests, _pattern):
    add_tests()
    suite = unittest.TestSuite()
    for case in (Tunnels, Ends, Settings, Refusals, Malformed, OtherPrograms):
        for family in FAMILIES:
            named = type(case.__name__ + FAMILIES[family], (case,), {"family": family, "__module__": __name__})
            suite.addTests(loader.loadTestsFromTestCase(named))
    suite.addTests(loader.loadTestsFromTestCase(Afterwards))
    return suite


if __name__ == "__main__":
    require_root()
    unittest.main(verbosity=2)
