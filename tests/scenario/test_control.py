"""Where the agent gets what it goes by: certificates from a CA that dies, lies or dawdles, and files that are replaced well and badly."""

import contextlib
import os
import shutil
import signal
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

import actors  # noqa: E402
import fake_ca  # noqa: E402
import hbone  # noqa: E402
from authority import HOUR_S, Authority, new_key, serial_of  # noqa: E402
from mesh import CONTROL_NAME, CONTROL_PORT, Mesh, parse_log_line, replace_file  # noqa: E402
from pods import AGENT_UID, Node, require_root, wait_until  # noqa: E402

SHORT_TTL = "8s"
ROTATING_TTL = "4s"
ROTATIONS = 3
EXPIRY_WAIT_S = 25
LOAD_CLIENTS = 3


class Case(unittest.TestCase):
    """A mesh of its own for each class: client, server and outsider."""

    cert_source = "istio-ca"

    @classmethod
    def setUpClass(cls):
        cls.node = cls.enterClassContext(Node())
        cls.mesh = Mesh(cls.node, cert_source=cls.cert_source)
        cls.client, cls.server = cls.mesh.agent("client"), cls.mesh.agent("server")
        cls.outsider = cls.node.pod("outsider")
        cls.agents = (cls.client, cls.server)
        try:
            cls.set_up()
        except BaseException:
            cls.node.show_logs()
            raise

    @classmethod
    def set_up(cls):
        cls.mesh.start()

    def serve(self, pod, behave=actors.echo):
        return self.enterContext(actors.Server(pod.listen(), behave))

    def dial(self, source, destination, port):
        return self.enterContext(source.pod.connect(destination.pod.ipv4, port))

    def echoes(self, connection, text=b"still here"):
        connection.sendall(text)
        self.assertEqual(actors.read_exactly(connection, len(text)), text)

    def works(self, source, destination):
        """A new connection from one agent's pod to the other's works."""
        server = self.serve(destination.pod)
        with source.pod.connect(destination.pod.ipv4, server.port) as connection:
            self.echoes(connection)

    def serial(self, agent, since=0):
        """Of the certificate in force, as the log tells it."""
        agent.process.wait_log('"certificate in force"', since=since)
        return [entry["serial"] for entry in agent.log_lines() if entry["message"] == "certificate in force"][-1]

    def attempts(self, agent, outcome):
        return agent.metric("remora_certificate_rotation_attempts_total", outcome=outcome)

    def failure(self, agent, since=0, timeout_s=10):
        """The next line about an attempt to get a certificate that failed, parsed."""
        agent.process.wait_log('"attempt to get a certificate failed".*$', since=since, timeout_s=timeout_s)
        lines = [line for line in agent.process.log()[since:].splitlines() if '"attempt to get a certificate failed"' in line]
        return parse_log_line(lines[0])


