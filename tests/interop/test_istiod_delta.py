"""
What the design of the agent's discovery rests on: how a real istiod answers delta xDS where the protocol leaves it open, or where it
departs from it. No agent takes part. A test that fails here after a change of istiod's version means that agent/control/xds_delta.h
says something that is not so any more.
"""

import contextlib
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

import istiod as istio  # noqa: E402
import xds_probe  # noqa: E402
from cluster import Cluster  # noqa: E402
from pods import Node, require_root  # noqa: E402
from xds_probe import ADDRESS, AUTHORIZATION, XdsProbe  # noqa: E402

OWN, OTHER, NOBODY, LATER = "/198.18.1.1", "/198.18.1.2", "/198.18.1.3", "/198.18.1.4"
VIP = "/198.19.0.10"
SERVICE = "demo/web.demo.svc.cluster.local"
SECURITY = "security.istio.io/v1"


def pod_name(name):
    return f"Kubernetes//Pod/demo/{name}"


class Delta(unittest.TestCase):
    """Pods own and other; other is behind the service web."""

    @classmethod
    def setUpClass(cls):
        cls.node = cls.enterClassContext(Node())
        try:
            cls.cluster = Cluster(cls.node)
            cls.cluster.start()
            cls.istiod = istio.Istiod(cls.node, cls.cluster)
            cls.istiod.install()
            cls.istiod.start()
            cls.prober = cls.node.pod("prober")
            cls.cluster.namespace("demo")
            cls.cluster.service_account("demo", "own")
            cls.run_pod("own", OWN)
            cls.run_pod("other", OTHER, "web")
            cls.cluster.service("demo", "web", VIP[1:], {80: 8080}, {"app": "web"})
            cls.cluster.endpoint_slice("demo", "web", {80: 8080}, {"other": OTHER[1:]})
            cls.token = cls.cluster.token("demo", "own", istio.AUDIENCE)
        except BaseException:
            cls.node.show_logs()
            raise

    @classmethod
    def run_pod(cls, name, address, app="none"):
        cls.cluster.run_pod("demo", name, "own", [address[1:]], {"app": app}, istio.CAPTURED)

    def setUp(self):
        self.settle()

    def settle(self):
        """Waits until istiod has told what there is and has no more to tell."""
        with XdsProbe(self.prober, self.istiod.address, self.istiod.root_file, istio.SERVER_NAME, self.token) as stream:
            stream.send(ADDRESS, node=xds_probe.node(OWN[1:], "own", "demo", NAMESPACE="demo"))
            while response := stream.receive(timeout_s=1):
                stream.ack(response)

    @contextlib.contextmanager
    def stream(self, *names, **metadata):
        """A stream of addresses on demand, on which these names have been asked for and answered."""
        with XdsProbe(self.prober, self.istiod.address, self.istiod.root_file, istio.SERVER_NAME, self.token) as stream:
            node = xds_probe.node(OWN[1:], "own", "demo", NAME="own", NAMESPACE="demo", **metadata)
            stream.send(ADDRESS, subscribe=["*"], unsubscribe=["*"], node=node)
            self.first = self.answer(stream)
            for name in names:
                self.ask(stream, subscribe=[name])
            yield stream

    def answer(self, stream):
        response = stream.receive()
        self.assertIsNotNone(response, f"no answer: {stream.ended}")
        stream.ack(response)
        return response

    def ask(self, stream, **request):
        """(names of the resources, removed names) of the answer to a request."""
        stream.send(ADDRESS, **request)
        response = self.answer(stream)
        return {resource.name for resource in response.resources}, set(response.removed)

    def assert_silent(self, stream):
        self.assertIsNone(stream.receive(timeout_s=1.5))

    def test_a_first_request_that_withdraws_the_wildcard_gets_nothing(self):
        with self.stream():
            self.assertEqual((self.first.resources, self.first.removed), ([], []))

    def test_a_node_name_brings_every_pod_of_the_node(self):
        with self.stream(NODE_NAME="node-1"):
            self.assertLessEqual({pod_name("own"), pod_name("other")}, {resource.name for resource in self.first.resources})

    def test_an_address_brings_its_pod_and_a_service_all_its_endpoints(self):
        with self.stream() as stream:
            self.assertEqual(self.ask(stream, subscribe=[OWN]), ({pod_name("own")}, set()))
            self.assertEqual(self.ask(stream, subscribe=[VIP]), ({SERVICE, pod_name("other")}, set()))

    def test_what_is_subscribed_is_not_answered_again(self):
        with self.stream(OWN, VIP) as stream:
            for name in (OWN, VIP, SERVICE, pod_name("other")):
                stream.send(ADDRESS, subscribe=[name])
            self.assert_silent(stream)

    def test_a_request_that_only_unsubscribes_is_told_that_everything_else_is_gone(self):
        with self.stream(OWN, OTHER, VIP) as stream:
            _, removed = self.ask(stream, unsubscribe=[OTHER])
            self.assertLessEqual({OWN, VIP, SERVICE, pod_name("own"), pod_name("other")}, removed)

    def test_a_request_that_unsubscribes_and_names_something_that_stays_is_not(self):
        with self.stream(OWN, OTHER, VIP) as stream:
            self.assertEqual(self.ask(stream, subscribe=[OWN], unsubscribe=[OTHER]), ({pod_name("own")}, set()))
            self.assertEqual(self.ask(stream, subscribe=[OTHER]), ({pod_name("other")}, set()))

    def test_subscriptions_in_a_request_with_an_old_nonce_are_lost(self):
        with self.stream() as stream:
            stream.send(ADDRESS, subscribe=[OWN], nonce="of some other time")
            self.assert_silent(stream)
            self.assertEqual(self.ask(stream, subscribe=[OWN]), ({pod_name("own")}, set()))

    def test_that_something_has_come_to_be_is_only_told_when_asked_anew(self):
        with self.stream(OWN) as stream:
            self.assertEqual(self.ask(stream, subscribe=[LATER]), (set(), {LATER}))
            self.run_pod("later", LATER)
            self.addCleanup(self.cluster.delete, "v1", "pods", "demo", "later")
            self.assert_silent(stream)
            self.ask(stream, subscribe=[OWN], unsubscribe=[LATER])
            self.assertEqual(self.ask(stream, subscribe=[LATER]), ({pod_name("later")}, set()))

    def test_an_address_that_changes_hands_is_only_told_as_gone(self):
        self.run_pod("first", NOBODY)
        self.settle()
        with self.stream(OWN, NOBODY) as stream:
            self.cluster.delete("v1", "pods", "demo", "first")
            gone = self.answer(stream)
            self.assertEqual(gone.removed, [pod_name("first")])
            self.run_pod("second", NOBODY)
            self.addCleanup(self.cluster.delete, "v1", "pods", "demo", "second")
            self.assert_silent(stream)

    def test_a_new_endpoint_of_a_service_is_only_told_when_asked_anew(self):
        with self.stream(OWN, VIP) as stream:
            self.run_pod("another", "/198.18.1.5", "web")
            self.addCleanup(self.cluster.delete, "v1", "pods", "demo", "another")
            self.assert_silent(stream)
            self.ask(stream, subscribe=[OWN], unsubscribe=[VIP, SERVICE])
            self.assertEqual(self.ask(stream, subscribe=[VIP]), ({SERVICE, pod_name("other"), pod_name("another")}, set()))

    def test_a_workload_names_a_policy_before_the_policy_comes(self):
        with self.stream(OTHER) as stream:
            stream.send(AUTHORIZATION)
            self.answer(stream)
            spec = {"action": "ALLOW", "selector": {"matchLabels": {"app": "web"}}, "rules": [{}]}
            self.cluster.create(SECURITY, "authorizationpolicies", "demo", "new", apiVersion=SECURITY, kind="AuthorizationPolicy",
                                spec=spec)
            self.addCleanup(self.cluster.delete, SECURITY, "authorizationpolicies", "demo", "new")
            pushed = [self.answer(stream), self.answer(stream)]
            self.assertEqual([response.type_url for response in pushed], [ADDRESS, AUTHORIZATION])
            self.assertEqual(pushed[0].version, pushed[1].version)


if __name__ == "__main__":
    require_root()
    unittest.main(verbosity=2)
