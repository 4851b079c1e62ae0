"""TLS to the destination itself: mutual TLS originated for applications that speak plaintext, and Istio's own, to servers that are not ours."""

import contextlib
import glob
import json
import os
import pwd
import queue
import re
import socket
import ssl
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

import actors  # noqa: E402
import hbone  # noqa: E402
from authority import SOON_PAST_S, Authority, new_key  # noqa: E402
from mesh import AGENT_UID, Mesh, replace_file  # noqa: E402
from pods import WAIT_S, Node, require_root, wait_until  # noqa: E402

GRACE_S = 2
DOMAIN = "demo.svc.cluster.local"
SERVER_NAME = "server.example.test"
STRANGER = "spiffe://cluster.local/ns/demo/sa/stranger"
SERVICE_VIP, PAIR_VIP, OLD_VIP, OLD_PAIR_VIP = (f"198.19.0.{number}" for number in (10, 11, 20, 21))
BY_NAME, BY_SPIFFE_ID, OWN_FILES, BY_HOST, NOWHERE, CLEAR, OTHER_CA, FORGETFUL, NGINX, OLD_NGINX, POSTGRESQL = range(8441, 8452)
PORT, TARGET_PORT = 80, 8080
DATABASE_USER = "webapp"
WEB_SERVER = ("basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature", "extendedKeyUsage=serverAuth")
WEB_CLIENT = ("basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature", "extendedKeyUsage=clientAuth")
TLS13 = (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3)
FIRST_OF_TLS = b"\x16\x03"


def setUpModule():
    global NODE, MESH, CLIENT, SIDECAR, OUTSIDE, SECOND, OLD, OLD_SECOND, PRIVATE
    NODE = Node().__enter__()
    try:
        MESH = Mesh(NODE, cert_source="files")
        PRIVATE = Authority(NODE.folder, "private")
        CLIENT, SIDECAR = MESH.agent("client"), MESH.agent("sidecar")
        OUTSIDE, SECOND, OLD, OLD_SECOND = (MESH.peer(name) for name in ("outside", "second", "old", "old-second"))
        describe()
        MESH.start(ports_file=path("ports.yaml"), peer_expiry_grace=f"{GRACE_S}s")
    except BaseException:
        NODE.show_logs()
        NODE.close()
        raise


def tearDownModule():
    NODE.close()


def path(name):
    return os.path.join(MESH.folder, name)


def describe():
    for peer in (OUTSIDE, SECOND):
        peer.workload["protocol"] = "TCP"
    for peer in (OLD, OLD_SECOND, SIDECAR):
        peer.workload["protocol"] = "LegacyIstioMtls"
    MESH.service("strict", [SERVICE_VIP], {PORT: TARGET_PORT}, [OUTSIDE])
    MESH.service("pair", [PAIR_VIP], {PORT: TARGET_PORT}, [OUTSIDE, SECOND])
    MESH.service("old", [OLD_VIP], {PORT: TARGET_PORT}, [OLD], subjectAltNames=[STRANGER])
    MESH.service("old-pair", [OLD_PAIR_VIP], {PORT: TARGET_PORT}, [OLD, OLD_SECOND])
    # The one pod has an address that discovery does not know.
    MESH.peers.pop("outside")
    MESH.peers["outside"] = type("Described", (), {"workload": {**OUTSIDE.workload, "workloadIps": [OUTSIDE.pod.ipv6]}})
    CLIENT.pod.hosts({"localhost": ["127.0.0.1"], "outside.example.test": [OUTSIDE.pod.ipv4]})
    replace_file(path("ca.pem"), PRIVATE.root_pem)
    replace_file(path("other-ca.pem"), PRIVATE.root_pem)
    chain, key = PRIVATE.issue(["DNS:client.example.test"], extensions=WEB_CLIENT)
    replace_file(path("own.pem"), chain)
    replace_file(path("own-key.pem"), key, mode=0o600, uid=AGENT_UID)
    chain, key = PRIVATE.issue([], extensions=WEB_CLIENT, subject=f"/CN={DATABASE_USER}")
    replace_file(path("database.pem"), chain)
    replace_file(path("database-key.pem"), key, mode=0o600, uid=AGENT_UID)
    write_ports(destinations())