class ControlPlane(Case):
    """remora-controlplane is not there, comes, goes and comes back."""

    @classmethod
    def set_up(cls):
        cls.mesh.write_local_file()
        cls.mesh.write_tokens()
        for agent in cls.agents:
            agent.capture()

    def setUp(self):
        self.addCleanup(self.stop_all)

    def stop_all(self):
        for agent in self.agents:
            agent.stop()
        if self.mesh.control is not None:
            self.mesh.control.kill()

    def start_all(self, **control_options):
        self.mesh.start_control(**control_options)
        for agent in self.agents:
            agent.start()

    def refused_for_want_of_identity(self):
        """Both ways, and in clear all the same."""
        listener = self.serve(self.server.pod)
        since = {agent: len(agent.process.log()) for agent in self.agents}
        self.client.pod.assert_reset(self.server.pod.ipv4, listener.port)
        self.client.access_log(f":{listener.port}.*reason=\"no_identity\".*IDENTITY_ERROR", since[self.client])
        self.outsider.assert_reset(self.server.pod.ipv4, hbone.PORT)
        self.server.access_log(f":{hbone.PORT}.*reason=\"no_identity\"", since[self.server])
        self.outsider.assert_reset(self.server.pod.ipv4, listener.port, first=b"clear")
        self.server.access_log(f":{listener.port}.*reason=\"plaintext_refused\"", since[self.server])

    def test_dead_at_the_start_it_is_waited_for(self):
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.mesh.state_dir)
        for agent in self.agents:
            agent.start(ready=False)
            agent.wait_not_ready(rf"certificate: none valid: .*{self.mesh.root_file}")
            self.assertIn(self.mesh.root_file, self.failure(agent)["error"])
        self.refused_for_want_of_identity()
        for agent in self.agents:
            self.assertEqual(agent.metric("remora_ready"), 0)
            self.assertEqual(agent.metric("remora_certificate_expiry_timestamp_seconds"), 0)
            self.assertGreater(self.attempts(agent, "unreachable"), 0)
        self.mesh.start_control()
        for agent in self.agents:
            agent.wait_ready(timeout_s=30)
        self.works(self.client, self.server)
        self.works(self.server, self.client)

    def test_where_nobody_listens_the_address_is_named(self):
        self.mesh.start_control()
        self.mesh.control.kill()
        self.client.start(ready=False)
        failure = self.failure(self.client)
        self.assertIn(self.mesh.control_address, failure["error"])
        self.assertIn("refused", failure["error"])
        self.assertEqual(failure["in_force"], "none")
        self.client.wait_not_ready(f"certificate: none valid: .*{self.mesh.control_address}")
        # Again and again, each time later.
        since = 0
        waits = []
        for _ in range(3):
            line = self.client.process.wait_log('"attempt to get a certificate failed".*retry_in_ms=(\\d+)', since=since)
            since += line.end()
            waits.append(int(line.group(1)))
        self.assertEqual(waits, sorted(waits))
        self.mesh.start_control()
        self.client.wait_ready(timeout_s=30)

    def test_dying_later_it_is_not_missed_until_certificates_end_and_then_all_fails_closed(self):
        self.start_all(max_cert_ttl=SHORT_TTL)
        listener = self.serve(self.server.pod)
        live = self.dial(self.client, self.server, listener.port)
        self.echoes(live)
        self.mesh.control.kill()
        since = {agent: len(agent.process.log()) for agent in self.agents}
        for agent in self.agents:
            failure = self.failure(agent, since[agent])
            self.assertEqual((failure["level"], failure["in_force"]), ("warn", "the one before"))
            self.assertGreater(failure["retry_in_ms"], 0)
            self.assertEqual(agent.readiness()[0], 200)
        self.echoes(live)
        self.works(self.client, self.server)
        self.works(self.server, self.client)
        for agent in self.agents:
            agent.process.wait_log('error agent "certificate expired', since=since[agent], timeout_s=EXPIRY_WAIT_S)
            agent.wait_not_ready("certificate: .*(expired|none valid)")
        self.refused_for_want_of_identity()
        self.mesh.start_control()
        for agent in self.agents:
            agent.wait_ready(timeout_s=30)
        self.works(self.client, self.server)
        self.works(self.server, self.client)

    def test_coming_back_in_time_it_is_asked_again_and_nothing_was_noticed(self):
        self.start_all(max_cert_ttl=SHORT_TTL)
        listener = self.serve(self.server.pod)
        live = self.dial(self.client, self.server, listener.port)
        self.echoes(live)
        before = {agent: self.serial(agent) for agent in self.agents}
        self.mesh.control.kill()
        for agent in self.agents:
            self.failure(agent)
        self.mesh.start_control()
        since = {agent: len(agent.process.log()) for agent in self.agents}
        for agent in self.agents:
            self.assertNotEqual(self.serial(agent, since[agent]), before[agent])
            self.assertNotIn("certificate expired", agent.process.log())
        self.echoes(live)
        self.works(self.client, self.server)


class Cache(Case):
    """Restarts while the control plane is away: with a cache in memory the agent goes on where it was."""

    def setUp(self):
        self.cache = tempfile.mkdtemp(prefix="remora-cache-", dir="/dev/shm")
        os.chown(self.cache, AGENT_UID, AGENT_UID)
        self.addCleanup(shutil.rmtree, self.cache)
        self.file = os.path.join(self.cache, "certificate")
        self.client.restart(cache_dir=self.cache)
        self.addCleanup(self.client.restart)
        wait_until(lambda: os.path.exists(self.file), "the cache")
        self.mesh.control.kill()
        self.addCleanup(self.bring_back)

    def bring_back(self):
        self.mesh.control.kill()
        self.mesh.start_control()

    def test_what_is_cached_is_used_at_once_and_replaced_when_it_can_be(self):
        status = os.stat(self.file)
        self.assertEqual((status.st_uid, status.st_mode & 0o7777), (AGENT_UID, 0o600))
        before = self.serial(self.client)
        self.client.restart(cache_dir=self.cache)
        self.client.process.wait_log('"certificate in force".*from="cache"')
        self.assertEqual(self.serial(self.client), before)
        self.failure(self.client)
        self.works(self.client, self.server)
        self.works(self.server, self.client)
        since = len(self.client.process.log())
        self.mesh.start_control()
        self.client.process.wait_log('"certificate in force".*from="source"', since=since, timeout_s=30)
        self.assertNotEqual(self.serial(self.client), before)
        self.works(self.client, self.server)

    def test_what_is_cached_is_judged_and_a_bad_one_is_named(self):
        with open(self.file, "rb") as file:
            good = file.read()
        cases = {
            "damaged": (good[:-20], 0o600, {}, "damaged"),
            "readable by others": (good, 0o640, {}, "mode 0640"),
            "of another identity": (good, 0o600, {"service_account": "other"}, "sa/other"),
        }
        for name, (content, mode, options, words) in cases.items():
            with self.subTest(name):
                self.client.stop()
                with open(self.file, "wb") as file:
                    file.write(content)
                os.chown(self.file, AGENT_UID, AGENT_UID)
                os.chmod(self.file, mode)
                self.client.start(ready=False, cache_dir=self.cache, **options)
                self.client.process.wait_log(f'"cached certificate ignored".*{words}')
                self.failure(self.client)
                self.assertEqual(self.client.readiness()[0], 503)

    def test_without_a_cache_a_restart_waits(self):
        self.client.restart(ready=False)
        self.failure(self.client)
        self.client.wait_not_ready("certificate: none valid")


