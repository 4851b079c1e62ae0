"""Attackers with certificates that are not what they say, or not for this: at tunnels, at applications' ports, and as servers."""

import fnmatch
import os
import sys
import unicodedata
import unittest
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import attack  # noqa: E402
import hbone  # noqa: E402
from attack import CLIENT_ID, DOOR_PORT, OTHER_DOOR_PORT, SECRET, Case, Row, World, add  # noqa: E402
from authority import CA, HOUR_S, LEAF, Authority  # noqa: E402
from der import patched  # noqa: E402
from pods import require_root  # noqa: E402

URI = f"URI:{CLIENT_ID}"
BASIC, USAGE, EXTENDED_USAGE = LEAF
WEB_CLIENT = (BASIC, USAGE, "extendedKeyUsage=clientAuth")
VICTIM_PORT = 8000
EVERYWHERE = "refused, as a caller and as a server"


def doors(world):
    global PRIVATE
    PRIVATE = world.other_authority("private")
    return ({"port": DOOR_PORT, "mode": "mtls"},
            {"port": OTHER_DOOR_PORT, "mode": "mtls", "client-ca": PRIVATE.root_file, "principal-from": ["uri", "dns", "email", "cn"]})


def setUpModule():
    Case.world = World(doors, callers=[f"dns:{WANTED}"])


def tearDownModule():
    Case.world.close()


def root():
    return Case.world.root


def below(name="intermediate", parent=None, **options):
    """A certificate authority below another one."""
    return Authority(Case.world.node.folder, name, parent or root(), **options)


def may_issue(*extensions):
    return {"extensions": ("basicConstraints=critical,CA:TRUE,pathlen:0", CA[1], *extensions)}


class Impersonation(Case):
    """How Remora answers a certificate, wherever it is shown."""

    def take_from_openssl(self, credentials, options, roots_file):
        """What a server of openssl's gives, which has the caller's checks that the options say."""
        world = self.world
        victim = self.start_openssl_server("-CAfile", roots_file, "-cipher", "DEFAULT@SECLEVEL=0", "-naccept", "1", "-rev",
                                           *options, port=VICTIM_PORT)
        context = attack.client_context(credentials, None, alpn=())
        with world.outsider.connect(world.bare.ipv4, VICTIM_PORT) as connection, context.wrap_socket(connection) as tls:
            tls.sendall(SECRET[::-1].strip() + b"\n")
            loot = tls.recv(1024)
        victim.stop()
        return loot

    def refuse_everywhere(self, credentials, reason, as_server=None):
        self.refuse_as_caller(credentials, reason)
        if credentials is not None:
            self.refuse_as_server(credentials, as_server or reason)

    def refuse_as_caller(self, credentials, reason):
        world = self.world
        context = attack.client_context(credentials, world.root.root_file)
        tunnelled, door = self.serve(world.server.pod), self.serve(world.server.pod, DOOR_PORT)
        with self.refused(world.server, reason):
            self.assertNotIn(SECRET, self.take_tunnel(world.outsider, world.server.pod.ipv4, context))
        context = attack.client_context(credentials, world.root.root_file, alpn=())
        with self.refused(world.server, reason):
            self.assertEqual(self.take_tls(world.outsider, world.server.pod.ipv4, context, DOOR_PORT), b"")
        istio = attack.client_context(credentials, world.root.root_file, alpn=("istio",))
        with self.refused(world.server, reason):
            self.assertEqual(self.take_tls(world.outsider, world.server.pod.ipv4, istio), b"")
        self.assertEqual((tunnelled.num_accepted, door.num_accepted), (0, 0))

    def refuse_as_server(self, credentials, reason):
        """He has another workload's address, and answers there with this certificate: as a tunnel's end, and as a sidecar of Istio's."""
        world = self.world
        context = hbone.server_context(credentials, world.root.root_file)
        istio = hbone.server_context(credentials, world.root.root_file, alpn=("istio",))
        self.serve_tls(world.legacy.pod, istio)
        with self.refused(world.client, reason, text=world.legacy.pod.ipv4):
            self.assertEqual(self.take(world.client.pod, world.legacy.pod.ipv4), b"")
        with hbone.Server(world.mallory.pod, context) as server, self.refused(world.client, reason, text=world.mallory.pod.ipv4):
            with world.client.pod.connect(world.mallory.pod.ipv4, 8000) as caller:
                try:
                    server.accept_tls().recv(1)
                except OSError:
                    pass
                self.assertEqual(attack.ask(caller), b"")


# ------------------------------------------------------------------------------------------------------------------ chains

