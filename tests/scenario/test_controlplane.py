"""Agents whose discovery is remora-controlplane's: what is written to its directory is what they do."""

import json
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

import actors  # noqa: E402
from mesh import Mesh, replace_file  # noqa: E402
from pods import Node, require_root, wait_until  # noqa: E402

VIP = "198.19.0.10"
CROWD = 5000


def crowd():
    """A mesh that has nothing to do with us."""
    return {"workloads": [{"uid": f"crowd/{i}", "name": f"crowd-{i}", "namespace": "crowd", "serviceAccount": "crowd",
                           "workloadIps": [f"10.0.{i >> 8}.{i & 255}"], "protocol": "HBONE", "services": {}}
                          for i in range(1, CROWD + 1)]}


class Case(unittest.TestCase):
    """A client and a server; a control plane of the test's own."""

    discovery = "on-demand"

    @classmethod
    def setUpClass(cls):
        cls.node = cls.enterClassContext(Node())
        cls.mesh = Mesh(cls.node, discovery="control-plane")
        cls.client, cls.server = cls.mesh.agent("client"), cls.mesh.agent("server")
        cls.agents = (cls.client, cls.server)
        cls.mesh.write_tokens()
        for agent in cls.agents:
            agent.capture()

    def setUp(self):
        self.mesh.services.clear()
        self.mesh.policies.clear()
        for agent in self.agents:
            agent.workload["services"] = {}
        self.mesh.write_local_file()
        self.mesh.start_control()
        self.addCleanup(self.stop)

    def run(self, result=None):
        """Shows the logs when a test fails."""
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > before:
            self.node.show_logs()

    def start(self, **options):
        for agent in self.agents:
            agent.start(ready=False, discovery=self.discovery, **options)
        for agent in self.agents:
            agent.wait_ready()

    def stop(self):
        for agent in self.agents:
            if agent.process is not None:
                self.assertEqual(agent.stop(), 0, agent.process.log())
        self.assertEqual(self.mesh.control.stop(), 0, self.mesh.control.log())
        for name in os.listdir(self.mesh.discovery_dir):
            os.unlink(os.path.join(self.mesh.discovery_dir, name))

    def write(self, name, content):
        replace_file(os.path.join(self.mesh.discovery_dir, name), json.dumps(content))

    def serve(self):
        return self.enterContext(actors.Server(self.server.pod.listen(), actors.echo))

    def works(self, port, address=None):
        try:
            with self.client.pod.connect(address or self.server.pod.ipv4, port) as connection:
                connection.sendall(b"x")
                return connection.recv(1) == b"x"
        except OSError:
            return False

    def eventually(self, works, port, address=None):
        wait_until(lambda: self.works(port, address) == works, f"connections {'to work' if works else 'to be refused'}")

    def held(self, agent):
        return agent.metric("remora_xds_resources", type="address")

    # ---------------------------------------------------------------------------------------------------- tests

    def test_policies_take_effect_as_they_are_written(self):
        self.start()
        port = self.serve().port
        self.assertTrue(self.works(port))
        self.mesh.allow("nobody", "demo", "spiffe://cluster.local/ns/demo/sa/nobody")
        self.mesh.write_local_file()
        self.eventually(False, port)
        self.server.access_log(f"{self.client.identity}.*not_allowed")
        self.mesh.policies.clear()
        self.mesh.write_local_file()
        self.eventually(True, port)

    def test_a_policy_with_a_selector_comes_with_the_workload_that_names_it(self):
        """Nobody is refused because of a policy that is not there yet: connections never fail while it comes and goes."""
        self.start()
        port = self.serve().port
        with self.client.pod.connect(self.server.pod.ipv4, port) as connection:
            for listed in (["demo/selected"], [], ["demo/selected"], []):
                told = len(self.mesh.control.log())
                self.mesh.policies[:] = [{"name": "selected", "namespace": "demo", "scope": "WorkloadSelector", "action": "Allow",
                                          "dryRun": False, "rules": [[]]}] if listed else []
                self.server.workload["authorizationPolicies"] = listed
                self.mesh.write_local_file()
                self.mesh.control.wait_log("discovery loaded", since=told)
                for _ in range(20):
                    self.assertTrue(self.works(port))
            connection.sendall(b"x")
            self.assertEqual(connection.recv(1), b"x")
        self.server.workload.pop("authorizationPolicies")
        self.assertNotIn("policy_unknown", self.server.process.log())

    def test_a_service_that_comes_later_is_reached_and_its_new_endpoints_too(self):
        self.start(outbound_policy="registry-only")
        port = self.serve().port
        self.client.pod.assert_reset(VIP, 80)
        self.mesh.service("web", [VIP], {80: port}, [self.server])
        self.mesh.write_local_file()
        self.eventually(True, 80, VIP)
        self.server.workload["services"] = {}
        self.mesh.write_local_file()
        self.eventually(False, 80, VIP)
        self.client.access_log("no_healthy_endpoint")
        self.server.workload["services"] = {"demo/web.demo.svc.cluster.local": {80: port}}
        self.mesh.write_local_file()
        self.eventually(True, 80, VIP)

    def test_what_changes_while_the_control_plane_is_down_is_told_when_it_is_back(self):
        self.start()
        port = self.serve().port
        self.assertTrue(self.works(port))
        self.assertEqual(self.mesh.control.stop(), 0)
        self.assertTrue(self.works(port))
        self.mesh.allow("nobody", "demo", "spiffe://cluster.local/ns/demo/sa/nobody")
        self.mesh.write_local_file()
        self.mesh.start_control()
        self.eventually(False, port)

    def test_connections_that_grow_old_cost_nobody_anything(self):
        self.mesh.control.stop()
        self.mesh.start_control(max_connection_age="300ms", max_connection_age_grace="200ms")
        self.start()
        port = self.serve().port
        wait_until(lambda: self.mesh.control.log().count("client has come") >= 8, "agents to have come several times")
        self.assertTrue(self.works(port))
        self.mesh.allow("nobody", "demo", "spiffe://cluster.local/ns/demo/sa/nobody")
        self.mesh.write_local_file()
        self.eventually(False, port)

    def test_a_token_that_is_taken_away_ends_its_stream_and_no_other(self):
        self.start()
        server = self.serve()
        self.assertTrue(self.works(server.port))
        start = len(self.mesh.control.log())
        with open(self.mesh.tokens_file, encoding="utf-8") as file:
            tokens = json.load(file)["tokens"]
        self.addCleanup(self.mesh.write_tokens)
        replace_file(self.mesh.tokens_file, json.dumps({"tokens": [
            entry for entry in tokens if entry["serviceAccount"] != self.client.service_account]}), mode=0o600)
        self.mesh.control.wait_log('"stream refused".*sa/client" status="UNAUTHENTICATED" error="its token is not known any more"',
                                   since=start)
        wait_until(lambda: self.client.metric("remora_xds_connected") == 0, "the end of the stream")
        # What was known goes on, for those that were cut as for the others.
        self.assertTrue(self.works(server.port))
        self.assertEqual(self.server.metric("remora_xds_connected"), 1)
        self.mesh.write_tokens()
        wait_until(lambda: self.client.metric("remora_xds_connected") == 1, "a stream with the token that is back", timeout_s=60)

    def test_a_file_with_a_mistake_changes_nothing(self):
        self.start()
        port = self.serve().port
        self.mesh.allow("only-client", "demo", self.client.identity)
        self.mesh.write_local_file()
        self.mesh.control.wait_log("discovery loaded", since=len(self.mesh.control.log()) // 2)
        self.write("mesh.yaml", {"workloads": 7})
        self.mesh.control.wait_log("changed discovery refused.*mesh.yaml")
        self.assertTrue(self.works(port))

    def test_how_much_an_agent_holds(self):
        self.write("crowd.yaml", crowd())
        self.start()
        port = self.serve().port
        self.assertTrue(self.works(port))
        if self.discovery == "wildcard":
            wait_until(lambda: self.held(self.client) == CROWD + 2, "the whole mesh to be held")
        else:
            self.assertEqual(self.held(self.client), 2)  # itself and the server


class Wildcard(Case):
    """The same when agents ask for everything."""

    discovery = "wildcard"


if __name__ == "__main__":
    require_root()
    unittest.main()