class Credentials(Case):
    """What the agent shows to the control plane, and what it wants to see of it."""

    def start(self, **options):
        self.client.stop()
        self.addCleanup(self.client.restart)
        self.client.start(ready=False, **options)

    def test_a_wrong_token_is_called_so_and_its_replacement_is_read(self):
        path = os.path.join(self.mesh.folder, "token")
        replace_file(path, "not-a-token-of-this-mesh", mode=0o600, uid=AGENT_UID)
        self.start(token_file=path)
        failure = self.failure(self.client)
        for words in (path, "unknown token", "UNAUTHENTICATED"):
            self.assertIn(words, failure["error"])
        self.assertNotIn("not-a-token", self.client.process.log())
        wait_until(lambda: self.attempts(self.client, "denied") >= 1, "the attempt to be counted")
        self.client.wait_not_ready("certificate: none valid: .*unknown token")
        self.mesh.control.wait_log('"certificate refused".*unknown token')
        with open(self.mesh.token_file("client"), encoding="ascii") as token:
            replace_file(path, token.read(), mode=0o600, uid=AGENT_UID)
        self.client.wait_ready(timeout_s=30)
        self.works(self.client, self.server)

    def test_a_token_that_cannot_be_had_is_named(self):
        folder = os.path.join(self.mesh.folder, "tokens")
        os.mkdir(folder, 0o755)
        for name, content, words in (("missing", None, "does not exist"), ("empty", "\n", "is empty"),
                                     ("two", "one two", "more than one word")):
            with self.subTest(name):
                path = os.path.join(folder, name)
                if content is not None:
                    replace_file(path, content)
                self.start(token_file=path)
                failure = self.failure(self.client)
                self.assertIn(path, failure["error"])
                self.assertIn(words, failure["error"])

    def test_somebody_else_s_token_does_not_make_the_agent_somebody_else(self):
        self.start(token_file=self.mesh.token_file("server"))
        failure = self.failure(self.client)
        for words in (self.client.identity, self.server.identity):
            self.assertIn(words, failure["error"])
        self.assertEqual(self.attempts(self.client, "ok"), 0)

    def test_a_control_plane_of_another_root_is_not_trusted_until_the_file_is_right(self):
        path = os.path.join(self.mesh.folder, "some-root.pem")
        replace_file(path, Authority(self.node.folder, "other").root_pem)
        self.start(ca_root_file=path)
        failure = self.failure(self.client)
        self.assertIn(self.mesh.control_address, failure["error"])
        self.assertRegex(failure["error"], "root|trust|issuer|chain")
        self.assertEqual(self.attempts(self.client, "denied"), 0)
        self.assertNotIn("unknown token", self.mesh.control.log().splitlines()[-1])
        with open(self.mesh.root_file, encoding="ascii") as root:
            replace_file(path, root.read())
        self.client.wait_ready(timeout_s=30)

    def test_a_root_file_without_a_root_is_named(self):
        path = os.path.join(self.mesh.folder, "no-root.pem")
        replace_file(path, "this is no certificate\n")
        self.start(ca_root_file=path)
        self.assertIn(path, self.failure(self.client)["error"])

    def test_a_control_plane_of_another_name_is_not_trusted(self):
        self.start(ca_server_name="other.test")
        failure = self.failure(self.client)
        self.assertIn("other.test", failure["error"])
        self.assertEqual(self.attempts(self.client, "ok"), 0)