def destinations():
    """The rules, by what they are for."""
    named = {"server-name": SERVER_NAME, "ca": path("ca.pem")}
    cidr = f"{OUTSIDE.pod.ipv4}/32"
    return {
        "service": {"match": {"host": f"strict.{DOMAIN}", "port": PORT}, **named},
        "pair": {"match": {"host": f"pair.{DOMAIN}", "port": PORT}, **named},
        "by name": {"match": {"cidr": cidr, "port": BY_NAME}, **named},
        "by SPIFFE ID": {"match": {"cidr": cidr, "port": BY_SPIFFE_ID}, "spiffe-ids": [OUTSIDE.identity, SECOND.identity]},
        "own files": {"match": {"cidr": cidr, "port": OWN_FILES}, **named, "cert": path("own.pem"), "key": path("own-key.pem")},
        "by host": {"match": {"host": "outside.example.test", "port": BY_HOST}, **named},
        "nowhere": {"match": {"host": "nowhere.example.test", "port": NOWHERE}, **named},
        "other CA": {"match": {"cidr": cidr, "port": OTHER_CA}, **named, "ca": path("other-ca.pem")},
        "nginx": {"match": {"cidr": cidr, "port": NGINX}, **named},
        "old nginx": {"match": {"cidr": cidr, "port": OLD_NGINX}, **named, "min-tls": "1.2"},
        "PostgreSQL": {"match": {"cidr": cidr, "port": POSTGRESQL}, **named, "cert": path("database.pem"), "key": path("database-key.pem"),
                       "starttls": "postgresql"},
        "forgetful": {"match": {"cidr": cidr, "port": FORGETFUL}, **named, "resumption": "off"},
    }


def write_ports(rules):
    replace_file(path("ports.yaml"), json.dumps({"destinations": list(rules.values())}, indent=1))


def wait_logged(what, change, *args):
    """Makes the change, which the agent says it has taken by a line with `what`."""
    since = len(CLIENT.process.log())
    change(*args)
    CLIENT.process.wait_log(what, since=since)


def change_ports(rules):
    wait_logged('"ports loaded"', write_ports, rules)


def change_file(name, content):
    wait_logged('"ports loaded"', replace_file, path(name), content)


def change_identity(authority):
    """The client's certificate, and whom it trusts, are this authority's."""
    chain, key = authority.issue([f"URI:{CLIENT.identity}"])
    replace_file(MESH.certificate_file("client", "trust-bundle"), authority.root_pem)
    replace_file(MESH.certificate_file("client", "key"), key, mode=0o600, uid=AGENT_UID)
    wait_logged('"certificate in force"', replace_file, MESH.certificate_file("client", "cert"), chain)


class Server(actors.Server):
    """
    A TLS server that asks for a client certificate, and echoes. `connections` is a queue of what it has seen of each: peer's
    certificate, ALPN, SNI, whether it was resumed, first bytes.
    """

    def __init__(self, listener, context):
        super().__init__(listener, self.serve)
        self.connections = queue.Queue()
        self.context = context
        self.sni = threading.local()
        context.sni_callback = self.note_sni

    def note_sni(self, _tls, name, _context):
        self.sni.name = name

    def serve(self, connection):
        self.sni.name = None
        first = connection.recv(2, socket.MSG_PEEK | socket.MSG_WAITALL)
        with self.context.wrap_socket(connection, server_side=True) as tls:
            self.connections.put({"cert": tls.getpeercert(), "alpn": tls.selected_alpn_protocol(), "sni": self.sni.name,
                                  "resumed": tls.session_reused, "first": first, "version": tls.version()})
            actors.echo(tls)
            tls.unwrap().close()

    def seen(self):
        return self.connections.get(timeout=WAIT_S)


