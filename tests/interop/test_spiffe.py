"""Agents whose certificates come from the SPIFFE Workload API, and go-spiffe programs without a sidecar. See docs/INTEROP.md."""

import os
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
from workload_api import SVID_TTL_S, SpiffeMesh, WorkloadApi  # noqa: E402

HOME, ABROAD = "home.test", "abroad.test"
ROTATIONS = 3
STEPS = ("prepare", "activate", "retire")


class Case(unittest.TestCase):
    """
    Two trust domains that federate. Pods with agents: client and server at home, foreigner abroad. Without: gopher, whose
    programs use go-spiffe, and know who they are.
    """

    @classmethod
    def setUpClass(cls):
        cls.node = cls.enterClassContext(Node())
        try:
            cls.mesh = SpiffeMesh(cls.node, [HOME, ABROAD])
            cls.client, cls.server = (cls.mesh.spiffe_agent(name, HOME) for name in ("client", "server"))
            cls.foreigner = cls.mesh.spiffe_agent("foreigner", ABROAD)
            cls.gopher = cls.mesh.spiffe_peer("gopher", HOME)
            cls.mesh.write_local_file()
            cls.mesh.api.start()
            for agent in cls.mesh.agents.values():
                agent.capture()
                agent.start(ready=False)
            for agent in cls.mesh.agents.values():
                agent.wait_ready()
        except BaseException:
            cls.node.show_logs()
            raise

    def serve(self, pod):
        return self.enterContext(actors.Server(pod.listen(), actors.echo))

    def serials(self, agent):
        return {entry["serial"] for entry in agent.log_lines() if entry["message"] == "certificate in force"}

    def wait_rotations(self, agents, count):
        """So many more certificates in force, in each of the agents."""
        before = {agent: len(self.serials(agent)) for agent in agents}
        wait_until(lambda: all(len(self.serials(agent)) >= before[agent] + count for agent in agents),
                   f"{count} rotations of each agent", (count + 1) * SVID_TTL_S)

    def wait_tunnelled(self, source, destination, port):
        """A connection from one pod to another's application came through a tunnel, by the identity in its certificate."""
        wait_until(lambda: any(entry.get("src.identity") == source.identity for entry in destination.sessions(port)),
                   f"a tunnel from {source.name} in the log of {destination.name}")

    def assert_no_failures(self, load):
        self.assertGreater(load.connections, 10)
        self.assertEqual(dict(load.failures), {})

    def go_client(self, agent, target_port, expect, count=1, interval="0s"):
        """A go-spiffe client in gopher's pod, which tunnels to an agent's application; returns the running Process."""
        return self.gopher.pod.start(
            [program("spiffe-client"), "-endpoint", self.gopher.endpoint, "-peer", f"{agent.pod.ipv4}:{hbone.PORT}",
             "-target", f"{agent.pod.ipv4}:{target_port}", "-expect", expect, "-count", str(count), "-interval", interval],
            uid=AGENT_UID)


class Rotation(Case):
    """SVIDs and authorities rotate under load, at home and across trust domains."""

    def load_between(self, source, destination, during):
        server = self.serve(destination.pod)
        with Load(source.pod, destination.pod.ipv4, server.port) as load:
            during()
        self.assert_no_failures(load)
        self.wait_tunnelled(source, destination, server.port)

    def rotate_root(self, trust_domain):
        for step in STEPS:
            self.mesh.api.rotate(step, trust_domain)
            self.wait_rotations(self.mesh.agents.values(), 1)

    def test_svids_rotate_and_cost_no_connection(self):
        self.load_between(self.client, self.server, lambda: self.wait_rotations((self.client, self.server), ROTATIONS))

    def test_svids_rotate_and_cost_no_connection_between_trust_domains(self):
        self.load_between(self.foreigner, self.server, lambda: self.wait_rotations((self.foreigner, self.server), ROTATIONS))

    def test_an_authority_rotates_and_costs_no_connection(self):
        self.load_between(self.client, self.server, lambda: self.rotate_root(HOME))

    def test_an_authority_rotates_and_costs_no_connection_between_trust_domains(self):
        self.load_between(self.foreigner, self.server, lambda: self.rotate_root(ABROAD))
        self.load_between(self.foreigner, self.server, lambda: self.rotate_root(HOME))


