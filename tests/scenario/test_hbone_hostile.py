"""Peers that break HTTP/2, flood, dawdle or never read: what the agent does about it, and that nobody else suffers."""

import contextlib
import os
import random
import re
import socket
import ssl
import struct
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

import actors  # noqa: E402
import hbone  # noqa: E402
from h2.errors import ErrorCodes  # noqa: E402
from h2.settings import SettingCodes  # noqa: E402
from hbone import (ACK, CONTINUATION, DATA, END_HEADERS, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS,  # noqa: E402
                   WINDOW_UPDATE, frame)
from mesh import Mesh  # noqa: E402
from pods import Node, require_root, wait_until  # noqa: E402

FAMILIES = {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6"}
CLIENT_ID = "spiffe://cluster.local/ns/demo/sa/client"
PUSH_PROMISE = 5
RESIDENT_MAX_KB = 64 << 10
PATIENCE = {"tls_timeout": "1s", "http2_ping_interval": "1s", "http2_ping_timeout": "1s", "pool_idle_timeout": "2s",
            "http2_max_streams": 5}


def setUpModule():
    global NODE, MESH, SERVER, IMPATIENT, CLIENT, CONTEXT
    NODE = Node().__enter__()
    try:
        MESH = Mesh(NODE, cert_source="files")
        SERVER, IMPATIENT, CLIENT = MESH.agent("server"), MESH.agent("impatient"), MESH.peer("client")
        CONTEXT = hbone.client_context(MESH.authority.credentials([f"URI:{CLIENT_ID}"]), MESH.authority.root_file)
        MESH.start()
        IMPATIENT.restart(**PATIENCE)
    except BaseException:
        NODE.show_logs()
        NODE.close()
        raise


def tearDownModule():
    NODE.close()


def setting(code, value):
    return struct.pack("!HI", code, value)


class Case(unittest.TestCase):
    """Against one agent, over one address family; load_tests() runs every case over both."""

    family = socket.AF_INET

    def setUp(self):
        self.agent = self.target()
        self.log_start = len(self.agent.process.log())

    def tearDown(self):
        with open(f"/proc/{self.agent.process.pid}/status", encoding="ascii") as status:
            resident_kb = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
        self.assertLess(resident_kb, RESIDENT_MAX_KB)
        self.assert_serves_others()

    def target(self):
        return SERVER

    def address(self):
        return self.agent.pod.address(self.family), hbone.PORT

    def connect(self, **options):
        return self.enterContext(hbone.connect(CLIENT.pod, self.address(), CONTEXT, self.family, **options))

    def dial(self):
        """Without TLS."""
        connection = hbone.dial(CLIENT.pod, self.address(), self.family)
        self.addCleanup(connection.close)
        return connection

    def shake_hands(self):
        """With TLS, but without HTTP/2."""
        tls = CONTEXT.wrap_socket(self.dial())
        self.addCleanup(tls.close)
        return tls

    def serve(self, behave):
        return self.enterContext(actors.Server(self.agent.pod.listen(self.family), behave))

    def authority(self, server):
        return f"{hbone.host(self.agent.pod.address(self.family))}:{server.port}"

    def open(self, peer, server):
        tunnel = peer.connect_to(self.authority(server))
        self.assertEqual(peer.status(tunnel), 200)
        return tunnel

    def assert_echoes(self, peer, tunnel):
        peer.send(tunnel, b"hello", end=True)
        self.assertEqual(peer.receive_to_end(tunnel), b"hello")

    def assert_serves_others(self):
        with hbone.connect(CLIENT.pod, self.address(), CONTEXT, self.family) as peer, \
                actors.Server(self.agent.pod.listen(self.family), actors.echo) as server:
            self.assert_echoes(peer, self.open(peer, server))

    def assert_logged(self, peer, reason):
        """The end of a tunnel."""
        self.agent.access_log(rf'src\.addr="{re.escape(peer.source)}".* reason="{reason}"', self.log_start)

    def ends(self, reason):
        return self.agent.metric("remora_tunnel_ends_total", direction="inbound", reason=reason)

    def assert_thrown_out(self, peer, before, code=None):
        """The agent has said GOAWAY with the code (None: with any but NO_ERROR), closed the connection and counted why."""
        peer.wait_closed()
        self.assertIsNone(peer.error)
        said = {said for _, said in peer.goaways}
        self.assertEqual(said, {code} if code is not None else said - {ErrorCodes.NO_ERROR})
        self.assertTrue(said)
        wait_until(lambda: self.ends("http2_failed") > before, "the metric of broken HTTP/2")


# What breaks the connection (RFC 9113), and the code with which the agent says so.
BROKEN = {
    "settings_of_a_wrong_length": (frame(SETTINGS, payload=b"12345"), ErrorCodes.FRAME_SIZE_ERROR),
    "an_acknowledgement_with_settings_in_it": (frame(SETTINGS, ACK, payload=setting(4, 1)), ErrorCodes.FRAME_SIZE_ERROR),
    "settings_of_a_stream": (frame(SETTINGS, 0, 1), ErrorCodes.PROTOCOL_ERROR),
    "a_window_of_2_to_the_31": (frame(SETTINGS, payload=setting(4, 1 << 31)), ErrorCodes.FLOW_CONTROL_ERROR),
    "a_frame_size_of_1": (frame(SETTINGS, payload=setting(5, 1)), ErrorCodes.PROTOCOL_ERROR),
    "a_frame_that_is_too_large": (b"\xff\xff\xff\0\0\0\0\0\1", ErrorCodes.FRAME_SIZE_ERROR),
    "a_ping_of_seven_bytes": (frame(PING, payload=b"1234567"), ErrorCodes.FRAME_SIZE_ERROR),
    "a_ping_of_a_stream": (frame(PING, 0, 1, b"12345678"), ErrorCodes.PROTOCOL_ERROR),
    "a_goaway_of_a_stream": (frame(GOAWAY, 0, 1, bytes(8)), ErrorCodes.PROTOCOL_ERROR),
    "data_of_no_stream": (frame(DATA, 0, 0, b"x"), ErrorCodes.PROTOCOL_ERROR),
    "data_of_a_stream_that_was_never_opened": (frame(DATA, 0, 7, b"x"), ErrorCodes.PROTOCOL_ERROR),
    "data_that_is_less_than_its_padding": (frame(DATA, 0x8, 1, b"\xff"), ErrorCodes.PROTOCOL_ERROR),
    "headers_of_no_stream": (frame(HEADERS, END_HEADERS, 0, b"\x82"), ErrorCodes.PROTOCOL_ERROR),
    "headers_of_an_even_stream": (frame(HEADERS, END_HEADERS, 2, b"\x82"), ErrorCodes.PROTOCOL_ERROR),
    "headers_that_no_table_knows": (frame(HEADERS, END_HEADERS, 1, b"\xff\x80\x01"), ErrorCodes.COMPRESSION_ERROR),
    "headers_that_are_noise": (frame(HEADERS, END_HEADERS, 1, b"\xff" * 40), ErrorCodes.COMPRESSION_ERROR),
    "a_frame_inside_a_header_block": (
        frame(HEADERS, 0, 1, b"\x82") + frame(PING, payload=bytes(8)), ErrorCodes.PROTOCOL_ERROR),
    "a_continuation_of_nothing": (frame(CONTINUATION, END_HEADERS, 1, b"\x82"), ErrorCodes.PROTOCOL_ERROR),
    "a_reset_of_a_stream_that_was_never_opened": (frame(RST_STREAM, 0, 7, bytes(4)), ErrorCodes.PROTOCOL_ERROR),
    "a_promise_of_a_client": (frame(PUSH_PROMISE, END_HEADERS, 1, struct.pack("!I", 2)), ErrorCodes.PROTOCOL_ERROR),
    "a_window_update_of_nothing": (frame(WINDOW_UPDATE, payload=bytes(4)), ErrorCodes.PROTOCOL_ERROR),
    "a_window_that_overflows": (frame(WINDOW_UPDATE, payload=struct.pack("!I", (1 << 31) - 1)), ErrorCodes.FLOW_CONTROL_ERROR),
}


class BrokenHttp2(Case):
    """One thing that is wrong ends the connection, and the agent says what."""

    def breaks(self, data, code):
        before = self.ends("http2_failed")
        peer = self.connect()
        server = self.serve(actors.echo)
        self.open(peer, server)  # a tunnel that goes down with it
        peer.send_bytes(data)
        self.assert_thrown_out(peer, before, code)
        wait_until(lambda: server.errors, "the application's connection to break")
        self.assert_logged(peer, "http2_failed")

    def throws_out(self, data):
        before = self.ends("http2_failed")
        tls = self.shake_hands()
        tls.sendall(data)
        while tls.recv(1 << 16):
            pass
        wait_until(lambda: self.ends("http2_failed") > before, "the metric of broken HTTP/2")

    def test_http_1_instead_of_the_preface(self):
        self.throws_out(b"CONNECT 198.18.0.2:80 HTTP/1.1\r\nHost: 198.18.0.2:80\r\n\r\n")

    def test_noise_instead_of_the_preface(self):
        self.throws_out(random.Random(1).randbytes(100))

    def test_noise_after_the_preface(self):
        self.throws_out(hbone.PREFACE + random.Random(2).randbytes(1000))

    def test_a_preface_without_settings(self):
        self.throws_out(hbone.PREFACE + frame(PING, payload=bytes(8)))

    def test_frames_of_unknown_kinds_are_ignored(self):
        peer = self.connect()
        tunnel = self.open(peer, self.serve(actors.echo))
        for kind in (0x2, 0xb, 0x10, 0xff):
            peer.send_frame(kind, 0, tunnel.id, struct.pack("!IB", 0, 16))
        peer.ping()
        self.assert_echoes(peer, tunnel)

    def test_more_data_than_the_window_ends_the_stream_only(self):
        stuck = threading.Event()
        self.addCleanup(stuck.set)
        peer = self.connect()
        tunnel = self.open(peer, self.serve(lambda connection: stuck.wait(30)))
        chunk = bytes(16384)
        # The window of the connection is sixteen times as large as what a stream's may become.
        for _ in range(0, 8 << 20, len(chunk)):
            peer.send_frame(DATA, 0, tunnel.id, chunk)
        peer.wait(lambda: tunnel.reset is not None, "the reset")
        self.assertEqual(tunnel.reset, ErrorCodes.FLOW_CONTROL_ERROR)
        self.assert_echoes(peer, self.open(peer, self.serve(actors.echo)))

    def test_a_window_of_a_stream_that_overflows_ends_the_stream_only(self):
        peer = self.connect()
        server = self.serve(actors.echo)
        tunnel = self.open(peer, server)
        peer.send_frame(WINDOW_UPDATE, 0, tunnel.id, struct.pack("!I", (1 << 31) - 1))
        peer.wait(lambda: tunnel.reset is not None, "the reset")
        self.assertEqual(tunnel.reset, ErrorCodes.FLOW_CONTROL_ERROR)
        self.assert_echoes(peer, self.open(peer, server))

    def test_a_small_block_that_unpacks_into_many_headers_ends_the_stream_only(self):
        peer = self.connect()
        server = self.serve(actors.echo)
        self.assert_echoes(peer, self.open(peer, server))
        tunnel = hbone.Tunnel(peer.h2.get_next_available_stream_id())
        # One large field goes into the table; each further byte of the block stands for it once more (RFC 7541, 6.1, 6.2.1).
        large = b"\x40\x01x" + b"\x7f" + bytes([(3900 - 127) & 0x7f | 0x80, (3900 - 127) >> 7]) + b"v" * 3900
        peer.h2.send_headers(tunnel.id, [(":method", "CONNECT")])  # keeps python3-h2's count; its bytes are not sent
        peer.h2.data_to_send()
        peer.tunnels[tunnel.id] = tunnel
        peer.send_frame(HEADERS, END_HEADERS, tunnel.id, large + b"\xbe" * 10000)
        peer.wait(lambda: tunnel.reset is not None, "the reset")
        self.assertEqual(tunnel.reset, ErrorCodes.ENHANCE_YOUR_CALM)


class Floods(Case):
    """Far more of something than anybody needs, from peers that may not even read the answers."""

    def pour(self, peer, chunk, most):
        """Sends copies until the agent has had enough. The agent's answers are not read meanwhile."""
        for _ in range(most):
            peer.send_bytes(chunk)
            if peer.closed:
                return
        peer.wait_closed()

    def test_pings_of_a_peer_that_does_not_read(self):
        peer = self.connect(receive_buffer=4096)
        self.pour(peer, frame(PING, payload=bytes(8)) * 1000, 1000)
        self.assert_flood_counted()

    def test_settings_of_a_peer_that_does_not_read(self):
        peer = self.connect(receive_buffer=4096)
        self.pour(peer, frame(SETTINGS, payload=setting(4, 65535)) * 1000, 1000)
        self.assert_flood_counted()

    def assert_flood_counted(self):
        wait_until(lambda: self.ends("http2_failed") > self.before, "the metric of broken HTTP/2")

    def setUp(self):
        super().setUp()
        self.before = self.ends("http2_failed")

    def test_streams_that_are_reset_as_fast_as_they_are_opened(self):
        peer = self.connect()
        block = peer.h2.encoder.encode([(":method", "CONNECT"), (":authority", "198.18.0.77:80")])
        cancel = struct.pack("!I", ErrorCodes.CANCEL)
        for first in range(1, 120_001, 2000):
            peer.send_bytes(b"".join(frame(HEADERS, END_HEADERS, stream_id, block) + frame(RST_STREAM, 0, stream_id, cancel)
                                     for stream_id in range(first, first + 2000, 2)))
            if peer.closed:
                break
        self.assert_flood_counted()

    def test_a_header_block_without_an_end(self):
        self.pour_headers(b"\x00\x01x\x01y" * 3000)

    def test_a_header_block_without_an_end_and_without_bytes(self):
        self.pour_headers(b"")

    def pour_headers(self, piece):
        tls = self.shake_hands()
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            tls.sendall(hbone.PREFACE + frame(SETTINGS) + frame(HEADERS, 0, 1, piece))
            for _ in range(1000):
                tls.sendall(frame(CONTINUATION, 0, 1, piece))
            while tls.recv(1 << 16):
                pass
        self.assert_flood_counted()

    def test_malformed_requests_without_rest(self):
        # Each is answered: a peer may do that, and it costs nobody else anything.
        peer = self.connect()
        for _ in range(20):
            tunnels = [peer.connect_to("nowhere") for _ in range(100)]
            for tunnel in tunnels:
                self.assertEqual(peer.status(tunnel), 400)


class NobodyReads(Case):
    """A receiver that stops stops its own sender, and nothing else."""

    def settled(self, number):
        """Waits until number() does not change any more, and returns it."""
        same, last = 0, -1
        while same < 10:
            now = number()
            same, last = (same + 1, last) if now == last else (0, now)
            time.sleep(0.05)
        return last

    def test_a_peer_that_gives_no_credit_stops_the_application_and_no_other_tunnel(self):
        sent = [0]

        def behave(connection):
            for block in actors.pattern("down", 24 << 20):
                connection.sendall(block)
                sent[0] += len(block)

        peer = self.connect(gives_credit=False, extra_window=1 << 20)
        tunnel = self.open(peer, self.serve(behave))
        peer.wait(lambda: len(tunnel.data) == 65535, "a full window")
        self.assertLess(self.settled(lambda: sent[0]), 16 << 20)
        self.assert_echoes(peer, self.open(peer, self.serve(actors.echo)))
        peer.give_credit(tunnel)
        self.assertEqual(peer.receive_to_end(tunnel), b"".join(actors.pattern("down", 24 << 20)))

    def test_a_peer_that_does_not_read_at_all_stops_the_application(self):
        sent = [0]

        def behave(connection):
            for block in actors.pattern("down", 48 << 20):
                connection.sendall(block)
                sent[0] += len(block)

        peer = self.connect(settings={SettingCodes.INITIAL_WINDOW_SIZE: (1 << 31) - 1}, extra_window=1 << 30)
        tunnel = self.open(peer, self.serve(behave))
        self.assertLess(self.settled(lambda: sent[0]), 32 << 20)
        self.assert_serves_others()
        self.assertEqual(len(peer.receive_to_end(tunnel)), 48 << 20)

    def test_an_application_that_does_not_read_stops_the_peer_and_no_other_tunnel(self):
        release = threading.Event()
        self.addCleanup(release.set)
        digests = []

        def behave(connection):
            release.wait(60)
            digests.append(actors.digest_to_end(connection))

        peer = self.connect()
        tunnel = self.open(peer, self.serve(behave))
        chunk = bytes(16384)
        total = 0
        while more := peer.send_what_fits(tunnel, chunk):
            total += more
            peer.ping()  # whatever credit is on its way comes before the answer
        self.assertLess(total, 16 << 20)
        self.assert_echoes(peer, self.open(peer, self.serve(actors.echo)))
        release.set()
        peer.end(tunnel)
        wait_until(lambda: digests, "the application's digest")


class Impatient(Case):
    """Those who take their time, against an agent that waits for one second."""

    def target(self):
        return IMPATIENT


class SlowTls(Impatient):
    """All those of one test at the same time: each waits for the same second."""

    def failures(self):
        return self.agent.metric("remora_tls_handshake_failures_total", direction="inbound", reason="tls_timeout")

    def assert_given_up(self, connection):
        source = hbone.source_of(connection)
        with contextlib.suppress(ConnectionResetError):
            while connection.recv(1 << 16):
                pass
        self.agent.access_log(rf'src\.addr="{re.escape(source)}".* reason="tls_timeout"', self.log_start)

    def test_handshakes_that_stop(self):
        before = self.failures()
        hello = hbone.client_hello(CONTEXT)
        connections = [self.dial() for _ in range(4)]
        for connection, data in zip(connections, (b"", hello[:1], hello[:len(hello) // 2], hello)):
            connection.sendall(data)
        self.assert_serves_others()
        for connection in connections:
            self.assert_given_up(connection)
        wait_until(lambda: self.failures() == before + 4, "the metric of the timeouts")

    def test_a_handshake_of_a_byte_now_and_then(self):
        connection = self.dial()
        connection.settimeout(0.02)
        with contextlib.suppress(ConnectionError):
            for byte in hbone.client_hello(CONTEXT):
                connection.sendall(bytes([byte]))
                with contextlib.suppress(TimeoutError):
                    if connection.recv(1) == b"":
                        break
        self.assert_given_up(connection)


class SlowHttp2(Impatient):
    # What comes, and then nothing.
    BEGINNINGS = {
        "nothing": b"",
        "half a preface": hbone.PREFACE[:12],
        "the preface": hbone.PREFACE,
        "settings and no request": hbone.PREFACE + frame(SETTINGS),
        "half a HEADERS frame": hbone.PREFACE + frame(SETTINGS) + frame(HEADERS, END_HEADERS, 1, bytes(100))[:50],
        "a header block that does not end": hbone.PREFACE + frame(SETTINGS) + frame(HEADERS, 0, 1, b"\x00\x01x\x01y"),
    }

    def test_first_requests_that_do_not_come(self):
        before = self.ends("peer_timeout")
        connections = {what: self.shake_hands() for what in self.BEGINNINGS}
        for what, tls in connections.items():
            tls.sendall(self.BEGINNINGS[what])
        self.assert_serves_others()
        for what, tls in connections.items():
            with self.subTest(what):
                while tls.recv(1 << 16):
                    pass
        wait_until(lambda: self.ends("peer_timeout") == before + len(connections), "the metric of the timeouts")

    def test_pings_instead_of_a_request(self):
        before = self.ends("peer_timeout")
        peer = self.connect()
        # One at a time: a flood of them is another offence.
        while not peer.closed:
            answers = sum(kind == PING for kind, *_ in peer.frames)
            peer.send_frame(PING, payload=bytes(8))
            peer.wait(lambda: peer.closed or sum(kind == PING for kind, *_ in peer.frames) > answers, "an answer or the end")
        wait_until(lambda: self.ends("peer_timeout") > before, "the metric of the timeout")

    def test_no_answer_to_a_ping_ends_the_connection_and_its_tunnels(self):
        server = self.serve(actors.echo)
        peer = self.connect()
        self.open(peer, server)
        peer.answers_pings = False
        peer.wait_closed()
        wait_until(lambda: server.errors, "the application's connection to break")
        self.assert_logged(peer, "peer_timeout")

    def test_pings_are_answered_and_the_tunnel_lives(self):
        peer = self.connect()
        tunnel = self.open(peer, self.serve(actors.echo))
        peer.wait(lambda: sum(kind == PING and not flags & ACK for kind, flags, _, _ in peer.frames) >= 2, "two PINGs")
        self.assert_echoes(peer, tunnel)

    def test_a_connection_without_tunnels_is_closed_in_good_order(self):
        before = self.ends("idle")
        peer = self.connect()
        self.assert_echoes(peer, self.open(peer, self.serve(actors.echo)))
        peer.wait_closed()
        self.assertIsNone(peer.error)
        self.assertEqual({code for _, code in peer.goaways}, {ErrorCodes.NO_ERROR})
        self.assertEqual(self.ends("idle"), before + 1)

    def test_more_tunnels_than_permitted_are_refused_as_not_begun_while_the_peer_cannot_know(self):
        peer = self.connect()
        server = self.serve(actors.echo)
        tunnels = [peer.connect_to(self.authority(server)) for _ in range(8)]  # before the agent's SETTINGS are read
        self.assertEqual([peer.status(tunnel) for tunnel in tunnels], [200] * 5 + [-ErrorCodes.REFUSED_STREAM] * 3)
        self.assert_echoes(peer, tunnels[0])
        self.assert_echoes(peer, self.open(peer, server))

    def test_more_tunnels_than_permitted_end_the_connection_of_a_peer_that_knows(self):
        before = self.ends("http2_failed")
        peer = self.connect()
        server = self.serve(actors.echo)
        for _ in range(5):
            self.open(peer, server)
        self.assertEqual(peer.h2.remote_settings.max_concurrent_streams, 5)
        peer.h2.remote_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = 100  # so that python3-h2 does not refuse by itself
        peer.h2.remote_settings.acknowledge()
        peer.connect_to(self.authority(server))
        self.assert_thrown_out(peer, before, ErrorCodes.PROTOCOL_ERROR)


def add_tests():
    for name, (data, code) in BROKEN.items():
        setattr(BrokenHttp2, f"test_{name}", lambda self, data=data, code=code: self.breaks(data, code))


class Afterwards(unittest.TestCase):
    def test_nothing_of_all_this_is_left(self):
        for agent in (SERVER, IMPATIENT):
            agent.wait_unused()


def load_tests(loader, _tests, _pattern):
    add_tests()
    suite = unittest.TestSuite()
    for case in (BrokenHttp2, Floods, NobodyReads, SlowTls, SlowHttp2):
        for family in FAMILIES:
            named = type(case.__name__ + FAMILIES[family], (case,), {"family": family, "__module__": __name__})
            suite.addTests(loader.loadTestsFromTestCase(named))
    suite.addTests(loader.loadTestsFromTestCase(Afterwards))
    return suite


if __name__ == "__main__":
    require_root()
    unittest.main(verbosity=2)
