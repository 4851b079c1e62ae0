"""Agents whose control plane is a real istiod over a real Kubernetes API: certificates, discovery and policy. See docs/INTEROP.md."""

import contextlib
import os
import socket
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

import actors  # noqa: E402
import hbone  # noqa: E402
import istiod as istio  # noqa: E402
from authority import Authority, Credentials, serial_of  # noqa: E402
from cluster import Cluster  # noqa: E402
from istio_mesh import IstioMesh  # noqa: E402
from load import Load  # noqa: E402
from mesh import replace_file  # noqa: E402
from peers import GATEWAY_DEFINITIONS  # noqa: E402
from pods import AGENT_GID, AGENT_UID, Node, program, require_root, wait_until  # noqa: E402

ROTATING_TTL = "10s"  # the least that may be asked for
ROTATIONS = 3
AWAY_S = 5
ROLLOUT_S = 5
ASKED = b"anybody there?"
TAKES_EFFECT_S = 15  # istiod gathers changes for 0.1 s and then pushes; an agent that asks anew does so each few seconds
SECURITY = "security.istio.io/v1"
GATEWAY = "gateway.networking.k8s.io/v1"


class Case(unittest.TestCase):
    """A cluster, istiod, and two pods with agents, client and server, for each class."""

    agent_options = {}

    @classmethod
    def setUpClass(cls):
        cls.node = cls.enterClassContext(Node())
        try:
            cls.cluster = Cluster(cls.node)
            cls.cluster.start()
            cls.istiod = istio.Istiod(cls.node, cls.cluster)
            cls.istiod.install()
            cls.start_istiod()
            cls.cluster.namespace("demo")
            cls.mesh = IstioMesh(cls.node, cls.cluster, cls.istiod)
            cls.client, cls.server = cls.mesh.agent("client"), cls.mesh.agent("server")
            cls.outsider = cls.node.pod("outsider")
            cls.cluster.service_account("demo", "outsider")
            cls.mesh.run(cls.outsider, "demo", "outsider")
            cls.start_agents()
        except BaseException:
            cls.node.show_logs()
            raise

    @classmethod
    def start_istiod(cls):
        cls.istiod.start()

    @classmethod
    def start_agents(cls):
        for agent in (cls.client, cls.server):
            agent.capture()
            agent.start(ready=False, **cls.agent_options)
        for agent in (cls.client, cls.server):
            agent.wait_ready(timeout_s=30)

    def serve(self, pod, port=0):
        return self.enterContext(actors.Server(pod.listen(port=port), actors.echo))

    def echoes(self, connection, text=b"still here"):
        connection.sendall(text)
        self.assertEqual(actors.read_exactly(connection, len(text)), text)

    def works(self, source, address, port):
        """Whether a new connection from a pod to an address carries bytes there and back."""
        try:
            with source.connect(address, port) as connection:
                self.echoes(connection)
                return True
        except (OSError, EOFError):
            return False

    def wait_works(self, source, address, port, works=True):
        what = f"connections from {source.name} to {address} port {port} to {'work' if works else 'be refused'}"
        wait_until(lambda: self.works(source, address, port) == works, what, TAKES_EFFECT_S)

    def ends(self, connection):
        """Whether a live connection comes to its end, by a reset or in order, without any byte of ours."""
        connection.settimeout(TAKES_EFFECT_S)
        try:
            return connection.recv(1) == b""
        except ConnectionResetError:
            return True

    def rotations(self, agent):
        """What its log says of each certificate that came into force."""
        return [entry for entry in agent.log_lines() if entry["message"] == "certificate in force"]

    def serials(self, agent):
        return {entry["serial"] for entry in self.rotations(agent)}

    def wait_rotations(self, agents, count):
        """So many more certificates in force, in each of the agents."""
        before = {agent: len(self.serials(agent)) for agent in agents}
        wait_until(lambda: all(len(self.serials(agent)) >= before[agent] + count for agent in agents),
                   f"{count} rotations of each agent", 30 * count)

    def assert_no_failures(self, load):
        self.assertGreater(load.connections, 10)
        self.assertEqual(dict(load.failures), {})

    @contextlib.contextmanager
    def policy(self, kind, name, spec, namespace="demo"):
        """Inside the block, the policy is in the cluster: an AuthorizationPolicy or a PeerAuthentication."""
        plural = {"AuthorizationPolicy": "authorizationpolicies", "PeerAuthentication": "peerauthentications"}[kind]
        self.cluster.create(SECURITY, plural, namespace, name, apiVersion=SECURITY, kind=kind, spec=spec)
        try:
            yield
        finally:
            self.cluster.delete(SECURITY, plural, namespace, name)