IGNORES = ("-verify", "9")  # asks for a certificate, notes what is wrong with it, and goes on
OF_ANY_USE = ("-Verify", "9", "-verify_return_error", "-purpose", "any")
OF_ANY_TIME = ("-Verify", "9", "-verify_return_error", "-no_check_time")
ANSWERS = "a server that {} answers"
LENIENT = ANSWERS.format("asks for a certificate and ignores what is wrong with it")

# What the attacker has, the victim that is content with it, in words and as openssl s_server's options, and the reason.
CHAINS = (
    ("no certificate", ANSWERS.format("only asks for one"), IGNORES, lambda: None, "tls_no_client_cert"),
    ("a certificate of another CA", LENIENT, IGNORES, lambda: Case.world.other_authority().credentials([URI]), "cert_untrusted"),
    ("a certificate of a CA that has our CA's name", LENIENT, IGNORES,
     lambda: Case.world.other_authority("root").credentials([URI]), "cert_untrusted"),
    ("a certificate that he has signed himself", LENIENT, IGNORES, lambda: root().credentials([URI], self_signed=True),
     "cert_untrusted"),
    ("a certificate that a leaf of our CA has signed", LENIENT, IGNORES,
     lambda: below("leaf", extensions=LEAF).credentials([URI]), "cert_untrusted"),
    ("a CA's certificate as his own", ANSWERS.format("takes certificates of any use"), OF_ANY_USE,
     lambda: root().credentials([URI], extensions=(CA[0], "keyUsage=critical,digitalSignature,keyCertSign")), "cert_is_ca"),
    ("a code-signing certificate", ANSWERS.format("takes certificates of any use"), OF_ANY_USE,
     lambda: root().credentials([URI], extensions=(BASIC, USAGE, "extendedKeyUsage=codeSigning")), "cert_key_usage"),
    ("an intermediate CA whose name constraints exclude us", LENIENT, IGNORES,
     lambda: below(**may_issue("nameConstraints=critical,permitted;URI:elsewhere.example")).credentials([URI]), "cert_untrusted"),
    ("a CA below one that may have none below it", LENIENT, IGNORES,
     lambda: below("second", below(**may_issue())).credentials([URI]), "cert_untrusted"),
    ("an intermediate CA that has expired", ANSWERS.format("does not look at the time"), OF_ANY_TIME,
     lambda: below(start_s=-2 * HOUR_S, life_s=-HOUR_S).credentials([URI]), "cert_expired"),
    ("a certificate that has expired", ANSWERS.format("does not look at the time"), OF_ANY_TIME,
     lambda: root().credentials([URI], start_s=-2 * HOUR_S, life_s=-HOUR_S), "cert_expired"),
    ("a certificate with a 1024-bit RSA key", ANSWERS.format("takes any strength"), IGNORES,
     lambda: root().credentials([URI], key="RSA-1024"), "cert_weak"),
)


class Chains(Impersonation):
    """Who has signed it, for what, and until when."""

    title = "Certificates that are not for this"

    def run_chain(self, make, options, reason):
        credentials = make()
        self.assert_taken(self.take_from_openssl(credentials, options, root().root_file), SECRET.strip())
        self.refuse_everywhere(credentials, reason)


add(Chains, ((Row(what, without, "refused" if reason == "tls_no_client_cert" else EVERYWHERE, (reason,)),
              make, options, reason) for what, without, options, make, reason in CHAINS), Chains.run_chain)


# ------------------------------------------------------------------------------------------------------------------- names

def any_name(tls):
    """The names in the caller's certificate, of every kind."""
    certificate = tls.getpeercert()
    return [value for kind, value in certificate.get("subjectAltName", ())]


def common_name(tls):
    return [value for part in tls.getpeercert()["subject"] for kind, value in part if kind == "commonName"]


def rebuilt(name):
    """Of a parser that sees scheme, host and path only."""
    parts = urllib.parse.urlsplit(name)
    return f"{parts.scheme}://{parts.hostname}{parts.path}"


def matches(normal, names=any_name):
    return lambda tls: any(normal(name) == CLIENT_ID for name in names(tls))


def utf8(name):
    return {"names": [name.encode()]}


