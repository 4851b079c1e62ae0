"""TLS at the application's own ports: mutual TLS that the agent ends, Istio's, the application's own, and clear text."""

import json
import os
import re
import socket
import ssl
import struct
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

import actors  # noqa: E402
from authority import Authority  # noqa: E402
from mesh import AGENT_UID, Mesh, replace_file  # noqa: E402
from pods import Node, require_root, wait_until  # noqa: E402

STORY, OPTIONAL, BY_NAME, MESH_CLIENTS, PROXIED, PASSTHROUGH, PLAINTEXT, MESH_ONLY, NO_ENTRY = range(8441, 8450)
STORY_NAME = "mtls.local"
TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
CLIENT_LEAF = ("basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature", "extendedKeyUsage=clientAuth")


def setUpModule():
    global NODE, MESH, SERVER, OPEN, STRANGER, STORY_CA, OTHER_CA
    NODE = Node().__enter__()
    try:
        MESH = Mesh(NODE, cert_source="files")
        SERVER, OPEN = MESH.agent("server"), MESH.agent("open")
        STRANGER = NODE.pod("stranger")
        STORY_CA, OTHER_CA = Authority(NODE.folder, "story"), Authority(NODE.folder, "other")
        make_story()
        write_ports(ports())
        MESH.write_local_file()
        for agent, options in ((SERVER, {"ports_file": path("ports.yaml"), "tls_timeout": "2s"}),
                               (OPEN, {"inbound_mode": "permissive", "tls_timeout": "2s"})):
            MESH.write_certificate(agent)
            agent.capture()
            agent.start(ready=False, **options)
        for agent in (SERVER, OPEN):
            agent.wait_ready()
    except BaseException:
        NODE.show_logs()
        NODE.close()
        raise


def tearDownModule():
    NODE.close()


def path(name):
    return os.path.join(MESH.folder, name)


def openssl(*args):
    subprocess.run(["openssl", *args], check=True, capture_output=True, timeout=120)


def make_story():
    """Certificates as the tutorials make them: RSA 4096, names in the common name, no extensions for the client."""
    openssl("req", "-x509", "-newkey", "rsa:4096", "-nodes", "-days", "30", "-subj", "/CN=story CA",
            "-keyout", path("ca.key"), "-out", path("ca.crt"))
    for name, extensions in (("server", f"subjectAltName=DNS:{STORY_NAME}\n"), ("client", "")):
        openssl("req", "-newkey", "rsa:4096", "-nodes", "-subj", f"/CN={name}", "-keyout", path(f"{name}.key"),
                "-out", path(f"{name}.csr"))
        replace_file(path("extensions"), extensions)
        openssl("x509", "-req", "-in", path(f"{name}.csr"), "-CA", path("ca.crt"), "-CAkey", path("ca.key"), "-CAcreateserial",
                "-days", "30", "-extfile", path("extensions"), "-out", path(f"{name}.crt"))
    os.chown(path("server.key"), AGENT_UID, -1)
    for name in ("first", "second"):
        give_certificate(name, f"{name}.example.test")


def give_certificate(name, *dns_names):
    chain, key = OTHER_CA.issue([f"DNS:{dns}" for dns in dns_names])
    replace_file(path(f"{name}.key"), key, mode=0o600, uid=AGENT_UID)
    replace_file(path(f"{name}.crt"), chain)
    return chain


def certificate(name, *names):
    return {"cert": path(f"{name}.crt"), "key": path(f"{name}.key"), **({"names": list(names)} if names else {})}


def ports():
    """The entries by port."""
    story = {"mode": "mtls", "certificates": [certificate("server")], "client-ca": path("ca.crt")}
    other = {"mode": "mtls", "certificates": [certificate("first")], "client-ca": STORY_CA.root_file}
    entries = {
        STORY: {**story, "principal-from": ["uri", "dns", "email", "cn"]},
        OPTIONAL: {**story, "client-certificate": "optional", "min-tls": "1.2", "principal-from": ["cn"]},
        BY_NAME: {**other, "certificates": [certificate("first"), certificate("second", "second.example.test", "*.wild.test")],
                  "principal-from": ["dns", "email"]},
        MESH_CLIENTS: {"mode": "mtls", "alpn": ["http/1.1"]},
        PROXIED: {**story, "proxy-protocol": "v2", "principal-from": ["cn"]},
        PASSTHROUGH: {"mode": "passthrough"},
        PLAINTEXT: {"mode": "plaintext"},
        MESH_ONLY: {"mode": "mesh"},
    }
    return {port: {"port": port, **entry} for port, entry in entries.items()}