class Certificates(Case):
    """CreateCertificate, with istiod's own authority; istiod has the API review every token."""

    agent_options = {"cert_ttl": ROTATING_TTL}

    def test_each_pod_gets_the_identity_of_its_service_account(self):
        for agent in (self.client, self.server):
            self.assertEqual(self.rotations(agent)[0]["identity"], f"spiffe://cluster.local/ns/demo/sa/{agent.name}")

    def test_rotations_under_load_cost_no_connection(self):
        server = self.serve(self.server.pod)
        with Load(self.client.pod, self.server.pod.ipv4, server.port) as load:
            self.wait_rotations((self.client, self.server), ROTATIONS)
        self.assert_no_failures(load)

    def test_a_token_for_another_audience_is_refused_and_the_next_one_heals(self):
        self.addCleanup(self.client.write_token)
        since = len(self.client.process.log())
        self.client.write_token(audience="somebody-else")
        self.client.process.wait_log('"attempt to get a certificate failed"', since=since, timeout_s=30)
        self.client.write_token()
        self.wait_rotations((self.client,), 1)

    def test_certrotate_keeps_files_fresh_for_a_program_that_does_its_own_tls(self):
        folder = os.path.join(self.node.folder, "legacy")
        os.mkdir(folder, mode=0o700)
        os.chown(folder, AGENT_UID, AGENT_GID)
        self.cluster.service_account("demo", "legacy")
        replace_file(self.mesh.token_file("legacy"), self.cluster.token("demo", "legacy", istio.AUDIENCE), 0o600, AGENT_UID)
        process = self.outsider.start(
            [program("remora-certrotate"), "--identity=spiffe://cluster.local/ns/demo/sa/legacy", f"--cert-ttl={ROTATING_TTL}",
             f"--ca-address={self.istiod.address}", f"--ca-server-name={istio.SERVER_NAME}",
             f"--ca-root-file={self.istiod.root_file}", f"--token-file={self.mesh.token_file('legacy')}",
             f"--output-dir={folder}", "--memory-only=false"], uid=AGENT_UID)
        self.addCleanup(process.stop)
        seen = set()

        def look():
            with contextlib.suppress(FileNotFoundError), open(os.path.join(folder, "tls.crt"), encoding="ascii") as file:
                seen.add(serial_of(file.read()))
            return len(seen) > ROTATIONS

        wait_until(look, f"{ROTATIONS} rotations", 60)

    def test_a_certificate_of_another_identity_is_not_taken(self):
        self.addCleanup(self.client.write_token)
        since = len(self.client.process.log())
        self.cluster.service_account("demo", "impostor")
        self.client.write_token(account="impostor")
        self.client.process.wait_log('"attempt to get a certificate failed"', since=since, timeout_s=30)
        self.client.write_token()
        self.wait_rotations((self.client,), 1)
        self.assertEqual({entry["identity"] for entry in self.rotations(self.client)}, {self.client.identity})


class Plugged(Case):
    """istiod signs with an intermediate of an authority that the operator brings."""

    agent_options = {"cert_ttl": ROTATING_TTL}

    @classmethod
    def start_istiod(cls):
        cls.old = Authority(cls.node.folder, name="old-root")
        cls.old_issuer = Authority(cls.node.folder, name="old-issuer", parent=cls.old)
        cls.istiod.plug_authority(cls.old_issuer, [cls.old])
        super().start_istiod()

    def plug(self, issuer, roots, crl=""):
        since = len(self.istiod.process.log())
        self.istiod.plug_authority(issuer, roots, crl)
        self.istiod.process.wait_log("updated its key and certs accordingly", since=since, timeout_s=30)
        expected = "".join(root.root_pem for root in roots)
        wait_until(lambda: self.istiod.mount_root().strip() == expected.strip(), "istiod to publish the new roots", 30)