class Misbehaviour(Case):
    """A CA that answers, and how: what runs goes on, and the next good answer is taken."""

    @classmethod
    def set_up(cls):
        cls.authority = Authority(cls.node.folder, "mesh")
        cls.elsewhere = Authority(cls.node.folder, "elsewhere")
        service = Authority(cls.node.folder, "service")
        cls.mesh.root_file = service.root_file
        credentials = service.credentials([f"DNS:{CONTROL_NAME}"])
        cls.ca = cls.enterClassContext(fake_ca.FakeCa(
            cls.mesh.control_pod.listen(port=CONTROL_PORT), credentials.chain_file, credentials.key_file, cls.well))
        cls.mesh.write_local_file()
        cls.mesh.write_tokens()
        for agent in cls.agents:
            agent.capture()
            agent.start(ready=False)
        for agent in cls.agents:
            agent.wait_ready()

    @classmethod
    def identity_of(cls, call):
        """Who asks, by the token."""
        token = call.headers["authorization"]
        return next(agent for agent in cls.agents if agent.name in token).identity

    @classmethod
    def leaf(cls, call, authority=None, identity=None, **options):
        return (authority or cls.authority).sign(call.csr, [f"URI:{identity or cls.identity_of(call)}"], **options)

    @classmethod
    def well(cls, call):
        call.answer([cls.leaf(call), cls.authority.root_pem])

    def ask(self, behave):
        """Lets the client ask for a certificate that it will get in this way; returns where its log was."""
        self.ca.behave = behave
        since = len(self.client.process.log())
        self.client.process.signal(signal.SIGHUP)
        return since

    def is_refused(self, behave, outcome, words, timeout_s=10):
        before, serial = self.attempts(self.client, outcome), self.serial(self.client)
        since = self.ask(behave)
        failure = self.failure(self.client, since, timeout_s)
        self.assertRegex(failure["error"], words)
        self.assertEqual(failure["in_force"], "the one before")
        self.assertGreater(failure["retry_in_ms"], 0)
        wait_until(lambda: self.attempts(self.client, outcome) > before, f"an attempt that was {outcome}")
        self.assertEqual(self.serial(self.client), serial)
        self.assertEqual(self.client.readiness()[0], 200)
        self.works(self.client, self.server)
        self.works(self.server, self.client)

    def heals(self):
        before = self.serial(self.client)
        since = self.ask(self.well)
        self.assertNotEqual(self.serial(self.client, since), before)
        self.works(self.client, self.server)

    def all_are_refused(self, cases):
        for name, (behave, outcome, words) in cases.items():
            with self.subTest(name):
                self.is_refused(behave, outcome, words)
        self.heals()

    def test_what_is_asked_is_what_istio_s_ca_expects(self):
        since = self.ask(self.well)
        self.serial(self.client, since)
        call = self.ca.calls[-1]
        self.assertEqual(call.headers[":path"], "/istio.v1.auth.IstioCertificateService/CreateCertificate")
        self.assertEqual(call.headers["content-type"], "application/grpc")
        self.assertEqual(call.headers["clusterid"], "Kubernetes")
        self.assertRegex(call.headers["authorization"], "^Bearer token-of-client-")
        self.assertEqual(call.validity_s, 24 * HOUR_S)
        first = call.csr
        since = self.ask(self.well)
        self.serial(self.client, since)
        self.assertNotEqual(self.ca.calls[-1].csr, first, "a new key each time")

    def test_certificates_that_are_not_ours(self):
        other = new_key()
        brief = Authority(self.node.folder, "brief", parent=self.authority, life_s=600)
        self.all_are_refused({
            "another identity": (lambda call: call.answer([self.leaf(call, identity=self.server.identity), self.authority.root_pem]),
                                 "rejected", f"{self.server.identity}.*{self.client.identity}|{self.client.identity}.*{self.server.identity}"),
            "another trust domain": (
                lambda call: call.answer([self.leaf(call, identity="spiffe://elsewhere/ns/demo/sa/client"), self.authority.root_pem]),
                "rejected", "elsewhere"),
            "another key": (lambda call: call.answer([self.authority.issue([f"URI:{self.client.identity}"])[0],
                                                      self.authority.root_pem]), "rejected", "key"),
            "another root": (lambda call: call.answer([self.leaf(call), self.elsewhere.root_pem]), "rejected", "root|chain|issuer"),
            "another issuer": (lambda call: call.answer([self.leaf(call, self.elsewhere), self.authority.root_pem]),
                               "rejected", "root|chain|issuer"),
            "a leaf that outlives its issuer": (lambda call: call.answer([self.leaf(call, brief), brief.root_pem, self.authority.root_pem]),
                                                "rejected", "outlives its issuer"),
            "roots that are none": (lambda call: call.answer([self.leaf(call), "# nothing yet\n"]), "failed", "the last one has to be the roots"),
            "an empty root": (lambda call: call.answer([self.leaf(call), ""]), "failed", "the last one has to be the roots"),
            "expired": (lambda call: call.answer([self.leaf(call, start_s=-HOUR_S, life_s=-60), self.authority.root_pem]),
                        "rejected", "expired"),
            "not yet valid": (lambda call: call.answer([self.leaf(call, start_s=HOUR_S, life_s=2 * HOUR_S), self.authority.root_pem]),
                              "rejected", "becomes valid in 59 min"),
            "two identities": (lambda call: call.answer([self.authority.sign(
                call.csr, [f"URI:{self.client.identity}", f"URI:{self.server.identity}"]), self.authority.root_pem]),
                               "rejected", "URI|SAN"),
            "no identity": (lambda call: call.answer([self.authority.sign(call.csr, ["DNS:client"]), self.authority.root_pem]),
                            "rejected", "SPIFFE|URI"),
        })
        self.assertNotIn(other, self.client.process.log())

    def test_answers_that_are_none(self):
        self.all_are_refused({
            "a lone leaf": (lambda call: call.answer([self.leaf(call)]), "failed", "no roots"),
            "an empty chain": (lambda call: call.answer([]), "failed", "no certificate"),
            "not PEM": (lambda call: call.answer(["certificate", "root"]), "failed", "no certificate"),
            "broken PEM": (lambda call: call.answer([self.leaf(call).replace("MI", "!!", 1), self.authority.root_pem]), "rejected", "PEM|certificate"),
            "not protobuf": (lambda call: call.answer_bytes(fake_ca.frame(b"\xff" * 100)), "failed", "IstioCertificateResponse"),
            "not gRPC": (lambda call: call.answer_bytes(b"hello, world"), "failed", "."),
            "no message": (lambda call: call.answer_bytes(b""), "failed", "."),
            "half a message": (lambda call: call.answer_bytes(fake_ca.frame(b"x" * 1000)[:500]), "failed", "."),
            "a message of four gigabytes": (lambda call: call.answer_bytes(b"\0\xff\xff\xff\xff" + b"x" * 1000), "failed", "bytes|large|long"),
            "a page of HTML": (lambda call: call.answer_http(502), "unreachable", "502"),
        })

    def test_refusals_and_breaks(self):
        self.all_are_refused({
            "denied": (lambda call: call.refuse(fake_ca.PERMISSION_DENIED, "not from here"), "denied", "PERMISSION_DENIED.*not from here"),
            "unavailable": (lambda call: call.refuse(fake_ca.UNAVAILABLE, "come back later"), "unreachable", "UNAVAILABLE.*come back later"),
            "a forged line": (lambda call: call.refuse(
                fake_ca.UNAVAILABLE, "x%0A2026-01-01T00:00:00.000Z info agent %22certificate in force%22 serial=%22f00%22"),
                              "unreachable", "UNAVAILABLE"),
            "a reset stream": (lambda call: call.reset(), "failed", "reset|INTERNAL"),
            "a broken connection": (lambda call: call.hang_up(), "unreachable", "."),
        })
        self.assertNotIn('serial="f00"', self.client.process.log())
        self.client.log_lines()  # each line is one

    def test_an_answer_that_does_not_come_is_given_up_and_what_runs_goes_on(self):
        def dawdle(call):
            if self.identity_of(call) == self.client.identity:
                call.start(fake_ca.frame(b"x" * 1000)[:10])  # and the rest never comes

        self.ca.behave = dawdle
        since = {agent: len(agent.process.log()) for agent in self.agents}
        for agent in self.agents:
            agent.process.signal(signal.SIGHUP)
        for agent in self.agents:
            failure = self.failure(agent, since[agent], timeout_s=20)
            self.assertRegex(failure["error"], f"{self.mesh.control_address}.*(time|within)")
            self.assertGreater(self.attempts(agent, "unreachable"), 0)
            self.assertEqual(agent.readiness()[0], 200)
        self.works(self.client, self.server)
        self.works(self.server, self.client)
        self.ca.behave = self.well
        for agent in self.agents:
            self.serial(agent, since[agent])
        self.heals()

    def test_new_roots_are_trusted_beside_the_old_ones(self):
        """The CA goes over to another root: first one agent knows, then both; at no time is a connection refused."""
        def from_new_root(call):
            call.answer([self.leaf(call, self.elsewhere), self.elsewhere.root_pem])

        def from_old_root_with_both(call):
            call.answer([self.leaf(call), self.authority.root_pem + self.elsewhere.root_pem])

        for behave in (from_old_root_with_both, from_new_root):
            self.ca.behave = behave
            for agent in self.agents:
                since = len(agent.process.log())
                agent.process.signal(signal.SIGHUP)
                self.serial(agent, since)
                self.works(self.client, self.server)
                self.works(self.server, self.client)
        self.ca.behave = self.well
        for agent in self.agents:
            since = len(agent.process.log())
            agent.process.signal(signal.SIGHUP)
            self.serial(agent, since)