def write_ports(entries):
    replace_file(path("ports.yaml"), json.dumps({"ports": list(entries.values())}, indent=1))


class Case(unittest.TestCase):

    agent = None

    def setUp(self):
        self.agent = self.agent or SERVER
        self.log_start = len(self.agent.process.log())
        self.addCleanup(self._show_logs_of_failure)

    def _show_logs_of_failure(self):
        outcome = getattr(self, "_outcome", None)
        if outcome is not None and not outcome.success:
            NODE.show_logs()

    def serve(self, port, behave=actors.echo):
        return self.enterContext(actors.Server(self.agent.pod.listen(port=port), behave))

    def connect(self, port):
        connection = STRANGER.connect(self.agent.pod.ipv4, port)
        self.addCleanup(connection.close)
        return connection

    def context(self, credentials=None, versions=(TLS13, TLS13), alpn=()):
        """`credentials`: (chain file, key file)."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.minimum_version, context.maximum_version = versions
        if credentials is not None:
            context.load_cert_chain(*credentials)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context

    def story_client(self):
        return path("client.crt"), path("client.key")

    def issued(self, *names, authority=None, subject="/O=test", **options):
        made = (authority or STORY_CA).credentials(list(names), extensions=CLIENT_LEAF, subject=subject, **options)
        return made.chain_file, made.key_file

    def mesh_client(self):
        made = MESH.authority.credentials(["URI:spiffe://cluster.local/ns/demo/sa/envoy"])
        return made.chain_file, made.key_file

    def tls(self, port, credentials=None, sni=None, **options):
        connection = self.context(credentials, **options).wrap_socket(self.connect(port), server_hostname=sni)
        self.addCleanup(connection.close)
        return connection

    def assert_echoes(self, connection, text=b"hello"):
        connection.sendall(text)
        self.assertEqual(actors.read_exactly(connection, len(text)), text)

    def assert_refused(self, port, *args, alert=None, **options):
        """In the handshake or, as TLS 1.3 has it, at the first read after it."""
        with self.assertRaises((ssl.SSLError, ConnectionError)) as caught:
            connection = self.tls(port, *args, **options)
            connection.sendall(b"hello")
            if connection.recv(1) == b"":
                raise ConnectionResetError
        if alert is not None:
            self.assertIn(alert, str(caught.exception).lower())

    def assert_logged(self, reason, text=""):
        return self.agent.access_log(rf'{text}.*reason="{reason}"', self.log_start)

    def assert_cut(self, connection):
        if isinstance(connection, ssl.SSLSocket):
            connection.suppress_ragged_eofs = False
        connection.settimeout(20)
        with self.assertRaises(OSError):
            if connection.recv(1) == b"":
                self.fail("the cut looks like an end")


class Story(Case):
    """The tutorial's certificates, curl and openssl."""

    def test_a_client_with_a_certificate_is_served_by_curl_and_openssl(self):
        def hello(connection):
            while not connection.recv(65536).endswith(b"\r\n\r\n"):
                pass
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\nConnection: close\r\n\r\nHello World")

        self.serve(STORY, hello)
        address = f"{STORY_NAME}:{STORY}"
        curl = ["curl", "-sS", "--max-time", "20", "--cacert", path("ca.crt"), "--resolve", f"{address}:{SERVER.pod.ipv4}"]
        own = ["--cert", path("client.crt"), "--key", path("client.key")]
        self.assertEqual(STRANGER.run([*curl, *own, f"https://{address}/"]).stdout, "Hello World")
        # Though curl may be gone before it has read our end.
        self.assert_logged("done", f'src.identity="cn:client".*tls.sni="{STORY_NAME}"')
        without = STRANGER.run([*curl, f"https://{address}/"], check=False)
        self.assertNotEqual(without.returncode, 0)
        self.assertEqual(without.stdout, "")
        self.assert_logged("tls_no_client_cert")
        got = STRANGER.run(["openssl", "s_client", "-connect", f"{SERVER.pod.ipv4}:{STORY}", "-servername", STORY_NAME,
                            "-CAfile", path("ca.crt"), "-verify_return_error", "-cert", path("client.crt"),
                            "-key", path("client.key"), "-ign_eof"], stdin="GET / HTTP/1.1\r\n\r\n")
        self.assertIn("TLSv1.3", got.stdout)
        self.assertIn("Hello World", got.stdout)

        def ends():  # of ours: a connection of the test before may be told of late
            return re.findall(f'tls.sni="{STORY_NAME}".*reason="(\\w+)"', SERVER.process.log()[self.log_start:])

        wait_until(lambda: ends().count("done") == 2, "the end of openssl's")
        self.assertNotIn("peer_reset", ends())

    def test_who_is_refused_is_told_why(self):
        self.serve(STORY)
        self.assert_refused(STORY, alert="certificate required")
        self.assert_logged("tls_no_client_cert")
        self.assert_refused(STORY, self.issued("DNS:a.test"), alert="unknown ca")
        self.assert_logged("cert_untrusted")
        self.assert_refused(STORY, self.mesh_client(), alert="unknown ca")
        self.assert_refused(STORY, self.story_client(), versions=(TLS12, TLS12), alert="version")
        self.assert_logged("tls_version")
        self.assertEqual(SERVER.metric("remora_tls_handshake_failures_total", direction="inbound", reason="tls_version"), 1)

    def test_clear_text_is_reset_and_silence_ends(self):
        server = self.serve(STORY)
        connection = self.connect(STORY)
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        self.assert_cut(connection)
        self.assert_logged("tls_expected")
        self.assert_cut(self.connect(STORY))
        self.assert_logged("tls_timeout")
        self.assertEqual(server.num_accepted, 0)

    def test_a_hello_in_single_bytes_and_half_close_come_through(self):
        self.serve(STORY)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self.context(self.story_client()).wrap_bio(incoming, outgoing, server_hostname=STORY_NAME)
        with self.assertRaises(ssl.SSLWantReadError):
            tls.do_handshake()
        connection = self.connect(STORY)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        hello = outgoing.read()
        for i in range(len(hello)):
            connection.sendall(hello[i:i + 1])
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                incoming.write(connection.recv(65536))
        tls.write(b"all")
        with self.assertRaises(ssl.SSLWantReadError):
            tls.unwrap()
        connection.sendall(outgoing.read())
        got = b""
        while data := connection.recv(65536):
            incoming.write(data)
        try:
            while chunk := tls.read():
                got += chunk
        except ssl.SSLError:
            pass
        self.assertEqual(got, b"all")
        self.assert_logged("done", 'src.identity="cn:client"')

    def test_much_in_both_directions_arrives_whole(self):
        self.serve(STORY)
        connection = self.tls(STORY, self.story_client())
        text = b"".join(actors.pattern("tls", 1 << 20))
        for start in range(0, len(text), 1 << 17):
            self.assert_echoes(connection, text[start:start + (1 << 17)])

    def test_a_client_certificate_may_be_optional_and_tls_1_2_allowed(self):
        self.serve(OPTIONAL)
        for versions in ((TLS12, TLS12), (TLS13, TLS13)):
            connection = self.tls(OPTIONAL, versions=versions)
            self.assert_echoes(connection)
        self.assertEqual(connection.version(), "TLSv1.3")
        self.assert_echoes(self.tls(OPTIONAL, self.story_client(), versions=(TLS12, TLS12)))
        self.assert_refused(OPTIONAL, self.issued("DNS:a.test"), alert="unknown ca")

    def test_the_application_learns_who_it_is_from_a_proxy_header(self):
        headers = []

        def note(connection):
            first = actors.read_exactly(connection, 16)
            headers.append(first + actors.read_exactly(connection, struct.unpack("!H", first[14:])[0]))
            actors.echo(connection)

        self.serve(PROXIED, note)
        connection = self.tls(PROXIED, self.story_client(), sni=STORY_NAME)
        self.assert_echoes(connection)
        header = headers[0]
        self.assertEqual(header[:14], b"\r\n\r\n\x00\r\nQUIT\n\x21\x11")
        self.assertEqual(header[16:28], socket.inet_aton(STRANGER.ipv4) + socket.inet_aton(SERVER.pod.ipv4) +
                         struct.pack("!HH", connection.getsockname()[1], PROXIED))
        values, rest = {}, header[28:]
        while rest:
            kind, size = struct.unpack("!BH", rest[:3])
            values[kind], rest = rest[3:3 + size], rest[3 + size:]
        self.assertEqual(values[0xd0], b"cn:client")
        self.assertEqual(values[0x02], STORY_NAME.encode())
        self.assertEqual(values[0x20][:5], b"\x07\0\0\0\0")
        self.assertIn(b"\x22\0\x06client", values[0x20])
        self.assertIn(b"\x21\0\x07TLSv1.3", values[0x20])