# What is in the certificate, how a victim compares that takes it for the client's, and the reason. As a server, what is a valid
# identity, but another one, is not whom discovery expects.
MISMATCH = {"not_allowed": "identity_mismatch"}
NAMES = (
    ("another service's valid certificate", "asks for nothing but our CA's certificate", lambda tls: True,
     {"names": ["URI:spiffe://cluster.local/ns/demo/sa/mallory-too"]}, "not_allowed"),
    ("our CA's certificate for another trust domain", "looks at the path only",
     matches(lambda name: CLIENT_ID if name.endswith("/ns/demo/sa/client") else ""),
     {"names": ["URI:spiffe://elsewhere/ns/demo/sa/client"]}, "cert_wrong_trust_domain"),
    ("a NUL after the expected name", "compares C strings", matches(lambda name: name.split("\0")[0]), utf8(CLIENT_ID + "\0.evil"),
     "cert_bad_spiffe_id"),
    ("capitals in the trust domain", "ignores case", matches(str.lower),
     {"names": ["URI:spiffe://Cluster.LOCAL/ns/demo/sa/client"]},
     "cert_bad_spiffe_id"),
    ("capitals in the path", "ignores case", matches(str.lower), {"names": ["URI:spiffe://cluster.local/ns/demo/sa/Client"]},
     "not_allowed"),
    ("percent-encoded letters", "decodes before it compares", matches(urllib.parse.unquote),
     {"names": ["URI:spiffe://cluster.local/ns/demo/sa/%63lient"]}, "cert_bad_spiffe_id"),
    ("a slash at the end", "takes it away", matches(lambda name: name.rstrip("/")), {"names": [f"{URI}/"]}, "cert_bad_spiffe_id"),
    ("a dot after the trust domain", "takes it for a root domain's", matches(lambda name: name.replace("./", "/")),
     {"names": ["URI:spiffe://cluster.local./ns/demo/sa/client"]}, "cert_wrong_trust_domain"),
    ("a dot at the end", "takes it away", matches(lambda name: name.rstrip(".")), {"names": [f"{URI}."]}, "not_allowed"),
    ("dot segments", "walks them", matches(lambda name: name.replace("/x/..", "")),
     {"names": ["URI:spiffe://cluster.local/ns/x/../demo/sa/client"]}, "cert_bad_spiffe_id"),
    ("a port, a query and a fragment", "leaves them out", matches(rebuilt),
     {"names": [f"URI:{CLIENT_ID.replace('.local', '.local:1')}?x#y"]}, "cert_bad_spiffe_id"),
    ("two URIs, of which one is expected", "takes any of them", matches(str),
     {"names": ["URI:spiffe://cluster.local/ns/demo/sa/mallory", URI]}, "cert_two_uri_sans"),
    ("a wildcard", "expands it", matches(lambda name: CLIENT_ID if fnmatch.fnmatchcase(CLIENT_ID, name) else ""),
     {"names": ["URI:spiffe://cluster.local/ns/demo/sa/*"]}, "cert_bad_spiffe_id"),
    ("letters that only look the same (IDN)", "maps them as IDNA does", matches(lambda name: unicodedata.normalize("NFKC", name)),
     utf8(CLIENT_ID.replace("cluster", "\uff43luster")), "cert_bad_spiffe_id"),
    ("an overlong name that begins with the expected one", "compares what fits into its buffer",
     matches(lambda name: name[:len(CLIENT_ID)]), utf8(CLIENT_ID + "/" + "a" * 3000), "cert_bad_spiffe_id"),
    ("the expected URI in the common name", "reads the subject", matches(str, common_name),
     {"names": [], "subject": "/CN=" + CLIENT_ID.replace("/", "\\/")}, "cert_no_spiffe_id"),
    ("the expected URI as a DNS name", "does not look at the kind of a name", matches(str), {"names": [f"DNS:{CLIENT_ID}"]},
     "cert_no_spiffe_id"),
)


class Names(Impersonation):
    """The right CA, and a name that somebody could take for the client's."""

    title = "Names that resemble another one"

    def run_name(self, accepts, options, reason):
        world = self.world
        credentials = world.root.credentials(**options)
        context = hbone.server_context(world.credentials(world.server.identity), world.root.root_file, alpn=())
        self.serve_tls(world.bare, context, accepts=accepts)
        self.assert_taken(self.take_tls(world.outsider, world.bare.ipv4, attack.client_context(credentials, None, alpn=())))
        if reason in MISMATCH:
            self.refuse_as_caller(credentials, reason)
            self.refuse_as_server(credentials, MISMATCH[reason])
        else:
            self.refuse_everywhere(credentials, reason)


add(Names, ((Row(what, f"a server that {without} answers", EVERYWHERE,
                 (reason, MISMATCH[reason]) if reason in MISMATCH else (reason,)), accepts, options, reason)
            for what, without, accepts, options, reason in NAMES), Names.run_name)


