"""Whoever stands in the place of a server to which the agent speaks mutual TLS by itself: the ports-file's destinations."""

import contextlib
import os
import ssl
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import attack  # noqa: E402, first: it knows where the others are
import actors  # noqa: E402
import hbone  # noqa: E402
from attack import APP_PORT, REQUEST, SECRET, Case, Row, World, add  # noqa: E402
from authority import HOUR_S, LEAF  # noqa: E402
from der import without_key  # noqa: E402
from onpath import OnPath, Relay  # noqa: E402
from pods import require_root  # noqa: E402

NAMED_PORT, SPIFFE_PORT, POSTGRESQL_PORT = 5432, 5433, 5434
NAME = "db.example"
DATABASE = "spiffe://cluster.local/ns/demo/sa/database"
LIE = b"the balance is 9999\n"
PASSWORD = b"hunter2"
SSL_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x2f"  # PostgreSQL's
GIVE_PASSWORD = b"R\0\0\0\x08\0\0\0\x03"
BASIC, USAGE, _ = LEAF
WEB_SERVER = (BASIC, USAGE, "extendedKeyUsage=serverAuth")
WEB_CLIENT = (BASIC, USAGE, "extendedKeyUsage=clientAuth")
TLS12 = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)
TLS13 = (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3)


def destinations(world):
    global PRIVATE
    PRIVATE = world.other_authority("private")
    cidr = f"{world.bare.ipv4}/32"
    return ({"match": {"cidr": cidr, "port": NAMED_PORT}, "server-name": NAME, "ca": PRIVATE.root_file},
            {"match": {"cidr": cidr, "port": SPIFFE_PORT}, "spiffe-ids": [DATABASE]},
            {"match": {"cidr": cidr, "port": POSTGRESQL_PORT}, "server-name": NAME, "ca": PRIVATE.root_file, "starttls": "postgresql"})


def setUpModule():
    Case.world = World(destinations=destinations)


def tearDownModule():
    Case.world.close()


def named(*names, authority=None, **options):
    return (authority or PRIVATE).credentials([f"DNS:{name}" for name in names], **{"extensions": WEB_SERVER, **options})


def identified(identity, authority=None, **options):
    return Case.world.credentials(identity, authority, **options)


def trusts_anybody(context):
    context.verify_mode = ssl.CERT_NONE


def trusts_the_ca(_context):
    pass


def expired_is_fine(context):
    context.verify_flags |= 0x200000  # X509_V_FLAG_NO_CHECK_TIME


