"""Tunnels out of a pod to peers that are not ours: what is sent, what each answer does, how connections are kept."""

import contextlib
import os
import re
import socket
import ssl
import struct
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

import actors  # noqa: E402
import hbone  # noqa: E402
from h2.errors import ErrorCodes  # noqa: E402
from h2.settings import SettingCodes  # noqa: E402
from mesh import Mesh  # noqa: E402
from pods import Node, require_root, wait_until  # noqa: E402

FAMILIES = {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6"}
SERVICE = "web.demo.svc.cluster.local"
VIPS = {socket.AF_INET: "198.19.0.10", socket.AF_INET6: "fd00:19::10"}
PORT, TARGET_PORT = 80, 8080
LARGE = 8 * 1024 * 1024
PATIENCE = {"tls_timeout": "1s", "tunnel_answer_timeout": "1s", "http2_ping_interval": "1s", "http2_ping_timeout": "1s",
            "pool_idle_timeout": "1s"}


def setUpModule():
    global NODE, MESH, CLIENT, IMPATIENT, SERVER, SECOND
    NODE = Node().__enter__()
    try:
        MESH = Mesh(NODE, cert_source="files")
        CLIENT, IMPATIENT = MESH.agent("client"), MESH.agent("impatient")
        SERVER, SECOND = MESH.peer("server"), MESH.peer("second")
        MESH.service("web", VIPS.values(), {PORT: TARGET_PORT}, [SERVER, SECOND])
        MESH.start()
        IMPATIENT.restart(**PATIENCE)
    except BaseException:
        NODE.show_logs()
        NODE.close()
        raise


def tearDownModule():
    NODE.close()


def start_thread(work):
    thread = threading.Thread(target=work)
    thread.start()
    return thread


class Case(unittest.TestCase):
    """An application behind one agent, over one address family; load_tests() runs every case over both."""

    family = socket.AF_INET

    def setUp(self):
        self.agent = self.client()
        # What the test before has left in the pool is about to be noticed as gone.
        wait_until(lambda: self.tunnels_open() == 0, "an empty pool")
        self.log_start = len(self.agent.process.log())

    def client(self):
        return CLIENT

    def tunnels_open(self):
        return self.agent.metric("remora_tunnels_open", direction="outbound")

    def context(self, peer=None):
        credentials = MESH.authority.credentials([f"URI:{(peer or SERVER).identity}"])
        return hbone.server_context(credentials, MESH.authority.root_file)

    def serve(self, peer=None):
        """An agent of somebody else's in the peer's pod."""
        return self.enterContext(hbone.Server((peer or SERVER).pod, self.context(peer), self.family))

    def dial(self, address=None, port=TARGET_PORT):
        """A connection of the application; it is the agent that accepts it."""
        application = self.agent.pod.connect(address or SERVER.pod.address(self.family), port)
        self.addCleanup(application.close)
        self.source = hbone.source_of(application)
        return application

    def open(self, peer):
        """(application, tunnel) on an HTTP/2 connection that is there already."""
        application = self.dial()
        tunnel = peer.accept()
        peer.answer(tunnel, 200)
        return application, tunnel

    def open_another(self, server, **options):
        """(peer, application, tunnel) on an HTTP/2 connection that has to be made."""
        application = self.dial()
        peer = server.accept(**options)
        tunnel = peer.accept()
        peer.answer(tunnel, 200)
        return peer, application, tunnel

    def start(self, **options):
        """(server, peer, application, tunnel): the first connection, with a tunnel in it."""
        server = self.serve()
        return server, *self.open_another(server, **options)

    def assert_carries(self, peer, application, tunnel, text=b"hello"):
        application.sendall(text)
        self.assertEqual(peer.receive(tunnel, len(text)), text)
        peer.send(tunnel, text[::-1])
        self.assertEqual(actors.read_exactly(application, len(text)), text[::-1])

    def finish(self, peer, application, tunnel):
        application.shutdown(socket.SHUT_WR)
        peer.wait(lambda: tunnel.ended, "the application's end")
        peer.end(tunnel)
        self.assertEqual(application.recv(1), b"")

    def assert_logged(self, reason, text="", source=None):
        """Of the application's connection that was made last, or of another one by its source."""
        source = re.escape(source or self.source)
        return self.agent.access_log(rf'src\.addr="{source}".* direction="outbound" .* reason="{reason}" .*{text}', self.log_start)

    def assert_reset(self, application, reason, text=""):
        """The application's connection breaks, and the log says why."""
        with self.assertRaises(ConnectionResetError):
            while application.recv(1 << 16):
                pass
        return self.assert_logged(reason, text, hbone.source_of(application))


class Requests(Case):
    """What is on the wire."""

    BAGGAGE = ("k8s.cluster.name=Kubernetes,k8s.namespace.name=demo,k8s.deployment.name=client,"
               "service.name=client,service.version=v1")

    def assert_request(self, tunnel, authority, forwarded):
        *exact, (name, traceparent) = tunnel.headers
        self.assertEqual(exact, [(":method", "CONNECT"), (":authority", authority), ("baggage", self.BAGGAGE),
                                 ("forwarded", forwarded)])
        self.assertEqual(name, "traceparent")
        self.assertRegex(traceparent, r"^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-00$")
        return traceparent

    def test_a_request_says_where_to_for_whom_and_from_whom_and_nothing_else(self):
        _, peer, application, tunnel = self.start()
        authority = f"{hbone.host(SERVER.pod.address(self.family))}:{TARGET_PORT}"
        first = self.assert_request(tunnel, authority, f'for="{hbone.source_of(application)}"')
        another, tunnel = self.open(peer)
        self.assertNotEqual(self.assert_request(tunnel, authority, f'for="{hbone.source_of(another)}"'), first)

    def test_a_service_s_name_goes_along_with_the_endpoint_s_address(self):
        server = self.serve(SECOND)
        application = self.dial(VIPS[self.family], PORT)  # nothing listens in SERVER: SECOND it is
        peer = server.accept()
        tunnel = peer.accept()
        self.assert_request(tunnel, f"{hbone.host(SECOND.pod.address(self.family))}:{TARGET_PORT}",
                            f'for="{hbone.source_of(application)}";host={SERVICE}')

    def test_the_agent_speaks_tls_1_3_without_a_server_name_and_shows_its_identity(self):
        names = []
        server = self.serve()
        server.context.sni_callback = lambda _, name, __: names.append(name)
        self.dial()
        peer = server.accept()
        self.assertEqual((peer.tls.version(), peer.tls.selected_alpn_protocol()), ("TLSv1.3", "h2"))
        self.assertEqual(hbone.identity_of(peer.tls), [CLIENT.identity])
        self.assertEqual(names, [None])

    def test_its_settings_forbid_push_and_permit_large_frames_and_windows(self):
        _, peer, _, _ = self.start()
        settings = peer.h2.remote_settings
        self.assertEqual(settings.enable_push, 0)
        self.assertGreaterEqual(settings.max_frame_size, 16384)
        self.assertGreaterEqual(settings.initial_window_size, 65535)
        self.assertGreaterEqual(peer.h2.outbound_flow_control_window, 1 << 20)

    def test_nothing_of_the_application_s_is_sent_before_the_answer(self):
        server, application = self.serve(), self.dial()
        application.sendall(b"secret")
        peer = server.accept()
        tunnel = peer.accept()
        peer.ping()
        self.assertEqual(tunnel.data, b"")
        peer.answer(tunnel, 200)
        self.assertEqual(peer.receive(tunnel, 6), b"secret")


class Answers(Case):
    """What each answer but a good one does to the application."""

    def ask(self):
        server, application = self.serve(), self.dial()
        peer = server.accept()
        return server, peer, application, peer.accept()

    @contextlib.contextmanager
    def asked_alone(self):
        """For several in one test: each begins and leaves with an empty pool."""
        self.log_start = len(self.agent.process.log())
        with hbone.Server(SERVER.pod, self.context(), self.family) as server:
            application = self.dial()
            peer = server.accept()
            yield peer, application, peer.accept()
        wait_until(lambda: self.tunnels_open() == 0, "an empty pool")

    def assert_refuses(self, status, reason, text):
        _, peer, application, tunnel = self.ask()
        peer.answer(tunnel, status)
        line = self.assert_reset(application, reason, text)
        self.assertIn(f'dst.identity="{SERVER.identity}"', line)
        self.assert_carries(peer, *self.open(peer))

    def test_401_is_the_peer_s_policy(self):
        self.assert_refuses(401, "peer_refused", "policy refused")

    def test_503_is_an_application_that_is_not_there(self):
        self.assert_refuses(503, "peer_unreachable", "is it listening")

    def test_any_other_status_is_told(self):
        for status in (204, 302, 400, 404, 500):
            with self.subTest(status), self.asked_alone() as (peer, application, tunnel):
                peer.answer(tunnel, status)
                self.assert_reset(application, "peer_status", f"status {status}")

    def test_an_interim_answer_is_waited_out(self):
        _, peer, application, tunnel = self.ask()
        peer.answer(tunnel, 103, ("link", "</x>"), end=False)
        peer.ping()
        peer.answer(tunnel, 200)
        self.assert_carries(peer, application, tunnel)

    def test_200_that_ends_at_once_is_an_application_that_says_nothing(self):
        _, peer, application, tunnel = self.ask()
        peer.answer(tunnel, 200, end=True)
        self.assertEqual(application.recv(1), b"")
        application.sendall(b"all the same")
        application.shutdown(socket.SHUT_WR)
        self.assertEqual(peer.receive_to_end(tunnel), b"all the same")

    def test_a_reset_instead_of_an_answer_is_told(self):
        _, peer, application, tunnel = self.ask()
        peer.reset(tunnel, ErrorCodes.INTERNAL_ERROR)
        self.assert_reset(application, "peer_reset", "error code 2")
        self.assert_carries(peer, *self.open(peer))

    def test_an_answer_that_is_none_is_broken_http_2(self):
        for headers in ([("baggage", "x=y")], [(":status", "2000")], [(":status", "200"), ("Capital", "x")],
                        [(":status", "200"), (":path", "/")], [("x", "y"), (":status", "200")]):
            with self.subTest(headers), self.asked_alone() as (peer, application, tunnel):
                peer.h2.send_headers(tunnel.id, headers)
                peer.flush()
                self.assert_reset(application, "http2_failed")
                peer.wait(lambda: tunnel.reset is not None, "the reset of the stream")

    def test_an_answer_that_is_too_large_is_broken_http_2(self):
        _, peer, application, tunnel = self.ask()
        peer.answer(tunnel, 200, *[(f"x-{number}", "v" * 1000) for number in range(50)])
        self.assert_reset(application, "http2_failed")
        self.assert_carries(peer, *self.open(peer))

    def test_data_before_the_answer_is_broken_http_2(self):
        _, peer, application, tunnel = self.ask()
        peer.send_frame(hbone.DATA, 0, tunnel.id, b"early")
        self.assert_reset(application, "http2_failed")

    def test_noise_instead_of_http_2_is_told(self):
        server, application = self.serve(), self.dial()
        server.accept_tls().sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.assert_reset(application, "http2_failed")

    def test_a_promise_of_a_push_is_broken_http_2(self):
        _, peer, application, tunnel = self.ask()
        peer.send_frame(0x5, hbone.END_HEADERS, tunnel.id, struct.pack("!I", 2) + b"\x82")
        self.assert_reset(application, "http2_failed")

    def test_an_end_instead_of_an_answer_is_a_lost_tunnel(self):
        _, peer, application, _ = self.ask()
        peer.close()
        self.assert_reset(application, "tunnel_lost")

    def test_an_agent_that_is_not_there_is_told(self):
        with self.assertRaises(ConnectionResetError):
            self.dial().recv(1)
        self.agent.access_log("tunnel_connect_refused.*is the peer's agent running", self.log_start)

    def test_a_request_that_was_not_begun_is_made_again(self):
        _, peer, application, tunnel = self.ask()
        peer.reset(tunnel, ErrorCodes.REFUSED_STREAM)
        again = peer.accept()
        self.assertEqual(again.headers, tunnel.headers)
        peer.answer(again, 200)
        self.assert_carries(peer, application, again)

    def test_a_request_for_which_there_was_no_room_is_made_on_another_connection(self):
        server, first, application, tunnel = self.start()
        another = self.dial()
        first.reset(first.accept(), ErrorCodes.REFUSED_STREAM)
        second = server.accept()
        other = second.accept()
        second.answer(other, 200)
        self.assert_carries(second, another, other)
        self.assert_carries(first, application, tunnel)

    def test_a_peer_that_begins_no_request_is_given_up(self):
        _, peer, application, tunnel = self.ask()

        def is_given_up():
            peer.poll()
            while peer.requests:
                peer.reset(peer.requests.pop(), ErrorCodes.REFUSED_STREAM)
            return "peer_reset" in self.agent.process.log()[self.log_start:]

        peer.reset(tunnel, ErrorCodes.REFUSED_STREAM)
        wait_until(is_given_up, "the end of the attempts")
        self.assert_reset(application, "peer_reset", "error code 7")

    def test_a_goaway_that_leaves_the_request_out_sends_it_elsewhere(self):
        server, peer, application, tunnel = self.ask()
        peer.goaway(0)
        second = server.accept()
        again = second.accept()
        second.answer(again, 200)
        self.assert_carries(second, application, again)

    def test_an_application_that_has_given_up_meanwhile_gives_the_tunnel_up(self):
        _, peer, application, tunnel = self.ask()
        actors.reset(application)
        peer.answer(tunnel, 200)
        peer.wait(lambda: tunnel.reset is not None, "the reset of the stream")
        self.assertEqual(tunnel.reset, ErrorCodes.CONNECT_ERROR)
        self.assert_logged("app_reset")


class Tunnels(Case):
    """What goes through."""

    def test_large_transfers_arrive_whole(self):
        _, peer, application, tunnel = self.start(extra_window=1 << 20)
        received = []
        sender = start_thread(lambda: (actors.send_pattern(application, "up", LARGE), application.shutdown(socket.SHUT_WR)))
        self.assertEqual(peer.receive_to_end(tunnel), b"".join(actors.pattern("up", LARGE)))
        sender.join()
        receiver = start_thread(lambda: received.append(actors.digest_to_end(application)))
        for block in actors.pattern("down", LARGE):
            peer.send(tunnel, block)
        peer.end(tunnel)
        receiver.join()
        self.assertEqual(received, [actors.digest_of_pattern("down", LARGE)])
        self.assert_logged("done")

    def test_either_side_may_end_first(self):
        _, peer, application, tunnel = self.start()
        application.sendall(b"question")
        application.shutdown(socket.SHUT_WR)
        self.assertEqual(peer.receive_to_end(tunnel), b"question")
        peer.send(tunnel, b"answer", end=True)
        self.assertEqual(actors.read_exactly(application, 6), b"answer")
        self.assertEqual(application.recv(1), b"")
        application, tunnel = self.open(peer)
        peer.send(tunnel, b"greeting", end=True)
        self.assertEqual(actors.read_exactly(application, 8), b"greeting")
        self.assertEqual(application.recv(1), b"")
        application.sendall(b"late")
        application.shutdown(socket.SHUT_WR)
        self.assertEqual(peer.receive_to_end(tunnel), b"late")

    def test_a_reset_stream_is_a_reset_connection(self):
        _, peer, application, tunnel = self.start()
        other, another = self.open(peer)
        peer.reset(tunnel, ErrorCodes.CANCEL)
        self.assert_reset(application, "peer_reset")
        self.assert_carries(peer, other, another)

    def test_an_application_s_reset_is_a_reset_stream(self):
        _, peer, application, tunnel = self.start()
        actors.reset(application)
        peer.wait(lambda: tunnel.reset is not None, "the reset of the stream")
        self.assertEqual(tunnel.reset, ErrorCodes.CONNECT_ERROR)
        self.assert_logged("app_reset")

    def test_no_more_is_sent_than_the_peer_s_window_permits(self):
        _, peer, application, tunnel = self.start(settings={SettingCodes.INITIAL_WINDOW_SIZE: 1000}, gives_credit=False)
        application.sendall(bytes(100_000))
        peer.wait(lambda: len(tunnel.data) == 1000, "a full window")
        peer.ping()
        self.assertEqual(len(tunnel.data), 1000)
        peer.give_credit(tunnel)
        peer.wait(lambda: len(tunnel.data) == 100_000, "the rest")

    def test_frames_are_no_larger_than_the_peer_takes(self):
        _, peer, application, tunnel = self.start(settings={SettingCodes.INITIAL_WINDOW_SIZE: 1 << 20}, extra_window=1 << 20)
        sender = start_thread(lambda: application.sendall(bytes(1 << 20)))
        peer.wait(lambda: len(tunnel.data) == 1 << 20, "a mebibyte")
        sender.join()
        self.assertLessEqual(max(length for kind, _, _, length in peer.frames if kind == hbone.DATA), 16384)

    def test_more_data_than_the_agent_permits_breaks_the_tunnel_only(self):
        _, peer, application, tunnel = self.start()
        other, another = self.open(peer)
        for _ in range(0, 16 << 20, 16384):
            peer.send_frame(hbone.DATA, 0, tunnel.id, bytes(16384))  # nobody reads it
        peer.wait(lambda: tunnel.reset is not None, "the reset of the stream")
        self.assertEqual(tunnel.reset, ErrorCodes.FLOW_CONTROL_ERROR)
        self.assert_reset(application, "http2_failed")
        self.assert_carries(peer, other, another)


class Pool(Case):
    """How connections are kept, shared and given up."""

    def test_one_connection_serves_one_request_after_another(self):
        server, peer, application, tunnel = self.start()
        self.finish(peer, application, tunnel)
        for _ in range(50):
            application, tunnel = self.open(peer)
            self.assert_carries(peer, application, tunnel)
            self.finish(peer, application, tunnel)
        self.assertTrue(server.nobody_waits())

    def test_one_connection_carries_many_tunnels_side_by_side(self):
        server, peer, *first = self.start()
        tunnels = [first] + [self.open(peer) for _ in range(30)]
        for number, (application, tunnel) in enumerate(tunnels):
            self.assert_carries(peer, application, tunnel, b"tunnel %d" % number)
        self.assertTrue(server.nobody_waits())

    def test_as_many_connections_are_made_as_the_peer_s_limit_asks_for(self):
        one_stream = {SettingCodes.MAX_CONCURRENT_STREAMS: 1}
        server, *first = self.start(settings=one_stream)
        carried = [first]
        for _ in range(3):
            newest = carried[-1][0]
            newest.wait_settings_known()
            carried.append(self.open_another(server, settings=one_stream))
        for one in carried:
            self.assert_carries(*one)
        # The first has room again once its tunnel has ended.
        self.finish(*first)
        self.assert_carries(first[0], *self.open(first[0]))
        self.assertTrue(server.nobody_waits())

    def test_a_limit_that_is_lowered_under_way_is_respected(self):
        server, peer, application, tunnel = self.start()
        peer.change_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 1})
        self.open_another(server)
        self.assert_carries(peer, application, tunnel)

    def test_after_a_goaway_new_requests_go_elsewhere_and_live_tunnels_go_on(self):
        server, peer, application, tunnel = self.start()
        peer.goaway((1 << 31) - 1)
        peer.ping()
        second, another, other = self.open_another(server)
        self.assert_carries(second, another, other)
        peer.goaway(tunnel.id)
        self.assert_carries(peer, application, tunnel)
        self.finish(peer, application, tunnel)
        peer.wait_closed()
        self.assertIsNone(peer.error)

    def test_a_connection_that_breaks_takes_its_tunnels_with_it(self):
        _, peer, application, _ = self.start()
        another, other = self.open(peer)
        self.assert_carries(peer, another, other)  # the agent has seen the answer
        actors.reset(peer.tls)
        self.assert_reset(application, "tunnel_lost")
        self.assert_reset(another, "tunnel_lost")

    def test_a_connection_that_ends_in_good_order_with_live_tunnels_is_no_end_of_theirs(self):
        _, peer, application, tunnel = self.start()
        peer.send(tunnel, b"some")
        self.assertEqual(actors.read_exactly(application, 4), b"some")
        with contextlib.suppress(ssl.SSLError):
            peer.tls.unwrap()  # close_notify without END_STREAM; whatever still comes is no matter
        peer.close()
        self.assert_reset(application, "tunnel_lost")

    def test_a_pooled_connection_that_is_dead_costs_no_request(self):
        server, peer, application, tunnel = self.start()
        self.finish(peer, application, tunnel)
        peer.close()
        second, another, other = self.open_another(server)
        self.assert_carries(second, another, other)

    def test_broken_http_2_ends_every_tunnel(self):
        _, peer, application, _ = self.start()
        another, other = self.open(peer)
        self.assert_carries(peer, another, other)
        peer.send_frame(hbone.DATA, 0, 0, b"of no stream")
        self.assert_reset(application, "http2_failed")
        self.assert_reset(another, "http2_failed")
        peer.wait_closed()
        self.assertEqual([code for _, code in peer.goaways], [ErrorCodes.PROTOCOL_ERROR])

    def test_an_endpoint_that_is_not_who_it_should_be_is_passed_over(self):
        context = self.context(SECOND)
        impostor = self.enterContext(actors.Server(SERVER.pod.listen(self.family, hbone.PORT),
                                                   lambda connection: context.wrap_socket(connection, server_side=True).recv(1)))
        server = self.serve(SECOND)
        applications = [self.dial(VIPS[self.family], PORT) for _ in range(30)]
        peer = server.accept()
        for _ in applications:
            peer.answer(peer.accept(), 200)
        for application in applications:
            application.sendall(b"x")
        peer.wait(lambda: all(tunnel.data for tunnel in peer.tunnels.values()), "a byte of each application")
        self.assertGreater(impostor.num_accepted, 0)

    def test_a_new_certificate_moves_the_pool_and_disturbs_no_tunnel(self):
        server, peer, application, tunnel = self.start()
        old = peer.tls.getpeercert()["serialNumber"]
        MESH.write_certificate(CLIENT)
        self.agent.process.wait_log("certificate in force", since=self.log_start)
        second, another, other = self.open_another(server)
        self.assertNotEqual(second.tls.getpeercert()["serialNumber"], old)
        self.assert_carries(second, another, other)
        self.assert_carries(peer, application, tunnel)
        self.finish(peer, application, tunnel)
        peer.wait_closed()
        self.assertEqual({code for _, code in peer.goaways}, {ErrorCodes.NO_ERROR})