# ------------------------------------------------------------------------------------------- names of a CA that is not the mesh's

def in_dns(*names):
    return {"names": [f"DNS:{name}" for name in names], "subject": "/O=test"}


def in_common_name(*texts):
    return {"names": [], "subject": "".join("/CN=" + text.replace("/", "\\/") for text in texts)}


# What is in a certificate of the CA that the door trusts, what replaces a placeholder in it, how the victim compares, the reason.
WANTED = "teller.example"
DOOR_NAMES = (
    ("a NUL in the common name", in_common_name("teller.example_.evil"), (b"example_.", b"example\0."), "compares C strings",
     lambda name: name.split("\0")[0], common_name, "cert_bad_principal"),
    ("a NUL in a DNS name", in_dns("teller.example_.evil"), (b"example_.", b"example\0."), "compares C strings",
     lambda name: name.split("\0")[0], any_name, "cert_bad_principal"),
    ("a wildcard as a DNS name", in_dns("*.example"), None, "expands it",
     lambda name: WANTED if fnmatch.fnmatchcase(WANTED, name) else "", any_name, "cert_bad_principal"),
    ("two DNS names, of which one is expected", in_dns("mallory.example", WANTED), None, "takes any of them", str, any_name,
     "cert_bad_principal"),
    ("a dot after a DNS name", in_dns(f"{WANTED}."), None, "takes it away", lambda name: name.rstrip("."), any_name,
     "cert_bad_principal"),
    ("an invisible letter in the common name", in_common_name("teller_.example"), (b"teller_.", "teller\u200b.".encode()),
     "does not see it", lambda name: name.replace("\u200b", ""), common_name, "cert_bad_principal"),
    ("a NUL in an e-mail address", {"names": [f"email:jo@{WANTED}_.evil"], "subject": "/O=test"}, (b"example_.", b"example\0."),
     "compares C strings", lambda name: name.split("\0")[0].partition("@")[2], any_name, "cert_bad_principal"),
    ("an overlong DNS name that begins with the expected one", in_dns(f"{WANTED}.{'a' * 300}"), None,
     "compares what fits into its buffer", lambda name: name[:len(WANTED)], any_name, "cert_bad_principal"),
    ("two common names, of which one is expected", in_common_name("mallory", WANTED), None, "takes any of them", str, common_name,
     "cert_bad_principal"),
    ("letters that only look the same in the common name (IDN)", in_common_name("_eller.example"),
     (b"_eller.", "\uff54eller.".encode()), "maps them as IDNA does", lambda name: unicodedata.normalize("NFKC", name), common_name,
     "not_allowed"),
    ("the expected DNS name in the common name", in_common_name(WANTED), None, "does not look at the kind of a name", str, common_name,
     "not_allowed"),
    ("the expected DNS name as an e-mail address's", {"names": [f"email:jo@{WANTED}"], "subject": "/O=test"}, None,
     "looks at the domain only", lambda name: name.partition("@")[2], any_name, "not_allowed"),
    ("a workload's identity, by the port's CA", {"names": [URI], "subject": "/O=test"}, None, "lets each CA name everybody",
     lambda name: WANTED if name == CLIENT_ID else "", any_name, "cert_wrong_trust_domain"),
    ("a workload's identity in the common name", in_common_name(CLIENT_ID.removeprefix("spiffe://")), None,
     "knows one kind of names only", lambda name: WANTED if f"spiffe://{name}" == CLIENT_ID else "", common_name,
     "cert_bad_principal"),
    ("a workload's identity as a DNS name's text", in_dns(CLIENT_ID.removeprefix("spiffe://")), None,
     "knows one kind of names only", lambda name: WANTED if f"spiffe://{name}" == CLIENT_ID else "", any_name,
     "cert_bad_principal"),
)