class PluggedAuthority(Plugged):
    """The operator changes the authority."""

    def replace(self, issuer, roots):
        self.plug(issuer, roots)
        self.wait_rotations((self.client, self.server), 2)

    def test_the_roots_rotate_under_load_and_cost_no_connection(self):
        new = Authority(self.node.folder, name="new-root")
        new_issuer = Authority(self.node.folder, name="new-issuer", parent=new)
        server = self.serve(self.server.pod)
        with Load(self.client.pod, self.server.pod.ipv4, server.port) as load:
            self.replace(self.old_issuer, [self.old, new])
            self.replace(new_issuer, [self.old, new])
            self.replace(new_issuer, [new])
            for agent in (self.client, self.server):
                wait_until(lambda agent=agent: self.rotations(agent)[-1]["roots"] == 1, f"{agent.name} to forget the old root", 30)
        self.assert_no_failures(load)


class Revocation(Plugged):
    """The operator takes back the intermediate by which istiod signed, and gives it another; istiod publishes the list."""

    @classmethod
    def start_agents(cls):
        replace_file(cls.istiod.crl_file, "")
        cls.agent_options = {"cert_ttl": ROTATING_TTL, "crl_file": cls.istiod.crl_file}
        super().start_agents()

    def test_what_the_revoked_one_has_signed_ends_and_its_successor_is_good(self):
        server = self.serve(self.server.pod)
        connection = self.enterContext(self.client.pod.connect(self.server.pod.ipv4, server.port))
        self.echoes(connection)
        next_issuer = Authority(self.node.folder, name="next-issuer", parent=self.old)
        # istiod wants a list of each authority in the chain.
        self.plug(next_issuer, [self.old], self.old.crl(self.old_issuer.root_pem) + next_issuer.crl())
        wait_until(self.istiod.mount_crl, "istiod to publish the revocation list", 30)
        self.assertTrue(self.ends(connection))
        reasons = {entry["reason"] for agent in (self.client, self.server) for entry in agent.sessions(server.port)}
        self.assertIn("cert_revoked", reasons)
        self.wait_works(self.client.pod, self.server.pod.ipv4, server.port)


