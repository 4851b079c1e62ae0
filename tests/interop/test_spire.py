"""Agents whose certificates come from real SPIRE, and go-spiffe programs without a sidecar. See docs/INTEROP.md."""

import contextlib
import os
import re
import shutil
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

import actors  # noqa: E402
import hbone  # noqa: E402
import pods  # noqa: E402
from load import Load  # noqa: E402
from peers import program  # noqa: E402
from pods import AGENT_GID, AGENT_UID, Node, require_root, wait_until  # noqa: E402
from spire import ROTATION_S, SVID_TTL_S, SpireMesh, TrustDomain  # noqa: E402

ONE, TWO = "one.test", "two.test"
ROTATIONS = 3
CLIENTS = 16
PORT, TARGET_PORT = 80, 8080
GRACE_S = 20  # SPIRE needs seconds to tell its agents what its server has been told
HEAL_S = 45  # after long outages the agent asks each thirty seconds


class Case(unittest.TestCase):
    """
    Two trust domains that federate. Pods with agents: frontend and backend in the first, with SPIFFE IDs as SPIRE's users choose
    them, store with one of Istio's form; partner in the second. Without an agent: gopher, whose programs use go-spiffe.
    Those whose SPIFFE ID is not of Istio's form are reached by the addresses of services that name it.
    """

    @classmethod
    def setUpClass(cls):
        cls.node = cls.enterClassContext(Node())
        try:
            cls.mesh = SpireMesh(cls.node, ONE, TWO)
            cls.one, cls.two = cls.mesh.domains
            cls.frontend = cls.mesh.spire_agent("frontend", cls.one, "/web/frontend")
            cls.backend = cls.mesh.spire_agent("backend", cls.one, "/web/backend")
            cls.store = cls.mesh.spire_agent("store", cls.one, "/ns/demo/sa/store")
            cls.partner = cls.mesh.spire_agent("partner", cls.two, "/partners/first")
            cls.gopher = cls.mesh.spire_peer("gopher", cls.one, "/gopher")
            cls.vips = {}
            for agent in (cls.frontend, cls.backend, cls.store, cls.partner, cls.gopher):
                cls.vips[agent] = f"198.19.0.{10 + len(cls.vips)}"
                cls.mesh.service(agent.name, [cls.vips[agent]], {PORT: TARGET_PORT}, [agent], subjectAltNames=[agent.identity])
            cls.mesh.write_local_file()
            for agent in cls.mesh.agents.values():
                agent.capture()
                agent.start(ready=False)
            for agent in cls.mesh.agents.values():
                agent.wait_ready(GRACE_S)
        except BaseException:
            cls.node.show_logs()
            raise

    # ------------------------------------------------------------------------------------------------------- traffic

    def serve(self, agent):
        return self.enterContext(actors.Server(agent.pod.listen(port=TARGET_PORT), actors.echo))

    @contextlib.contextmanager
    def load(self, *pairs):
        """Load from the first to the second of each pair for as long as the block takes; not one connection may fail."""
        with contextlib.ExitStack() as stack:
            for destination in {destination for _, destination in pairs}:
                stack.enter_context(actors.Server(destination.pod.listen(port=TARGET_PORT), actors.echo))
            loads = {pair: stack.enter_context(Load(pair[0].pod, self.vips[pair[1]], PORT, CLIENTS)) for pair in pairs}
            yield
            for load in loads.values():
                wait_until(lambda load=load: load.connections > 10 * CLIENTS, "enough connections to have been made", GRACE_S)
                load.stop()
        for (source, destination), load in loads.items():
            self.assertEqual(dict(load.failures), {}, f"from {source.name} to {destination.name}")
            self.wait_tunnelled(source, destination)

    def wait_tunnelled(self, source, destination):
        """A connection from one agent came through a tunnel to another's application, by the identity in its certificate."""
        wait_until(lambda: any(entry.get("src.identity") == source.identity for entry in destination.sessions(TARGET_PORT)),
                   f"a tunnel from {source.name} in the log of {destination.name}")

    def connect(self, source, destination):
        """A connection that has been shown to work."""
        connection = self.enterContext(source.pod.connect(self.vips[destination], PORT))
        self.converse(connection)
        return connection

    def converse(self, connection):
        connection.sendall(b"hello")
        self.assertEqual(actors.read_exactly(connection, 5), b"hello")

    def works(self, source, destination):
        try:
            with source.pod.connect(self.vips[destination], PORT) as connection:
                connection.sendall(b"x")
                return connection.recv(1) == b"x"
        except OSError:
            return False

    def wait_works(self, source, destination):
        wait_until(lambda: self.works(source, destination), f"{source.name} to reach {destination.name}", GRACE_S)

    def assert_ends(self, connection):
        connection.settimeout(GRACE_S)
        with contextlib.suppress(ConnectionResetError):
            self.assertEqual(connection.recv(1), b"")

    # -------------------------------------------------------------------------------------------------- certificates

    def presented(self, agent):
        """(serial number, key ID of the authority) of the certificate that whoever connects to the agent is shown."""
        shown = self.gopher.pod.run(["openssl", "s_client", "-connect", f"{agent.pod.ipv4}:{hbone.PORT}", "-alpn", "h2"],
                                    check=False).stdout
        self.assertIn("BEGIN CERTIFICATE", shown, f"{agent.name} shows no certificate")
        text = self.gopher.pod.run(["openssl", "x509", "-noout", "-serial", "-ext", "authorityKeyIdentifier"], stdin=shown).stdout
        serial, = re.findall(r"^serial=([0-9A-F]+)$", text, re.MULTILINE)
        authority, = re.findall(r"^ *(?:keyid:)?([0-9A-F]{2}(?::[0-9A-F]{2})+)$", text, re.MULTILINE)
        return serial, authority.replace(":", "").lower()

    def wait_rotations(self, agents, count):
        """Waits until each agent has shown so many more certificates to its peers."""
        seen = {agent: {self.presented(agent)[0]} for agent in agents}

        def look():
            for agent in agents:
                seen[agent].add(self.presented(agent)[0])
            return all(len(serials) > count for serials in seen.values())

        wait_until(look, f"{count} rotations of each agent", (count + 1) * ROTATION_S)

    def in_force(self, agent):
        """The last thing that the agent has said about its certificate."""
        return [entry for entry in agent.log_lines() if entry["message"] == "certificate in force"][-1]

    def wait_roots(self, domain, count, without=None):
        """Waits until each agent of a trust domain knows so many roots of it, and those of the other one know them too."""
        other = self.two if domain is self.one else self.one
        other.refresh(domain)
        for agent in self.mesh.agents.values():
            if agent is without:
                continue
            if agent.domain is domain:
                wait_until(lambda agent=agent: self.in_force(agent)["roots"] == count, f"{agent.name} to know the roots", GRACE_S)
            else:
                wait_until(lambda agent=agent: agent.machine.knows(domain), f"{agent.name} to be told the roots", GRACE_S)

    def change_authority(self, domain, without=None):
        """
        As SPIRE's documentation has it: prepare, activate, taint. Returns the old and the new key ID when all of the trust
        domain's agents show certificates of the new one; but for an agent, `without`, whose machine is not there.
        """
        agents = [agent for agent in self.mesh.agents.values() if agent.domain is domain and agent is not without]
        machines = [machine for machine in domain.machines if without is None or machine is not without.machine]
        old = domain.authority()
        new = domain.prepare()
        self.wait_roots(domain, 2, without)
        domain.activate(new)
        before = {machine: len(machine.process.log()) for machine in machines}
        domain.taint(old)
        wait_until(lambda: {self.presented(agent)[1] for agent in agents} == {new}, "certificates of the new authority", GRACE_S)
        for machine in machines:
            machine.process.wait_log("Successfully rotated agent SVID", GRACE_S, since=before[machine])
        self.assertNotEqual(old, new)
        return old, new

    def withdraw_authority(self, domain, authority, without=None):
        """The last step: revoke."""
        domain.revoke(authority)
        self.wait_roots(domain, 1, without)