class Case(unittest.TestCase):

    def setUp(self):
        self.log_start = len(CLIENT.process.log())

    def server_context(self, certificate, client_roots=None, alpn=(), versions=TLS13):
        return hbone.server_context(certificate, client_roots or MESH.authority.root_file, alpn, versions)

    def serve(self, port, certificate, peer=None, **options):
        context = self.server_context(certificate, **options)
        return self.enterContext(Server((peer or OUTSIDE).pod.listen(port=port), context))

    def serve_named(self, port=BY_NAME, names=(f"DNS:{SERVER_NAME}",), authority=None, peer=None, client_roots=None, **options):
        certificate = (authority or PRIVATE).credentials(list(names), **{"extensions": WEB_SERVER, **options})
        return self.serve(port, certificate, peer, client_roots=client_roots)

    def connect(self, port=BY_NAME, address=None):
        application = CLIENT.pod.connect(address or OUTSIDE.pod.ipv4, port)
        self.addCleanup(application.close)
        return application

    def assert_carries(self, application, text=b"hello"):
        application.sendall(text)
        self.assertEqual(actors.read_exactly(application, len(text)), text)

    def assert_logged(self, application, reason, text=""):
        source = re.escape(hbone.source_of(application))
        return CLIENT.access_log(rf'src\.addr="{source}".* direction="outbound" .* reason="{reason}" .*{text}', self.log_start)

    def finish(self, application):
        """Ends it in order; the access-log line."""
        application.shutdown(socket.SHUT_WR)
        self.assertEqual(application.recv(1), b"")
        return self.assert_logged(application, "done")

    def assert_reset(self, application, timeout_s=WAIT_S):
        application.settimeout(timeout_s)
        with self.assertRaises(ConnectionResetError):
            while application.recv(1 << 16):
                pass

    def assert_refused(self, port, reason, text="", address=None):
        """The application gets nothing but a reset; the log says why. Its line."""
        address = address or OUTSIDE.pod.ipv4
        CLIENT.pod.assert_reset(address, port)
        return CLIENT.access_log(rf'direction="outbound" .* reason="{reason}" .*{text}', self.log_start)

    def assert_unheard(self, peer, target_port, port, address=None):
        """An application says something to a destination where a server without TLS is: it is reset, and the server gets none of it."""
        with self.recorded(peer, target_port) as got:
            try:  # the reset may come while connect() still waits to be told of its success
                with CLIENT.pod.connect(address or OUTSIDE.pod.ipv4, port) as application:
                    application.sendall(b"password")
                    self.fail(f"not reset, but answered: {application.recv(1)}")
            except (ConnectionResetError, BrokenPipeError):
                pass
            wait_until(lambda: got, "a ClientHello")
        self.assertEqual(got[:2], FIRST_OF_TLS)
        self.assertNotIn(b"password", got)
        CLIENT.access_log(r'direction="outbound" .* reason="tls_failed" .*what the peer sends is not TLS', self.log_start)

    def names_of(self, certificate):
        return [value for _, value in certificate["subjectAltName"]]

    @contextlib.contextmanager
    def recorded(self, peer, port):
        """A server that speaks no TLS; yields the bytes that it gets, a bytearray."""
        got = bytearray()

        def record(connection):
            while data := connection.recv(actors.CHUNK):
                got.extend(data)
                connection.sendall(b"Hello World\n")

        with actors.Server(peer.pod.listen(port=port), record):
            yield got