class Rotation(Case):
    """Certificates of a few seconds' life, under load."""

    @classmethod
    def set_up(cls):
        cls.mesh.start(control={"max_cert_ttl": ROTATING_TTL})

    def load(self, source, destination, stop, failures, counts):
        """Requests over one connection that stays, and over a new one each."""
        server = self.serve(destination.pod)
        address = (destination.pod.ipv4, server.port)

        def client(number):
            done = 0
            try:
                kept = source.pod.connect(*address)
                with kept:
                    while not stop.is_set():
                        text = b"%d of %d" % (done, number)
                        for connection in (kept, source.pod.connect(*address)):
                            connection.sendall(text)
                            if actors.read_exactly(connection, len(text)) != text:
                                raise ValueError("wrong bytes")
                            if connection is not kept:
                                connection.close()
                        done += 1
            except (OSError, EOFError, ValueError) as error:
                failures.append(f"{source.name} to {destination.name}, request {done}: {error!r}")
            counts.append(done)

        threads = [threading.Thread(target=client, args=(number,)) for number in range(LOAD_CLIENTS)]
        for thread in threads:
            thread.start()
        return threads

    def test_no_request_fails_and_no_connection_ends(self):
        stop, failures, counts = threading.Event(), [], []
        threads = self.load(self.client, self.server, stop, failures, counts) + \
            self.load(self.server, self.client, stop, failures, counts)
        marks = {agent: agent.process.log().count('"certificate in force"') for agent in self.agents}
        try:
            for agent in self.agents:
                wait_until(lambda: agent.process.log().count('"certificate in force"') >= marks[agent] + ROTATIONS,
                           f"{ROTATIONS} rotations of {agent.name}", timeout_s=40)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertEqual(failures, [])
        self.assertEqual(len(counts), 2 * LOAD_CLIENTS)
        self.assertGreater(min(counts), 20)
        for agent in self.agents:
            serials = [entry["serial"] for entry in agent.log_lines() if entry["message"] == "certificate in force"]
            self.assertEqual(len(set(serials)), len(serials))
            wait_until(lambda: agent.metric("remora_tunnel_streams_open") == 0, "all streams to end")
            self.assertEqual(agent.metric("istio_tcp_connections_failed_total"), 0)
            self.assertEqual(agent.metric("remora_tls_handshake_failures_total"), 0)
            # Tunnels of former certificates are gone with their last stream: they do not pile up.
            wait_until(lambda: agent.metric("remora_tunnels_open") <= 4, f"{agent.name}'s former tunnels to close")


