"""Trust that changes while connections live: revocation, roots that rotate, other trust domains, policies, certificates that end."""

import os
import socket
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

import actors  # noqa: E402
from authority import Authority  # noqa: E402
from mesh import AGENT_UID, Mesh, replace_file  # noqa: E402
from pods import Node, require_root, wait_until  # noqa: E402

GRACE_S = 2
OPTIONS = {"peer_expiry_grace": f"{GRACE_S}s"}


class Case(unittest.TestCase):
    """A client and a server, whose certificates come from files; a new mesh for each test."""

    strangers = ()  # names of pods without an agent

    def setUp(self):
        self.node = self.enterContext(Node())
        self.mesh = Mesh(self.node, cert_source="files")
        self.client, self.server = self.mesh.agent("client"), self.mesh.agent("server")
        self.crl_file = os.path.join(self.mesh.folder, "crl.pem")
        self.bundle_file = os.path.join(self.mesh.folder, "partner.pem")
        self.addCleanup(self._show_logs_of_failure)

    def _show_logs_of_failure(self):
        outcome = getattr(self, "_outcome", None)
        if outcome is not None and not outcome.success:
            self.node.show_logs()

    def start(self, **options):
        self.mesh.start(**{**OPTIONS, **options})
        self.app = self.enterContext(actors.Server(self.server.pod.listen(), actors.echo))

    def connect(self):
        connection = self.client.pod.connect(self.server.pod.ipv4, self.app.port)
        self.addCleanup(connection.close)
        return connection

    def ask(self, connection):
        """One round trip; ConnectionError when the connection is no more."""
        connection.sendall(b"ping")
        if connection.recv(4) != b"ping":
            raise ConnectionResetError

    def works(self):
        try:  # a refusal may be so fast that connecting fails by it
            with self.client.pod.connect(self.server.pod.ipv4, self.app.port) as connection:
                self.ask(connection)
                return True
        except OSError:
            return False

    def opened(self):
        """A connection that works."""
        wait_until(self.works, "a connection through the tunnel")
        connection = self.connect()
        self.ask(connection)
        return connection

    def assert_cut(self, connection, timeout_s=20):
        """It ends, and not as if everything had been said."""
        connection.settimeout(timeout_s)
        with self.assertRaises(ConnectionResetError):
            if connection.recv(1) == b"":
                self.fail("the cut looks like an end")

    def give(self, agent, authority=None, roots=None, uri=None, **options):
        """(Re)places an agent's files; returns its certificate."""
        chain, key = (authority or self.mesh.authority).issue([f"URI:{uri or agent.identity}"], **options)
        if roots is not None:
            self.trust(agent, *roots)
        replace_file(self.mesh.certificate_file(agent.name, "key"), key, mode=0o600, uid=AGENT_UID)
        replace_file(self.mesh.certificate_file(agent.name, "cert"), chain)
        return chain

    def trust(self, agent, *authorities):
        replace_file(self.mesh.certificate_file(agent.name, "trust-bundle"), "".join(each.root_pem for each in authorities))

    def wait_rotated(self, agent, before):
        wait_until(lambda: agent.process.log().count("certificate in force") > before, f"{agent.name} to take its new trust")

    def changes(self, agent):
        return agent.process.log().count("certificate in force")


