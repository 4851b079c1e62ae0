"""remora-controlplane as a program, by clients that are not ours: python3-h2 with Python's ssl, curl, and openssl as the judge."""

import contextlib
import json
import os
import re
import signal
import socket
import ssl
import stat
import struct
import subprocess
import tempfile
import threading
import time
import unittest

import h2.config
import h2.connection
import h2.events

PROGRAM = os.environ["REMORA_CONTROLPLANE"]
NAME = "controlplane.test"
TOKEN = "the-token-of-frontend"
IDENTITY = "spiffe://cluster.local/ns/shop/sa/frontend"
PATH = "/istio.v1.auth.IstioCertificateService/CreateCertificate"
WAIT_S = 20

OK, INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAUTHENTICATED = 0, 3, 8, 12, 13, 16


def varint(number):
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def field(number, value):
    """A protobuf field: a number, or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value & 0xFFFFFFFFFFFFFFFF)
    return varint(number << 3 | 2) + varint(len(value)) + value


def read_elements(message):
    """The elements of cert_chain (field 1) of a response."""
    elements = []
    while message:
        assert message[0] == 0x0A, message[:10]
        length = shift = 0
        at = 1
        while True:
            length |= (message[at] & 0x7F) << shift
            shift += 7
            at += 1
            if message[at - 1] < 0x80:
                break
        elements.append(message[at:at + length].decode())
        message = message[at + length:]
    return elements


def frame(message, flag=0):
    return bytes([flag]) + struct.pack(">I", len(message)) + message


def openssl(*argv, text=None):
    return subprocess.run(["openssl", *argv], input=text, capture_output=True, text=True, check=True).stdout


def make_csr(algorithm=("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"), san="URI:spiffe://evil.example/admin"):
    key = openssl("genpkey", *algorithm)
    return openssl("req", "-new", "-key", "/dev/stdin", "-subj", "/CN=admin", "-addext", f"subjectAltName=critical,{san}", text=key)


class ControlPlane:
    """The program, with a folder of its own. Use as a context manager."""

    def __init__(self, folder, **options):
        self.folder = folder
        self.state_dir = os.path.join(folder, "state")
        self.root_file = os.path.join(self.state_dir, "root.pem")
        self.tokens_file = os.path.join(folder, "tokens.yaml")
        with open(self.tokens_file, "w", encoding="utf-8") as file:
            json.dump({"tokens": [{"token": TOKEN, "namespace": "shop", "serviceAccount": "frontend"}]}, file)
        merged = {"listen": "127.0.0.1:0", "state-dir": self.state_dir, "tokens-file": self.tokens_file, "server-name": NAME,
                  "log-format": "json"} | {name.replace("_", "-"): value for name, value in options.items()}
        self.argv = [PROGRAM] + [f"--{name}={value}" for name, value in merged.items()]
        self.log = []

    def __enter__(self):
        self.process = subprocess.Popen(self.argv, stderr=subprocess.PIPE, text=True)
        listening = threading.Event()

        def read():
            for line in self.process.stderr:
                self.log.append(json.loads(line))
                if self.log[-1]["message"] == "listening":
                    listening.set()
            listening.set()

        self._reader = threading.Thread(target=read)
        self._reader.start()
        assert listening.wait(WAIT_S)
        for entry in self.entries("listening", 0):
            self.port = int(entry["address"].rsplit(":", 1)[1])
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(WAIT_S)
        self._reader.join()
        self.process.stderr.close()

    def entries(self, message, count=1):
        """The log's entries with this message, when there are `count` of them: the log is written behind the answers."""
        deadline = time.monotonic() + WAIT_S
        while True:
            found = [entry for entry in self.log if entry["message"] == message]
            if len(found) >= count or time.monotonic() > deadline:
                return found
            time.sleep(0.01)

    def tls(self, protocols=("h2",), maximum=ssl.TLSVersion.TLSv1_3):
        context = ssl.create_default_context(cafile=self.root_file)
        context.maximum_version = maximum
        context.set_alpn_protocols(list(protocols))
        return context.wrap_socket(socket.create_connection(("127.0.0.1", self.port), WAIT_S), server_hostname=NAME)

    def call(self, body, headers=(), token=TOKEN, path=PATH, method="POST", content_type="application/grpc", end=True):
        """Returns the answer's headers and trailers in one dictionary, and its bytes."""
        with self.tls() as stream:
            http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
            http.initiate_connection()
            request = [(":method", method), (":scheme", "https"), (":authority", NAME), (":path", path), ("te", "trailers"),
                       ("content-type", content_type), *headers]
            if token is not None:
                request.append(("authorization", f"Bearer {token}"))
            http.send_headers(1, request, end_stream=end and body is None)
            while body:
                size = min(len(body), http.local_flow_control_window(1), http.max_outbound_frame_size)
                http.send_data(1, body[:size], end_stream=end and size == len(body))
                body = body[size:]
            stream.sendall(http.data_to_send())
            return self._read_answer(stream, http)

    @staticmethod
    def _read_answer(stream, http):
        fields, message = {}, b""
        while data := stream.recv(65536):
            for event in http.receive_data(data):
                if isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
                    fields |= dict(event.headers)
                elif isinstance(event, h2.events.DataReceived):
                    message += event.data
                elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
                    return fields, message
            stream.sendall(http.data_to_send())
        raise AssertionError("the server closed the connection")

    def create(self, csr, validity_s=3600, extra=b"", **more):
        return self.call(frame(field(1, csr.encode()) + field(3, validity_s) + extra), **more)