class Discovery(Case):
    """Pods, services and endpoints as they are made, changed and deleted through the API, while connections to istiod grow old."""

    @classmethod
    def start_istiod(cls):
        # Half an hour, usually: then istiod says GOAWAY.
        cls.istiod.start("--keepaliveMaxServerConnectionAge", "5s")

    def wait_tunnelled(self, source, destination, port):
        """A connection from one agent to the other's application came through a tunnel, by the identity in its certificate."""
        wait_until(lambda: any(entry.get("src.identity") == source.identity for entry in destination.sessions(port)),
                   f"a tunnel from {source.name} in the log of {destination.name}")

    def test_pods_reach_one_another_through_tunnels(self):
        server = self.serve(self.server.pod)
        self.assertTrue(self.works(self.client.pod, self.server.pod.ipv4, server.port))
        self.wait_tunnelled(self.client, self.server, server.port)

    def test_pods_reach_one_another_by_ipv6(self):
        server = self.enterContext(actors.Server(self.server.pod.listen(socket.AF_INET6), actors.echo))
        self.assertTrue(self.works(self.client.pod, self.server.pod.ipv6, server.port))
        self.wait_tunnelled(self.client, self.server, server.port)

    def test_a_service_is_reached_by_its_address_and_follows_its_endpoints(self):
        vip = "198.19.0.10"
        server = self.serve(self.server.pod)
        other = self.mesh.agent("other", service_account="other")
        other.capture()
        other.start()
        other_server = self.serve(other.pod, server.port)
        self.cluster.service("demo", "web", vip, {80: server.port}, {"app": "server"})
        self.cluster.endpoint_slice("demo", "web", {80: server.port}, {"server": self.server.pod.ipv4})
        self.wait_works(self.client.pod, vip, 80)
        self.assertGreater(server.num_accepted, 0)
        # The server's pod leaves the service, the other one joins it.
        self.cluster.patch("v1", "services", "demo", "web", {"spec": {"selector": {"app": "other"}}})
        wait_until(lambda: self.works(self.client.pod, vip, 80) and other_server.num_accepted > 0,
                   "the new endpoint to get connections", 60)

    def test_a_rollout_of_a_service_costs_no_connection(self):
        vip = "198.19.0.11"
        first, second = self.mesh.agent("rolling-1"), self.mesh.agent("rolling-2")
        self.cluster.service("demo", "rolling", vip, {80: 8081}, {"app": "rolling-1"})
        self.cluster.endpoint_slice("demo", "rolling", {80: 8081}, {first.name: first.pod.ipv4})
        servers = []
        for agent in (first, second):
            agent.capture()
            agent.start()
            servers.append(self.serve(agent.pod, 8081))
        self.wait_works(self.client.pod, vip, 80)
        with Load(self.client.pod, vip, 80) as load:
            for old, new in ((first, second), (second, first)):
                self.replace_endpoint(old, new)
        self.assert_no_failures(load)
        self.assertTrue(all(server.num_accepted > 0 for server in servers))

    def replace_endpoint(self, old, new):
        """As a Deployment does: the new pod is ready, then the old one is about to end, and is gone when its grace is over."""
        self.cluster.patch("v1", "pods", "demo", new.name, {"metadata": {"labels": {"app": "rolling-1"}}})
        time.sleep(ROLLOUT_S)
        self.cluster.patch("v1", "pods", "demo", old.name, {"metadata": {"labels": {"app": "nothing"}}})
        time.sleep(ROLLOUT_S)

    def test_what_is_not_in_the_mesh_is_reached_in_clear(self):
        server = self.serve(self.outsider)
        self.assertTrue(self.works(self.client.pod, self.outsider.ipv4, server.port))

    def test_a_pod_that_comes_after_it_was_asked_for_is_found(self):
        late = self.node.pod("late")
        server = self.serve(late)
        self.assertTrue(self.works(self.client.pod, late.ipv4, server.port), "an address that nobody knows")
        self.cluster.service_account("demo", "late")
        agent = self.mesh.adopt(late)
        agent.capture()
        agent.start()
        self.wait_works(self.client.pod, late.ipv4, server.port)
        self.wait_tunnelled(self.client, agent, server.port)

    def test_an_address_that_changes_hands_is_found_again(self):
        first = self.mesh.agent("tenant")
        first.capture()
        first.start()
        server = self.serve(first.pod)
        self.wait_works(self.client.pod, first.pod.ipv4, server.port)
        self.cluster.delete("v1", "pods", "demo", first.name)
        first.stop()
        self.cluster.service_account("demo", "next-tenant")
        second = self.mesh.adopt(first.pod, service_account="next-tenant", name="next-tenant")
        second.start()
        self.wait_works(self.client.pod, second.pod.ipv4, server.port)
        self.wait_tunnelled(self.client, second, server.port)

    def test_istiod_may_be_away_and_what_changed_meanwhile_is_learnt(self):
        server = self.serve(self.server.pod)
        with Load(self.client.pod, self.server.pod.ipv4, server.port) as load:
            self.istiod.stop()
            time.sleep(AWAY_S)
            self.assertTrue(self.works(self.client.pod, self.server.pod.ipv4, server.port))
            spec = {"action": "DENY", "rules": [{"to": [{"operation": {"ports": ["9999"]}}]}]}
            with self.policy("AuthorizationPolicy", "while-away", spec):
                self.istiod.start()
                blocked = self.serve(self.server.pod, 9999)
                self.wait_works(self.client.pod, self.server.pod.ipv4, blocked.port, works=False)
        self.assert_no_failures(load)