class Certificates(Case):

    def names_of(self, connection):
        printed = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-ext", "subjectAltName"],
                                 input=connection.getpeercert(binary_form=True), capture_output=True, check=True).stdout.decode()
        return re.findall(r"DNS:([^,\s]+)", printed)

    def test_the_server_name_chooses_among_several(self):
        self.serve(BY_NAME)
        client = self.issued("DNS:client.example.test")
        for sni, expected in ((None, "first"), ("first.example.test", "first"), ("SECOND.example.test", "second"),
                              ("a.wild.test", "second"), ("a.b.wild.test", "first"), ("unknown.test", "first")):
            with self.subTest(sni=sni):
                connection = self.tls(BY_NAME, client, sni=sni)
                self.assertEqual(self.names_of(connection), [f"{expected}.example.test"])

    def test_files_are_read_again_and_a_bad_one_changes_nothing(self):
        self.serve(BY_NAME)
        client = self.issued("DNS:client.example.test")
        live = self.tls(BY_NAME, client)
        give_certificate("first", "renewed.example.test")
        wait_until(lambda: self.names_of(self.tls(BY_NAME, client)) == ["renewed.example.test"], "the new certificate")
        self.assert_echoes(live)
        start = len(SERVER.process.log())
        replace_file(path("first.crt"), "nonsense")
        SERVER.process.wait_log(rf"ports not loaded.*port {BY_NAME}.*the state before", since=start)
        self.assertEqual(self.names_of(self.tls(BY_NAME, client)), ["renewed.example.test"])
        start = len(SERVER.process.log())
        replace_file(path("ports.yaml"), "ports:\n- {port: 1, mode: tls}\n")
        SERVER.process.wait_log(r"ports not loaded.*ports\.yaml:2:\d+: ports\[0\]\.mode", since=start)
        self.assert_echoes(live)
        give_certificate("first", "first.example.test")
        write_ports(ports())
        wait_until(lambda: self.names_of(self.tls(BY_NAME, client)) == ["first.example.test"], "the certificate of before")

    def test_a_port_that_takes_such_no_more_ends_what_lives(self):
        self.serve(STORY)
        live = self.tls(STORY, self.story_client())
        self.assert_echoes(live)
        entries = ports()
        self.addCleanup(self.wait_loaded)
        self.addCleanup(write_ports, entries)
        write_ports({**entries, STORY: {"port": STORY, "mode": "mesh"}})
        self.assert_cut(live)
        self.assert_logged("port_changed", 'src.identity="cn:client"')

    def wait_loaded(self):
        wait_until(lambda: self.is_served(STORY, self.story_client()), "the ports of before")

    def is_served(self, port, credentials):
        try:
            self.assert_echoes(self.tls(port, credentials))
            return True
        except (OSError, EOFError):
            return False