class Revocation(Case):

    def start_with_lists(self, **options):
        replace_file(self.crl_file, self.mesh.authority.crl())
        self.start(crl_file=self.crl_file, **options)

    def client_certificate(self):
        with open(self.mesh.certificate_file("client", "cert"), encoding="ascii") as file:
            return file.read()

    def test_a_revoked_client_loses_its_live_tunnel_and_gets_no_other(self):
        self.start_with_lists()
        connections = [self.opened() for _ in range(3)]
        replace_file(self.crl_file, self.mesh.authority.crl(self.client_certificate()))
        for connection in connections:
            self.assert_cut(connection)
        self.server.access_log(r'reason="cert_revoked" response_flags="CERT_REVOKED"')
        self.assertEqual(self.server.metric("remora_recheck_closed_total", direction="inbound", reason="cert_revoked"), 3)
        self.assertEqual(self.server.metric("remora_tunnel_ends_total", direction="inbound", reason="cert_revoked"), 1)
        self.assertFalse(self.works())
        self.client.process.wait_log("our own certificate will be refused by peers")
        self.assertEqual(self.client.metric("remora_certificate_revoked"), 1)
        # Another certificate, and all is well: nobody was restarted.
        self.give(self.client)
        wait_until(self.works, "a connection with the new certificate")

    def test_a_revoked_server_is_left_by_its_clients(self):
        self.start_with_lists()
        connection = self.opened()
        with open(self.mesh.certificate_file("server", "cert"), encoding="ascii") as file:
            replace_file(self.crl_file, self.mesh.authority.crl(file.read()))
        self.assert_cut(connection)
        self.client.access_log(r'direction="outbound" .*reason="cert_revoked"')
        self.assertFalse(self.works())

    def test_a_list_that_cannot_be_read_is_said_and_the_one_before_counts(self):
        self.start_with_lists()
        connection = self.opened()
        replace_file(self.crl_file, "-----BEGIN X509 CRL-----\nnonsense\n-----END X509 CRL-----\n")
        self.server.process.wait_log("revocation lists \\(the content before counts\\)")
        self.assertEqual(self.server.metric("remora_trust_files_unusable"), 1)
        self.ask(connection)
        replace_file(self.crl_file, self.mesh.authority.crl(self.client_certificate()))
        self.assert_cut(connection)

    def test_an_expired_list_is_used_or_refuses_as_configured(self):
        replace_file(self.crl_file, self.mesh.authority.crl(next_s=-1, last_s=-3600))
        self.start(crl_file=self.crl_file)
        wait_until(self.works, "a connection though the list has expired")
        self.assertEqual(self.server.metric("remora_crl_lists_expired"), 1)
        self.server.process.wait_log("revocation list is not of now")
        self.server.restart(crl_file=self.crl_file, crl_policy="strict")
        self.assertFalse(self.works())
        self.server.access_log(r'reason="crl_expired"')
        replace_file(self.crl_file, self.mesh.authority.crl())
        wait_until(self.works, "a connection once the list is renewed")

    def test_a_strict_agent_waits_for_its_lists(self):
        self.start()
        self.server.stop()
        self.server.start(ready=False, crl_file=self.crl_file, crl_policy="strict")
        self.server.wait_not_ready("waits for revocation lists")
        replace_file(self.crl_file, self.mesh.authority.crl())
        self.server.wait_ready()
        wait_until(self.works, "a connection")


class RootRotation(Case):
    """Old root, both, new root; whoever learns first. No connection fails on the way, and none lives on without trust."""

    def rotate(self, trust_first, certificates_first):
        old, new = self.mesh.authority, Authority(self.node.folder, "new")
        self.start()
        held = self.opened()
        failures = []
        stop = threading.Event()

        def ask_on():
            while not stop.is_set():
                try:
                    with self.client.pod.connect(self.server.pod.ipv4, self.app.port) as connection:
                        self.ask(connection)
                except OSError as error:
                    failures.append(error)
                time.sleep(0.02)

        asking = threading.Thread(target=ask_on)
        asking.start()
        try:
            for agent in trust_first:
                before = self.changes(agent)
                self.trust(agent, old, new)
                self.wait_rotated(agent, before)
            for agent in certificates_first:
                before = self.changes(agent)
                self.give(agent, new)
                self.wait_rotated(agent, before)
            self.ask(held)
            self.assertEqual(failures, [])
            for agent in trust_first:
                before = self.changes(agent)
                self.trust(agent, new)
                self.wait_rotated(agent, before)
            # The connection of the old days was made with certificates of the root that is withdrawn.
            self.assert_cut(held)
            wait_until(self.works, "a connection by the new root")
            time.sleep(0.2)
        finally:
            stop.set()
            asking.join()
        self.assertEqual(failures, [])

    def test_the_client_learns_first(self):
        self.rotate([self.client, self.server], [self.client, self.server])

    def test_the_server_learns_first(self):
        self.rotate([self.server, self.client], [self.server, self.client])

    def test_the_client_trusts_first_and_the_server_changes_its_certificate_first(self):
        self.rotate([self.client, self.server], [self.server, self.client])