class Origin(Case):

    def test_a_server_that_demands_a_certificate_is_reached_in_plaintext_by_the_application(self):
        server = self.serve_named()
        application = self.connect()
        self.assert_carries(application)
        seen = server.seen()
        self.assertEqual(self.names_of(seen["cert"]), [CLIENT.identity])
        self.assertEqual((seen["sni"], seen["alpn"], seen["version"]), (SERVER_NAME, None, "TLSv1.3"))
        self.assertEqual(seen["first"], FIRST_OF_TLS)
        line = self.finish(application)
        self.assertIn(f'src.identity="{CLIENT.identity}"', line)
        self.assertIn(f'dst.identity="dns:{SERVER_NAME}"', line)
        opened = CLIENT.metric("istio_tcp_connections_opened_total", reporter="source", connection_security_policy="mutual_tls",
                               destination_principal=f"dns:{SERVER_NAME}")
        self.assertGreaterEqual(opened, 1)

    def test_megabytes_pass_both_ways_and_each_direction_ends_by_itself(self):
        self.serve_named()
        application = self.connect()
        size = 4 << 20
        sender = threading.Thread(target=actors.send_pattern, args=(application, 1, size))
        sender.start()
        self.assertEqual(b"".join(actors.pattern(1, size)), actors.read_exactly(application, size))
        sender.join()
        self.finish(application)

    def test_a_service_of_discovery_is_named_by_its_host_name(self):
        context = self.server_context(PRIVATE.credentials([f"DNS:{SERVER_NAME}"], extensions=WEB_SERVER))
        server = self.enterContext(Server(OUTSIDE.pod.listen(socket.AF_INET6, TARGET_PORT), context))
        application = self.connect(PORT, SERVICE_VIP)
        self.assert_carries(application)
        self.assertEqual(self.names_of(server.seen()["cert"]), [CLIENT.identity])
        self.assertIn(f'dst.service="strict.{DOMAIN}"', self.finish(application))

    def test_the_next_endpoint_is_tried_when_one_is_not_there(self):
        server = self.serve_named(TARGET_PORT, peer=SECOND)  # nobody listens in the other one
        for _ in range(6):
            application = self.connect(PORT, PAIR_VIP)
            self.assert_carries(application)
            server.seen()
            self.finish(application)

    def test_an_endpoint_that_is_somebody_else_s_is_left_for_the_next(self):
        self.serve_named(TARGET_PORT, peer=SECOND)
        context = self.server_context(PRIVATE.credentials(["DNS:other.example.test"], extensions=WEB_SERVER))
        self.enterContext(Server(OUTSIDE.pod.listen(socket.AF_INET6, TARGET_PORT), context))
        for _ in range(6):
            application = self.connect(PORT, PAIR_VIP)
            self.assert_carries(application)
            self.finish(application)

    def test_a_host_that_discovery_does_not_know_is_looked_up(self):
        server = self.serve_named(BY_HOST)
        application = self.connect(BY_HOST)
        self.assert_carries(application)
        server.seen()
        self.finish(application)

    def test_another_address_at_a_host_s_port_goes_in_clear(self):
        with self.recorded(SECOND, BY_HOST) as got:
            application = self.connect(BY_HOST, SECOND.pod.ipv4)
            application.sendall(b"in clear")
            self.assertEqual(application.recv(12), b"Hello World\n")
        self.assertEqual(got, b"in clear")

    def test_whether_a_rule_is_meant_must_be_known(self):
        with self.recorded(SECOND, NOWHERE) as got:
            self.assert_refused(NOWHERE, "name_not_resolved", "nowhere.example.test", SECOND.pod.ipv4)
        self.assertEqual(got, b"")

    def test_a_server_by_its_spiffe_id(self):
        server = self.serve(BY_SPIFFE_ID, MESH.authority.credentials([f"URI:{SECOND.identity}"]))
        application = self.connect(BY_SPIFFE_ID)
        self.assert_carries(application)
        self.assertEqual(self.names_of(server.seen()["cert"]), [CLIENT.identity])
        self.assertIn(f'dst.identity="{SECOND.identity}"', self.finish(application))

    def test_a_server_with_another_spiffe_id(self):
        self.serve(BY_SPIFFE_ID, MESH.authority.credentials([f"URI:{STRANGER}"]))
        line = self.assert_refused(BY_SPIFFE_ID, "identity_mismatch")
        self.assertIn(STRANGER, line)
        self.assertIn(OUTSIDE.identity, line)

    def test_certificate_and_key_of_another_authority_are_shown_where_a_rule_says_so(self):
        server = self.serve_named(OWN_FILES, client_roots=PRIVATE.root_file)
        application = self.connect(OWN_FILES)
        self.assert_carries(application)
        self.assertEqual(self.names_of(server.seen()["cert"]), ["client.example.test"])
        line = self.finish(application)
        self.assertNotIn("src.identity", line)
        self.assertIn(f'dst.identity="dns:{SERVER_NAME}"', line)

    def test_a_server_for_another_name(self):
        self.serve_named(names=["DNS:other.example.test"])
        line = self.assert_refused(BY_NAME, "identity_mismatch")
        self.assertIn(SERVER_NAME, line)
        self.assertIn("other.example.test", line)

    def test_a_server_of_another_authority(self):
        self.serve_named(authority=MESH.authority)
        self.assert_refused(BY_NAME, "cert_untrusted")

    def test_a_server_whose_certificate_has_ended(self):
        self.serve_named(start_s=-3600, life_s=-60)
        self.assert_refused(BY_NAME, "cert_expired")

    def test_a_server_that_does_not_take_our_certificate(self):
        self.serve_named(client_roots=PRIVATE.root_file)
        # With TLS 1.3 the server says so after our side of the handshake is done.
        self.assert_refused(BY_NAME, "tls_peer_refused_us", "unknown CA")

    def test_nothing_is_said_in_clear_to_a_server_without_tls(self):
        self.assert_unheard(OUTSIDE, BY_NAME, BY_NAME)

    def test_a_server_that_is_cut_off_is_not_taken_for_one_that_has_ended(self):
        def cut(connection):
            with context.wrap_socket(connection, server_side=True) as tls:
                tls.sendall(b"half an ans")
                tls.recv(1)

        context = self.server_context(PRIVATE.credentials([f"DNS:{SERVER_NAME}"], extensions=WEB_SERVER))
        with actors.Server(OUTSIDE.pod.listen(port=BY_NAME), cut):
            application = self.connect()
            self.assertEqual(actors.read_exactly(application, 11), b"half an ans")
            application.sendall(b"x")
            self.assert_reset(application)
            self.assert_logged(application, "peer_reset")

    def test_tickets_save_the_second_handshake_unless_switched_off(self):
        for port, resumed in ((BY_NAME, True), (FORGETFUL, False)):
            server = self.serve_named(port)
            for number in range(3):
                application = self.connect(port)
                self.assert_carries(application)
                seen = server.seen()
                self.assertEqual(seen["resumed"], resumed and number > 0)
                self.assertEqual(self.names_of(seen["cert"]), [CLIENT.identity])
                self.assertIn(f'dst.identity="dns:{SERVER_NAME}"', self.finish(application))

    def test_what_has_no_rule_goes_in_clear(self):
        with self.recorded(OUTSIDE, CLEAR) as got:
            application = self.connect(CLEAR)
            application.sendall(b"in clear")
            self.assertEqual(application.recv(12), b"Hello World\n")
        self.assertEqual(got, b"in clear")