class Principals(Case):
    """Who it is, to policies."""

    def set_policies(self, *policies):
        starts = [(agent, len(agent.process.log())) for agent in (SERVER, OPEN)]
        MESH.policies[:] = policies
        MESH.write_local_file()
        for agent, start in starts:
            agent.process.wait_log("discovery loaded", since=start)

    def allow(self, *principals):
        """These patterns, on every port; for others of this module the policy is gone afterwards."""
        self.addCleanup(self.set_policies)
        self.set_policies({"name": "p", "namespace": "demo", "scope": "Namespace", "action": "Allow", "dryRun": False,
                           "rules": [[[{"principals": [dict([pattern]) for pattern in principals]}]]]})

    def is_allowed(self, port, credentials):
        try:
            self.assert_echoes(self.tls(port, credentials))
            return True
        except (OSError, EOFError):
            return False

    def test_each_kind_is_allowed_by_its_own_name_only(self):
        self.serve(STORY)
        self.serve(BY_NAME)
        dns, email = self.issued("DNS:Client.Example.test"), self.issued("email:jo@Example.test")
        # A common name that looks like another kind, or ends like a SPIFFE ID, is a common name.
        self.allow(("Exact", "cn:client"), ("Exact", "dns:client.example.test"), ("Suffix", "/sa/admin"))
        wait_until(lambda: not self.is_allowed(BY_NAME, email), "the policy")
        self.assert_logged("not_allowed", 'src.identity="email:jo@example.test"')
        self.assert_refused(BY_NAME, email, alert="access denied")
        self.assertTrue(self.is_allowed(STORY, self.story_client()))
        self.assertTrue(self.is_allowed(BY_NAME, dns))
        self.allow(("Prefix", "email:jo@"))
        wait_until(lambda: self.is_allowed(BY_NAME, email), "the other policy")
        self.assertFalse(self.is_allowed(STORY, self.story_client()))
        self.assertFalse(self.is_allowed(BY_NAME, dns))

    def test_a_policy_that_changes_ends_the_live_connection(self):
        self.serve(STORY)
        live = self.tls(STORY, self.story_client())
        self.assert_echoes(live)
        self.allow(("Exact", "cn:somebody else"))
        self.assert_cut(live)
        self.assert_logged("not_allowed", 'src.identity="cn:client"')
        self.assertEqual(SERVER.metric("remora_recheck_closed_total", direction="inbound", reason="not_allowed"), 1)

    def test_a_certificate_without_a_name_or_with_two_is_nobody_s(self):
        self.serve(BY_NAME)
        self.assert_refused(BY_NAME, self.issued("DNS:a.test", "DNS:b.test"))
        self.assert_logged("cert_bad_principal")
        self.assert_refused(BY_NAME, self.issued("IP:198.18.0.1"))
        self.assert_logged("cert_no_principal")

    def test_mesh_clients_are_known_by_their_spiffe_id(self):
        self.serve(MESH_CLIENTS)
        connection = self.tls(MESH_CLIENTS, self.mesh_client(), alpn=["h2", "http/1.1"])
        self.assertEqual(connection.selected_alpn_protocol(), "http/1.1")
        self.assert_echoes(connection)
        connection.close()
        self.assert_logged("[a-z_]+", 'src.identity="spiffe://cluster.local/ns/demo/sa/envoy"')
        self.assert_refused(MESH_CLIENTS, self.story_client())
        self.assert_refused(MESH_CLIENTS, self.mesh_client(), alpn=["h2"])
        self.assert_logged("tls_alpn")


