"""Who is let in, and whom the agent trusts: peers of OpenSSL's with certificates that are right, and wrong in every way."""

import os
import socket
import ssl
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

import actors  # noqa: E402
import hbone  # noqa: E402
from authority import CA, HOUR_S, LEAF, Authority  # noqa: E402
from mesh import Mesh  # noqa: E402
from pods import Node, require_root, wait_until  # noqa: E402

FAMILIES = {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6"}
IDENTITY = "spiffe://cluster.local/ns/demo/sa/peer"
URI = f"URI:{IDENTITY}"

FAILURES = "remora_tls_handshake_failures_total"

# The alert by which a peer learns of each reason (RFC 8446, 6.2), in OpenSSL's words.
ALERTS = {
    "cert_untrusted": "alert unknown ca",
    "cert_wrong_trust_domain": "alert unknown ca",
    "cert_expired": "alert certificate expired",
    "cert_not_yet_valid": "alert certificate expired",
    "cert_key_usage": "alert unsupported certificate",
    "identity_mismatch": "alert access denied",
    "tls_no_client_cert": "alert certificate required",
    "tls_version": "alert protocol version",
    "tls_alpn": "alert no application protocol",
}
BAD_CERTIFICATE = "alert bad certificate"  # for every other one

BASIC, USAGE, EXTENDED_USAGE = LEAF

# What is wrong with a certificate, how it is made, the reason for which it is refused, and the alert if it is another one.
WRONG = {
    "from_another_root": (lambda: OTHER.credentials([URI]), "cert_untrusted"),
    "from_another_root_of_the_same_name": (lambda: NAMESAKE.credentials([URI]), "cert_untrusted"),
    "that_is_self_signed": (lambda: ROOT.credentials([URI], self_signed=True), "cert_untrusted"),
    "without_its_intermediate": (lambda: INTERMEDIATE.credentials([URI], with_chain=False), "cert_untrusted"),
    "issued_by_a_leaf": (lambda: Authority(NODE.folder, "no-ca", ROOT, extensions=LEAF).credentials([URI]), "cert_untrusted"),
    "that_expired": (lambda: ROOT.credentials([URI], start_s=-2 * HOUR_S, life_s=-HOUR_S), "cert_expired"),
    "that_is_not_valid_yet": (lambda: ROOT.credentials([URI], start_s=HOUR_S, life_s=2 * HOUR_S), "cert_not_yet_valid"),
    "whose_intermediate_expired": (
        lambda: Authority(NODE.folder, "old", ROOT, start_s=-2 * HOUR_S, life_s=-HOUR_S).credentials([URI]), "cert_expired"),
    "that_expired_and_is_from_another_root": (
        lambda: OTHER.credentials([URI], start_s=-2 * HOUR_S, life_s=-HOUR_S), "cert_untrusted"),
    "of_another_trust_domain": (lambda: ROOT.credentials(["URI:spiffe://elsewhere/ns/demo/sa/peer"]), "cert_wrong_trust_domain"),
    "with_two_uri_names": (lambda: ROOT.credentials([URI, "URI:spiffe://cluster.local/ns/demo/sa/admin"]), "cert_two_uri_sans"),
    "with_a_dns_name_only": (lambda: ROOT.credentials(["DNS:peer.demo.svc"]), "cert_no_spiffe_id"),
    "with_a_common_name_only": (lambda: ROOT.credentials([], subject="/CN=cluster.local"), "cert_no_spiffe_id"),
    "with_a_uri_of_another_scheme": (lambda: ROOT.credentials(["URI:https://cluster.local/ns/demo/sa/peer"]), "cert_no_spiffe_id"),
    "with_an_identity_without_a_path": (lambda: ROOT.credentials(["URI:spiffe://cluster.local"]), "cert_bad_spiffe_id"),
    "with_an_empty_segment": (lambda: ROOT.credentials(["URI:spiffe://cluster.local/ns//sa/peer"]), "cert_bad_spiffe_id"),
    "with_dots_as_a_segment": (lambda: ROOT.credentials(["URI:spiffe://cluster.local/ns/x/../demo/sa/peer"]), "cert_bad_spiffe_id"),
    "with_a_capital_in_the_trust_domain": (lambda: ROOT.credentials(["URI:spiffe://Cluster.local/ns/demo/sa/peer"]),
                                           "cert_bad_spiffe_id"),
    "with_a_port": (lambda: ROOT.credentials(["URI:spiffe://cluster.local:1/ns/demo/sa/peer"]), "cert_bad_spiffe_id"),
    "with_a_query": (lambda: ROOT.credentials([f"{URI}?x"]), "cert_bad_spiffe_id"),
    "with_a_nul": (lambda: ROOT.credentials([IDENTITY.encode() + b"\0.evil"]), "cert_bad_spiffe_id"),
    "of_a_ca": (lambda: ROOT.credentials([URI], extensions=(CA[0], "keyUsage=critical,digitalSignature,keyCertSign")), "cert_is_ca"),
    "without_key_usage": (lambda: ROOT.credentials([URI], extensions=(BASIC, EXTENDED_USAGE)), "cert_key_usage"),
    "whose_key_usage_is_not_critical": (
        lambda: ROOT.credentials([URI], extensions=(BASIC, "keyUsage=digitalSignature", EXTENDED_USAGE)), "cert_key_usage"),
    "that_may_not_sign": (
        lambda: ROOT.credentials([URI], extensions=(BASIC, "keyUsage=critical,keyAgreement", EXTENDED_USAGE)), "cert_key_usage",
        "alert illegal parameter"),  # BoringSSL's own check comes first
    "that_may_sign_revocation_lists": (
        lambda: ROOT.credentials([URI], extensions=(BASIC, "keyUsage=critical,digitalSignature,cRLSign", EXTENDED_USAGE)),
        "cert_key_usage"),
    "for_servers_only": (lambda: ROOT.credentials([URI], extensions=(BASIC, USAGE, "extendedKeyUsage=serverAuth")), "cert_key_usage"),
    "for_clients_only": (lambda: ROOT.credentials([URI], extensions=(BASIC, USAGE, "extendedKeyUsage=clientAuth")), "cert_key_usage"),
    "with_a_short_rsa_key": (lambda: ROOT.credentials([URI], key="RSA-1024"), "cert_weak"),
    "signed_with_sha1": (lambda: ROOT.credentials([URI], digest="sha1"), "cert_weak"),
}

RIGHT = {
    "on_p256": lambda: ROOT.credentials([URI]),
    "on_p384": lambda: ROOT.credentials([URI], key="P-384"),
    "on_rsa": lambda: ROOT.credentials([URI], key="RSA-2048"),
    "on_ed25519": lambda: ROOT.credentials([URI], key="Ed25519"),
    "through_two_intermediates": lambda: Authority(NODE.folder, "second", INTERMEDIATE).credentials([URI]),
    "with_a_dns_name_beside_its_identity": lambda: ROOT.credentials([URI, "DNS:peer.demo.svc"]),
    "without_extended_key_usage": lambda: ROOT.credentials([URI], extensions=(BASIC, USAGE)),
    "signed_with_sha384": lambda: ROOT.credentials([URI], digest="sha384"),
}


def setUpModule():
    global NODE, MESH, AGENT, PEER, ROOT, OTHER, NAMESAKE, INTERMEDIATE, GOOD
    NODE = Node().__enter__()
    try:
        MESH = Mesh(NODE, cert_source="files")
        AGENT, PEER = MESH.agent("agent"), MESH.peer("peer")
        ROOT = MESH.authority
        OTHER, NAMESAKE = Authority(NODE.folder, "other"), Authority(NODE.folder, "root")
        INTERMEDIATE = Authority(NODE.folder, "intermediate", ROOT)
        GOOD = ROOT.credentials([URI])
        MESH.start()
    except BaseException:
        NODE.show_logs()
        NODE.close()
        raise


def tearDownModule():
    NODE.close()


def count(metric, direction, reason):
    return AGENT.metric(metric, direction=direction, reason=reason)


class Case(unittest.TestCase):
    """Over one address family; load_tests() runs every case over both."""

    family = socket.AF_INET
    direction = None

    def setUp(self):
        self.log_start = len(AGENT.process.log())

    def assert_told(self, reason, before, metric=FAILURES):
        """The agent has one more failure of this reason in its metrics, and a line that says so in its log."""
        wait_until(lambda: count(metric, self.direction, reason) == before + 1, f"the metric of {reason}")
        line = AGENT.process.wait_log(rf'^.* access .* direction="{self.direction}" .*reason=.*$', since=self.log_start).group(0)
        self.assertIn(f' reason="{reason}" response_flags="TLS_FAILURE" ', line)
        self.assertIn(PEER.pod.address(self.family), line)


class Inbound(Case):
    """The peer dials the agent."""

    direction = "inbound"

    def setUp(self):
        super().setUp()
        self.application = self.enterContext(actors.Server(AGENT.pod.listen(self.family), actors.echo))
        self.authority = f"{hbone.host(AGENT.pod.address(self.family))}:{self.application.port}"

    def connect(self, context):
        return self.enterContext(hbone.connect(PEER.pod, (AGENT.pod.address(self.family), hbone.PORT), context, self.family))

    def assert_refused(self, reason, context, alert=None):
        before = count(FAILURES, "inbound", reason)
        try:
            peer = self.connect(context)
            peer.connect_to(self.authority)
            peer.wait_closed()
            error = peer.error
        except ssl.SSLError as refusal:
            error = refusal
        self.assertIsInstance(error, ssl.SSLError)
        self.assertIn(alert or ALERTS.get(reason, BAD_CERTIFICATE), str(error))
        self.assert_told(reason, before)
        self.assertEqual(self.application.num_accepted, 0)

    def accepts(self, credentials):
        peer = self.connect(hbone.client_context(credentials, ROOT.root_file))
        self.assertEqual(hbone.identity_of(peer.tls), [AGENT.identity])
        tunnel = peer.connect_to(self.authority)
        self.assertEqual(peer.status(tunnel), 200)
        peer.send(tunnel, b"hello", end=True)
        self.assertEqual(peer.receive_to_end(tunnel), b"hello")
        line = AGENT.process.wait_log(rf'^.* access .*"{IDENTITY}".*$', since=self.log_start).group(0)
        self.assertIn(f'src.identity="{IDENTITY}"', line)
        self.assertIn(f'dst.identity="{AGENT.identity}"', line)

    def refuses(self, credentials, reason, alert=None):
        self.assert_refused(reason, hbone.client_context(credentials, ROOT.root_file), alert)

    def test_refuses_a_client_without_a_certificate(self):
        self.assert_refused("tls_no_client_cert", hbone.client_context(None, ROOT.root_file))

    def test_refuses_a_client_of_tls_1_2(self):
        versions = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)
        self.assert_refused("tls_version", hbone.client_context(GOOD, ROOT.root_file, versions=versions))

    def test_refuses_a_client_without_alpn(self):
        self.assert_refused("tls_alpn", hbone.client_context(GOOD, ROOT.root_file, alpn=()))

    def test_refuses_a_client_that_wants_http_1(self):
        self.assert_refused("tls_alpn", hbone.client_context(GOOD, ROOT.root_file, alpn=("http/1.1",)))


    def test_refuses_what_is_not_tls(self):
        for data, words in ((b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP without TLS"),
                            (b"CONNECT x:80 HTTP/1.1\r\n\r\n", "HTTP proxy request without TLS"),
                            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "is not TLS"), (bytes(100), "is not TLS")):
            with self.subTest(words), PEER.pod.connect(AGENT.pod.address(self.family), hbone.PORT) as connection:
                before = count(FAILURES, "inbound", "tls_failed")
                self.log_start = len(AGENT.process.log())
                connection.sendall(data)
                while connection.recv(1 << 16):
                    pass
                self.assert_told("tls_failed", before)
                AGENT.process.wait_log(words, since=self.log_start)