class Test(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="remora-controlplane-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def start(self, **options):
        return self.enterContext(ControlPlane(self.folder, **options))

    def expect_status(self, answer, status, words=""):
        fields, message = answer
        self.assertEqual((fields[":status"], fields.get("grpc-status")), ("200", str(status)), fields)
        self.assertIn(words, fields.get("grpc-message", ""))
        self.assertEqual(message == b"", status != OK)

    def path(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    # ------------------------------------------------------------------------------------------------- issuing

    def judge(self, server, message):
        """What openssl says of a good answer."""
        length = struct.unpack(">I", message[1:5])[0]
        self.assertEqual((message[0], length), (0, len(message) - 5))
        leaf, *intermediates, roots = read_elements(message[5:])
        with open(server.root_file, encoding="utf-8") as file:
            self.assertEqual(roots, file.read())
        openssl("verify", "-x509_strict", "-CAfile", self.path("roots.pem", roots), "-untrusted",
                self.path("chain.pem", "".join(intermediates) or roots), "-purpose", "sslclient", self.path("leaf.pem", leaf))
        text = openssl("x509", "-noout", "-text", text=leaf)
        for words in [r"Subject: *\n", r"Subject Alternative Name: critical\s+URI:" + re.escape(IDENTITY) + "\n",
                      r"Basic Constraints: critical\s+CA:FALSE\n", r"Key Usage: critical\s+Digital Signature\n",
                      r"Extended Key Usage: *\s+TLS Web Server Authentication, TLS Web Client Authentication\n"]:
            self.assertRegex(text, words)
        return leaf, intermediates

    def test_a_foreign_client_gets_its_tokens_identity_whatever_it_asks(self):
        server = self.start()
        impersonated = field(1, field(1, b"ImpersonatedIdentity") + field(2, field(3, b"spiffe://evil.example/admin")))
        fields, message = answer = server.create(make_csr(), extra=field(4, impersonated))
        self.expect_status(answer, OK)
        self.assertEqual(fields["content-type"], "application/grpc")
        leaf, intermediates = self.judge(server, message)
        self.assertEqual(intermediates, [])
        entry = server.entries("certificate issued")[0]
        serial = openssl("x509", "-noout", "-serial", text=leaf).strip().removeprefix("serial=")
        self.assertEqual((entry["identity"], entry["serial"]), (IDENTITY, serial.lower()))

    def test_an_intermediate_is_between_leaf_and_root(self):
        server = self.start(intermediate="true")
        _, message = server.create(make_csr())
        _, intermediates = self.judge(server, message)
        self.assertEqual(len(intermediates), 1)

    def test_curl_gets_a_certificate(self):
        server = self.start()
        body = self.folder + "/body"
        with open(body, "wb") as file:
            file.write(frame(field(1, make_csr().encode())))
        answer = subprocess.run(
            ["curl", "--silent", "--show-error", "--cacert", server.root_file, "--resolve", f"{NAME}:{server.port}:127.0.0.1",
             "--noproxy", "*", "--http2-prior-knowledge", "-H", "content-type: application/grpc", "-H", "te: trailers",
             "-H", f"authorization: Bearer {TOKEN}", "--data-binary", "@" + body, f"https://{NAME}:{server.port}{PATH}"],
            capture_output=True, check=True, timeout=WAIT_S)
        self.judge(server, answer.stdout)

    def test_lifetimes_are_bounded_and_asked_for(self):
        server = self.start(cert_ttl="1h", max_cert_ttl="2h")
        for asked, given in [(600, 600), (0, 3600), (10**12, 7200)]:
            _, message = server.create(make_csr(), validity_s=asked)
            leaf = read_elements(message[5:])[0]
            for seconds, valid in [(given - 30, True), (given + 30, False)]:
                check = subprocess.run(["openssl", "x509", "-noout", "-checkend", str(seconds)], input=leaf, text=True,
                                       stdout=subprocess.DEVNULL, check=False)
                self.assertEqual(check.returncode == 0, valid, (asked, seconds))

    # ------------------------------------------------------------------------------------------------ refusing

    def test_callers_without_a_good_token_are_unauthenticated(self):
        server = self.start()
        csr = make_csr()
        self.expect_status(server.create(csr, token=None), UNAUTHENTICATED, "no bearer token")
        for token in ["x", TOKEN + "x", TOKEN[:-1], TOKEN.upper(), ""]:
            self.expect_status(server.create(csr, token=token), UNAUTHENTICATED)
        self.expect_status(server.create(csr, token=None, headers=[("authorization", f"Basic {TOKEN}")]), UNAUTHENTICATED)
        refused = server.entries("certificate refused", 7)
        self.assertEqual(len(refused), 7)
        self.assertNotIn(TOKEN, json.dumps(server.log))

    def test_bad_requests_are_refused_in_words(self):
        server = self.start()
        rsa = ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024")
        good = make_csr()
        for csr, validity_s, words in [(make_csr(rsa), 60, "RSA of 1024 bits"), (make_csr(("-algorithm", "ED448")), 60, "its key"),
                                       ("", 60, "not PEM"), (good.replace("M", "N", 1), 60, "certificate signing request"),
                                       (good + good, 60, "more than one"), ("A" * 20000, 60, "bytes"), (good, -5, "-5 s")]:
            self.expect_status(server.create(csr, validity_s), INVALID_ARGUMENT, words)
        self.expect_status(server.call(frame(b"\x0a\xff")), INVALID_ARGUMENT, "not an IstioCertificateRequest")
        self.expect_status(server.create(good), OK)

    def test_what_is_not_a_unary_grpc_call_is_refused(self):
        server = self.start()
        good = frame(field(1, make_csr().encode()))
        for status, arguments in [(UNIMPLEMENTED, {"body": good, "path": "/other.Service/Method"}),
                                  (UNIMPLEMENTED, {"body": good, "headers": [("grpc-encoding", "gzip")]}),
                                  (UNIMPLEMENTED, {"body": good + good}), (INTERNAL, {"body": None}),
                                  (INTERNAL, {"body": b"\0\0"}), (INTERNAL, {"body": good[:-1]}),
                                  (INTERNAL, {"body": frame(b"x", flag=1)}), (RESOURCE_EXHAUSTED, {"body": b"\0\xff\xff\xff\xff"}),
                                  # Refused before its end, which never comes.
                                  (RESOURCE_EXHAUSTED, {"body": b"\0\xff\xff\xff\xff", "end": False})]:
            with self.subTest(status=status, **arguments):
                self.expect_status(server.call(**arguments), status)
        self.assertEqual(server.call(good, method="GET")[0][":status"], "405")
        self.assertEqual(server.call(good, content_type="application/json")[0][":status"], "415")
        self.assertEqual(server.call(good, content_type="application/grpc-web")[0][":status"], "415")
        self.expect_status(server.call(good, content_type="application/grpc+proto"), OK)

    def test_only_tls_13_with_http2_is_spoken(self):
        server = self.start()
        with self.assertRaises(ssl.SSLError):
            server.tls(maximum=ssl.TLSVersion.TLSv1_2)
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            with server.tls(protocols=["http/1.1"]) as stream:
                stream.sendall(b"GET / HTTP/1.1\r\n\r\n")
                self.assertEqual(stream.recv(1), b"")
                raise ConnectionError("closed")
        self.expect_status(server.create(make_csr()), OK)

    # -------------------------------------------------------------------------------------------------- limits

    def expect_closed(self, stream):
        stream.settimeout(WAIT_S)
        with contextlib.suppress(OSError):
            while stream.recv(65536):
                pass

    def test_connections_that_come_to_nothing_are_ended(self):
        server = self.start(handshake_timeout="300ms", idle_timeout="300ms")
        with socket.create_connection(("127.0.0.1", server.port)) as silent:
            self.expect_closed(silent)
        with socket.create_connection(("127.0.0.1", server.port)) as garbage:
            garbage.sendall(b"GET / HTTP/1.1\r\n\r\n")
            self.expect_closed(garbage)
        with server.tls() as silent:
            self.expect_closed(silent)
        with server.tls() as garbage:
            garbage.sendall(b"GET / HTTP/1.1\r\n\r\n" * 10)
            self.expect_closed(garbage)
        with server.tls() as slow:
            http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
            http.initiate_connection()
            http.send_headers(1, [(":method", "POST"), (":scheme", "https"), (":authority", NAME), (":path", PATH),
                                  ("content-type", "application/grpc")])
            http.send_data(1, b"\0\0")
            slow.sendall(http.data_to_send())
            self.expect_closed(slow)
        self.expect_status(server.create(make_csr()), OK)

    def test_connections_past_the_limit_are_closed_and_the_others_served(self):
        server = self.start(max_connections=3)
        csr = make_csr()
        with server.tls(), server.tls():
            third = server.tls()
            with self.assertRaises(OSError):
                server.tls()
            third.close()
            # The place of the third is free once the server has seen that it is gone.
            for _ in range(1000):
                with contextlib.suppress(OSError, AssertionError):
                    answer = server.create(csr)
                    break
            self.expect_status(answer, OK)

    # --------------------------------------------------------------------------------------------------- state

    def test_a_restart_keeps_the_root(self):
        with ControlPlane(self.folder) as first:
            made = first.entries("CA made")[0]["root_sha256"]
        with ControlPlane(self.folder) as second:
            self.assertEqual(second.entries("CA loaded")[0]["root_sha256"], made)
            self.expect_status(second.create(make_csr()), OK)
        self.assertEqual(second.process.returncode, 0)

    def test_the_key_is_ours_alone_and_a_key_that_others_can_read_is_refused(self):
        with ControlPlane(self.folder) as server:
            key_file = os.path.join(server.state_dir, "root-key.pem")
            self.assertEqual(stat.S_IMODE(os.stat(key_file).st_mode), 0o600)
        os.chmod(key_file, 0o640)
        with ControlPlane(self.folder) as server:
            self.assertEqual(server.process.wait(WAIT_S), 1)
        self.assertIn("root-key.pem", server.entries("cannot start")[0]["error"])

    def test_a_second_signal_ends_at_once(self):
        with ControlPlane(self.folder) as server, server.tls():
            server.process.send_signal(signal.SIGTERM)
            server.process.send_signal(signal.SIGTERM)
            self.assertEqual(server.process.wait(WAIT_S), 0)

    def test_wrong_options_are_named(self):
        for argv, words in [([], "state-dir"), (["--state-dir=x"], "tokens-file"), (["--nonsense"], "nonsense"),
                            (["--state-dir=x", "--tokens-file=y", "--server-name=a b"], "server-name"),
                            (["--state-dir=x", "--tokens-file=y", "--trust-domain=A/b"], "trust-domain"),
                            (["--state-dir=x", "--tokens-file=y", "--cert-ttl=0"], "cert-ttl")]:
            ended = subprocess.run([PROGRAM, *argv], capture_output=True, text=True, timeout=WAIT_S, check=False)
            self.assertEqual(ended.returncode, 64)
            self.assertIn(words, ended.stderr)

    def test_help_names_every_option(self):
        text = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, check=True).stdout
        for option in ["state-dir", "tokens-file", "server-name", "cert-ttl", "max-cert-ttl", "listen", "intermediate"]:
            self.assertIn("--" + option, text)


if __name__ == "__main__":
    unittest.main()