class Nginx(Case):
    """The server that everybody has: nginx with ssl_verify_client on."""

    CONFIG = """
        error_log stderr notice;
        pid {folder}/nginx.pid;
        events {{ }}
        http {{
            access_log off;
            client_body_temp_path {folder}/body;
            proxy_temp_path {folder}/proxy;
            fastcgi_temp_path {folder}/fastcgi;
            uwsgi_temp_path {folder}/uwsgi;
            scgi_temp_path {folder}/scgi;
            ssl_certificate {chain};
            ssl_certificate_key {key};
            ssl_client_certificate {client_roots};
            ssl_verify_client on;
            ssl_verify_depth 1;
            server {{
                listen {new} ssl;
                ssl_protocols TLSv1.3;
                return 200 "$ssl_client_verify $ssl_protocol $ssl_server_name $ssl_session_reused\\n";
            }}
            server {{
                listen {old} ssl;
                ssl_protocols TLSv1.2;
                return 200 "$ssl_client_verify $ssl_protocol $ssl_server_name\\n";
            }}
        }}
        """

    def start(self, client_roots, new=NGINX, old=OLD_NGINX):
        folder = tempfile.mkdtemp(dir=NODE.folder)
        certificate = PRIVATE.credentials([f"DNS:{SERVER_NAME}"], extensions=WEB_SERVER)
        replace_file(os.path.join(folder, "nginx.conf"), self.CONFIG.format(
            folder=folder, chain=certificate.chain_file, key=certificate.key_file, client_roots=client_roots, new=new, old=old))
        process = OUTSIDE.pod.start(["nginx", "-p", folder, "-c", "nginx.conf", "-e", "stderr", "-g", "daemon off; user root;"])
        self.addCleanup(process.stop)
        OUTSIDE.pod.wait_listening(new, process)

    def get(self, port):
        """(status, text) of a plaintext request."""
        got = CLIENT.pod.run(["curl", "-sS", "-w", "%{http_code}", "--max-time", "10", f"http://{OUTSIDE.pod.ipv4}:{port}/"], check=False)
        return got.stdout[-3:], got.stdout[:-3]

    def test_it_takes_the_application_s_plaintext_requests_by_our_certificate(self):
        self.start(MESH.authority.root_file)
        self.assertEqual(self.get(NGINX), ("200", f"SUCCESS TLSv1.3 {SERVER_NAME} .\n"))
        self.assertEqual(self.get(NGINX), ("200", f"SUCCESS TLSv1.3 {SERVER_NAME} r\n"))  # by a ticket

    def test_it_knows_nobody_of_another_authority(self):
        self.start(PRIVATE.root_file)
        status, text = self.get(NGINX)
        self.assertEqual(status, "400")
        self.assertIn("The SSL certificate error", text)

    def test_an_old_one_is_reached_where_the_rule_permits_tls_1_2(self):
        self.start(MESH.authority.root_file)
        self.assertEqual(self.get(OLD_NGINX), ("200", f"SUCCESS TLSv1.2 {SERVER_NAME}\n"))

    def test_an_old_one_is_refused_where_it_does_not(self):
        self.start(MESH.authority.root_file, new=OLD_NGINX, old=NGINX)
        self.assertEqual(self.get(NGINX)[0], "000")
        CLIENT.access_log('direction="outbound" .* reason="tls_version"', self.log_start)