class InBetween(Case):
    """He has every packet for the server, and ends TLS in its place."""

    title = "In the place of a server outside of the mesh (`destinations`)"

    def setUp(self):
        super().setUp()
        self.heard = b""

    def between(self, caller, port, behave):
        return OnPath(self.world.mallory.pod, caller, self.world.bare.ipv4, port, behave)

    def ending_tls(self, credentials, versions=TLS13):
        """A behave() that answers by TLS with these; `heard` is what it is told."""
        context = hbone.server_context(credentials, None, (), versions)
        context.verify_mode = ssl.CERT_NONE

        def answer(connection):
            with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as tls:
                self.heard += tls.recv(actors.CHUNK)
                tls.sendall(LIE)

        return answer

    def believe(self, behave, roots, checks, versions=TLS13):
        """What a caller without Remora is told, which makes the checks that checks(context) leaves."""
        context = hbone.client_context(None, roots, (), versions)
        checks(context)
        with self.between(self.world.outsider, NAMED_PORT, behave):
            return self.take_tls(self.world.outsider, self.world.bare.ipv4, context, NAMED_PORT)

    def refuse(self, port, behave, reason):
        world = self.world
        self.heard = b""
        with self.between(world.client.pod, port, behave), self.refused(world.client, reason, text=f"{world.bare.ipv4}:{port}"):
            self.assertEqual(self.take(world.client.pod, world.bare.ipv4, port), b"")
        self.assertEqual(self.heard, b"")

    def run_certificate(self, port, make, checks, reason):
        credentials = make()
        roots = PRIVATE.root_file if port == NAMED_PORT else self.world.root.root_file
        self.assert_taken(self.believe(self.ending_tls(credentials), roots, checks), LIE)
        self.refuse(port, self.ending_tls(credentials), reason)

    def test_the_right_servers_are_told(self):
        """So that what is refused is refused for what is wrong with it."""
        for port, credentials in ((NAMED_PORT, named(NAME)), (SPIFFE_PORT, identified(DATABASE))):
            with self.between(self.world.client.pod, port, self.ending_tls(credentials)):
                self.assertEqual(self.take(self.world.client.pod, self.world.bare.ipv4, port), LIE)
            self.assertEqual(self.heard, REQUEST)
            self.heard = b""

    @attack.attack("reads what the application says to the server in clear", "reads request and answer",
                   "sees TLS 1.3; the connection works", ())
    def test_reading(self):
        world = self.world
        self.serve(world.bare)
        relay = Relay(world.mallory.pod, world.bare.ipv4, APP_PORT)
        with self.between(world.outsider, APP_PORT, relay):
            self.assertEqual(self.take(world.outsider, world.bare.ipv4), SECRET)
        self.assert_taken(relay.sent + relay.answered)
        self.serve_tls(world.bare, hbone.server_context(named(NAME), world.root.root_file, alpn=()), NAMED_PORT)
        relay = Relay(world.mallory.pod, world.bare.ipv4, NAMED_PORT)
        with self.between(world.client.pod, NAMED_PORT, relay):
            self.assertEqual(self.take(world.client.pod, world.bare.ipv4, NAMED_PORT), SECRET)
        self.assertGreater(len(relay.answered), len(SECRET))
        self.assertNotIn(b"balance", relay.sent + relay.answered)

    @attack.attack("answers in clear, as a server without TLS does", "a caller that does without it when it has to tells him",
                   "nothing is said to him", ("tls_failed",))
    def test_stripping(self):
        def in_clear(connection):
            first = connection.recv(actors.CHUNK)
            self.heard += first if b"balance" in first else b""
            connection.sendall(LIE)

        with self.between(self.world.outsider, NAMED_PORT, in_clear):
            self.assert_taken(self.take(self.world.outsider, self.world.bare.ipv4, NAMED_PORT), LIE)
        self.refuse(NAMED_PORT, in_clear, "tls_failed")

    def log_in(self, pod, sslmode):
        pod.run(["psql", "-c", "select 1", f"host={self.world.bare.ipv4} port={POSTGRESQL_PORT} user=app password={PASSWORD.decode()} "
                 f"dbname=app sslmode={sslmode} connect_timeout=10"], check=False)

    @attack.attack("says no when a PostgreSQL's client asks for TLS", "`psql` (`sslmode=prefer`, its default) tells him the password",
                   "the agent hangs up", ("tls_failed",))
    def test_stripping_a_postgresql(self):
        def says_no(connection):
            first = connection.recv(actors.CHUNK)
            if first == SSL_REQUEST:
                connection.sendall(b"N")
                first = connection.recv(actors.CHUNK)
            self.heard += first
            with contextlib.suppress(OSError):
                connection.sendall(GIVE_PASSWORD)
                self.heard += connection.recv(actors.CHUNK)

        world = self.world
        with self.between(world.outsider, POSTGRESQL_PORT, says_no):
            self.log_in(world.outsider, "prefer")
            self.assert_taken(self.heard, PASSWORD)
        self.heard = b""
        with self.between(world.client.pod, POSTGRESQL_PORT, says_no), \
                self.refused(world.client, "tls_failed", text=f"{world.bare.ipv4}:{POSTGRESQL_PORT}"):
            self.log_in(world.client.pod, "disable")
        self.assertEqual(self.heard, b"")

    @attack.attack("has TLS 1.2 only, with the right certificate", "a caller that takes it tells him",
                   "the agent hangs up", ("tls_version",))
    def test_tls_1_2(self):
        right = named(NAME)
        self.assert_taken(self.believe(self.ending_tls(right, TLS12), PRIVATE.root_file, trusts_the_ca, TLS12), LIE)
        self.refuse(NAMED_PORT, self.ending_tls(right, TLS12), "tls_version")

    @attack.attack("has stolen the server's certificate, but not the key", "a caller in clear believes anybody",
                   "the agent hangs up: the signature is wrong", ("tls_failed",))
    def test_a_stolen_certificate(self):
        def in_clear(connection):
            connection.recv(actors.CHUNK)
            connection.sendall(LIE)

        with self.between(self.world.outsider, NAMED_PORT, in_clear):
            self.assert_taken(self.take(self.world.outsider, self.world.bare.ipv4, NAMED_PORT), LIE)
        self.refuse(NAMED_PORT, self.ending_tls(without_key(named(NAME))), "tls_failed")


