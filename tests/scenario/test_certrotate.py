"""remora-certrotate beside programs that do their own TLS: files that follow the source, a server that follows the files."""

import contextlib
import os
import re
import shutil
import signal
import ssl
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

import fake_ca  # noqa: E402
from authority import Authority, serial_of  # noqa: E402
from fake_spiffe import FakeWorkloadApi, state, svid  # noqa: E402
from mesh import CONTROL_NAME, CONTROL_PORT, Mesh, parse_log_line, replace_file  # noqa: E402
from pods import AGENT_UID, Node, program, require_root, wait_until  # noqa: E402

IDENTITY = "spiffe://cluster.local/ns/shop/sa/db"
TOKEN = "token-of-db-0123456789abcdef0123456789abcdef"
ROTATING_TTL = "4s"
ROTATIONS = 3
SERVER_PORT = 8443
APP_UID = 4321  # of the program that uses the files, where it is not certrotate's own

# A program that does its own TLS, as one would write it without knowing of any of this: it reads its files at the start and on
# SIGHUP, by their paths, one after the other, and keeps what it has when they do not fit.
TLS_SERVER = """
import os, signal, socket, ssl, sys
folder = sys.argv[1]
def load():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(folder, "tls.crt"), os.path.join(folder, "tls.key"))
    context.load_verify_locations(os.path.join(folder, "ca.crt"))
    return context
state = {"context": load(), "loads": 1}
def reload(*_):
    state["context"] = load()
    print("reloaded", flush=True)
signal.signal(signal.SIGHUP, reload)
listener = socket.create_server(("0.0.0.0", int(sys.argv[2])))
print("serving", flush=True)
while True:
    connection, _ = listener.accept()
    connection.settimeout(10)
    try:
        with state["context"].wrap_socket(connection, server_side=True) as tls:
            tls.sendall(tls.recv(100))
    except (OSError, ssl.SSLError) as error:
        print("failed:", error, flush=True)
"""


class Case(unittest.TestCase):
    """A pod with certrotate, and a folder for its files; everything new for each test."""

    def setUp(self):
        self.node = self.enterContext(Node())
        self.addCleanup(self._show_logs_of_failure)
        self.mesh = Mesh(self.node)
        self.pod = self.node.pod("app")
        self.memory = tempfile.mkdtemp(prefix="remora-certrotate-", dir="/dev/shm")
        self.addCleanup(shutil.rmtree, self.memory)
        os.chown(self.memory, AGENT_UID, AGENT_UID)
        os.chmod(self.memory, 0o755)
        self.files = os.path.join(self.memory, "tls")
        self.token_file = os.path.join(self.mesh.folder, "token")
        replace_file(self.token_file, TOKEN, mode=0o600, uid=AGENT_UID)

    def _show_logs_of_failure(self):
        outcome = getattr(self, "_outcome", None)
        if outcome is not None and not outcome.success:
            self.node.show_logs()

    def start_control(self, **options):
        replace_file(self.mesh.tokens_file, '{"tokens": [{"token": "%s", "namespace": "shop", "serviceAccount": "db"}]}' % TOKEN, mode=0o600)
        self.mesh.start_control(**options)

    def command(self, **options):
        merged = {"output-dir": self.files, "pod-namespace": "shop", "service-account": "db", "ca-address": self.mesh.control_address,
                  "ca-server-name": CONTROL_NAME, "ca-root-file": self.mesh.root_file, "token-file": self.token_file}
        merged.update({name.replace("_", "-"): value for name, value in options.items()})
        return [program("remora-certrotate")] + [f"--{name}={value}" for name, value in merged.items() if value is not None]

    def start(self, **options):
        return self.pod.start(self.command(**options), uid=AGENT_UID)

    def once(self, **options):
        return self.pod.run(self.command(once="true", once_timeout="1s", **options), uid=AGENT_UID, check=False)

    def read(self, name):
        with open(os.path.join(self.files, name), encoding="ascii") as file:
            return file.read()

    def serial(self):
        with contextlib.suppress(FileNotFoundError):
            return serial_of(self.read("tls.crt"))
        return None

    def wait_new(self, serial, timeout_s=20):
        wait_until(lambda: self.serial() not in (None, serial), "another certificate", timeout_s)
        return self.serial()

    def inspect(self, *args):
        done = self.pod.run([program("remora-certrotate"), "inspect", *args], check=False)
        return done.returncode, done.stdout + done.stderr