class Restart(Case):
    """An agent that starts while istiod is away, or will not have it."""

    @classmethod
    def start_agents(cls):
        for agent in (cls.client, cls.server):
            folder = cls.enterClassContext(tempfile.TemporaryDirectory(dir="/dev/shm", ignore_cleanup_errors=True))
            os.chown(folder, AGENT_UID, AGENT_GID)
            agent.cache = folder
            agent.capture()
            agent.start(cache_dir=folder)

    def setUp(self):
        self.server_port = self.serve(self.server.pod).port
        self.wait_works(self.client.pod, self.server.pod.ipv4, self.server_port)

    def test_what_it_knew_gets_it_going_while_istiod_is_away(self):
        self.istiod.stop()
        for agent in (self.client, self.server):
            agent.restart(cache_dir=agent.cache)
        self.wait_works(self.client.pod, self.server.pod.ipv4, self.server_port)
        self.assertEqual(self.client.metric("remora_xds_from_cache"), 1)
        self.istiod.start()
        wait_until(lambda: self.client.metric("remora_xds_from_cache") == 0, "istiod to confirm what was kept", 60)
        self.wait_works(self.client.pod, self.server.pod.ipv4, self.server_port)

    def test_a_token_that_istiod_refuses_is_named_and_the_next_one_heals(self):
        self.addCleanup(self.client.write_token)
        self.client.write_token(audience="somebody-else")
        self.client.restart(ready=False)
        self.client.process.wait_log('"no stream to the control plane".*reason="refused".*authentication failure')
        self.client.wait_not_ready("discovery")
        self.client.write_token()
        self.client.wait_ready(timeout_s=60)
        self.wait_works(self.client.pod, self.server.pod.ipv4, self.server_port)


class WildcardDiscovery(Discovery):
    """The same with all of the mesh's addresses in every agent."""

    agent_options = {"discovery": "wildcard"}


class Waypoint(Case):
    """A service whose connections go through a waypoint: a pod of somebody else's, here the test itself."""

    vip, waypoint_vip = "198.19.0.10", "198.19.0.20"

    @classmethod
    def start_istiod(cls):
        cls.cluster.apply_definitions(GATEWAY_DEFINITIONS)
        super().start_istiod()

    def make_waypoint(self):
        """Its pod, service and Gateway, and what a controller would write: endpoints, and the Gateway's address."""
        labels = {"gateway.networking.k8s.io/gateway-name": "waypoint", "gateway.istio.io/managed": "istio.io-mesh-controller"}
        pod = self.node.pod("waypoint")
        self.cluster.service_account("demo", "waypoint")
        self.cluster.run_pod("demo", "waypoint", "waypoint", [pod.ipv4], labels)
        self.cluster.service("demo", "waypoint", self.waypoint_vip, {hbone.PORT: hbone.PORT}, labels, labels)
        self.cluster.endpoint_slice("demo", "waypoint", {hbone.PORT: hbone.PORT}, {"waypoint": pod.ipv4})
        self.cluster.create(GATEWAY, "gateways", "demo", "waypoint", apiVersion=GATEWAY, kind="Gateway", spec={
            "gatewayClassName": "istio-waypoint", "listeners": [{"name": "mesh", "port": hbone.PORT, "protocol": "HBONE"}]})
        self.cluster.patch(GATEWAY, "gateways", "demo", "waypoint", {"status": {"addresses": [
            {"type": "Hostname", "value": "waypoint.demo.svc.cluster.local"}]}}, part="status")
        return pod

    def certificate(self, pod):
        """Of the waypoint's service account, from istiod; (credentials, file of the roots)."""
        folder = os.path.join(self.node.folder, "waypoint")
        replace_file(self.mesh.token_file("waypoint"), self.cluster.token("demo", "waypoint", istio.AUDIENCE), 0o600)
        pod.run([program("remora-certrotate"), "--once", "--identity=spiffe://cluster.local/ns/demo/sa/waypoint",
                 f"--ca-address={self.istiod.address}", f"--ca-server-name={istio.SERVER_NAME}",
                 f"--ca-root-file={self.istiod.root_file}", f"--token-file={self.mesh.token_file('waypoint')}",
                 f"--output-dir={folder}", "--memory-only=false"])
        return Credentials(*(os.path.join(folder, name) for name in ("tls.crt", "tls.key"))), os.path.join(folder, "ca.crt")

    def test_connections_to_the_service_go_through_its_waypoint_by_name(self):
        server = self.serve(self.server.pod, 8080)
        self.cluster.service("demo", "web", self.vip, {80: 8080}, {"app": "server"})
        self.cluster.endpoint_slice("demo", "web", {80: 8080}, {"server": self.server.pod.ipv4})
        self.wait_works(self.client.pod, self.vip, 80)
        pod = self.make_waypoint()
        credentials, roots = self.certificate(pod)
        waypoint = self.enterContext(hbone.Server(pod, hbone.server_context(credentials, roots)))
        self.cluster.patch("v1", "services", "demo", "web", {"metadata": {"labels": {"istio.io/use-waypoint": "waypoint"}}})
        connection = self.enterContext(self.wait_through(waypoint))
        with waypoint.accept() as peer:
            self.assertEqual(hbone.identity_of(peer.tls), [self.client.identity])
            tunnel = peer.accept()
            self.assertEqual(tunnel.header(":authority"), f"{self.vip}:80")
            peer.answer(tunnel, 200)
            self.assertEqual(peer.receive(tunnel, len(ASKED)), ASKED)
            peer.send(tunnel, b"it answers")
            self.assertEqual(actors.read_exactly(connection, 10), b"it answers")

    def wait_through(self, waypoint):
        """A connection to the service that arrives at the waypoint; those before it went to the server."""

        def look():
            connection = self.client.pod.connect(self.vip, 80)
            connection.sendall(ASKED)
            connection.settimeout(1)
            try:
                connection.recv(1)
            except TimeoutError:
                if not waypoint.nobody_is_there():
                    connection.settimeout(10)
                    return connection
            connection.close()
            return None

        return wait_until(look, "a connection to go to the waypoint", 30)


