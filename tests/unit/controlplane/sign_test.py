"""remora-controlplane sign: requests and CAs are openssl's, as tutorials make them, and openssl judges what comes out."""

import os
import re
import stat
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "attacks"))

from der import content, elements, encode, to_pem  # noqa: E402

PROGRAM = os.environ["REMORA_CONTROLPLANE"]

DONE, FAILED, USAGE, BAD_REQUEST, NOT_READ, NOT_WRITTEN, NOT_ALLOWED = 0, 1, 64, 65, 66, 73, 77


def openssl(*arguments, text=None):
    result = subprocess.run(["openssl", *arguments], input=text, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise AssertionError(f"openssl {' '.join(arguments)}: {result.stderr}")
    return result.stdout


def replace_file(path, content, mode=0o600):
    with open(path, "w", encoding="ascii") as file:
        file.write(content)
    os.chmod(path, mode)


class SignTest(unittest.TestCase):
    """A CA made with openssl as in the tutorials: RSA 4096, self-signed, in two files."""

    @classmethod
    def setUpClass(cls):
        cls._folder = tempfile.TemporaryDirectory(prefix="remora-sign-")
        cls.addClassCleanup(cls._folder.cleanup)
        cls.ca_key = os.path.join(cls._folder.name, "ca.key")
        cls.ca_cert = os.path.join(cls._folder.name, "ca.crt")
        openssl("req", "-x509", "-newkey", "rsa:4096", "-nodes", "-days", "30", "-subj", "/O=Shop/CN=Private CA",
                "-keyout", cls.ca_key, "-out", cls.ca_cert)
        cls.key = os.path.join(cls._folder.name, "any.key")
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", cls.key)

    def setUp(self):
        self.folder = self.enterContext(tempfile.TemporaryDirectory(prefix="remora-sign-"))

    def path(self, name):
        return os.path.join(self.folder, name)

    def request(self, subject="/CN=client", names=None, key=None, extra=()):
        arguments = ["req", "-new", "-key", key or self.key, "-subj", subject]
        if names is not None:
            arguments += ["-addext", f"subjectAltName={names}"]
        for extension in extra:
            arguments += ["-addext", extension]
        return openssl(*arguments)

    def sign(self, csr, *options, code=DONE, ca=None):
        ca = ca if ca is not None else ["--ca-cert", self.ca_cert, "--ca-key", self.ca_key]
        result = subprocess.run([PROGRAM, "sign", *ca, *options], input=csr, capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual(result.returncode, code, result.stderr)
        if code != DONE:
            self.assertEqual(result.stdout, "")
            self.assertNotIn("signed, for", result.stderr)
        self.words = result.stderr
        return result.stdout

    def show(self, cert, *what):
        return openssl("x509", "-noout", *what, text=cert)

    def verify(self, cert, purpose, *chain):
        replace_file(self.path("cert.pem"), cert)
        return openssl("verify", "-purpose", purpose, "-CAfile", self.ca_cert, *chain, self.path("cert.pem"))

    # ------------------------------------------------------------------------------------ what is signed

    def test_a_client_of_the_tutorials_gets_its_common_name_and_nothing_else(self):
        cert = self.sign(self.request("/C=DE/O=Shop/CN=client"), "--allow-cn", "client")
        self.verify(cert, "sslclient")
        self.assertEqual(self.show(cert, "-subject"), "subject=CN = client\n")
        text = self.show(cert, "-text")
        self.assertIn("TLS Web Client Authentication", text)
        self.assertNotIn("TLS Web Server Authentication", text)
        self.assertIn("CA:FALSE", text)
        self.assertNotIn("Subject Alternative Name", text)
        self.assertIn("signed, for client", self.words)
        self.assertRegex(self.words, r"left out +what else is in .*O=Shop")

    def test_a_server_whose_request_has_a_common_name_alone_gets_it_as_dns_name(self):
        cert = self.sign(self.request("/CN=MTLS.local"), "--allow-dns", "mtls.local", "--usage", "server")
        self.verify(cert, "sslserver", "-verify_hostname", "mtls.local")
        self.assertIn("DNS:mtls.local\n", self.show(cert, "-ext", "subjectAltName"))
        self.assertIn("TLS Web Server Authentication\n", self.show(cert, "-ext", "extendedKeyUsage"))

    def test_all_kinds_of_names_that_are_allowed_are_certified(self):
        names = "DNS:a.mtls.local,IP:10.0.0.1,IP:fd00::1,email:Jo@shop.example,URI:spiffe://example.org/ns/shop/sa/db"
        cert = self.sign(self.request("/", names), "--allow-dns", "*.mtls.local", "--allow-ip", "fd00::1,10.0.0.1", "--allow-email",
                         "*@shop.example", "--allow-uri", "spiffe://example.org/ns/shop/sa/*", "--usage", "both")
        shown = self.show(cert, "-ext", "subjectAltName")
        self.assertIn("critical", shown)  # for the subject is empty
        for name in ("DNS:a.mtls.local", "IP Address:10.0.0.1", "IP Address:FD00:0:0:0:0:0:0:1", "email:Jo@shop.example",
                     "URI:spiffe://example.org/ns/shop/sa/db"):
            self.assertIn(name, shown)
        for name in ("a.mtls.local", "10.0.0.1", "fd00::1", "Jo@shop.example", "spiffe://example.org/ns/shop/sa/db"):
            self.assertIn(name, self.words)
        self.verify(cert, "sslclient")
        self.verify(cert, "sslserver")

    def test_beside_a_subject_the_names_are_not_critical(self):
        cert = self.sign(self.request("/CN=mtls.local", "DNS:mtls.local"), "--allow-dns", "mtls.local")
        self.assertNotIn("critical", self.show(cert, "-ext", "subjectAltName"))
        self.assertEqual(self.show(cert, "-subject"), "subject=CN = mtls.local\n")

    def test_the_subject_is_kept_whole_only_when_the_operator_says_so(self):
        cert = self.sign(self.request("/O=Shop/CN=client"), "--keep-subject", "--allow-cn", "client")
        self.assertEqual(self.show(cert, "-subject"), "subject=O = Shop, CN = client\n")

    def test_a_subject_that_is_kept_smuggles_no_common_name_in(self):
        self.sign(self.request("/O=Shop/CN=admin", "DNS:mtls.local"), "--keep-subject", "--allow-dns", "mtls.local", code=NOT_ALLOWED)
        self.assertIn('the common name "admin", which neither --allow-cn', self.words)

    def test_a_name_that_is_refused_does_nothing_to_the_terminal(self):
        csr = openssl("req", "-new", "-utf8", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.path("other.key"),
                      "-subj", "/CN=a\u202ez\u00e4")
        self.sign(csr, "--allow-cn", "client", code=NOT_ALLOWED)
        self.assertIn('the common name "a\\u202ez\u00e4"', self.words)
        self.assertNotIn("\u202e", self.words)

    def test_a_common_name_that_is_not_allowed_is_left_out_beside_other_names(self):
        cert = self.sign(self.request("/CN=admin", "DNS:mtls.local"), "--allow-dns", "mtls.local")
        self.assertEqual(self.show(cert, "-subject"), "subject=\n")
        self.assertRegex(self.words, r"left out +the subject CN=admin")

    def test_other_extensions_are_never_signed(self):
        csr = self.request(extra=["basicConstraints=critical,CA:TRUE", "keyUsage=keyCertSign", "extendedKeyUsage=codeSigning",
                                  "1.2.3.4=ASN1:UTF8String:surprise"])
        text = self.show(self.sign(csr, "--allow-cn", "client"), "-text")
        self.assertIn("CA:FALSE", text)
        for part in ("CA:TRUE", "Certificate Sign", "Code Signing", "surprise", "1.2.3.4"):
            self.assertNotIn(part, text)
        self.assertRegex(self.words, r"left out +the request's X509v3 Basic Constraints, .*1\.2\.3\.4")

    def test_serials_are_random(self):
        csr = self.request()
        serials = {self.show(self.sign(csr, "--allow-cn", "client"), "-serial") for _ in range(8)}
        self.assertEqual(len(serials), 8)
        for serial in serials:
            self.assertRegex(serial, r"^serial=[0-9A-F]{32}\n$")

    def test_every_strong_key_is_signed_and_every_weak_one_named(self):
        for name, code, arguments, words in (
                ("rsa", DONE, ["RSA", "-pkeyopt", "rsa_keygen_bits:4096"], "RSA of 4096 bits"),
                ("p384", DONE, ["EC", "-pkeyopt", "ec_paramgen_curve:P-384"], "ECDSA P-384"),
                ("p521", DONE, ["EC", "-pkeyopt", "ec_paramgen_curve:P-521"], "ECDSA P-521"),
                ("ed", DONE, ["ED25519"], "Ed25519"),
                ("weak", BAD_REQUEST, ["RSA", "-pkeyopt", "rsa_keygen_bits:1024"], "RSA of 1024 bits, too weak"),
                ("p224", BAD_REQUEST, ["EC", "-pkeyopt", "ec_paramgen_curve:P-224"], "ECDSA P-224")):
            with self.subTest(name):
                key = self.path(name)
                openssl("genpkey", "-algorithm", *arguments, "-out", key)
                cert = self.sign(self.request(key=key), "--allow-cn", "client", code=code)
                self.assertIn(words, self.words)
                if code == DONE:
                    self.verify(cert, "sslclient")

    def test_a_lifetime_ends_with_the_ca(self):
        cert = self.sign(self.request(), "--allow-cn", "client", "--validity", "87600h")
        end = openssl("x509", "-noout", "-enddate", "-in", self.ca_cert)
        self.assertEqual(self.show(cert, "-enddate"), end)
        self.assertIn("when the CA's own certificate ends", self.words)

    # ----------------------------------------------------------------------------------- what is refused

    def test_nothing_is_allowed_by_default(self):
        for names in ("DNS:mtls.local", "IP:10.0.0.1", "email:jo@shop.example", "URI:spiffe://td/a", None):
            with self.subTest(names):
                self.sign(self.request(names=names), code=NOT_ALLOWED)
                self.assertIn((names or ":client").split(":", 1)[1], self.words)
                self.assertIn("--allow-", self.words)

    def test_one_name_that_is_not_allowed_refuses_them_all(self):
        self.sign(self.request(names="DNS:mtls.local,DNS:evil.example"), "--allow-dns", "mtls.local", code=NOT_ALLOWED)
        self.assertIn('the DNS name "evil.example", which --allow-dns does not allow', self.words)

    def test_names_of_one_kind_are_not_allowed_as_another(self):
        self.sign(self.request("/", "email:mtls@local.example"), "--allow-dns", "local.example", "--allow-cn", "mtls@local.example",
                  code=NOT_ALLOWED)

    def test_names_that_cannot_be_certified_are_named(self):
        for names, allow in (("DNS:*.mtls.local", "*.mtls.local"), ("DNS:mtls.local.", "mtls.local"), ("DNS:a b.local", "*.local")):
            with self.subTest(names):
                self.sign(self.request("/", names), "--allow-dns", allow, code=BAD_REQUEST)
                self.assertIn("no DNS name that can be certified", self.words)

    def test_other_kinds_of_names_are_refused(self):
        self.sign(self.request("/", "RID:1.2.3.4"), code=BAD_REQUEST)
        self.assertIn("no DNS name, address, URI or e-mail address", self.words)

    def test_two_uris_are_refused(self):
        self.sign(self.request("/", "URI:spiffe://td/a,URI:spiffe://td/b"), "--allow-uri", "spiffe://td/*", code=BAD_REQUEST)
        self.assertIn("2 URIs", self.words)

    def test_a_subject_of_several_common_names_is_refused(self):
        self.sign(self.request("/CN=client/CN=admin"), "--keep-subject", code=BAD_REQUEST)
        self.assertIn("several common names", self.words)

    def test_the_name_of_the_ca_is_nobody_elses(self):
        self.sign(self.request("/O=Shop/CN=Private CA"), "--keep-subject", "--allow-cn", "Private CA", code=NOT_ALLOWED)
        self.assertIn("the name of the CA itself", self.words)

    def test_a_server_without_a_name_to_be_verified_by_is_refused(self):
        self.sign(self.request("/CN=some server"), "--allow-cn", "some server", "--usage", "server", code=BAD_REQUEST)
        self.assertIn("needs a DNS name", self.words)

    def test_a_request_of_a_key_that_is_not_held_is_refused(self):
        der = bytearray(subprocess.run(["openssl", "req", "-outform", "DER"], input=self.request().encode(), capture_output=True,
                                       check=True).stdout)
        der[-1] ^= 1
        broken = subprocess.run(["openssl", "req", "-inform", "DER", "-outform", "PEM"], input=bytes(der), capture_output=True, check=True)
        self.sign(broken.stdout.decode(), "--allow-cn", "client", code=BAD_REQUEST)
        self.assertIn("not signed by its own key", self.words)

    def test_a_request_that_is_signed_with_a_weak_hash_is_refused(self):
        key = self.path("rsa.key")
        openssl("genrsa", "-out", key, "2048")
        for name, code in (("md5", BAD_REQUEST), ("sha1", BAD_REQUEST), ("sha512", DONE)):
            with self.subTest(name):
                self.sign(openssl("req", "-new", "-key", key, "-subj", "/CN=client", f"-{name}"), "--allow-cn", "client", code=code)
                if code != DONE:
                    self.assertIn(f"it is signed with {name}; SHA-256", self.words)

    def test_requests_that_openssl_would_not_make_are_refused(self):
        names = bytes.fromhex("300e0603551d11040730058203612e62")  # the alternative name a.b
        nameless = bytes.fromhex("300b0603551d11040430028200")  # one that is empty
        cases = ((encode(0x30, names, names), "two subject alternative name extensions"), (encode(0x30, nameless), "no DNS name"),
                 (b"\x30\x00", None), (b"\x04\x00", "cannot be read"), (b"\x30\x01\x05", "cannot be read"))
        for extensions, words in cases:
            with self.subTest(extensions.hex()):
                self.sign(self.request_with(extensions), "--allow-cn", "client", code=DONE if words is None else BAD_REQUEST)
                self.assertIn(words or "signed", self.words)

    def request_with(self, extensions):
        """A request for /CN=client whose extensionRequest attribute holds these bytes, signed by the key."""
        pem = self.request(extra=["1.2.3.4=DER:05:00"])
        der = subprocess.run(["openssl", "req", "-outform", "DER"], input=pem.encode(), capture_output=True, check=True).stdout
        info, algorithm, _ = elements(content(der))
        version, subject, key, _ = elements(content(info))
        oid = bytes.fromhex("06092a864886f70d01090e")
        info = encode(0x30, version, subject, key, encode(0xa0, encode(0x30, oid, encode(0x31, extensions))))
        path = self.path("info")
        with open(path, "wb") as file:
            file.write(info)
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.key, path], capture_output=True, check=True).stdout
        return to_pem(encode(0x30, info, algorithm, encode(0x03, b"\0", signature)), "CERTIFICATE REQUEST")

    def test_what_is_no_request_is_refused(self):
        with open(self.ca_cert, encoding="ascii") as file:
            cert = file.read()
        for text in ("", "hello", cert, self.request() + self.request(), "x" * 100000):
            self.sign(text, "--keep-subject", code=NOT_READ if len(text) > 65536 else BAD_REQUEST)

    def test_wrong_options_are_named(self):
        for options, words in ((["--allow-dns", "*"], "--allow-dns"), (["--allow-uri", "spiffe://*/a"], "--allow-uri"),
                               (["--state-dir", "/nonexistent"], "either"), (["--usage", "ca"], "--usage"), (["--validity", "0"], "--validity"),
                               (["a", "b"], "is no option")):
            with self.subTest(options):
                self.sign(self.request(), *options, code=USAGE)
                self.assertIn(words, self.words)
        self.sign(self.request(), code=USAGE, ca=[])
        self.assertIn("--state-dir, or --ca-cert and --ca-key, is required", self.words)
        self.sign(self.request(), code=USAGE, ca=["--ca-cert", self.ca_cert])

    # -------------------------------------------------------------------------------------- files and CAs

    def test_the_request_and_the_certificate_may_be_files(self):
        csr, out = self.path("client.csr"), self.path("client.crt")
        replace_file(csr, self.request(), mode=0o644)
        result = subprocess.run([PROGRAM, "sign", csr, "--ca-cert", self.ca_cert, "--ca-key", self.ca_key, "--allow-cn", "client", "--out", out],
                                capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual(result.returncode, DONE, result.stderr)
        self.assertEqual(result.stdout, "")
        self.assertEqual(stat.S_IMODE(os.stat(out).st_mode), 0o644)
        openssl("verify", "-CAfile", self.ca_cert, out)
        self.assertEqual(sorted(os.listdir(self.folder)), ["client.crt", "client.csr"])

    def test_a_dash_is_standard_input(self):
        result = subprocess.run([PROGRAM, "sign", "-", "--ca-cert", self.ca_cert, "--ca-key", self.ca_key, "--allow-cn", "client"],
                                input=self.request(), capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual(result.returncode, DONE, result.stderr)
        self.verify(result.stdout, "sslclient")

    def test_a_folder_that_others_can_write_to_is_refused(self):
        os.chmod(self.folder, 0o777)
        self.sign(self.request(), "--allow-cn", "client", "--out", self.path("client.crt"), code=NOT_WRITTEN)
        self.assertEqual(os.listdir(self.folder), [])

    def test_only_a_former_certificate_is_replaced(self):
        out = self.path("client.crt")
        for _ in range(2):
            self.sign(self.request(), "--allow-cn", "client", "--out", out)
        openssl("verify", "-CAfile", self.ca_cert, out)
        for source in (self.ca_cert, self.ca_key, self.key):
            with open(source, encoding="ascii") as file:
                content = file.read()
            for text in (content, self.read(out) + content):
                if text.startswith("-----BEGIN CERT") and source == self.ca_cert and text != content:
                    continue  # a chain
                victim = self.path("victim")
                replace_file(victim, text)
                self.sign(self.request(), "--allow-cn", "client", "--out", victim, code=NOT_WRITTEN)
                self.assertIn("not replaced", self.words)
                self.assertEqual(self.read(victim), text)

    def test_what_is_no_file_is_not_replaced(self):
        os.symlink("/dev/null", self.path("link"))
        os.mkfifo(self.path("fifo"))
        for name in ("link", "fifo"):
            before = os.lstat(self.path(name))
            self.sign(self.request(), "--allow-cn", "client", "--out", self.path(name), code=NOT_WRITTEN)
            self.assertIn("no regular file", self.words)
            self.assertEqual(os.lstat(self.path(name)).st_ino, before.st_ino)

    def read(self, path):
        with open(path, encoding="ascii") as file:
            return file.read()

    def test_a_key_that_others_can_read_is_refused(self):
        os.chmod(self.ca_key, 0o644)
        self.addCleanup(os.chmod, self.ca_key, 0o600)
        self.sign(self.request(), "--allow-cn", "client", code=FAILED)
        self.assertIn("make it 0600", self.words)

    def test_an_encrypted_key_is_named_with_what_to_do(self):
        key = self.path("ca.key")
        openssl("pkey", "-in", self.ca_key, "-aes256", "-passout", "pass:secret", "-out", key)
        os.chmod(key, 0o600)
        self.sign(self.request(), "--allow-cn", "client", code=FAILED, ca=["--ca-cert", self.ca_cert, "--ca-key", key])
        self.assertIn("encrypted", self.words)
        self.assertIn("openssl pkey", self.words)

    def test_a_state_directory_is_used_and_never_made(self):
        state = self.path("state")
        self.sign(self.request(), "--allow-cn", "client", code=FAILED, ca=["--state-dir", state])
        self.assertFalse(os.path.exists(state))
        os.mkdir(state, 0o700)
        self.sign(self.request(), "--allow-cn", "client", code=FAILED, ca=["--state-dir", state])
        self.assertIn("there is no root.pem", self.words)
        self.assertEqual(os.listdir(state), [])
        for source, name, mode in ((self.ca_key, "root-key.pem", 0o600), (self.ca_cert, "root.pem", 0o644)):
            with open(source, encoding="ascii") as file:
                replace_file(os.path.join(state, name), file.read(), mode)
        cert = self.sign(self.request(), "--allow-cn", "client", ca=["--state-dir", state])
        self.verify(cert, "sslclient")

    def test_an_intermediate_signs_and_is_sent_along(self):
        key, csr, cert = self.path("sub.key"), self.path("sub.csr"), self.path("sub.crt")
        openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-subj", "/CN=Sub CA", "-addext",
                "basicConstraints=critical,CA:TRUE", "-out", csr)
        openssl("x509", "-req", "-in", csr, "-CA", self.ca_cert, "-CAkey", self.ca_key, "-days", "10", "-copy_extensions", "copy", "-out", cert)
        with open(cert, encoding="ascii") as sub, open(self.ca_cert, encoding="ascii") as root:
            both = sub.read() + root.read()
        replace_file(cert, both)
        chain = self.sign(self.request(), "--allow-cn", "client", ca=["--ca-cert", cert, "--ca-key", key])
        self.assertEqual(len(re.findall("BEGIN CERTIFICATE", chain)), 2)  # no root
        self.verify(chain, "sslclient", "-untrusted", cert)
        replace_file(cert, both[:both.index("-----END CERTIFICATE-----") + 26])
        self.sign(self.request(), "--allow-cn", "client", code=FAILED, ca=["--ca-cert", cert, "--ca-key", key])
        self.assertIn("no root in it", self.words)

    def test_a_certificate_that_is_no_ca_signs_nothing(self):
        cert = self.path("leaf.crt")
        replace_file(cert, self.sign(self.request(), "--allow-cn", "client"))
        os.chmod(self.key, 0o600)
        with open(self.ca_cert, encoding="ascii") as root, open(cert, "a", encoding="ascii") as file:
            file.write(root.read())
        self.sign(self.request(), "--allow-cn", "client", code=FAILED, ca=["--ca-cert", cert, "--ca-key", self.key])
        self.assertIn("not a CA", self.words)

    def serve(self, *options):
        tokens = self.path("tokens.yaml")
        replace_file(tokens, '{"tokens": []}')
        return subprocess.Popen([PROGRAM, "--listen", "127.0.0.1:0", "--tokens-file", tokens, *options], stderr=subprocess.PIPE, text=True)

    def test_the_server_uses_the_same_files(self):
        with self.serve("--ca-cert", self.ca_cert, "--ca-key", self.ca_key) as server:
            line = server.stderr.readline()
            server.terminate()
            server.communicate(timeout=60)
        fingerprint = openssl("x509", "-noout", "-fingerprint", "-sha256", "-in", self.ca_cert).split("=")[1].strip().replace(":", "").lower()
        self.assertIn("CA loaded", line)
        self.assertIn(fingerprint, line)
        for options, words in ((["--ca-cert", self.ca_cert], "belong together"), (["--state-dir", self.folder], "either"), (["--intermediate"], "only in a")):
            if len(options) == 1 or options[0] == "--state-dir":
                options = [*options, "--ca-cert", self.ca_cert, "--ca-key", self.ca_key]
            with self.serve(*options) as server:
                self.assertIn(words, server.communicate(timeout=60)[1])
            self.assertEqual(server.returncode, USAGE)

    def test_help_names_the_exit_codes(self):
        result = subprocess.run([PROGRAM, "sign", "--help"], capture_output=True, text=True, check=True, timeout=60)
        for text in ("--allow-dns", "--keep-subject", "Exit codes:", "77"):
            self.assertIn(text, result.stdout)


if __name__ == "__main__":
    unittest.main()
