"""Agents whose certificates come from the SPIFFE Workload API, by a server that does as the test bids."""

import os
import signal
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

import actors  # noqa: E402
import fake_spiffe  # noqa: E402
from authority import HOUR_S, Authority  # noqa: E402
from fake_spiffe import FakeWorkloadApi, state, svid  # noqa: E402
from mesh import Agent, Mesh, parse_log_line  # noqa: E402
from protobuf import field, read  # noqa: E402
from pods import AGENT_UID, Node, require_root, wait_until  # noqa: E402

TRUST_DOMAIN = "home.test"
ROTATIONS = 3
LOAD_CLIENTS = 2
REQUESTS_BETWEEN = 5  # that every client of the load has to have made before the next step


class SpiffeAgent(Agent):
    """A pod whose sidecar is served by a Workload API of its own, `api`."""

    def __init__(self, mesh, pod):
        super().__init__(mesh, pod, "demo", pod.name)
        self.path = os.path.join(mesh.folder, f"{pod.name}.sock")
        self.api = None

    def options(self):
        return {
            "pod-name": self.name, "pod-namespace": self.namespace, "service-account": self.service_account,
            "trust-domain": self.mesh.trust_domain, "local-file": self.mesh.local_file, "access-log": "text",
            "cert-source": "spiffe", "spiffe-endpoint": f"unix://{self.path}",
        }


class Case(unittest.TestCase):
    """A client and a server, new for each test."""

    def setUp(self):
        self.node = self.enterContext(Node())
        self.addCleanup(self._show_logs_of_failure)
        self.mesh = Mesh(self.node, trust_domain=TRUST_DOMAIN)
        self.authority = Authority(self.node.folder)
        self.client, self.server = self.agent("client"), self.agent("server")

    def _show_logs_of_failure(self):
        outcome = getattr(self, "_outcome", None)
        if outcome is not None and not outcome.success:
            self.node.show_logs()

    def agent(self, name):
        agent = SpiffeAgent(self.mesh, self.node.pod(name))
        self.mesh.agents[name] = agent
        agent.api = self.enterContext(FakeWorkloadApi(agent.path))
        return agent

    def start(self, ready=True, **options):
        self.mesh.write_local_file()
        for agent in self.mesh.agents.values():
            agent.capture()
            agent.start(ready=False, **options)
        if ready:
            for agent in self.mesh.agents.values():
                agent.wait_ready()

    def tell_all(self, **options):
        """A new SVID for each agent."""
        for agent in self.mesh.agents.values():
            self.tell(agent, **options)

    def tell(self, agent, authority=None, federated=None, **options):
        agent.api.push(state([svid(agent.identity, authority or self.authority, **options)], federated))

    def rotate(self, agent, **options):
        """The same, and waits for it to be in force."""
        since = len(agent.process.log())
        self.tell(agent, **options)
        agent.process.wait_log('"certificate in force"', since=since)

    def serial(self, agent):
        return [entry["serial"] for entry in agent.log_lines() if entry["message"] == "certificate in force"][-1]

    def attempts(self, agent, outcome):
        return agent.metric("remora_certificate_rotation_attempts_total", outcome=outcome)

    def failure(self, agent, since=0):
        match = agent.process.wait_log('^.*"attempt to get a certificate failed".*$', since=since)
        return parse_log_line(match.group(0))

    def serve(self, pod):
        return self.enterContext(actors.Server(pod.listen(), actors.echo))

    def ask(self, source, address, port):
        with source.pod.connect(address, port) as connection:
            connection.sendall(b"ping")
            self.assertEqual(actors.read_exactly(connection, 4), b"ping")

    def works(self, source, destination):
        server = self.serve(destination.pod)
        self.ask(source, destination.pod.ipv4, server.port)