DOES_NOT_VERIFY = ("a caller that does not verify (`curl -k`) believes him", trusts_anybody)
CA_ONLY = ("a caller that verifies the CA only believes him", trusts_the_ca)

# What the attacker has, where; who is content with it; the reason.
CERTIFICATES = (
    ("the server's name in a certificate of another CA", NAMED_PORT,
     lambda: named(NAME, authority=Case.world.other_authority()), DOES_NOT_VERIFY, "cert_untrusted"),
    ("the server's name in a certificate of a CA that has the right CA's name", NAMED_PORT,
     lambda: named(NAME, authority=Case.world.other_authority("private")), DOES_NOT_VERIFY, "cert_untrusted"),
    ("the server's name in a certificate of the mesh's CA", NAMED_PORT, lambda: named(NAME, authority=Case.world.root),
     DOES_NOT_VERIFY, "cert_untrusted"),
    ("the right CA's certificate for another name", NAMED_PORT, lambda: named("mallory.example"), CA_ONLY, "identity_mismatch"),
    ("the right CA's certificate for a wildcard that covers more than one label", NAMED_PORT, lambda: named("*"), CA_ONLY,
     "identity_mismatch"),
    ("the right CA's certificate with the server's name as its common name", NAMED_PORT,
     lambda: PRIVATE.credentials(["DNS:mallory.example"], extensions=WEB_SERVER, subject=f"/CN={NAME}"), CA_ONLY,
     "identity_mismatch"),
    ("the right CA's certificate for a client of that name", NAMED_PORT, lambda: named(NAME, extensions=WEB_CLIENT),
     DOES_NOT_VERIFY, "cert_key_usage"),
    ("the server's certificate of yesterday", NAMED_PORT, lambda: named(NAME, start_s=-2 * HOUR_S, life_s=-HOUR_S),
     ("a caller that does not look at the time believes him", expired_is_fine), "cert_expired"),
    ("the valid certificate of another workload, where a SPIFFE ID is expected", SPIFFE_PORT,
     lambda: identified(Case.world.mallory.identity), CA_ONLY, "identity_mismatch"),
    ("the expected SPIFFE ID in a certificate of another CA", SPIFFE_PORT, lambda: identified(DATABASE, PRIVATE), DOES_NOT_VERIFY,
     "cert_untrusted"),
    ("the expected SPIFFE ID in another trust domain", SPIFFE_PORT,
     lambda: identified(DATABASE.replace("cluster.local", "elsewhere")), CA_ONLY, "cert_wrong_trust_domain"),
)
add(InBetween, ((Row(what, without, "the agent hangs up", (reason,)), port, make, checks, reason)
                for what, port, make, (without, checks), reason in CERTIFICATES), InBetween.run_certificate)


if __name__ == "__main__":
    require_root()
    unittest.main(verbosity=2)