class Rotation(Case):
    """SVIDs and authorities rotate under load: within a trust domain, and between two."""

    def setUp(self):
        self.pairs = ((self.frontend, self.backend), (self.frontend, self.store), (self.partner, self.backend))

    def test_svids_rotate_and_cost_no_connection(self):
        with self.load(*self.pairs):
            self.wait_rotations(self.mesh.agents.values(), ROTATIONS)

    def rotate_authority(self, domain):
        with self.load(*self.pairs):
            old, new = self.change_authority(domain)
            # What was connected before, with certificates of the old authority, ends when that goes. It has to be left for as
            # long as connections last; the load's do for a second.
            self.wait_rotations(self.mesh.agents.values(), 2)
            connections = [self.connect(*pair) for pair in self.pairs]
            self.withdraw_authority(domain, old)
            self.wait_rotations(self.mesh.agents.values(), 1)
            for connection in connections:
                self.converse(connection)
                connection.close()
        self.assertEqual({self.presented(agent)[1] for agent in self.mesh.agents.values() if agent.domain is domain}, {new})

    def test_the_authority_rotates_and_costs_no_connection(self):
        self.rotate_authority(self.one)

    def test_the_authority_of_a_federated_trust_domain_rotates_and_costs_no_connection(self):
        self.rotate_authority(self.two)