class PostgreSQL(Case):
    """A database that wants to be asked for TLS, and knows its users by the common name of their certificates."""

    SETTINGS = """
        listen_addresses = '*'
        port = {port}
        unix_socket_directories = '{folder}'
        fsync = off
        ssl = {ssl}
        ssl_cert_file = '{folder}/tls.crt'
        ssl_key_file = '{folder}/tls.key'
        ssl_ca_file = '{roots}'
        ssl_min_protocol_version = 'TLSv1.3'
        """
    RIGHTS = "hostssl all all all trust clientcert=verify-full\nhost all all all reject\n"

    def start(self, ssl="on"):
        user = pwd.getpwnam("postgres")
        folder = tempfile.mkdtemp(dir=NODE.folder)
        os.chown(folder, user.pw_uid, user.pw_gid)
        data = os.path.join(folder, "data")
        chain, key = PRIVATE.issue([f"DNS:{SERVER_NAME}"], extensions=WEB_SERVER)
        replace_file(os.path.join(folder, "tls.crt"), chain)
        replace_file(os.path.join(folder, "tls.key"), key, mode=0o600, uid=user.pw_uid)
        who = {"uid": user.pw_uid, "gid": user.pw_gid}
        programs = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
        OUTSIDE.pod.run([f"{programs}/initdb", "-D", data, "-N", "--no-instructions", "--locale=C"], **who)
        OUTSIDE.pod.run([f"{programs}/postgres", "--single", "-D", data, "postgres"], stdin=f"create role {DATABASE_USER} login\n", **who)
        replace_file(os.path.join(data, "pg_hba.conf"), self.RIGHTS, uid=user.pw_uid)
        with open(os.path.join(data, "postgresql.conf"), "a", encoding="ascii") as settings:
            settings.write(self.SETTINGS.format(port=POSTGRESQL, folder=folder, roots=PRIVATE.root_file, ssl=ssl))
        process = OUTSIDE.pod.start([f"{programs}/postgres", "-D", data], **who)
        self.addCleanup(process.stop)
        OUTSIDE.pod.wait_listening(POSTGRESQL, process)
        return process

    def ask(self, user=DATABASE_USER):
        """What psql says when it asks, in clear, how it is connected. It may be told that the database still starts up."""
        query = ["psql", "-XAt", "-c", "select ssl, version, client_dn from pg_stat_ssl where pid = pg_backend_pid()",
                 f"host={OUTSIDE.pod.ipv4} port={POSTGRESQL} user={user} dbname=postgres sslmode=disable connect_timeout={WAIT_S}"]
        answers = []

        def answered():
            answers.append(CLIENT.pod.run(query, check=False))
            return "starting up" not in answers[-1].stderr
        wait_until(answered, "PostgreSQL to have started")
        return answers[-1]

    def test_an_application_is_known_by_the_agent_s_certificate(self):
        self.start()
        self.assertEqual(self.ask().stdout, f"t|TLSv1.3|/CN={DATABASE_USER}\n")
        CLIENT.access_log(rf'dst\.identity="dns:{SERVER_NAME}" direction="outbound" .* reason="done"', self.log_start)

    def test_it_is_nobody_else(self):
        self.start()
        got = self.ask(user="postgres")
        self.assertEqual(got.stdout, "")
        self.assertIn('authentication failed for user "postgres"', got.stderr)

    def test_one_without_tls_gets_nothing(self):
        process = self.start(ssl="off")
        got = self.ask()
        self.assertEqual(got.stdout, "")
        CLIENT.access_log(r'direction="outbound" .* reason="tls_failed" .*the server does not do TLS', self.log_start)
        self.assertNotIn(DATABASE_USER, process.log())