class Policy(Case):
    """AuthorizationPolicy and PeerAuthentication take effect on traffic that is under way."""

    agent_options = {"inbound_mode": "permissive"}

    def select(self, agent, **spec):
        return {"selector": {"matchLabels": {"app": agent.name}}, **spec}

    def test_deny_ends_what_is_under_way_and_refuses_what_comes(self):
        server = self.serve(self.server.pod)
        connection = self.enterContext(self.client.pod.connect(self.server.pod.ipv4, server.port))
        self.echoes(connection)
        principal = self.client.identity.removeprefix("spiffe://")
        spec = self.select(self.server, action="DENY", rules=[{"from": [{"source": {"principals": [principal]}}]}])
        with self.policy("AuthorizationPolicy", "deny-client", spec):
            self.assertTrue(self.ends(connection))
            self.assertFalse(self.works(self.client.pod, self.server.pod.ipv4, server.port))
            self.assertIn("demo/deny-client", self.server.access_log(f":{server.port}.*deny-client"))
        self.wait_works(self.client.pod, self.server.pod.ipv4, server.port)

    def test_allow_leaves_what_it_allows_alone_and_refuses_all_others(self):
        server = self.serve(self.server.pod)
        connection = self.enterContext(self.client.pod.connect(self.server.pod.ipv4, server.port))
        self.echoes(connection)
        self.wait_works(self.outsider, self.server.pod.ipv4, server.port)
        principal = self.client.identity.removeprefix("spiffe://")
        spec = self.select(self.server, action="ALLOW", rules=[{"from": [{"source": {"principals": [principal]}}]}])
        with self.policy("AuthorizationPolicy", "allow-client", spec):
            self.wait_works(self.outsider, self.server.pod.ipv4, server.port, works=False)
            self.echoes(connection)
            self.assertTrue(self.works(self.client.pod, self.server.pod.ipv4, server.port))
        self.wait_works(self.outsider, self.server.pod.ipv4, server.port)

    def test_peer_authentication_strict_refuses_plaintext_and_leaves_tunnels_alone(self):
        server = self.serve(self.server.pod)
        tunnel = self.enterContext(self.client.pod.connect(self.server.pod.ipv4, server.port))
        plain = self.enterContext(self.outsider.connect(self.server.pod.ipv4, server.port))
        self.echoes(tunnel)
        self.echoes(plain)
        with self.policy("PeerAuthentication", "default", {"mtls": {"mode": "STRICT"}}):
            self.assertTrue(self.ends(plain))
            self.assertFalse(self.works(self.outsider, self.server.pod.ipv4, server.port))
            self.echoes(tunnel)
            self.assertTrue(self.works(self.client.pod, self.server.pod.ipv4, server.port))
        self.wait_works(self.outsider, self.server.pod.ipv4, server.port)


if __name__ == "__main__":
    require_root()
    unittest.main(verbosity=2)