class Trust(Case):
    """What an SVID is worth is decided by the bundle, and which SVID is ours by SPIRE."""

    def newcomer(self, name, path, **options):
        """One more pod of the first trust domain, with its agent."""
        agent = self.mesh.spire_agent(name, self.one, path, **options)
        self.mesh.write_local_file()
        self.addCleanup(self.mesh.write_local_file)
        self.addCleanup(self.mesh.agents.pop, name)
        agent.capture()
        return agent

    def test_tunnels_of_an_authority_that_is_revoked_end(self):
        self.serve(self.backend)
        visitor = self.newcomer("visitor", "/visitor", ttl_s=3600)
        visitor.start()
        connection = self.connect(visitor, self.backend)
        visitor.machine.process.kill()  # so that nobody brings it a new SVID
        old, _ = self.change_authority(self.one, without=visitor)
        self.converse(connection)
        self.withdraw_authority(self.one, old, without=visitor)
        self.assert_ends(connection)
        self.backend.access_log(f'src.identity="{visitor.identity}" .*reason="cert_untrusted"')
        self.assertFalse(self.works(visitor, self.backend))
        self.assertTrue(self.works(self.frontend, self.backend))

    def test_of_several_identities_the_hint_chooses_one_and_else_the_pods_names_do(self):
        agent = self.newcomer("several", "/several/first", hint="first")
        agent.machine.entry(f"spiffe://{ONE}/several/second", hint="second")
        agent.machine.entry(f"spiffe://{ONE}/ns/demo/sa/several", hint="istio")
        for hint, path in (("first", "/several/first"), ("second", "/several/second"), (None, "/ns/demo/sa/several")):
            agent.start(spiffe_hint=hint)
            self.assertEqual(self.in_force(agent)["identity"], f"spiffe://{ONE}{path}")
            agent.stop()


class Federation(Case):
    """What another trust domain may do is decided here, and for as long as we federate."""

    def setUp(self):
        self.serve(self.backend)

    def tearDown(self):
        self.mesh.policies.clear()
        self.mesh.write_local_file()

    def test_a_policy_tells_callers_of_another_trust_domain_apart(self):
        theirs, ours = (self.connect(source, self.backend) for source in (self.partner, self.frontend))
        self.mesh.allow("ours", "demo", self.frontend.identity)
        self.mesh.write_local_file()
        self.assert_ends(theirs)
        self.converse(ours)
        self.assertFalse(self.works(self.partner, self.backend))
        self.backend.access_log(f'src.identity="{self.partner.identity}" .*reason="not_allowed"')
        self.assertTrue(self.works(self.frontend, self.backend))
        self.mesh.policies.clear()
        self.mesh.allow("both", "demo", self.frontend.identity, self.partner.identity)
        self.mesh.write_local_file()
        self.wait_works(self.partner, self.backend)

    def test_tunnels_end_with_the_federation_and_come_back_with_it(self):
        theirs, ours = (self.connect(source, self.backend) for source in (self.partner, self.frontend))
        self.one.part(self.two)
        self.assert_ends(theirs)
        self.backend.access_log(f'src.identity="{self.partner.identity}" .*reason="cert_wrong_trust_domain"')
        self.assertFalse(self.works(self.partner, self.backend))
        self.converse(ours)
        self.assertTrue(self.works(self.frontend, self.backend))
        self.one.federate(self.two)
        for agent in self.mesh.agents.values():
            if agent.domain is self.one:
                agent.entry.restore()
        self.wait_works(self.partner, self.backend)


