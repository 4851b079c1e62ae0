"""Live discovery: what the agent does of what a control plane says, and of one that is away, slow, wrong or hostile."""

import contextlib
import os
import shutil
import socket
import struct
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

import actors  # noqa: E402
import fake_xds  # noqa: E402
import hbone  # noqa: E402
import protobuf  # noqa: E402
import xds_resources  # noqa: E402
from mesh import CONTROL_NAME, CONTROL_PORT, Mesh, replace_file  # noqa: E402
from pods import AGENT_UID, Node, require_root, wait_until  # noqa: E402
from xds_resources import ADDRESS, AUTHORIZATION  # noqa: E402

VIP = "198.19.0.10"
SERVICE = "demo/web.demo.svc.cluster.local"
LOAD = 10000
STORM = 3000


def deny(name, scope="WorkloadSelector", **match):
    """A policy that denies whom the match means; everybody, unless it says something."""
    match = match or {"namespaces": [{"Presence": None}]}
    return xds_resources.policy({"name": name, "namespace": "demo", "scope": scope, "action": "Deny", "rules": [[[match]]],
                                 "dryRun": False})


def crowd(number):
    """One of very many workloads."""
    return xds_resources.workload({
        "uid": f"crowd/{number}", "name": f"crowd-{number}", "namespace": "crowd", "serviceAccount": "crowd",
        "workloadIps": [f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"], "protocol": "HBONE", "services": {}})


class Case(unittest.TestCase):
    """A client and a server with agents, one pod without, and a control plane of the test's own; one mesh for each class."""

    @classmethod
    def setUpClass(cls):
        cls.node = cls.enterClassContext(Node())
        cls.mesh = Mesh(cls.node, cert_source="files")
        cls.client, cls.server = cls.mesh.agent("client"), cls.mesh.agent("server")
        cls.plain = cls.node.pod("plain")
        cls.agents = (cls.client, cls.server)
        cls.control = cls.mesh.authority.credentials([f"DNS:{CONTROL_NAME}"])
        cls.mesh.write_tokens()
        for agent in cls.agents:
            cls.mesh.write_certificate(agent)
            agent.capture()

    def setUp(self):
        self.addCleanup(self.stop_agents)
        self.xds = self.control_plane()

    def run(self, result=None):
        """Shows the agents' logs when a test fails."""
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > before:
            self.node.show_logs()

    def stop_agents(self):
        for agent in self.agents:
            if agent.process is not None:
                self.assertEqual(agent.stop(), 0, agent.process.log())

    # --------------------------------------------------------------------------------------- control plane

    def control_plane(self):
        listener = self.mesh.control_pod.listen(port=CONTROL_PORT)
        xds = fake_xds.FakeXds(listener, self.control.chain_file, self.control.key_file)
        xds.put(*(self.workload(agent) for agent in self.agents))
        return self.enterContext(xds)

    @staticmethod
    def workload(agent, **changes):
        return xds_resources.workload({**agent.workload, **changes})

    def service(self, *endpoints, vip=VIP):
        """A service and its endpoints, as resources."""
        entry = {"name": "web", "namespace": "demo", "hostname": SERVICE.split("/")[1], "vips": [f"/{vip}"], "ports": {80: 8080}}
        return [xds_resources.service(entry), *(self.workload(agent, services={SERVICE: {80: 8080}}) for agent in endpoints)]

    def start(self, *agents, ready=True, **options):
        for agent in agents or self.agents:
            agent.start(ready=False, local_file=None, xds_address=f"https://{self.mesh.control_address}",
                        xds_server_name=CONTROL_NAME, xds_root_file=self.mesh.authority.root_file,
                        token_file=self.mesh.token_file(agent.name), **options)
        for agent in (agents or self.agents) if ready else ():
            agent.wait_ready()

    # ---------------------------------------------------------------------------------------------- traffic

    def serve(self, pod, behave=actors.echo, port=0):
        return self.enterContext(actors.Server(pod.listen(port=port), behave))

    def echoes(self, connection, text=b"still here"):
        connection.sendall(text)
        self.assertEqual(actors.read_exactly(connection, len(text)), text)

    def works(self, server, address=None):
        with self.client.pod.connect(address or self.server.pod.ipv4, server.port) as connection:
            self.echoes(connection)

    def refused(self, server, reason, address=None, agent=None):
        """A new connection is reset, and the agent's access log says so."""
        agent = agent or self.client
        since = len(agent.process.log())
        self.client.pod.assert_reset(address or self.server.pod.ipv4, server.port)
        return agent.access_log(f":{server.port}.*reason=\"{reason}\"", since)

    def waiting(self, count, agent=None, direction="outbound"):
        agent = agent or self.client
        wait_until(lambda: agent.metric("remora_sessions_waiting", direction=direction) == count,
                   f"{count} sessions of {agent.name} to wait")

    def metric_is(self, value, name, agent=None, **labels):
        agent = agent or self.client
        wait_until(lambda: agent.metric(name, **labels) == value, f"{name} of {agent.name} to be {value}")

    def metric_grows(self, before, name, agent=None, **labels):
        agent = agent or self.client
        wait_until(lambda: agent.metric(name, **labels) > before, f"{name} of {agent.name} to be more than {before}")


class Start(Case):
    """Before the first word."""

    def test_readiness_says_what_is_missing_until_the_workload_and_the_policies_are_there(self):
        held = threading.Event()
        self.xds.on_request = lambda stream, request: request.type == AUTHORIZATION and not held.is_set()
        self.start(self.client, ready=False)
        self.client.wait_not_ready("discovery: connected; the control plane has yet to say who this pod is")
        self.client.process.wait_log('"connected to the control plane"')
        held.set()
        self.xds.on_request = None
        self.xds.cut_all()
        self.client.wait_ready()

    def test_who_we_are_is_said_as_istiod_wants_it(self):
        self.start(self.client)
        stream = self.xds.streams[0]
        with open(self.mesh.token_file("client"), encoding="ascii") as file:
            self.assertEqual(stream.headers["authorization"], f"Bearer {file.read().strip()}")
        self.assertEqual(stream.headers["clusterid"], "Kubernetes")
        self.assertEqual(stream.headers[":path"], fake_xds.METHOD)
        first = next(request for request in stream.requests if request.type == ADDRESS)
        node = dict(protobuf.read(first.node))
        kind, address, name, domain = node[1].decode().split("~")
        self.assertEqual((kind, name, domain), ("ztunnel", "client.demo", "demo.svc.cluster.local"))
        self.assertIn(address, (self.client.pod.ipv4, self.client.pod.ipv6))
        self.assertIn(f"/{self.client.pod.ipv4}", [name for request in self.xds.requests() for name in request.subscribe])

    def test_one_that_nobody_answers_is_named_and_waited_for(self):
        self.xds.__exit__(None, None, None)
        server = self.serve(self.server.pod)
        self.start(ready=False, discovery_timeout="60s")
        self.client.wait_not_ready("discovery: no answer from the control plane: .*Connection refused")
        self.client.process.wait_log('"no stream to the control plane".*reason="connect".*likely_cause=".*NetworkPolicy')
        # Who comes this early waits, on both sides.
        with self.client.pod.connect(self.server.pod.ipv4, server.port) as connection:
            self.waiting(1)
            self.control_plane()
            self.echoes(connection)

    def test_who_comes_too_early_and_in_vain_is_told_why(self):
        self.xds.on_stream = lambda stream: stream.refuse(fake_xds.UNAVAILABLE, "server is not ready")
        self.start(self.client, ready=False, discovery_timeout="300ms")
        self.client.wait_not_ready("discovery: no answer from the control plane: .*server is not ready")
        server = self.serve(self.plain)
        self.refused(server, "unknown_local_workload", self.plain.ipv4)

    def test_inbound_waits_until_this_pod_is_known(self):
        server = self.serve(self.server.pod)
        self.start(self.client)
        self.xds.on_stream = lambda stream: stream.refuse(fake_xds.UNAVAILABLE, "server is not ready")
        self.start(self.server, ready=False, discovery_timeout="60s")
        self.server.wait_not_ready("discovery: ")
        with self.client.pod.connect(self.server.pod.ipv4, server.port) as connection:
            self.waiting(1, self.server, "inbound")
            self.xds.on_stream = None
            self.echoes(connection)

    def test_an_application_that_resets_while_it_waits_is_let_go_and_one_that_ended_its_direction_is_served(self):
        server = self.serve(self.server.pod)
        self.xds.on_stream = lambda stream: stream.refuse(fake_xds.UNAVAILABLE, "server is not ready")
        self.start(ready=False, discovery_timeout="60s")
        for agent in (self.client, self.server):
            agent.wait_not_ready("discovery: ")
        with contextlib.ExitStack() as stack:
            kept, gone = (stack.enter_context(self.client.pod.connect(self.server.pod.ipv4, server.port)) for _ in range(2))
            self.waiting(2)
            for connection in (kept, gone):
                connection.sendall(b"question")
            kept.shutdown(socket.SHUT_WR)
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            gone.close()
            self.client.access_log('direction="outbound" .*reason="client_gone"')
            self.waiting(1)
            self.xds.on_stream = None
            self.assertEqual(actors.read_exactly(kept, 8), b"question")
            self.assertEqual(kept.recv(1), b"")

    def test_a_tunnel_that_is_given_up_while_it_waits_is_over(self):
        server = self.serve(self.server.pod)
        self.xds.on_stream = lambda stream: stream.refuse(fake_xds.UNAVAILABLE, "server is not ready")
        self.start(self.server, ready=False, discovery_timeout="60s")
        self.server.process.wait_log('"certificate in force"')
        certificate = self.mesh.authority.credentials([f"URI:{self.client.identity}"])
        context = hbone.client_context(certificate, self.mesh.authority.root_file)
        with hbone.connect(self.plain, (self.server.pod.ipv4, hbone.PORT), context) as peer:
            kept, given_up = (peer.connect_to(f"{self.server.pod.ipv4}:{server.port}") for _ in range(2))
            self.waiting(2, self.server, "inbound")
            peer.reset(given_up)
            self.server.access_log('reason="client_gone"')
            self.waiting(1, self.server, "inbound")
            self.xds.on_stream = None
            peer.send(kept, b"at last")
            self.assertEqual(peer.receive(kept, 7), b"at last")

    def test_a_pod_that_the_control_plane_does_not_know_is_not_ready_until_it_does(self):
        self.xds.remove(ADDRESS, self.client.workload["uid"])
        self.start(self.client, ready=False)
        self.client.wait_not_ready("discovery: loaded, but it does not know this pod: client")
        self.xds.put(self.workload(self.client))
        self.client.wait_ready(timeout_s=30)


class OnDemand(Case):
    """What is asked for, when, and what happens to who waits for the answer."""

    def test_ten_connections_to_an_unknown_address_make_one_request(self):
        self.start(workers="3")
        held = threading.Event()
        name = f"/{self.server.pod.ipv4}"

        def hold(_, request):
            if name in request.subscribe:
                held.wait(30)

        self.xds.on_request = hold
        server = self.serve(self.server.pod)
        with contextlib.ExitStack() as stack:
            connections = [stack.enter_context(self.client.pod.connect(self.server.pod.ipv4, server.port)) for _ in range(10)]
            self.waiting(10)
            held.set()
            for connection in connections:
                self.echoes(connection)
        # The server's agent asks for its own name, too.
        own = sum(stream.requests[0].node is not None and request.subscribe.count(name) for stream in self.xds.streams
                  for request in stream.requests if request.type == ADDRESS and self.is_of(stream, self.server))
        self.assertEqual(self.xds.times_asked(name) - own, 1)
        self.waiting(0)
        self.works(server)
        self.assertEqual(self.client.metric("remora_xds_asked_total"), 1)

    @staticmethod
    def is_of(stream, agent):
        node = next(request.node for request in stream.requests if request.node is not None)
        return f"{agent.name}.{agent.namespace}".encode() in node

    def test_what_is_known_to_be_absent_passes_through_or_not_as_configured(self):
        plain = self.serve(self.plain)
        self.start(self.client)
        self.works(plain, self.plain.ipv4)
        self.assertEqual(self.xds.times_asked(f"/{self.plain.ipv4}"), 1)
        self.client.stop()
        self.start(self.client, outbound_policy="registry-only")
        self.refused(plain, "unknown_destination", self.plain.ipv4)

    def test_what_is_unanswered_is_refused_in_time_and_asked_for_all_the_same(self):
        plain = self.serve(self.plain)
        self.start(self.client, discovery_timeout="300ms")
        self.xds.on_request = lambda stream, request: f"/{self.plain.ipv4}" in request.subscribe
        line = self.refused(plain, "discovery_timeout", self.plain.ipv4)
        self.assertIn("control plane", line)
        self.xds.on_request = None
        self.xds.cut_all()
        wait_until(lambda: self.xds.times_asked(f"/{self.plain.ipv4}") > 1, "the name to be asked for on the new stream")
        wait_until(lambda: self.connects(plain), "the destination to be reached")

    def connects(self, server):
        try:
            self.works(server, self.plain.ipv4)
            return True
        except ConnectionResetError:
            return False

    def test_what_is_unanswered_passes_through_where_that_is_wanted(self):
        plain = self.serve(self.plain)
        self.start(self.client, discovery_timeout="300ms", unanswered_destination="passthrough")
        self.xds.on_request = lambda stream, request: f"/{self.plain.ipv4}" in request.subscribe
        self.works(plain, self.plain.ipv4)

    def test_a_service_brings_its_endpoints(self):
        self.xds.put(*self.service(self.server))
        self.serve(self.server.pod, port=8080)
        self.start()
        with self.client.pod.connect(VIP, 80) as connection:
            self.echoes(connection)
        self.assertEqual(self.xds.times_asked(f"/{VIP}"), 1)

    def test_what_nobody_uses_any_more_is_forgotten_and_asked_for_anew(self):
        server = self.serve(self.server.pod)
        self.start(self.server)
        self.start(self.client, subscription_expiry="2s")
        self.works(server)
        self.metric_is(2, "remora_xds_resources", type="address")
        self.metric_is(1, "remora_xds_resources", type="address")
        self.metric_is(1, "remora_discovery_workloads")
        self.assertEqual(self.client.metric("remora_xds_expired_total"), 1)
        self.works(server)
        self.assertEqual(self.client.metric("remora_xds_asked_total"), 2)

    def test_what_a_connection_lives_on_is_known_when_a_new_one_is_made_without_the_control_plane(self):
        server = self.serve(self.server.pod)
        self.start(self.server)
        self.start(self.client, subscription_expiry="2s", discovery_timeout="300ms")
        self.works(self.serve(self.plain), self.plain.ipv4)  # of use to nobody any more
        with self.client.pod.connect(self.server.pod.ipv4, server.port) as connection:
            self.echoes(connection)
            self.metric_is(1, "remora_xds_expired_total")
            time.sleep(3)
            self.assertEqual(self.client.metric("remora_xds_expired_total"), 1)
            self.xds.__exit__(None, None, None)
            self.works(server)
            self.echoes(connection)

    def test_memory_does_not_hold_what_the_pod_has_nothing_to_do_with(self):
        self.xds.put(*(crowd(number) for number in range(LOAD)))
        self.start(self.client)
        self.assertEqual(self.client.metric("remora_xds_resources", type="address"), 1)


class Changes(Case):
    """The mesh moves."""

    def test_a_policy_takes_effect_and_goes_again(self):
        server = self.serve(self.server.pod)
        self.start()
        self.works(server)
        self.xds.put(deny("no", scope="Namespace"))
        self.metric_is(1, "remora_discovery_policies", self.server)
        self.refused(server, "denied_by_policy", agent=self.server)
        self.xds.remove(AUTHORIZATION, "demo/no")
        self.metric_is(0, "remora_discovery_policies", self.server)
        self.works(server)

    def test_a_policy_may_come_after_the_workload_that_names_it(self):
        server = self.serve(self.server.pod)
        self.start(discovery_timeout="60s")
        self.works(server)
        before = self.server.metric("remora_xds_snapshots_total")
        self.xds.put(self.workload(self.server, authorizationPolicies=["demo/late"]))
        self.metric_grows(before, "remora_xds_snapshots_total", self.server)
        with self.client.pod.connect(self.server.pod.ipv4, server.port) as connection:
            # Nobody can say what it forbids.
            self.waiting(1, self.server, "inbound")
            self.xds.put(deny("late", destinationPorts=[1]))
            self.echoes(connection)

    def test_a_policy_may_come_before_the_workload_that_names_it(self):
        server = self.serve(self.server.pod)
        self.start()
        self.xds.put(deny("early"))
        self.metric_is(1, "remora_discovery_policies", self.server)
        self.works(server)
        self.xds.put(self.workload(self.server, authorizationPolicies=["demo/early"]))
        wait_until(lambda: self.is_denied(server), "the policy to apply")

    def is_denied(self, server):
        try:
            self.works(server)
            return False
        except ConnectionResetError:
            return True

    def test_a_policy_that_never_comes_denies(self):
        server = self.serve(self.server.pod)
        self.xds.put(self.workload(self.server, authorizationPolicies=["demo/never"]))
        self.start(discovery_timeout="300ms")
        self.refused(server, "policy_unknown", agent=self.server)

    def test_a_workload_that_goes_is_no_destination_any_more(self):
        server = self.serve(self.server.pod)
        self.start(self.server)
        self.start(self.client, outbound_policy="registry-only")
        self.works(server)
        self.xds.remove(ADDRESS, self.server.workload["uid"])
        wait_until(lambda: self.is_denied(server), "the workload to be forgotten")
        self.refused(server, "unknown_destination")
        self.server.wait_not_ready("discovery: loaded, but it does not know this pod")

    def test_ten_thousand_resources_come_in_chunks(self):
        self.xds.put(*(crowd(number) for number in range(LOAD)))
        self.xds.chunk = 700
        server = self.serve(self.server.pod)
        self.start(self.server)
        self.start(self.client, discovery="wildcard")
        self.metric_is(LOAD + 2, "remora_xds_resources", type="address")
        self.assertEqual(self.client.metric("remora_discovery_workloads"), LOAD + 2)
        self.works(server)
        self.assertGreater(self.client.metric("istio_xds_message_total", url=ADDRESS), LOAD / 700)

    def test_a_storm_of_updates_ends_in_the_last_state(self):
        server = self.serve(self.server.pod)
        self.start()
        self.works(server)
        before = self.server.metric("remora_xds_snapshots_total")
        for number in range(STORM):
            self.xds.put(deny("weather", destinationPorts=[number % 1000 + 1]))
            if number % 500 == 0:
                self.works(server)
        self.xds.put(deny("weather", scope="Namespace"))
        wait_until(lambda: self.is_denied(server), "the last state to be in force")
        self.xds.remove(AUTHORIZATION, "demo/weather")
        wait_until(lambda: not self.is_denied(server), "the policy to be gone")
        # They were taken together, as fast as they came.
        self.assertLess(self.server.metric("remora_xds_snapshots_total") - before, STORM / 2)
        self.assertGreater(self.server.metric("remora_xds_updates_total", type="authorization"), STORM)

    def test_what_is_wrong_in_an_answer_is_named_and_the_rest_applies(self):
        server = self.serve(self.server.pod)
        self.start()
        self.works(server)
        broken = xds_resources.Resource(AUTHORIZATION, "demo/broken", protobuf.field(1, "broken") + protobuf.field(3, 77))
        self.xds.put(broken, deny("good", scope="Namespace"))
        wait_until(lambda: self.is_denied(server), "the good one to apply")
        nack = wait_until(self.xds.nacks, "a NACK")[0]
        self.assertIn("demo/broken", nack.error)
        self.server.process.wait_log('"the control plane sent what cannot be used.*type="authorization" resource="demo/broken"')
        self.assertEqual(self.server.metric("remora_xds_nacks_total"), 1)
        self.assertEqual(self.server.metric("remora_xds_rejected_total", type="authorization"), 1)
        # It stays a stream like any other.
        self.xds.remove(AUTHORIZATION, "demo/good")
        wait_until(lambda: not self.is_denied(server), "the stream to go on")

    def test_a_bad_version_of_what_is_known_leaves_the_good_one(self):
        server = self.serve(self.server.pod)
        self.start()
        self.works(server)
        uid = self.server.workload["uid"]
        self.xds.put(xds_resources.Resource(ADDRESS, uid, protobuf.field(1, protobuf.field(20, uid) + protobuf.field(5, 99))))
        wait_until(self.xds.nacks, "a NACK")
        self.works(server)


class Outages(Case):
    """The control plane goes wrong while the mesh runs: nothing changes but the log and the metrics, and it heals by itself."""

    def setUp(self):
        super().setUp()
        self.listener = self.serve(self.server.pod)
        self.start()
        self.works(self.listener)

    def heals(self):
        """Something new is learnt."""
        self.xds.put(deny("healed", scope="Namespace"))
        wait_until(lambda: self.refuses(), "the new policy to apply", timeout_s=40)
        self.xds.remove(AUTHORIZATION, "demo/healed")
        wait_until(lambda: not self.refuses(), "the policy to go", timeout_s=40)

    def refuses(self):
        try:
            self.works(self.listener)
            return False
        except ConnectionResetError:
            return True

    def goes_wrong(self, on_stream, reason, message):
        """All streams end, and the next ones go as on_stream lets them."""
        before = self.client.metric("remora_xds_stream_ends_total", reason=reason)
        since = len(self.client.process.log())
        with self.client.pod.connect(self.server.pod.ipv4, self.listener.port) as live:
            self.echoes(live)
            self.xds.on_stream = on_stream
            self.xds.cut_all()
            self.metric_grows(before, "remora_xds_stream_ends_total", reason=reason)
            self.client.process.wait_log(f'"no stream to the control plane".*reason="{reason}" error=".*{message}', since=since)
            self.echoes(live)
            self.works(self.listener)
        for agent in self.agents:
            self.assertEqual(agent.readiness()[0], 200)
        self.xds.on_stream = None
        self.heals()

    def test_it_refuses_the_token(self):
        self.goes_wrong(lambda stream: stream.refuse(fake_xds.UNAUTHENTICATED, "authentication failure"), "refused",
                        "authentication failure")

    def test_it_takes_the_next_token(self):
        self.xds.on_stream = lambda stream: "old" in stream.headers["authorization"] and stream.refuse(
            fake_xds.UNAUTHENTICATED, "the token has expired")
        for agent in self.agents:
            replace_file(self.mesh.token_file(agent.name), "old", mode=0o600, uid=AGENT_UID)
        since = len(self.client.process.log())
        self.xds.cut_all()
        self.client.process.wait_log('reason="refused" error=".*the token has expired".*likely_cause="is the token', since=since)
        self.mesh.write_tokens()
        self.heals()

    def test_it_is_not_ready(self):
        self.goes_wrong(lambda stream: stream.refuse(fake_xds.UNAVAILABLE, "server is not ready"), "broken",
                        ".*server is not ready")

    def test_it_resets_each_stream(self):
        self.goes_wrong(lambda stream: stream.reset(), "broken", "")

    def test_it_is_no_grpc_server(self):
        self.goes_wrong(lambda stream: stream.answer_http(404), "protocol", "404")

    def test_it_answers_bytes_that_are_no_message(self):
        self.goes_wrong(lambda stream: stream.send(protobuf.frame(b"\xff" * 100)), "protocol", "")

    def test_it_answers_no_frame(self):
        self.goes_wrong(lambda stream: stream.send(b"\x07garbage that is no frame of gRPC"), "protocol", ".*no flag of gRPC")

    def test_its_message_is_longer_than_any(self):
        self.goes_wrong(lambda stream: stream.send(b"\0\xff\xff\xff\xff" + b"x" * 100), "broken", ".*4294967295 bytes")

    def test_it_is_gone(self):
        before = self.client.metric("remora_xds_stream_ends_total", reason="connect")
        self.xds.__exit__(None, None, None)
        self.metric_is(0, "remora_xds_connected")
        self.metric_grows(before, "remora_xds_stream_ends_total", reason="connect")
        self.assertGreater(self.client.metric("istio_xds_connection_terminations_total", reason="ConnectionError"), 0)
        self.works(self.listener)
        self.xds = self.control_plane()
        self.metric_is(1, "remora_xds_connected")
        self.heals()

    def test_it_changes_while_nobody_listens(self):
        self.xds.on_stream = lambda stream: stream.refuse(fake_xds.UNAVAILABLE, "not yet")
        self.xds.cut_all()
        self.metric_is(0, "remora_xds_connected", self.server)
        moved = self.workload(self.server, authorizationPolicies=["demo/gap"])
        self.xds.put(moved, deny("gap"), push=False)
        self.works(self.listener)  # what was known holds
        num_streams = len(self.xds.streams)
        self.xds.on_stream = None
        wait_until(self.refuses, "what has changed meanwhile to be known", timeout_s=40)
        again = [request for stream in self.xds.streams[num_streams:] for request in stream.requests if request.held]
        self.assertTrue(any(self.server.workload["uid"] in request.held for request in again))
        self.xds.remove(AUTHORIZATION, "demo/gap", push=False)
        self.xds.put(self.workload(self.server), push=False)
        self.xds.cut_all()
        wait_until(lambda: not self.refuses(), "what has gone meanwhile to be forgotten", timeout_s=40)

    def test_its_connection_has_grown_old(self):
        disconnected = self.client.metric("remora_xds_stream_ends_total", reason="broken")
        for connection in list(self.xds.connections):
            connection.goaway()
        wait_until(lambda: len(self.xds.streams) >= 4, "successors of the old streams")
        self.heals()
        self.assertEqual(self.client.metric("remora_xds_stream_ends_total", reason="broken"), disconnected)

    def test_its_connection_grows_old_in_the_middle_of_an_answer(self):
        policy = deny("torn", scope="Namespace")
        body = (protobuf.field(1, "v") + protobuf.repeated(2, [policy.encode()]) + protobuf.field(4, AUTHORIZATION)
                + protobuf.field(5, "torn"))
        message = protobuf.frame(body)
        streams = self.xds.live()
        for stream in streams:
            stream.send(message[:20])
            stream.connection.goaway()
        wait_until(lambda: len(self.xds.streams) >= 4, "successors of the old streams")
        for stream in streams:
            with contextlib.suppress(Exception):
                stream.send(message[20:])
        self.heals()

    def test_it_ends_each_stream_in_order(self):
        for stream in self.xds.live():
            stream.finish()
        wait_until(lambda: len(self.xds.streams) >= 4, "new streams")
        self.heals()

    def test_it_says_nothing(self):
        """Connections that stand and say nothing: new destinations wait in vain, the known ones work."""
        self.xds.on_request = lambda stream, request: True
        self.xds.cut_all()
        self.metric_is(1, "remora_xds_connected")
        self.works(self.listener)
        self.xds.on_request = None
        self.xds.cut_all()
        self.heals()

    def test_it_answers_slowly(self):
        slow = threading.Event()
        self.xds.on_request = lambda stream, request: slow.wait(0.5) and False
        self.xds.cut_all()
        self.works(self.listener)
        self.heals()
        slow.set()

    def test_it_speaks_with_another_certificate(self):
        other = type(self.mesh.authority)(self.node.folder, "other")
        self.xds.__exit__(None, None, None)
        stranger = other.credentials([f"DNS:{CONTROL_NAME}"])
        since = len(self.client.process.log())
        with fake_xds.FakeXds(self.mesh.control_pod.listen(port=CONTROL_PORT), stranger.chain_file, stranger.key_file):
            self.client.process.wait_log('"no stream to the control plane".*reason="connect" error=".*certificate', since=since)
            self.works(self.listener)
        self.xds = self.control_plane()
        self.heals()


class Cache(Case):
    """A restart while the control plane is down."""

    def test_an_agent_starts_from_its_cache(self):
        folder = tempfile.mkdtemp(prefix="remora-cache-", dir="/dev/shm")  # what is not in memory is refused
        self.addCleanup(shutil.rmtree, folder)
        os.chown(folder, AGENT_UID, AGENT_UID)
        server = self.serve(self.server.pod)
        self.start(self.server)
        self.start(self.client, cache_dir=folder)
        self.works(server)
        self.client.stop()
        self.assertIn("discovery", os.listdir(folder))
        for name in os.listdir(folder):
            self.assertEqual(os.stat(os.path.join(folder, name)).st_mode & 0o777, 0o600)
        self.xds.__exit__(None, None, None)
        self.start(self.client, cache_dir=folder)
        self.assertEqual(self.client.metric("remora_xds_from_cache"), 1)
        self.works(server)
        self.xds = self.control_plane()
        self.metric_is(0, "remora_xds_from_cache")
        self.works(server)

    def test_a_cache_that_is_garbled_is_named_and_done_without(self):
        folder = tempfile.mkdtemp(prefix="remora-cache-", dir="/dev/shm")
        self.addCleanup(shutil.rmtree, folder)
        os.chown(folder, AGENT_UID, AGENT_UID)
        replace_file(os.path.join(folder, "discovery"), "no cache at all", mode=0o600, uid=AGENT_UID)
        server = self.serve(self.server.pod)
        self.start(self.server)
        self.start(self.client, cache_dir=folder)
        self.client.process.wait_log('"trouble with discovery" error="cache.*discovery')
        self.works(server)


if __name__ == "__main__":
    require_root()
    unittest.main()