class OtherPrograms(Case):
    """nghttpd, which shares nothing with the rest of these tests."""

    def test_nghttpd_reads_the_request_and_its_end_is_a_lost_tunnel(self):
        credentials = MESH.authority.credentials([f"URI:{SERVER.identity}"])
        server = SERVER.pod.start(["nghttpd", "-v", "-a", SERVER.pod.address(self.family), "--verify-client", str(hbone.PORT),
                                   credentials.key_file, credentials.chain_file])
        self.addCleanup(server.stop)
        SERVER.pod.wait_listening(hbone.PORT, server)
        application = self.dial()
        for line in ("The negotiated protocol: h2", ":method: CONNECT", "recv HEADERS frame .*", "; ACK"):
            server.wait_log(line)
        server.kill()  # it would wait for ever for the end of what it takes for a body
        self.assert_reset(application, "tunnel_lost")


class Impatience(Case):
    """An agent that waits for one second, against peers that take longer."""

    def client(self):
        return IMPATIENT

    def test_a_peer_that_does_not_answer_the_handshake_is_given_up(self):
        server, application = self.serve(), self.dial()
        connection = server.accept_tcp()
        self.assert_reset(application, "tls_timeout")
        while connection.recv(1 << 16):
            pass

    def test_a_peer_that_does_not_answer_the_request_is_given_up_and_the_connection_kept(self):
        server, application = self.serve(), self.dial()
        peer = server.accept()
        tunnel = peer.accept()
        self.assert_reset(application, "peer_silent")
        peer.wait(lambda: tunnel.reset is not None, "the reset of the stream")
        self.assertEqual(tunnel.reset, ErrorCodes.CANCEL)
        self.assert_carries(peer, *self.open(peer))

    def test_a_peer_that_does_not_answer_a_ping_is_given_up(self):
        _, peer, application, _ = self.start()
        peer.answers_pings = False
        peer.wait_closed()
        self.assert_reset(application, "peer_timeout")

    def test_a_connection_that_nobody_needs_is_closed_in_good_order(self):
        _, peer, application, tunnel = self.start()
        self.finish(peer, application, tunnel)
        peer.wait_closed()
        self.assertIsNone(peer.error)
        self.assertEqual({code for _, code in peer.goaways}, {ErrorCodes.NO_ERROR})


class Afterwards(unittest.TestCase):
    def test_nothing_of_all_this_is_left(self):
        for agent in (CLIENT, IMPATIENT):
            agent.wait_unused()


def load_tests(loader, _tests, _pattern):
    suite = unittest.TestSuite()
    for case in (Requests, Answers, Tunnels, Pool, OtherPrograms, Impatience):
        for family in FAMILIES:
            named = type(case.__name__ + FAMILIES[family], (case,), {"family": family, "__module__": __name__})
            suite.addTests(loader.loadTestsFromTestCase(named))
    suite.addTests(loader.loadTestsFromTestCase(Afterwards))
    return suite


if __name__ == "__main__":
    require_root()
    unittest.main(verbosity=2)