class Rotation(Case):
    """New SVIDs and new roots under load: nobody notices."""

    def setUp(self):
        super().setUp()
        self.stop = threading.Event()
        self.failures = []
        self.counts = []

    def load(self, source, destination):
        server = self.serve(destination.pod)

        def run(index):
            while not self.stop.is_set():
                try:
                    self.ask(source, destination.pod.ipv4, server.port)
                    self.counts[index] += 1
                except (OSError, EOFError, AssertionError) as error:
                    self.failures.append(repr(error))
                    return

        for _ in range(LOAD_CLIENTS):
            self.counts.append(0)
            thread = threading.Thread(target=run, args=(len(self.counts) - 1,))
            thread.start()
            self.addCleanup(thread.join)
        self.addCleanup(self.stop.set)

    def carry_on(self):
        """Every client of the load has made some requests more, without a failure."""
        before = list(self.counts)
        wait_until(lambda: self.failures or all(now >= then + REQUESTS_BETWEEN for now, then in zip(self.counts, before)),
                   "the load to go on", 30)
        self.assertEqual(self.failures, [])

    def test_no_connection_fails_through_rotations_and_a_change_of_root(self):
        self.tell_all()
        self.start()
        self.load(self.client, self.server)
        self.load(self.server, self.client)
        self.carry_on()
        for _ in range(ROTATIONS):
            for agent in (self.client, self.server):
                self.rotate(agent)
                self.carry_on()
        successor = Authority(self.node.folder, "successor")
        both = self.authority.root_pem + successor.root_pem
        # Published beside the old one; then it signs, until no pool has a connection from before; then the old one is withdrawn.
        # Now this side learns first, now the other.
        for agents, authority, bundle in (((self.client, self.server), self.authority, both),
                                          ((self.server, self.client), successor, both),
                                          ((self.client, self.server), successor, both),
                                          ((self.server, self.client), successor, successor.root_pem)):
            for agent in agents:
                self.rotate(agent, authority=authority, bundle=bundle)
                self.carry_on()
        self.stop.set()
        self.assertEqual(self.failures, [])
        for agent in (self.client, self.server):
            self.assertEqual(self.attempts(agent, "rejected"), 0)
            self.assertEqual(len(agent.api.streams), 1, "one stream for all of it")