class DoorNames(Case):
    """At a port that takes certificates of a private CA, and names that are not SPIFFE IDs."""

    title = "Names, at a port with a CA of its own"

    def credentials(self, options, change):
        made = PRIVATE.credentials(extensions=WEB_CLIENT, **options)
        if change is not None:
            with open(made.chain_file, encoding="ascii") as file:
                pem = file.read()
            with open(made.chain_file, "w", encoding="ascii") as file:
                file.write(patched(pem, *change, PRIVATE.key_file))
        return made

    def run_door(self, options, change, normal, names, reason):
        world = self.world
        context = hbone.server_context(world.credentials(world.server.identity), PRIVATE.root_file, alpn=())
        self.serve_tls(world.bare, context, accepts=lambda tls: any(normal(name) == WANTED for name in names(tls)))
        attacker = attack.client_context(self.credentials(options, change), None, alpn=())
        self.assert_taken(self.take_tls(world.outsider, world.bare.ipv4, attacker))
        application = self.serve(world.server.pod, OTHER_DOOR_PORT)
        with self.refused(world.server, reason):
            self.assertEqual(self.take_tls(world.outsider, world.server.pod.ipv4, attacker, OTHER_DOOR_PORT), b"")
        self.assertEqual(application.num_accepted, 0)


    def test_the_right_certificates_are_let_in(self):
        """So that what is refused is refused for what is wrong with it."""
        world = self.world
        self.serve(world.server.pod)
        self.serve(world.server.pod, DOOR_PORT)
        for authority in (root(), below(**may_issue())):
            credentials = authority.credentials([URI])
            tunnel = attack.client_context(credentials, world.root.root_file)
            self.assertEqual(self.take_tunnel(world.outsider, world.server.pod.ipv4, tunnel), SECRET)
            door = attack.client_context(credentials, world.root.root_file, alpn=())
            self.assertEqual(self.take_tls(world.outsider, world.server.pod.ipv4, door, DOOR_PORT), SECRET)
            istio = attack.client_context(credentials, world.root.root_file, alpn=("istio",))
            self.assertEqual(self.take_tls(world.outsider, world.server.pod.ipv4, istio), SECRET)


add(DoorNames, ((Row(what, f"a server that {without} answers", "refused", (reason,)), options, change, normal, names, reason)
                for what, options, change, without, normal, names, reason in DOOR_NAMES), DoorNames.run_door)


# ------------------------------------------------------------------------------------------ chains of a CA that is not the mesh's

ANY_DEPTH = ("-Verify", "9", "-verify_return_error")
TELLER = "DNS:" + WANTED


def permitting(name):
    return below(parent=PRIVATE, **may_issue(f"nameConstraints=critical,permitted;DNS:{name}"))


DOOR_CHAINS = (
    ("the mesh's certificate where another CA's is asked for", LENIENT, IGNORES,
     lambda: root().credentials([TELLER], extensions=WEB_CLIENT), "cert_untrusted"),
    ("a server's certificate as a client's", ANSWERS.format("takes certificates of any use"), OF_ANY_USE,
     lambda: PRIVATE.credentials([TELLER], extensions=(BASIC, USAGE, "extendedKeyUsage=serverAuth")), "cert_key_usage"),
    ("a CA's certificate as his own, there", ANSWERS.format("takes certificates of any use"), OF_ANY_USE,
     lambda: PRIVATE.credentials([TELLER], extensions=(CA[0], "keyUsage=critical,digitalSignature,keyCertSign")), "cert_is_ca"),
    ("more intermediate CAs than verify-depth says", ANSWERS.format("has no such limit"), ANY_DEPTH,
     lambda: below("second", below(parent=PRIVATE)).credentials([TELLER], extensions=WEB_CLIENT), "cert_too_deep"),
    ("an intermediate CA that may name others only", LENIENT, IGNORES,
     lambda: permitting("mallory.example").credentials([TELLER], extensions=WEB_CLIENT), "cert_untrusted"),
)


class DoorChains(Impersonation):

    title = "Certificates that are not for this, at a port with a CA of its own"

    def take_at_door(self, credentials):
        context = attack.client_context(credentials, None, alpn=())
        return self.take_tls(self.world.outsider, self.world.server.pod.ipv4, context, OTHER_DOOR_PORT)

    def run_chain(self, make, options, reason):
        credentials = make()
        self.assert_taken(self.take_from_openssl(credentials, options, PRIVATE.root_file), SECRET.strip())
        application = self.serve(self.world.server.pod, OTHER_DOOR_PORT)
        with self.refused(self.world.server, reason):
            self.assertEqual(self.take_at_door(credentials), b"")
        self.assertEqual(application.num_accepted, 0)

    def test_the_right_certificates_are_let_in(self):
        self.serve(self.world.server.pod, OTHER_DOOR_PORT)
        for authority in (PRIVATE, below(parent=PRIVATE), permitting("example")):
            self.assertEqual(self.take_at_door(authority.credentials([TELLER], extensions=WEB_CLIENT)), SECRET)


add(DoorChains, ((Row(what, without, "refused", (reason,)), make, options, reason)
                 for what, without, options, make, reason in DOOR_CHAINS), DoorChains.run_chain)


if __name__ == "__main__":
    require_root()
    unittest.main(verbosity=2)