class Served(Case):
    """A TLS server that is told by a signal, under load, through rotations."""

    def test_no_client_fails_through_rotations(self):
        self.start_control(max_cert_ttl=ROTATING_TTL)
        pid_file = os.path.join(self.memory, "server.pid")
        rotate = self.start(signal="HUP", pid_file=pid_file, metrics_name="metrics.prom")
        wait_until(self.serial, "the first files")
        server = self.pod.start(["/usr/bin/python3", "-c", TLS_SERVER, self.files, str(SERVER_PORT)], uid=AGENT_UID)
        server.wait_log("serving")
        replace_file(pid_file, f"{server.pid}\n")
        stop, failures, serials = threading.Event(), [], set()

        def client():
            while not stop.is_set():
                try:
                    serials.add(self.ask())
                except (OSError, ssl.SSLError) as error:
                    failures.append(repr(error))

        thread = threading.Thread(target=client)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(stop.set)
        wait_until(lambda: failures or len(serials) > ROTATIONS, f"{ROTATIONS} rotations seen by clients", 60)
        stop.set()
        thread.join()
        self.assertEqual(failures, [])
        self.assertNotIn("failed", server.log())
        self.assertIn('"program told" by="signal"', rotate.log())
        metrics = self.read("metrics.prom")
        self.assertGreater(int(re.search(r'attempts_total\{outcome="ok"\} (\d+)', metrics).group(1)), ROTATIONS)
        self.assertGreater(int(re.search(r'notifications_total\{outcome="ok"\} (\d+)', metrics).group(1)), ROTATIONS - 1)
        self.assertEqual(rotate.stop(), 0)
        self.assertIsNotNone(self.serial(), "the files stay")

    def ask(self):
        """The serial number that a client sees, which trusts what ca.crt says now."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(os.path.join(self.files, "ca.crt"))
        with context.wrap_socket(self.pod.connect("127.0.0.1", SERVER_PORT)) as tls:
            tls.sendall(b"ping")
            self.assertEqual(tls.recv(10), b"ping")
            return serial_of(ssl.DER_cert_to_PEM_cert(tls.getpeercert(binary_form=True)))

    def test_inspect_shows_what_such_a_server_presents(self):
        self.start_control()
        self.assertEqual(self.once().returncode, 0)
        server = self.pod.start(["/usr/bin/python3", "-c", TLS_SERVER, self.files, str(SERVER_PORT)], uid=AGENT_UID)
        server.wait_log("serving")
        code, text = self.inspect("--address", f"127.0.0.1:{SERVER_PORT}", "--trust-bundle", os.path.join(self.files, "ca.crt"))
        self.assertEqual(code, 0, text)
        self.assertIn(f"identity       {IDENTITY}", text)
        self.assertIn("verdict: good", text)
        other = Authority(self.node.folder, "other")
        code, text = self.inspect("--address", f"127.0.0.1:{SERVER_PORT}", "--trust-bundle", other.root_file)
        self.assertEqual(code, 65)
        self.assertIn("refused (cert_untrusted)", text)
        self.assertEqual(self.inspect("--address", "127.0.0.1:1")[0], 69)


class OpensslInHand(Case):
    """A private CA, keys and requests made with openssl, beside a mesh that uses the same CA."""

    def openssl(self, *arguments):
        self.pod.run(["openssl", *arguments])

    def make_ca(self):
        """As in the tutorials; the control plane takes it as it is."""
        os.mkdir(self.mesh.state_dir, 0o755)
        self.ca_key = os.path.join(self.mesh.state_dir, "root-key.pem")
        self.openssl("req", "-x509", "-newkey", "rsa:4096", "-nodes", "-days", "3650", "-subj", "/CN=Private CA", "-keyout", self.ca_key,
                     "-out", self.mesh.root_file)
        os.chmod(self.ca_key, 0o600)

    def sign(self, request, *options):
        done = self.pod.run([program("remora-controlplane"), "sign", request, "--ca-cert", self.mesh.root_file, "--ca-key", self.ca_key,
                             *options], check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_a_callers_certificate_is_signed_explained_and_exported_for_a_browser(self):
        self.make_ca()
        self.start_control()
        self.assertEqual(self.once().returncode, 0)
        folder = os.path.join(self.memory, "hand")
        os.mkdir(folder, 0o700)
        key, request, cert, bundle, password = (os.path.join(folder, name) for name in ("client.key", "client.csr", "client.crt", "client.p12",
                                                                                        "password"))
        self.openssl("req", "-new", "-newkey", "rsa:4096", "-nodes", "-subj", "/O=Shop/CN=client", "-keyout", key, "-out", request)
        self.sign(request, "--allow-cn", "client", "--out", cert)
        code, text = self.inspect(cert, "--client-ca", self.mesh.root_file)
        self.assertEqual(code, 0, text)
        self.assertIn("takes the caller for cn:client", text)
        self.assertIn("peers in the mesh: would refuse it", text)
        replace_file(password, "browsers want one\n", mode=0o600)
        self.pod.run([program("remora-certrotate"), "export", "--cert", cert, "--key", key, "--chain", self.mesh.root_file, "--pkcs12", bundle,
                      "--password-file", password])
        # Whose certificate the caller has is seen by a server of Python's, which got its own from the same CA by certrotate.
        served = TLS_SERVER.replace("    return context\n", "    context.verify_mode = ssl.CERT_REQUIRED\n    return context\n", 1)
        server = self.pod.start(["/usr/bin/python3", "-c", served, self.files, str(SERVER_PORT)], uid=AGENT_UID)
        server.wait_log("serving")
        base = ["curl", "-sS", "--http0.9", "--max-time", "10", "-k", f"https://127.0.0.1:{SERVER_PORT}/hello"]
        for options in (["--cert", cert, "--key", key], ["--cert-type", "P12", "--cert", bundle + ":browsers want one"]):
            done = self.pod.run([*base, *options], check=False)
            self.assertIn("GET /hello", done.stdout, done.stderr)
        self.assertNotEqual(self.pod.run(base, check=False).returncode, 0)


class Files(Case):
    """The files themselves, and who may read them."""

    def test_files_have_the_owner_and_mode_that_were_asked_for(self):
        self.start_control()
        os.chown(self.memory, 0, 0)
        done = self.pod.run(self.command(once="true", owner=APP_UID, group=APP_UID, mode="0440", key_mode="0400",
                                         combined_name="all.pem"), check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        for name, mode in (("tls.crt", 0o440), ("tls.key", 0o400), ("ca.crt", 0o440), ("all.pem", 0o400)):
            status = os.stat(os.path.join(self.files, name))
            self.assertEqual((status.st_uid, status.st_gid, status.st_mode & 0o7777), (APP_UID, APP_UID, mode), name)
        paths = [os.path.join(self.files, name) for name in ("tls.crt", "tls.key", "ca.crt", "all.pem")]
        self.pod.run(["cat", *paths], uid=APP_UID)
        self.assertNotEqual(self.pod.run(["cat", paths[1]], uid=APP_UID + 1, check=False).returncode, 0)

    def test_a_directory_on_a_disk_is_refused_unless_it_is_wanted(self):
        self.start_control()
        disk = os.path.join(self.node.folder, "disk")
        os.mkdir(disk, 0o755)
        os.chown(disk, AGENT_UID, AGENT_UID)
        done = self.once(output_dir=disk)
        if done.returncode == 0:
            self.skipTest("temporary folders are in memory here")
        self.assertEqual(done.returncode, 1)
        self.assertIn("not in memory", done.stderr)
        self.assertEqual(self.once(output_dir=disk, memory_only="false").returncode, 0)

    def test_what_somebody_else_put_there_stays(self):
        self.start_control()
        os.mkdir(self.files, 0o755)
        os.chown(self.files, AGENT_UID, AGENT_UID)
        replace_file(os.path.join(self.files, "tls.key"), "somebody's\n", uid=AGENT_UID)
        done = self.once()
        self.assertEqual(done.returncode, 1)
        self.assertIn("move it away", done.stderr)
        self.assertEqual(self.read("tls.key"), "somebody's\n")


class Once(Case):
    """The exit code says how it went."""

    def test_exit_codes(self):
        self.assertEqual(self.once().returncode, 69, "no control plane, no roots for it")
        self.start_control()
        wrong = os.path.join(self.mesh.folder, "wrong-token")
        replace_file(wrong, "nobody", mode=0o600, uid=AGENT_UID)
        done = self.once(token_file=wrong)
        self.assertEqual(done.returncode, 77)
        self.assertIn("unknown token", done.stderr)
        done = self.once(service_account="other")
        self.assertEqual(done.returncode, 65)
        self.assertIn("sa/other", done.stderr)
        self.assertIsNone(self.serial())
        self.assertEqual(self.once(hook="/bin/false").returncode, 75)
        serial = self.serial()
        self.assertIsNotNone(serial, "the files are in place all the same")
        done = self.once(hook="sh -c 'test $REMORA_CERTROTATE_IDENTITY = %s'" % IDENTITY)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotEqual(self.serial(), serial)
        self.assertEqual(self.once(output_dir=None).returncode, 64)
        self.mesh.control.kill()
        serial = self.serial()
        self.assertEqual(self.once().returncode, 69)
        self.assertEqual(self.serial(), serial)

    def test_files_that_cannot_be_written_are_named(self):
        self.start_control()
        self.assertEqual(self.once().returncode, 0)
        serial = self.serial()
        os.chmod(self.files, 0o555)
        done = self.once()
        self.assertEqual(done.returncode, 73)
        self.assertIn(self.files, done.stderr)
        self.assertEqual(self.serial(), serial)

    def test_it_waits_for_a_control_plane_that_starts_later(self):
        process = self.pod.start(self.command(once="true", once_timeout="30s"), uid=AGENT_UID)
        process.wait_log("attempt to get a certificate failed")
        self.start_control()
        self.assertEqual(process.wait(30), 0)
        self.assertIsNotNone(self.serial())


class Outage(Case):
    """A source that fails, a hook that fails: the good files stay, and all heals by itself."""

    def test_a_control_plane_that_dies_and_comes_back_is_not_missed(self):
        self.start_control(max_cert_ttl="30s")
        process = self.start(hook="/bin/true")
        serial = self.wait_new(None)
        self.mesh.control.kill()
        since = len(process.log())
        process.signal(signal.SIGHUP)
        line = process.wait_log('^.*"attempt to get a certificate failed".*$', since=since).group(0)
        self.assertIn(self.mesh.control_address, parse_log_line(line)["error"])
        self.assertEqual(self.serial(), serial)
        self.start_control(max_cert_ttl="30s")
        self.wait_new(serial)
        process.wait_log('"program told" by="hook"')

    def test_a_hook_that_fails_is_run_again_and_stops_nothing(self):
        self.start_control()
        flag = os.path.join(self.memory, "flag")
        process = self.start(hook=f"test -e {flag}")
        serial = self.wait_new(None)
        process.wait_log("could not be told.*exit code 1")
        process.signal(signal.SIGHUP)
        self.wait_new(serial)
        with open(flag, "w", encoding="ascii"):
            pass
        process.wait_log('"program told" by="hook"', timeout_s=15)

    def test_bad_answers_leave_the_files(self):
        authority = Authority(self.node.folder, "mesh")
        elsewhere = Authority(self.node.folder, "elsewhere")
        service = Authority(self.node.folder, "service")
        credentials = service.credentials([f"DNS:{CONTROL_NAME}"])

        def well(call):
            call.answer([authority.sign(call.csr, [f"URI:{IDENTITY}"]), authority.root_pem])

        ca = self.enterContext(fake_ca.FakeCa(self.mesh.control_pod.listen(port=CONTROL_PORT), credentials.chain_file,
                                              credentials.key_file, well))
        process = self.start(ca_root_file=service.root_file)
        serial = self.wait_new(None)
        brief = Authority(self.node.folder, "brief", parent=authority, life_s=600)
        cases = {
            "another identity": (lambda call: call.answer([authority.sign(call.csr, [f"URI:{IDENTITY}2"]), authority.root_pem]), "db2"),
            "an empty root": (lambda call: call.answer([authority.sign(call.csr, [f"URI:{IDENTITY}"]), ""]), "no certificate"),
            "a chain that does not verify": (lambda call: call.answer([elsewhere.sign(call.csr, [f"URI:{IDENTITY}"]), authority.root_pem]), "root|chain"),
            "garbage": (lambda call: call.answer_bytes(b"hello"), "."),
            "a leaf that outlives its issuer": (lambda call: call.answer([brief.sign(call.csr, [f"URI:{IDENTITY}"]), brief.root_pem,
                                                                          authority.root_pem]), "outlives its issuer"),
            "a refusal": (lambda call: call.refuse(fake_ca.PERMISSION_DENIED, "not you"), "not you"),
        }
        for name, (behave, words) in cases.items():
            with self.subTest(name):
                ca.behave = behave
                since = len(process.log())
                process.signal(signal.SIGHUP)
                line = process.wait_log('^.*"attempt to get a certificate failed".*$', since=since).group(0)
                self.assertRegex(parse_log_line(line)["error"], words)
                self.assertEqual(self.serial(), serial)
        ca.behave = well
        process.signal(signal.SIGHUP)
        self.wait_new(serial)


class Spiffe(Case):
    """The Workload API as the source."""

    def test_the_files_follow_what_the_workload_api_says(self):
        authority, abroad = Authority(self.node.folder), Authority(self.node.folder, "abroad")
        identity = "spiffe://home.test/database/main"
        api = self.enterContext(FakeWorkloadApi(os.path.join(self.mesh.folder, "api.sock")))
        crl = authority.crl()
        api.push(state([svid(identity, authority)], {"abroad.test": abroad.root_pem}, [crl]))
        process = self.start(cert_source="spiffe", spiffe_endpoint=api.endpoint, federated_name="federated.crt", crl_name="crl.pem")
        serial = self.wait_new(None)
        wait_until(lambda: os.path.exists(os.path.join(self.files, "tls.crt")), "the whole set")
        self.assertEqual(self.read("ca.crt"), authority.root_pem)
        self.assertEqual(self.read("federated.crt"), "# abroad.test\n" + abroad.root_pem)
        self.assertEqual(self.read("crl.pem"), crl)
        code, text = self.inspect(os.path.join(self.files, "tls.crt"), "--trust-bundle", os.path.join(self.files, "ca.crt"),
                                  "--crl", os.path.join(self.files, "crl.pem"), "--key", os.path.join(self.files, "tls.key"),
                                  "--identity", identity)
        self.assertEqual(code, 0, text)
        # What is not named any more is withdrawn, and the file with it.
        api.push(state([svid(identity, authority)]))
        serial = self.wait_new(serial)
        wait_until(lambda: not os.path.lexists(os.path.join(self.files, "crl.pem")), "the list to be gone")
        self.assertFalse(os.path.lexists(os.path.join(self.files, "federated.crt")))
        # A trouble is named; what is good stays.
        since = len(process.log())
        api.push(state([svid("spiffe://home.test/somebody/else", authority)]))
        process.wait_log("attempt to get a certificate failed.*somebody/else", since=since)
        self.assertEqual(self.serial(), serial)


if __name__ == "__main__":
    require_root()
    unittest.main(verbosity=2)