class GoSpiffe(Case):
    """go-spiffe's own TLS and Go's HTTP/2 on one end of the tunnel, the agent on the other."""

    def test_a_go_client_reaches_a_pod_of_the_mesh(self):
        server = self.serve(self.server.pod)
        client = self.go_client(self.server, server.port, self.server.identity)
        self.assertEqual(client.wait(), 0, client.log())
        self.wait_tunnelled(self.gopher, self.server, server.port)

    def test_a_go_client_reaches_a_pod_of_another_trust_domain(self):
        server = self.serve(self.foreigner.pod)
        client = self.go_client(self.foreigner, server.port, self.foreigner.identity)
        self.assertEqual(client.wait(), 0, client.log())

    def test_a_go_client_that_expects_somebody_else_does_not(self):
        server = self.serve(self.server.pod)
        client = self.go_client(self.server, server.port, self.client.identity)
        self.assertEqual(client.wait(), 1)
        self.assertIn("unexpected ID", client.log())
        self.assertEqual(server.num_accepted, 0)

    def test_a_pod_of_the_mesh_reaches_a_go_server(self):
        server = self.gopher.pod.start(
            [program("spiffe-server"), "-endpoint", self.gopher.endpoint, "-listen", f"{self.gopher.pod.ipv4}:{hbone.PORT}",
             "-allow", self.client.identity], uid=AGENT_UID)
        self.addCleanup(server.stop)
        self.gopher.pod.wait_listening(hbone.PORT, server)
        with self.client.pod.connect(self.gopher.pod.ipv4, 4321) as connection:
            connection.sendall(b"to a gopher")
            self.assertEqual(actors.read_exactly(connection, 11), b"to a gopher")
        self.assertIn(f"tunnel from {self.client.identity} to {self.gopher.pod.ipv4}:4321", server.log())
        # It knows the other one too, but does not let it in.
        self.server.pod.assert_reset(self.gopher.pod.ipv4, 4321)


class Files(unittest.TestCase):
    """remora-certrotate keeps PEM files for a program that does its own TLS: here openssl's, which knows nothing of SPIFFE."""

    def setUp(self):
        self.node = self.enterContext(Node())
        self.api = WorkloadApi(self.node, [HOME])
        self.identity = f"spiffe://{HOME}/ns/demo/sa/legacy"
        self.pod = self.node.pod("legacy")
        self.folder = os.path.join(self.node.folder, "certificates")
        os.mkdir(self.folder, mode=0o700)
        os.chown(self.folder, AGENT_UID, AGENT_GID)
        endpoint = self.api.endpoint("legacy", self.identity)
        self.api.start()
        self.pod.start([pods.program("remora-certrotate"), "--cert-source=spiffe", f"--spiffe-endpoint={endpoint}",
                        f"--output-dir={self.folder}", "--memory-only=false"], uid=AGENT_UID)
        wait_until(lambda: os.path.exists(self.path("tls.crt")), "the certificate to be written")

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
            return self.openssl("x509", "-in", cert, "-noout", "-serial")

    def copy_to(self, folder):
        """All three files as they were at one time."""
        names = ("tls.crt", "tls.key", "ca.crt")
        before = None
        while before != (before := [os.stat(self.path(name)).st_ino for name in names]):
            for name in names:
                shutil.copy(self.path(name), folder)

    def openssl(self, *arguments):
        return self.pod.run(["openssl", *arguments]).stdout

    def test_the_files_follow_the_svids_and_the_authority(self):
        seen = {self.serial()}

        def renewed(count):
            wanted = len(seen) + count
            wait_until(lambda: seen.add(self.serial()) or len(seen) >= wanted, f"{count} new certificates",
                       (count + 1) * SVID_TTL_S)

        renewed(ROTATIONS)
        for step in STEPS:
            self.api.rotate(step, HOME)
            renewed(1)


class Outage(Case):
    """The Workload API goes away, and comes back."""

    def setUp(self):
        self.echo = self.serve(self.server.pod)

    def works(self):
        try:
            with self.client.pod.connect(self.server.pod.ipv4, self.echo.port) as connection:
                connection.sendall(b"x")
                return connection.recv(1) == b"x"
        except OSError:
            return False

    def refusals(self):
        """Connections that the client refused because it has no identity any more."""
        return [entry for entry in self.client.sessions(self.echo.port) if entry["reason"] == "no_identity"]

    def test_shorter_than_a_lifetime_it_costs_no_connection(self):
        with Load(self.client.pod, self.server.pod.ipv4, self.echo.port) as load:
            self.wait_rotations((self.client, self.server), 1)
            self.mesh.api.leave()
            time.sleep(SVID_TTL_S / 4)
            self.mesh.api.come_back()
            self.wait_rotations((self.client, self.server), 1)
        self.assert_no_failures(load)

    def test_longer_than_a_lifetime_it_fails_closed_and_heals_by_itself(self):
        self.addCleanup(self.mesh.api.come_back)
        self.mesh.api.leave()
        wait_until(lambda: not self.works() and self.refusals(), "connections to fail once the SVID has expired", 2 * SVID_TTL_S)
        self.mesh.api.come_back()
        wait_until(self.works, "connections to work again", 2 * SVID_TTL_S)


if __name__ == "__main__":
    require_root()
    unittest.main(verbosity=2)