class Files(Case):
    """Certificates from files."""

    cert_source = "files"

    def setUp(self):
        self.paths = {what: self.mesh.certificate_file("client", what) for what in ("cert", "key", "trust-bundle")}

    def good(self, **options):
        chain, key = self.mesh.authority.issue([f"URI:{self.client.identity}"], **options)
        return {"cert": chain, "key": key, "trust-bundle": self.mesh.authority.root_pem}

    def write(self, contents, *whats):
        for what in whats or contents:
            replace_file(self.paths[what], contents[what], mode=0o600 if what == "key" else 0o644, uid=AGENT_UID)

    def takes(self, contents, since):
        wait_until(lambda: self.serial(self.client, since).lstrip("0") == serial_of(contents["cert"]), "the new certificate")
        self.works(self.client, self.server)
        self.works(self.server, self.client)

    def test_replaced_files_are_taken_into_use(self):
        listener = self.serve(self.server.pod)
        live = self.dial(self.client, self.server, listener.port)
        self.echoes(live)
        for _ in range(3):
            contents = self.good()
            since = len(self.client.process.log())
            self.write(contents)
            self.takes(contents, since)
            self.echoes(live)

    def test_a_pair_that_does_not_match_is_named_and_ignored_until_it_does(self):
        before = self.serial(self.client)
        contents = self.good()
        since = len(self.client.process.log())
        self.write(contents, "cert")
        failure = self.failure(self.client, since)
        self.assertIn("key", failure["error"])
        self.assertEqual(failure["in_force"], "the one before")
        self.assertEqual(self.serial(self.client), before)
        self.assertEqual(self.client.readiness()[0], 200)
        self.works(self.client, self.server)
        since = len(self.client.process.log())
        self.write(contents, "key")
        self.takes(contents, since)

    def test_half_a_file_is_named_and_ignored_until_it_is_whole(self):
        contents = self.good()
        before = self.serial(self.client)
        for what in ("cert", "trust-bundle", "key"):
            with self.subTest(what):
                since = len(self.client.process.log())
                self.write({**contents, what: contents[what][:len(contents[what]) // 2]})
                self.failure(self.client, since)
                self.assertEqual(self.serial(self.client), before)
                self.works(self.client, self.server)
        since = len(self.client.process.log())
        self.write(contents)
        self.takes(contents, since)

    def test_a_file_written_in_place_bit_by_bit_ends_up_in_use(self):
        contents = self.good()
        since = len(self.client.process.log())
        for what in ("trust-bundle", "key", "cert"):
            with open(self.paths[what], "w", encoding="ascii") as file:
                for start in range(0, len(contents[what]), 100):
                    file.write(contents[what][start:start + 100])
                    file.flush()
        self.takes(contents, since)

    def test_wrong_certificates_are_named_and_ignored(self):
        before = self.serial(self.client)
        root = self.mesh.authority.root_pem
        for name, names, options, words in (("another identity", [f"URI:{self.server.identity}"], {}, self.server.identity),
                                            ("expired", [f"URI:{self.client.identity}"], {"start_s": -HOUR_S, "life_s": -60}, "expired")):
            with self.subTest(name):
                chain, key = self.mesh.authority.issue(names, **options)
                since = len(self.client.process.log())
                self.write({"cert": chain, "key": key, "trust-bundle": root})
                wait_until(lambda: words in "".join(line for line in self.client.process.log()[since:].splitlines()
                                                    if "certificate failed" in line), words)
                self.assertEqual(self.serial(self.client), before)
                self.works(self.client, self.server)
        since = len(self.client.process.log())
        contents = self.good()
        self.write(contents)
        self.takes(contents, since)

    def test_a_removed_file_is_named_and_what_runs_goes_on(self):
        since = len(self.client.process.log())
        os.unlink(self.paths["cert"])
        self.assertIn(self.paths["cert"], self.failure(self.client, since)["error"])
        self.works(self.client, self.server)
        contents = self.good()
        since = len(self.client.process.log())
        self.write(contents)
        self.takes(contents, since)

    def test_files_swapped_as_kubernetes_swaps_them_are_taken_into_use(self):
        volume = os.path.join(self.mesh.folder, "volume")
        os.mkdir(volume, 0o755)
        contents = self.good()
        self.swap(volume, 1, contents)
        for what in self.paths:
            os.symlink(f"..data/{what}", os.path.join(volume, what))
        files = {f"{what.replace('-', '_')}_file": os.path.join(volume, what) for what in self.paths}
        self.client.restart(**files)
        self.addCleanup(self.client.restart)
        self.takes(contents, 0)
        for version in range(2, 5):
            contents = self.good()
            since = len(self.client.process.log())
            self.swap(volume, version, contents)
            self.takes(contents, since)

    def swap(self, volume, version, contents):
        """A folder for each version, a link ..data to it that is replaced in one step, and the old one removed."""
        folder = os.path.join(volume, f"..version-{version}")
        os.mkdir(folder, 0o755)
        for what, text in contents.items():
            replace_file(os.path.join(folder, what), text, mode=0o600, uid=AGENT_UID)
        os.symlink(os.path.basename(folder), os.path.join(volume, "..data.new"))
        os.replace(os.path.join(volume, "..data.new"), os.path.join(volume, "..data"))
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(os.path.join(volume, f"..version-{version - 1}"))

    def test_a_certificate_that_ends_without_a_successor_closes_the_agent_until_there_is_one(self):
        since = len(self.client.process.log())
        self.write(self.good(life_s=3))
        self.serial(self.client, since)
        self.client.process.wait_log('"certificate expired', since=since)
        self.client.wait_not_ready("expired|none valid")
        listener = self.serve(self.server.pod)
        self.client.pod.assert_reset(self.server.pod.ipv4, listener.port)
        self.client.access_log(f":{listener.port}.*no_identity")
        contents = self.good()
        since = len(self.client.process.log())
        self.write(contents)
        self.client.wait_ready()
        self.takes(contents, since)

    def test_files_that_come_after_the_start_are_waited_for(self):
        missing = os.path.join(self.mesh.folder, "later.pem")
        self.client.stop()
        self.client.start(ready=False, cert_file=missing)
        self.addCleanup(self.client.restart)
        self.client.wait_not_ready(f"certificate: none valid: .*{missing}")
        contents = self.good()
        self.write(contents, "key")
        replace_file(missing, contents["cert"])
        self.client.wait_ready()
        self.takes(contents, 0)
        self.write(contents)


class LocalFile(Case):
    """The file of workloads, services and policies."""

    cert_source = "files"

    def setUp(self):
        self.addCleanup(self.restore)

    def restore(self):
        self.mesh.policies.clear()
        self.reload()

    def reload(self, agent=None):
        """Writes the file anew and waits until it is in force."""
        agents = [agent] if agent else self.agents
        loads = {agent: self.loads(agent, "ok") for agent in agents}
        self.mesh.write_local_file()
        for agent in agents:
            wait_until(lambda: self.loads(agent, "ok") > loads[agent], f"{agent.name} to have loaded the file")

    def loads(self, agent, outcome):
        return agent.metric("remora_discovery_loads_total", outcome=outcome)

    def refused(self, destination):
        listener = self.serve(destination.pod)
        self.client.pod.assert_reset(destination.pod.ipv4, listener.port)
        return listener.port

    def test_a_policy_that_is_added_refuses_and_that_is_removed_allows(self):
        self.works(self.client, self.server)
        self.mesh.allow("nobody-we-know", "demo", "spiffe://cluster.local/ns/demo/sa/somebody")
        self.reload()
        port = self.refused(self.server)
        self.server.access_log(f"{self.client.identity}.*:{port}.*not_allowed.*DENY")
        self.client.access_log(f":{port}.*peer_refused")
        self.mesh.allow("the-client", "demo", self.client.identity)
        self.reload()
        self.works(self.client, self.server)
        self.mesh.policies.clear()
        self.mesh.policies.append({"name": "not-the-client", "namespace": "demo", "scope": "Namespace", "action": "Deny",
                                   "rules": [[[{"principals": [{"Exact": self.client.identity.removeprefix("spiffe://")}]}]]],
                                   "dryRun": False})
        self.reload()
        port = self.refused(self.server)
        self.server.access_log(f":{port}.*denied_by_policy.*policy=\"demo/not-the-client\"")
        self.mesh.policies.clear()
        self.reload()
        self.works(self.client, self.server)

    def test_a_workload_that_changes_its_name_is_another(self):
        self.server.workload["serviceAccount"] = "impostor"
        self.addCleanup(self.server.workload.update, serviceAccount="server")
        self.reload()
        port = self.refused(self.server)
        line = self.client.access_log(f":{port}.*identity_mismatch")
        self.assertIn("sa/impostor", line)

    def test_a_bad_file_is_refused_with_its_line_and_the_state_before_stays(self):
        self.mesh.allow("the-client", "demo", self.client.identity)
        self.reload()
        with open(self.mesh.local_file, encoding="utf-8") as file:
            good = file.read()
        cases = {
            "an unknown key": ("workloads: []\nservices: []\npolicies: []\npolicys: []\n", 4, "policys"),
            "an unknown key of a policy": ("workloads: []\nservices: []\npolicies:\n- name: x\n  namspace: demo\n", 5, "namspace"),
            "a wrong type": ("workloads:\n- uid: [1, 2]\n", 2, "uid"),
            "a bad address": ("workloads:\n- uid: a\n  name: a\n  namespace: b\n  workloadIps: [300.1.2.3]\n  services: {}\n", 5, "300.1.2.3"),
            "a bad choice": (good.replace('"action": "Allow"', '"action": "Permit"'),
                             1 + good[:good.index('"action": "Allow"')].count("\n"), "Permit"),
            "broken YAML": ("workloads: []\nservices: [\n", 3, ""),
            "no YAML at all": ("\0\1\2", None, "byte 0"),
            "nothing": ("", 1, ""),
        }
        for name, (text, line, words) in cases.items():
            with self.subTest(name):
                since, failed = len(self.server.process.log()), self.loads(self.server, "failed")
                replace_file(self.mesh.local_file, text)
                match = self.server.process.wait_log('^.*"discovery not loaded".*$', since=since)
                entry = parse_log_line(match.group(0))
                self.assertRegex(entry["error"], rf"{self.mesh.local_file}:{line}\b" if line else self.mesh.local_file)
                self.assertIn(words, entry["error"])
                self.assertEqual((entry["level"], entry["in_force"]), ("warn", "the state before"))
                wait_until(lambda: self.loads(self.server, "failed") > failed, "the refusal to be counted")
                self.assertEqual(self.server.readiness()[0], 200)
                self.assertEqual(self.server.metric("remora_discovery_policies"), 1)
                self.works(self.client, self.server)
        self.mesh.write_local_file()

    def test_a_file_that_is_removed_is_named_and_the_state_before_stays(self):
        since = len(self.server.process.log())
        os.unlink(self.mesh.local_file)
        self.server.process.wait_log(f'"discovery not loaded".*{self.mesh.local_file}', since=since)
        self.works(self.client, self.server)

    def test_a_file_that_comes_after_the_start_is_waited_for(self):
        path = os.path.join(self.mesh.folder, "later.yaml")
        self.server.restart(ready=False, local_file=path)
        self.addCleanup(self.server.restart)
        self.server.wait_not_ready(f"discovery: not loaded yet: .*{path}")
        listener = self.serve(self.server.pod)
        self.client.pod.assert_reset(self.server.pod.ipv4, listener.port)
        self.server.access_log(f":{listener.port}.*unknown_local_workload")
        with open(self.mesh.local_file, encoding="utf-8") as file:
            replace_file(path, file.read())
        self.server.wait_ready()
        self.works(self.client, self.server)

    def test_a_file_that_does_not_know_the_pod_does_not_make_it_ready(self):
        path = os.path.join(self.mesh.folder, "others.yaml")
        replace_file(path, "workloads: []\nservices: []\npolicies: []\n")
        self.server.restart(ready=False, local_file=path)
        self.addCleanup(self.server.restart)
        self.server.wait_not_ready("discovery: .*does not know this pod: server")

    def test_connections_that_live_survive_a_reload(self):
        listener = self.serve(self.server.pod)
        live = self.dial(self.client, self.server, listener.port)
        self.echoes(live)
        for _ in range(5):
            self.reload()
            self.echoes(live)


if __name__ == "__main__":
    require_root()
    unittest.main(verbosity=2)