class OtherTrustDomains(Case):

    def test_a_federated_client_is_verified_by_its_own_roots_and_named_by_policies(self):
        partner = Authority(self.node.folder, "partner")
        replace_file(self.bundle_file, partner.root_pem)
        own_roots = os.path.join(self.mesh.folder, "own.pem")
        replace_file(own_roots, self.mesh.authority.root_pem)
        identity = "spiffe://partner.example/ns/demo/sa/client"
        self.start()
        self.assertTrue(wait_until(self.works, "a connection within the trust domain"))
        self.server.restart(federated_bundle_files=f"partner.example={self.bundle_file}", **OPTIONS)
        self.client.stop()
        self.give(self.client, partner, roots=[partner], uri=identity)
        self.client.start(trust_domain="partner.example", federated_bundle_files=f"cluster.local={own_roots}", **OPTIONS)
        connection = self.opened()
        self.server.access_log(f'src.identity="{identity}"')
        # A namespace that policies name is one of ours.
        self.mesh.policies.append({"name": "by-namespace", "namespace": "demo", "scope": "Namespace", "action": "Allow",
                                   "rules": [[[{"namespaces": [{"Exact": "demo"}]}]]], "dryRun": False})
        self.mesh.write_local_file()
        self.assert_cut(connection)
        self.mesh.allow("by-principal", "demo", identity)
        self.mesh.write_local_file()
        connection = self.opened()
        # The federation ends.
        replace_file(self.bundle_file, Authority(self.node.folder, "stranger").root_pem)
        self.assert_cut(connection)
        self.server.access_log(r'reason="cert_untrusted"')
        self.assertFalse(self.works())

    def test_an_alias_is_another_name_of_our_own_trust_domain(self):
        identity = "spiffe://old.example/ns/demo/sa/client"
        self.mesh.allow("by-present-name", "demo", self.client.identity)
        self.start(trust_domain_aliases="old.example")
        self.client.stop()
        self.give(self.client, uri=identity)
        self.client.start(trust_domain="old.example", trust_domain_aliases="cluster.local", **OPTIONS)
        self.opened()
        self.server.access_log(f'src.identity="{identity}"')  # what the certificate says
        self.server.restart(**OPTIONS)
        self.assertFalse(self.works())
        self.server.access_log(r'reason="cert_wrong_trust_domain"')


class Policies(Case):

    DENY = {"name": "closed", "namespace": "demo", "scope": "Namespace", "action": "Deny", "dryRun": False}

    def deny(self, match):
        self.mesh.policies = [{**self.DENY, "rules": [[[match]]]}]
        self.mesh.write_local_file()

    def test_a_tunnelled_connection_that_a_new_policy_forbids_is_closed(self):
        self.start()
        connection = self.opened()
        self.deny({"destinationPorts": [1]})
        self.server.process.wait_log(r"policies=1")
        self.ask(connection)  # it does not apply
        self.deny({"principals": [{"Exact": self.client.identity.removeprefix("spiffe://")}]})
        self.assert_cut(connection)
        self.server.access_log(r'reason="denied_by_policy" .*policy changed while connected')
        self.server.access_log(r'policy="demo/closed"')
        self.assertFalse(self.works())

    def test_a_plaintext_connection_that_a_new_policy_forbids_is_closed(self):
        stranger = self.node.pod("stranger")
        self.start(inbound_mode="permissive")
        connection = stranger.connect(self.server.pod.ipv4, self.app.port)
        self.addCleanup(connection.close)
        self.ask(connection)
        self.deny({"notPrincipals": [{"Presence": []}]})
        self.assert_cut(connection)
        self.server.access_log(r'reason="denied_by_policy" .*policy changed while connected')

    def test_a_workload_whose_own_list_of_policies_changes_is_judged_by_it(self):
        self.start()
        self.mesh.policies.append({**self.DENY, "scope": "WorkloadSelector", "rules": [[[{"notPrincipals": []}]], []]})
        self.mesh.write_local_file()
        connection = self.opened()
        self.server.workload["authorizationPolicies"] = ["demo/closed"]
        self.mesh.write_local_file()
        self.assert_cut(connection)
        self.server.access_log(r'policy="demo/closed"')


class Expiry(Case):

    def test_a_tunnel_does_not_outlive_its_peers_certificate_and_the_grace(self):
        self.start()
        before = self.changes(self.client)
        self.give(self.client, life_s=8)
        self.wait_rotated(self.client, before)
        connection = self.opened()
        began = time.monotonic()
        self.assert_cut(connection, timeout_s=40)
        self.assertGreater(time.monotonic() - began, GRACE_S)
        self.server.access_log(r'reason="cert_expired" .*while connected')
        self.assertFalse(self.works())  # fails closed
        self.give(self.client)
        wait_until(self.works, "a connection with a new certificate")


if __name__ == "__main__":
    require_root()
    unittest.main(verbosity=2)