class GoSpiffe(Case):
    """go-spiffe's own TLS and Go's HTTP/2 on one end of the tunnel, the agent on the other, SVIDs of the same SPIRE for both."""

    def client(self, agent, expect, count=1, interval="0s"):
        """A go-spiffe client, which tunnels to an agent's application; returns the running Process."""
        return self.gopher.pod.start(
            [program("spiffe-client"), "-endpoint", self.gopher.machine.endpoint, "-peer", f"{agent.pod.ipv4}:{hbone.PORT}",
             "-target", f"{agent.pod.ipv4}:{TARGET_PORT}", "-expect", expect, "-count", str(count), "-interval", interval],
            uid=AGENT_UID)

    def test_a_go_client_reaches_a_pod_of_the_mesh(self):
        self.serve(self.backend)
        client = self.client(self.backend, self.backend.identity)
        self.assertEqual(client.wait(), 0, client.log())
        self.wait_tunnelled(self.gopher, self.backend)

    def test_a_go_client_reaches_a_pod_of_another_trust_domain(self):
        self.serve(self.partner)
        client = self.client(self.partner, self.partner.identity)
        self.assertEqual(client.wait(), 0, client.log())

    def test_a_go_client_that_expects_somebody_else_does_not(self):
        server = self.serve(self.backend)
        client = self.client(self.backend, self.store.identity)
        self.assertEqual(client.wait(), 1)
        self.assertIn("unexpected ID", client.log())
        self.assertEqual(server.num_accepted, 0)

    def test_a_go_clients_tunnel_outlives_the_certificates_it_was_made_with(self):
        self.serve(self.backend)
        client = self.client(self.backend, self.backend.identity, count=SVID_TTL_S + 5, interval="1s")
        self.assertEqual(client.wait(SVID_TTL_S + GRACE_S), 0, client.log())

    def test_a_pod_of_the_mesh_reaches_a_go_server(self):
        server = self.gopher.pod.start(
            [program("spiffe-server"), "-endpoint", self.gopher.machine.endpoint,
             "-listen", f"{self.gopher.pod.ipv4}:{hbone.PORT}", "-allow", self.frontend.identity], uid=AGENT_UID)
        self.addCleanup(server.stop)
        self.gopher.pod.wait_listening(hbone.PORT, server)
        self.connect(self.frontend, self.gopher)
        server.wait_log(f"tunnel from {self.frontend.identity} to {self.gopher.pod.ipv4}:{TARGET_PORT}")
        # It knows the other one too, but does not let it in.
        self.backend.pod.assert_reset(self.vips[self.gopher], PORT)


class Outage(Case):
    """SPIRE goes away, or does not know a workload any more."""

    def test_spires_agents_crash_and_cost_no_connection(self):
        with self.load((self.frontend, self.backend)):
            for agent in (self.frontend, self.backend):
                agent.machine.process.kill()
                time.sleep(SVID_TTL_S / 10)
                agent.machine.start()
            self.wait_rotations((self.frontend, self.backend), 1)

    def test_spires_server_crashes_and_costs_no_connection(self):
        with self.load((self.frontend, self.backend)):
            self.one.process.kill()
            time.sleep(SVID_TTL_S / 10)
            self.one.start()
            self.wait_rotations((self.frontend, self.backend), 1)

    def wait_failing(self):
        """Waits until frontend has no certificate any more, and refuses new connections for that reason."""
        self.frontend.process.wait_log("certificate expired", 2 * SVID_TTL_S, since=self.before)
        self.assertFalse(self.works(self.frontend, self.backend))
        self.frontend.access_log('reason="no_identity"', since=self.before)

    def begin(self):
        self.serve(self.backend)
        self.wait_works(self.frontend, self.backend)
        self.before = len(self.frontend.process.log())

    def heal(self):
        self.frontend.wait_ready(HEAL_S)
        self.wait_works(self.frontend, self.backend)

    def test_away_for_longer_than_a_lifetime_it_fails_closed_and_heals_by_itself(self):
        self.begin()
        self.frontend.machine.process.kill()
        try:
            self.wait_failing()
        finally:
            self.frontend.machine.start()
        self.heal()

    def test_a_workload_whose_entry_is_deleted_has_its_svid_to_the_end_and_heals_when_it_is_back(self):
        self.begin()
        self.frontend.entry.delete()
        try:
            self.frontend.process.wait_log("warn agent .*no identity is registered for this workload", GRACE_S, since=self.before)
            self.assertTrue(self.works(self.frontend, self.backend))
            self.wait_failing()
            self.frontend.wait_not_ready("no identity is registered for this workload", GRACE_S)
        finally:
            self.frontend.entry.create()
        self.heal()