class LiveOrigin(Case):

    def test_a_connection_does_not_outlive_the_trust_in_its_server(self):
        self.serve_named(OTHER_CA)
        kept = self.serve_named(BY_NAME)
        application, other = self.connect(OTHER_CA), self.connect(BY_NAME)
        self.assert_carries(application)
        self.assert_carries(other)
        kept.seen()
        self.addCleanup(change_file, "other-ca.pem", PRIVATE.root_pem)
        change_file("other-ca.pem", Authority(NODE.folder, "new").root_pem)
        self.assert_reset(application, 20)
        self.assert_logged(application, "cert_untrusted")
        self.assert_carries(other)
        self.assert_refused(OTHER_CA, "cert_untrusted")
        self.assertGreaterEqual(CLIENT.metric("remora_recheck_closed_total", direction="outbound", reason="cert_untrusted"), 1)

    def test_a_connection_does_not_outlive_its_server_s_certificate_and_the_grace(self):
        self.serve_named(start_s=SOON_PAST_S, life_s=6)
        application = self.connect()
        self.assert_carries(application)
        began = time.monotonic()
        self.assert_reset(application, 40)
        self.assertGreater(time.monotonic() - began, GRACE_S)
        self.assert_logged(application, "cert_expired", ".*while connected")

    def test_a_rule_that_is_added_counts_from_then_on(self):
        with self.recorded(OUTSIDE, CLEAR):
            application = self.connect(CLEAR)
            application.sendall(b"in clear")
            self.assertEqual(application.recv(12), b"Hello World\n")
        rules = destinations()
        self.addCleanup(change_ports, rules)
        change_ports({**rules, "added": {**rules["by name"], "match": {"cidr": f"{OUTSIDE.pod.ipv4}/32", "port": CLEAR}}})
        server = self.serve_named(CLEAR)
        application = self.connect(CLEAR)
        self.assert_carries(application)
        self.assertEqual(self.names_of(server.seen()["cert"]), [CLIENT.identity])
        self.finish(application)

    def test_an_agent_whose_first_identity_shows_that_its_files_are_wrong_is_not_ready(self):
        chain, key = PRIVATE.issue(["DNS:client.example.test"], extensions=WEB_CLIENT)
        rules = destinations()
        replace_file(path("pair.pem"), chain)
        replace_file(path("pair-key.pem"), new_key(), mode=0o600, uid=AGENT_UID)
        rule = {**rules["own files"], "cert": path("pair.pem"), "key": path("pair-key.pem")}
        replace_file(path("pair.yaml"), json.dumps({"destinations": [rule]}))
        SIDECAR.stop()
        SIDECAR.start(ready=False, ports_file=path("pair.yaml"))
        SIDECAR.wait_not_ready("the private key does not belong to the certificate")
        replace_file(path("pair-key.pem"), key, mode=0o600, uid=AGENT_UID)
        SIDECAR.wait_ready()

    def test_a_server_name_that_a_rule_does_not_want_any_more(self):
        self.serve_named()
        application = self.connect()
        self.assert_carries(application)
        rules = destinations()
        self.addCleanup(change_ports, rules)
        change_ports({**rules, "by name": {**rules["by name"], "server-name": "renamed.example.test"}})
        self.assert_reset(application, 20)
        self.assert_logged(application, "identity_mismatch")