class Istio(Case):
    """A sidecar that speaks Istio's own mutual TLS."""

    def test_it_is_taken_in_strict_mode_with_and_without_an_entry(self):
        for port in (NO_ENTRY, MESH_ONLY):
            with self.subTest(port=port):
                self.serve(port)
                connection = self.tls(port, self.mesh_client(), alpn=["istio-peer-exchange", "istio"])
                self.assertEqual(connection.selected_alpn_protocol(), "istio")
                self.assert_echoes(connection)
                connection.close()
                self.assert_logged("[a-z_]+", rf'src.identity="spiffe://cluster.local/ns/demo/sa/envoy".*:{port}"')

    def test_others_are_refused_there(self):
        server = self.serve(MESH_ONLY)
        self.assert_refused(MESH_ONLY, self.mesh_client(), alpn=["h2"])
        self.assert_logged("plaintext_refused", "ALPN istio|")
        self.assert_refused(MESH_ONLY, self.story_client(), alpn=["istio"], alert="bad certificate")
        self.assert_refused(MESH_ONLY, alpn=["istio"], alert="certificate required")
        clear = self.connect(MESH_ONLY)
        clear.sendall(b"hello")
        self.assert_cut(clear)
        self.assert_logged("plaintext_refused")
        self.assertEqual(server.num_accepted, 0)


class Untouched(Case):
    """What the application takes as it comes."""

    def test_passthrough_carries_the_application_s_own_tls_and_nothing_else(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path("server.crt"), path("server.key"))

        def serve_tls(connection):
            with context.wrap_socket(connection, server_side=True) as tls:
                actors.echo(tls)

        self.serve(PASSTHROUGH, serve_tls)
        connection = self.tls(PASSTHROUGH, sni="inside.example.test", alpn=["h2"])
        self.assert_echoes(connection)
        connection.close()
        self.assert_logged("[a-z_]+", 'tls.sni="inside.example.test"')
        clear = self.connect(PASSTHROUGH)
        clear.sendall(b"hello")
        self.assert_cut(clear)
        self.assert_logged("tls_expected")

    def test_plaintext_is_taken_there_although_the_agent_is_strict(self):
        self.serve(PLAINTEXT, lambda connection: (connection.sendall(b"220 hello\r\n"), actors.echo(connection)))
        connection = self.connect(PLAINTEXT)
        self.assertEqual(actors.read_exactly(connection, 11), b"220 hello\r\n")
        self.assert_echoes(connection)