class Server(Case):
    """What the Workload API says, and how the agent takes it."""

    def test_the_request_is_as_the_specification_says(self):
        self.tell_all()
        self.start()
        headers = self.client.api.streams[0].headers
        self.assertEqual(headers[":path"], "/SpiffeWorkloadAPI/FetchX509SVID")
        self.assertEqual(headers["workload.spiffe.io"], "true")
        self.assertEqual(headers["content-type"], "application/grpc")
        self.assertNotIn("authorization", headers)
        self.assertNotIn("grpc-timeout", headers)

    def test_a_workload_that_is_not_registered_waits_until_it_is(self):
        self.tell_all()
        self.client.api.behave = lambda stream: stream.end(fake_spiffe.PERMISSION_DENIED, "no identity issued")
        self.start(ready=False)
        self.client.wait_not_ready("no identity is registered for this workload: .*no identity issued")
        wait_until(lambda: len(self.client.api.streams) >= 4, "it to be asked again")
        wait_until(lambda: self.attempts(self.client, "denied") >= 1, "the attempt to be counted")
        self.client.api.behave = None
        self.client.wait_ready()
        self.works(self.client, self.server)

    def test_after_invalid_argument_only_a_reload_asks_again(self):
        self.tell_all()
        self.client.api.behave = lambda stream: stream.end(fake_spiffe.INVALID_ARGUMENT, "security header missing")
        self.start(ready=False)
        for _ in range(2):  # the machine asks again; the source does not
            since = len(self.client.process.log())
            self.assertIn("security header missing", self.failure(self.client, since)["error"])
        self.client.wait_not_ready("not tried again before a reload")
        self.assertEqual(len(self.client.api.streams), 1)
        self.client.api.behave = None
        self.client.process.signal(signal.SIGHUP)
        self.client.wait_ready()
        self.works(self.client, self.server)

    def test_one_of_several_identities_is_taken_by_hint(self):
        self.tell_all()
        other = f"spiffe://{TRUST_DOMAIN}/ns/demo/sa/other"
        self.client.api.push(state([svid(other, self.authority, hint="other"), svid(self.client.identity, self.authority, hint="main")]))
        self.start(ready=False)
        for options, identity in (({}, self.client.identity), ({"spiffe_hint": "other"}, other), ({"spiffe_hint": "main"}, self.client.identity)):
            with self.subTest(**options):
                self.client.stop()
                self.client.start(**options)
                self.client.process.wait_log(f'"certificate in force" identity="{identity}"')
        self.client.stop()
        self.client.start(ready=False, spiffe_hint="mian")
        self.client.wait_not_ready('no.*has the hint "mian"; there are: "other", "main"')

    def test_an_identity_with_a_path_of_its_own_is_reached_as_its_service_s(self):
        free = f"spiffe://{TRUST_DOMAIN}/database/main"
        vip = "240.0.0.9"
        listener = self.serve(self.server.pod)
        self.tell(self.client)
        self.server.api.push(state([svid(free, self.authority)]))
        self.mesh.service("database", [vip], {80: listener.port}, [self.server], subjectAltNames=[free])
        self.start()
        self.server.process.wait_log(f'"certificate in force" identity="{free}"')
        self.ask(self.client, vip, 80)
        self.server.access_log(f'{self.client.identity}.*"done"')
        self.client.pod.assert_reset(self.server.pod.ipv4, listener.port)
        self.client.access_log("identity_mismatch")

    def test_bad_states_leave_the_good_one_and_are_named(self):
        self.tell_all()
        self.start()
        serial = self.serial(self.client)
        elsewhere = Authority(self.node.folder, "elsewhere")
        keyless = b"".join(field(number, value) for number, value in read(svid(self.client.identity, self.authority)) if number != 3)
        cases = {
            "no identity": (state([]), "no identity at all"),
            "not protobuf": (b"\xff" * 50, "not an X509SVIDResponse"),
            "no key": (state([keyless]), "without a private key"),
            "another root": (state([svid(self.client.identity, self.authority, bundle=elsewhere.root_pem)]), "root"),
            "another identity": (state([svid(self.server.identity, self.authority)]), self.server.identity),
            "expired": (state([svid(self.client.identity, self.authority, start_s=-HOUR_S, life_s=-60)]), "expired"),
        }
        for name, (message, words) in cases.items():
            with self.subTest(name):
                since = len(self.client.process.log())
                self.client.api.push(message)
                failure = self.failure(self.client, since)
                self.assertRegex(failure["error"], words)
                self.assertEqual(failure["in_force"], "the one before")
                self.assertEqual(self.serial(self.client), serial)
                self.works(self.client, self.server)
                since = len(self.client.process.log())
                self.tell(self.client)
                self.client.process.wait_log('"certificate in force"', since=since)
                serial = self.serial(self.client)
        self.assertEqual(self.client.readiness()[0], 200)

    def test_an_outage_is_named_and_heals_and_a_restart_in_it_goes_on(self):
        cache = os.path.join("/dev/shm", os.path.basename(self.mesh.folder))
        os.mkdir(cache, 0o700)
        self.addCleanup(lambda: [os.unlink(os.path.join(cache, name)) for name in os.listdir(cache)] and os.rmdir(cache))
        os.chown(cache, AGENT_UID, AGENT_UID)
        self.tell_all()
        self.start()
        self.client.restart(cache_dir=cache)
        serial = self.serial(self.client)
        since = len(self.client.process.log())
        self.client.api.__exit__()
        failure = self.failure(self.client, since)
        self.assertIn(self.client.path, failure["error"])
        self.assertEqual(failure["in_force"], "the one before")
        wait_until(lambda: self.attempts(self.client, "unreachable") >= 1, "the attempt to be counted")
        self.works(self.client, self.server)

        self.client.restart(cache_dir=cache)
        self.assertEqual(self.serial(self.client), serial)
        self.client.process.wait_log('"certificate in force".*from="cache"')
        self.works(self.client, self.server)

        since = len(self.client.process.log())
        self.client.api = self.enterContext(FakeWorkloadApi(self.client.path))
        self.tell(self.client)
        self.client.process.wait_log('"certificate in force".*from="source"', since=since, timeout_s=40)
        self.assertNotEqual(self.serial(self.client), serial)
        self.works(self.client, self.server)

    def test_a_restarted_server_is_found_again(self):
        self.tell_all()
        self.start()
        for _ in range(3):
            before = len(self.client.api.streams)
            self.client.api.cut()
            wait_until(lambda: len(self.client.api.streams) > before, "a new stream")
            self.rotate(self.client)
            self.works(self.client, self.server)


class Federation(Case):
    """Trust domains that the Workload API names, for as long as it names them."""

    def test_a_federated_trust_domain_is_trusted_while_it_is_named(self):
        abroad = Authority(self.node.folder, "abroad")
        foreigner = self.agent("foreigner")
        foreigner.identity = "spiffe://abroad.test/ns/demo/sa/foreigner"
        foreigner.workload["trustDomain"] = "abroad.test"
        self.tell_all()
        self.tell(foreigner, authority=abroad, federated={TRUST_DOMAIN: self.authority.root_pem})
        self.start()
        listener = self.serve(self.server.pod)
        foreigner.pod.assert_reset(self.server.pod.ipv4, listener.port)
        self.server.access_log("cert_wrong_trust_domain")
        self.rotate(self.server, federated={"abroad.test": abroad.root_pem})
        self.ask(foreigner, self.server.pod.ipv4, listener.port)
        self.server.access_log('src.identity="spiffe://abroad.test/ns/demo/sa/foreigner".*"done"')
        self.rotate(self.server)
        since = len(self.server.process.log())
        foreigner.pod.assert_reset(self.server.pod.ipv4, listener.port)
        self.server.access_log("cert_wrong_trust_domain", since)
        self.works(self.client, self.server)


if __name__ == "__main__":
    require_root()
    unittest.main(verbosity=2)