class Files(unittest.TestCase):
    """remora-certrotate keeps PEM files for a program that does its own TLS: here openssl's, which knows nothing of SPIFFE."""

    def setUp(self):
        self.node = self.enterContext(Node())
        self.domain = TrustDomain(self.node, ONE)
        self.identity = f"spiffe://{ONE}/databases/legacy"
        self.pod = self.node.pod("legacy")
        self.folder = os.path.join(self.node.folder, "certificates")
        self.told = os.path.join(self.node.folder, "told")
        for folder in (self.folder, self.told):
            os.mkdir(folder, mode=0o700)
            os.chown(folder, AGENT_UID, AGENT_GID)
        machine = self.domain.machine("legacy")
        machine.entry(self.identity)
        self.process = self.pod.start(
            [pods.program("remora-certrotate"), "--cert-source=spiffe", f"--spiffe-endpoint={machine.endpoint}",
             f"--output-dir={self.folder}", "--memory-only=false",
             f"--hook=sh -c 'touch {self.told}/$REMORA_CERTROTATE_SERIAL'"], uid=AGENT_UID)
        wait_until(lambda: os.path.exists(self.path("tls.crt")), "the certificate to be written", GRACE_S)

    def path(self, name):
        return os.path.join(self.folder, name)

    def serial(self):
        """Of the certificate in the files, after openssl has found it good by the bundle, with the key that belongs to it."""
        with tempfile.TemporaryDirectory() as folder:
            self.copy_to(folder)
            cert, key, bundle = (os.path.join(folder, name) for name in ("tls.crt", "tls.key", "ca.crt"))
            self.openssl("verify", "-x509_strict", "-CAfile", bundle, cert)
            self.assertEqual(self.openssl("x509", "-in", cert, "-noout", "-pubkey"), self.openssl("pkey", "-in", key, "-pubout"))
            self.assertIn(f"URI:{self.identity}", self.openssl("x509", "-in", cert, "-noout", "-ext", "subjectAltName"))
            return self.openssl("x509", "-in", cert, "-noout", "-serial").strip().removeprefix("serial=").lower().lstrip("0")

    def copy_to(self, folder):
        """All three files as they were at one time."""
        names = ("tls.crt", "tls.key", "ca.crt")
        before = None
        while before != (before := [os.stat(self.path(name)).st_ino for name in names]):
            for name in names:
                shutil.copy(self.path(name), folder)

    def openssl(self, *arguments):
        return self.pod.run(["openssl", *arguments]).stdout

    def roots(self):
        with open(self.path("ca.crt"), encoding="ascii") as file:
            return file.read().count("BEGIN CERTIFICATE")

    def test_the_files_follow_the_svids_and_the_authority_and_the_program_is_told(self):
        seen = {self.serial()}

        def renewed(count):
            wanted = len(seen) + count
            wait_until(lambda: seen.add(self.serial()) or len(seen) >= wanted, f"{count} new certificates",
                       (count + 1) * ROTATION_S)

        renewed(ROTATIONS)
        old = self.domain.authority()
        new = self.domain.prepare()
        wait_until(lambda: self.roots() == 2, "two roots in the file", GRACE_S)
        self.domain.activate(new)
        self.domain.taint(old)
        renewed(1)
        self.domain.machines[0].process.wait_log("Successfully rotated agent SVID", GRACE_S)
        self.domain.revoke(old)
        wait_until(lambda: self.roots() == 1, "one root in the file", GRACE_S)
        renewed(1)
        wait_until(lambda: seen <= {name.lower().lstrip("0") for name in os.listdir(self.told)}, "the hook to be run for each")


if __name__ == "__main__":
    require_root()
    unittest.main(verbosity=2)