class Outbound(Case):
    """The agent dials the peer."""

    direction = "outbound"

    def setUp(self):
        super().setUp()
        self.port = 20000

    def dial(self, context):
        server = self.enterContext(hbone.Server(PEER.pod, context, self.family))
        application = AGENT.pod.connect(PEER.pod.address(self.family), self.port)
        self.addCleanup(application.close)
        return server, application

    def assert_refused(self, reason, context, alert=None, metric=FAILURES):
        before = count(metric, "outbound", reason)
        server, application = self.dial(context)
        with self.assertRaises(ssl.SSLError) as refusal:
            server.accept_tls().recv(1)
        self.assertIn(alert or ALERTS.get(reason, BAD_CERTIFICATE), str(refusal.exception))
        with self.assertRaises(ConnectionResetError):
            application.recv(1)
        self.assert_told(reason, before, metric)

    def accepts(self, credentials):
        server, application = self.dial(hbone.server_context(credentials, ROOT.root_file))
        peer = server.accept()
        self.assertEqual(hbone.identity_of(peer.tls), [AGENT.identity])
        tunnel = peer.accept()
        peer.answer(tunnel, 200)
        application.sendall(b"hello")
        application.shutdown(socket.SHUT_WR)
        self.assertEqual(peer.receive_to_end(tunnel), b"hello")
        peer.end(tunnel)
        self.assertEqual(application.recv(1), b"")
        line = AGENT.process.wait_log(rf'^.* access .*"{IDENTITY}".*$', since=self.log_start).group(0)
        self.assertIn(f'src.identity="{AGENT.identity}"', line)
        self.assertIn(f'dst.identity="{IDENTITY}"', line)

    def refuses(self, credentials, reason, alert=None):
        self.assert_refused(reason, hbone.server_context(credentials, ROOT.root_file), alert)

    def test_refuses_a_server_that_is_not_whom_discovery_expects(self):
        stranger = ROOT.credentials(["URI:spiffe://cluster.local/ns/demo/sa/stranger"])
        self.assert_refused("identity_mismatch", hbone.server_context(stranger, ROOT.root_file))
        AGENT.process.wait_log(rf"expected '{IDENTITY}', found 'spiffe://cluster.local/ns/demo/sa/stranger'", since=self.log_start)

    def test_refuses_a_server_of_tls_1_2(self):
        versions = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)
        # It is OpenSSL that finds no common version and says so.
        self.assert_refused("tls_version", hbone.server_context(GOOD, ROOT.root_file, versions=versions), "unsupported protocol")

    def test_refuses_a_server_without_alpn(self):
        self.assert_refused("tls_alpn", hbone.server_context(GOOD, ROOT.root_file, alpn=()))

    def test_names_a_server_that_refuses_our_certificate(self):
        # The client's handshake is over before the server judges: what is refused then is the session.
        self.assert_refused("tls_peer_refused_us", hbone.server_context(GOOD, OTHER.root_file), "certificate verify failed",
                            "remora_session_ends_total")

    def test_names_a_server_that_does_not_speak_tls(self):
        before = count(FAILURES, "outbound", "tls_failed")
        server, application = self.dial(None)
        server.accept_tcp().sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
        with self.assertRaises(ConnectionResetError):
            application.recv(1)
        self.assert_told("tls_failed", before)

    def test_names_a_server_that_hangs_up_during_the_handshake(self):
        before = count(FAILURES, "outbound", "tls_failed")
        server, application = self.dial(None)
        server.accept_tcp().close()
        with self.assertRaises(ConnectionResetError):
            application.recv(1)
        self.assert_told("tls_failed", before)


def add_tests(case, who):
    for name, make in RIGHT.items():
        setattr(case, f"test_accepts_a_{who}_with_a_certificate_{name}", lambda self, make=make: self.accepts(make()))
    for name, (make, reason, *alert) in WRONG.items():
        setattr(case, f"test_refuses_a_{who}_with_a_certificate_{name}",
                lambda self, make=make, reason=reason, alert=alert: self.refuses(make(), reason, *alert))


class Afterwards(unittest.TestCase):
    def test_nothing_of_all_this_is_left(self):
        AGENT.wait_unused()


def load_tests(loader, _tests, _pattern):
    add_tests(Inbound, "client")
    add_tests(Outbound, "server")
    suite = unittest.TestSuite()
    for case in (Inbound, Outbound):
        for family in FAMILIES:
            named = type(case.__name__ + FAMILIES[family], (case,), {"family": family, "__module__": __name__})
            suite.addTests(loader.loadTestsFromTestCase(named))
    suite.addTests(loader.loadTestsFromTestCase(Afterwards))
    return suite


if __name__ == "__main__":
    require_root()
    unittest.main(verbosity=2)