class Permissive(Case):
    """Ports without an entry, where clear text may enter."""

    def setUp(self):
        self.agent = OPEN
        super().setUp()

    def test_a_server_that_speaks_first_is_served_at_once(self):
        self.serve(NO_ENTRY, lambda connection: (connection.sendall(b"220 hello\r\n"), actors.echo(connection)))
        started = time.monotonic()
        connection = self.connect(NO_ENTRY)
        self.assertEqual(actors.read_exactly(connection, 11), b"220 hello\r\n")
        self.assertLess(time.monotonic() - started, 2)  # the tls-timeout
        self.assert_echoes(connection)

    def test_a_client_that_speaks_first_or_only_ends_is_relayed(self):
        self.serve(NO_ENTRY, lambda connection: (actors.echo(connection), connection.sendall(b"bye")))
        connection = self.connect(NO_ENTRY)
        self.assert_echoes(connection)
        connection.shutdown(socket.SHUT_WR)
        self.assertEqual(actors.read_exactly(connection, 3), b"bye")
        self.assertEqual(connection.recv(1), b"")
        silent = self.connect(NO_ENTRY)
        silent.shutdown(socket.SHUT_WR)
        self.assertEqual(actors.read_exactly(silent, 3), b"bye")
        self.assertEqual(silent.recv(1), b"")

    def test_what_begins_like_tls_and_is_not_is_the_application_s(self):
        self.serve(NO_ENTRY)
        for text in (b"\x16", b"\x16\x03\x01\x00\x05hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"):
            with self.subTest(text=text):
                connection = self.connect(NO_ENTRY)
                connection.sendall(text)
                connection.shutdown(socket.SHUT_WR)
                self.assertEqual(actors.read_exactly(connection, len(text)), text)

    def test_a_hello_that_stays_half_is_given_to_the_application(self):
        self.serve(NO_ENTRY)
        self.assert_echoes(self.connect(NO_ENTRY), b"\x16\x03\x01\x02\x00\x01\x00")

    def test_the_application_s_own_tls_goes_through_and_istio_s_ends_here(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path("server.crt"), path("server.key"))

        def serve(connection):
            if connection.recv(1, socket.MSG_PEEK) != b"\x16":
                actors.echo(connection)
                return
            with context.wrap_socket(connection, server_side=True) as tls:
                actors.echo(tls)

        self.serve(NO_ENTRY, serve)
        own = self.tls(NO_ENTRY, sni="inside.example.test")
        self.assert_echoes(own)
        self.assertIn(b"mtls.local", own.getpeercert(binary_form=True))
        istio = self.tls(NO_ENTRY, self.mesh_client(), alpn=["istio"])
        self.assert_echoes(istio)
        self.assertIn(b"spiffe://cluster.local/ns/demo/sa/open", istio.getpeercert(binary_form=True))
        istio.close()
        self.assert_logged("[a-z_]+", 'src.identity="spiffe://cluster.local/ns/demo/sa/envoy"')

    def test_who_may_not_enter_as_nobody_may_by_istio_s_tls(self):
        self.serve(NO_ENTRY)
        self.addCleanup(Principals.set_policies, self)
        Principals.set_policies(self, {
            "name": "p", "namespace": "demo", "scope": "Namespace", "action": "Allow", "dryRun": False,
            "rules": [[[{"principals": [{"Exact": "cluster.local/ns/demo/sa/envoy"}]}]]]})

        def is_refused():
            clear = self.connect(NO_ENTRY)
            try:
                clear.sendall(b"hello")
                return clear.recv(1) == b""
            except ConnectionError:
                return True

        wait_until(is_refused, "the policy")
        self.assert_logged("not_allowed")
        self.assert_echoes(self.tls(NO_ENTRY, self.mesh_client(), alpn=["istio"]))


if __name__ == "__main__":
    require_root()
    unittest.main(verbosity=2)