class Istio(Case):
    """Workloads with an Envoy sidecar, as discovery describes them; Python's ssl plays the sidecar."""

    ALPN = ("istio-peer-exchange", "istio", "h2")

    def serve_old(self, identity=None, peer=None, alpn=ALPN, port=TARGET_PORT, authority=None, **options):
        certificate = (authority or MESH.authority).credentials([f"URI:{identity or (peer or OLD).identity}"], **options)
        return self.serve(port, certificate, peer or OLD, alpn=alpn)

    def dial(self, vip=OLD_VIP):
        return self.connect(PORT, vip)

    def test_an_endpoint_of_a_service(self):
        server = self.serve_old()
        application = self.dial()
        self.assert_carries(application)
        seen = server.seen()
        self.assertEqual((seen["alpn"], seen["version"], seen["first"]), ("istio", "TLSv1.3", FIRST_OF_TLS))
        self.assertEqual(self.names_of(seen["cert"]), [CLIENT.identity])
        line = self.finish(application)
        self.assertIn(f'src.identity="{CLIENT.identity}"', line)
        self.assertIn(f'dst.identity="{OLD.identity}"', line)
        self.assertIn(f'dst.addr="{OLD.pod.ipv4}:{TARGET_PORT}"', line)
        self.assertGreaterEqual(CLIENT.metric("istio_tcp_connections_opened_total", reporter="source",
                                              destination_workload="old", connection_security_policy="mutual_tls"), 1)

    def test_a_workload_s_own_address(self):
        server = self.serve_old(port=9999)
        application = self.connect(9999, OLD.pod.ipv4)
        self.assert_carries(application)
        self.assertEqual(server.seen()["alpn"], "istio")
        self.finish(application)

    def test_between_two_agents(self):
        app = self.enterContext(actors.Server(SIDECAR.pod.listen(), actors.echo))
        since = len(SIDECAR.process.log())
        application = self.connect(app.port, SIDECAR.pod.ipv4)
        self.assert_carries(application)
        self.assertIn(f'dst.identity="{SIDECAR.identity}"', self.finish(application))
        line = SIDECAR.access_log('direction="inbound" .* reason="done"', since)
        self.assertIn(f'src.identity="{CLIENT.identity}"', line)
        self.assertIn(f'dst.addr="{SIDECAR.pod.ipv4}:{app.port}"', line)
        self.assertEqual(CLIENT.metric("remora_tunnels_open", direction="outbound"), 0)

    def test_one_of_the_service_s_subject_alternative_names(self):
        self.serve_old(STRANGER)
        application = self.dial()
        self.assert_carries(application)
        self.assertIn(f'dst.identity="{STRANGER}"', self.finish(application))

    def test_somebody_else(self):
        self.serve_old(SECOND.identity)
        line = self.assert_refused(PORT, "identity_mismatch", address=OLD_VIP)
        self.assertIn(SECOND.identity, line)
        self.assertIn(OLD.identity, line)

    def test_somebody_else_at_one_endpoint_is_left_for_the_next(self):
        self.serve_old(STRANGER)
        server = self.serve_old(peer=OLD_SECOND)
        for _ in range(6):
            application = self.dial(OLD_PAIR_VIP)
            self.assert_carries(application)
            server.seen()
            self.finish(application)

    def test_a_certificate_that_has_ended(self):
        self.serve_old(start_s=-3600, life_s=-60)
        self.assert_refused(PORT, "cert_expired", address=OLD_VIP)

    def test_another_authority(self):
        self.serve_old(authority=PRIVATE)
        self.assert_refused(PORT, "cert_untrusted", address=OLD_VIP)

    def test_a_server_that_does_not_speak_istio_s(self):
        self.serve_old(alpn=())
        self.assert_refused(PORT, "tls_alpn", address=OLD_VIP)

    def test_it_is_never_dialled_in_clear(self):
        self.assert_unheard(OLD, TARGET_PORT, PORT, OLD_VIP)

    def test_it_does_not_outlive_the_peer_s_certificate_and_the_grace(self):
        self.serve_old(life_s=6)
        application = self.dial()
        self.assert_carries(application)
        began = time.monotonic()
        self.assert_reset(application, 40)
        self.assertGreater(time.monotonic() - began, GRACE_S)
        self.assert_logged(application, "cert_expired", ".*while connected")

    def test_it_does_not_outlive_the_trust_in_the_peer(self):
        self.serve_old()
        application = self.dial()
        self.assert_carries(application)
        self.addCleanup(change_identity, MESH.authority)
        change_identity(Authority(NODE.folder, "new"))
        self.assert_reset(application, 20)
        self.assert_logged(application, "cert_untrusted")


if __name__ == "__main__":
    require_root()
    unittest.main(verbosity=2)
