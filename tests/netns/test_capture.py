#!/usr/bin/env python3
"""remora-init in pods: what its rules capture and what they leave alone, with real connections in both families."""

import contextlib
import json
import os
import select
import socket
import struct
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))
import pods  # noqa: E402

FAMILIES = (socket.AF_INET, socket.AF_INET6)
ORIGINAL_DST = 80  # SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST
OUTBOUND, INBOUND = 15001, 15006
NOBODY = 65534
SERVICE = {socket.AF_INET: "198.19.0.10", socket.AF_INET6: "fd00:5e::10"}  # addresses that no pod has

USAGE, DENIED, NOT_REDIRECTED, NOT_VERIFIED = 64, 77, 95, 96


def original_destination(connection):
    """Where a redirected connection was meant to go, as (host, port)."""
    if connection.family == socket.AF_INET6:
        raw = connection.getsockopt(socket.IPPROTO_IPV6, ORIGINAL_DST, 28)
        return socket.inet_ntop(socket.AF_INET6, raw[8:24]), struct.unpack("!H", raw[2:4])[0]
    raw = connection.getsockopt(socket.IPPROTO_IP, ORIGINAL_DST, 16)
    return socket.inet_ntop(socket.AF_INET, raw[4:8]), struct.unpack("!H", raw[2:4])[0]


class CaptureTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.node = cls.enterClassContext(pods.Node())
        cls.app = cls.node.pod("app")  # the one that has the rules
        cls.other = cls.node.pod("other")
        cls.remora_init = pods.program("remora-init")

    def setUp(self):
        self.init("remove")
        self.open = self.enterContext(contextlib.ExitStack())

    def init(self, *args, uid=None, code=0, env=None):
        """Runs remora-init in the app pod and returns what it wrote, standard output and error."""
        done = self.app.run([self.remora_init, *args], uid=uid, check=False, env=env)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def ruleset(self):
        return self.app.run(["nft", "-s", "list", "ruleset"]).stdout

    @contextlib.contextmanager
    def sockets(self):
        """What is opened inside the block is closed at its end."""
        outer = self.open
        try:
            with contextlib.ExitStack() as self.open:
                yield
        finally:
            self.open = outer

    def listen(self, pod, family, *ports):
        return [self.open.enter_context(pod.listen(family, port)) for port in ports]

    def dial(self, pod, family, host, port, uid=None):
        """A connected socket of the pod, or None when nobody took the connection."""
        dialled = self.open.enter_context(pod.open_socket(family, uid=uid))
        try:
            dialled.connect((host, port))
        except ConnectionRefusedError:
            return None
        return dialled

    def arrival(self, dialled, listeners):
        """Accepts the connection that `dialled` made: the port where it arrived, and the connection."""
        self.assertIsNotNone(dialled, "the connection was refused")
        ready, _, _ = select.select(listeners, [], [], pods.WAIT_S)
        self.assertEqual(len(ready), 1)
        accepted, _ = ready[0].accept()
        self.open.enter_context(accepted)
        dialled.sendall(b"ping")
        self.assertEqual(accepted.recv(4), b"ping")
        return ready[0].getsockname()[1], accepted

    def assert_outbound(self, expected_captured, family, host, port, uid=None):
        """A connection of the app pod to the other pod's `port` arrives at the agent's port, or at the other pod's."""
        with self.sockets():
            listeners = self.listen(self.app, family, OUTBOUND) + self.listen(self.other, family, port)
            arrived, accepted = self.arrival(self.dial(self.app, family, host, port, uid), listeners)
            self.assertEqual(arrived, OUTBOUND if expected_captured else port)
            if expected_captured:
                self.assertEqual(original_destination(accepted), (host, port))

    def assert_inbound(self, expected_captured, family, port, host=None):
        """A connection of the other pod to the app pod's `port` arrives at the agent's port, or there."""
        with self.sockets():
            host = host or self.app.address(family)
            listeners = self.listen(self.app, family, INBOUND, port)
            arrived, accepted = self.arrival(self.dial(self.other, family, host, port), listeners)
            self.assertEqual(arrived, INBOUND if expected_captured else port)
            if expected_captured:
                self.assertEqual(original_destination(accepted), (host, port))

    def counters(self):
        """Packets by rule, named by comment; rules that share a comment are added up."""
        listed = json.loads(self.app.run(["nft", "-j", "list", "table", "inet", "remora"]).stdout)
        packets = {}
        for rule in (item["rule"] for item in listed["nftables"] if "rule" in item):
            counter = next(part["counter"] for part in rule["expr"] if "counter" in part)
            packets[rule["comment"]] = packets.get(rule["comment"], 0) + counter["packets"]
        return packets


class Outbound(CaptureTest):
    def test_connections_are_redirected_and_keep_their_original_destination(self):
        self.init("apply")
        for family in FAMILIES:
            with self.subTest(family=family.name):
                self.assert_outbound(True, family, self.other.address(family), 8080)

    def test_ipv4_through_an_ipv6_socket_is_redirected(self):
        self.init("apply")
        listener, = self.listen(self.app, socket.AF_INET, OUTBOUND)
        dialled = self.dial(self.app, socket.AF_INET6, f"::ffff:{self.other.ipv4}", 8080)
        _, accepted = self.arrival(dialled, [listener])
        self.assertEqual(original_destination(accepted), (self.other.ipv4, 8080))

    def test_connections_of_the_agents_user_are_not_redirected(self):
        self.init("apply")
        for family in FAMILIES:
            with self.subTest(family=family.name):
                self.assert_outbound(False, family, self.other.address(family), 8080, uid=pods.AGENT_UID)
                self.assert_outbound(True, family, self.other.address(family), 8080, uid=NOBODY)

    def test_an_unprivileged_agent_process_is_not_redirected_and_another_one_is(self):
        self.init("apply")
        for family in FAMILIES:
            with self.subTest(family=family.name):
                self.listen(self.other, family, 8080)
                connect = ["bash", "-c", f"exec 3<>/dev/tcp/{self.other.address(family)}/8080"]
                self.app.run(connect, uid=pods.AGENT_UID)
                self.assertNotEqual(self.app.run(connect, uid=NOBODY, check=False).returncode, 0)

    def test_other_users_and_groups_can_be_the_agents(self):
        self.init("apply", "--agent-uids=1400,1401", "--agent-gids=1500")
        for family in FAMILIES:
            with self.subTest(family=family.name):
                self.assert_outbound(False, family, self.other.address(family), 8080, uid=1401)
                self.assert_outbound(True, family, self.other.address(family), 8080, uid=pods.AGENT_UID)
                self.listen(self.other, family, 8080)
                connect = ["bash", "-c", f"exec 3<>/dev/tcp/{self.other.address(family)}/8080"]
                self.app.run(connect, uid=NOBODY, gid=1500)

    def test_containers_of_the_pod_reach_each_other_directly(self):
        self.init("apply")
        for family in FAMILIES:
            with self.subTest(family=family.name):
                listeners = self.listen(self.app, family, OUTBOUND, INBOUND, 8080)
                for host in (self.app.address(family), "::1" if family == socket.AF_INET6 else "127.0.0.1"):
                    arrived, _ = self.arrival(self.dial(self.app, family, host, 8080), listeners)
                    self.assertEqual(arrived, 8080, host)
        listeners = self.listen(self.app, socket.AF_INET, 8081)
        arrived, _ = self.arrival(self.dial(self.app, socket.AF_INET, "127.9.9.9", 8081), listeners)
        self.assertEqual(arrived, 8081)

    def test_an_application_can_call_its_own_service(self):
        self.init("apply")
        for family in FAMILIES:
            with self.subTest(family=family.name):
                listeners = self.listen(self.app, family, OUTBOUND, INBOUND, 15008, 8080)
                arrived, accepted = self.arrival(self.dial(self.app, family, SERVICE[family], 80), listeners)
                self.assertEqual(arrived, OUTBOUND)
                self.assertEqual(original_destination(accepted), (SERVICE[family], 80))
                # The agent chooses this very pod: it dials its own tunnel port, and from there the application.
                for port in (15008, 8080):
                    dialled = self.dial(self.app, family, self.app.address(family), port, uid=pods.AGENT_UID)
                    arrived, _ = self.arrival(dialled, listeners)
                    self.assertEqual(arrived, port)

    def test_excluded_ports_are_left_alone(self):
        self.init("apply", "--exclude-outbound-ports=8080,9000-9002")
        for family in FAMILIES:
            with self.subTest(family=family.name):
                for port, captured in ((8080, False), (8081, True), (8999, True), (9000, False), (9002, False),
                                       (9003, True)):
                    self.assert_outbound(captured, family, self.other.address(family), port)

    def test_excluded_networks_are_left_alone_each_in_its_family(self):
        self.init("apply", f"--exclude-outbound-cidrs={self.other.ipv4}/32")
        self.assert_outbound(False, socket.AF_INET, self.other.ipv4, 8080)
        self.assert_outbound(True, socket.AF_INET6, self.other.ipv6, 8080)
        self.init("apply", "--exclude-outbound-cidrs=fd00:18::/64")
        self.assert_outbound(True, socket.AF_INET, self.other.ipv4, 8080)
        self.assert_outbound(False, socket.AF_INET6, self.other.ipv6, 8080)

    def test_with_an_include_list_only_what_it_names_is_captured(self):
        self.init("apply", "--include-outbound-ports=8080")
        for family in FAMILIES:
            with self.subTest(family=family.name):
                self.assert_outbound(True, family, self.other.address(family), 8080)
                self.assert_outbound(False, family, self.other.address(family), 8081)
        self.init("apply", "--include-outbound-cidrs=198.18.0.0/16")
        self.assert_outbound(True, socket.AF_INET, self.other.ipv4, 8080)
        self.assert_outbound(False, socket.AF_INET6, self.other.ipv6, 8080)
        self.init("apply", "--include-outbound-cidrs=198.18.0.0/16", "--include-outbound-ports=443",
                  f"--exclude-outbound-cidrs={self.other.ipv4}")
        self.assert_outbound(False, socket.AF_INET, self.other.ipv4, 8080)
        self.assert_outbound(False, socket.AF_INET, self.other.ipv4, 443)
        self.assert_outbound(True, socket.AF_INET6, self.other.ipv6, 443)

    def test_link_local_destinations_are_left_alone(self):
        self.init("apply")
        listeners = self.listen(self.app, socket.AF_INET6, OUTBOUND) + self.listen(self.other, socket.AF_INET6, 8080)
        with self.app.entered():
            scope = socket.if_nametoindex("eth0")
        dialled = self.open.enter_context(self.app.open_socket(socket.AF_INET6))
        dialled.connect((link_local(self.other), 8080, 0, scope))
        arrived, _ = self.arrival(dialled, listeners)
        self.assertEqual(arrived, 8080)


def link_local(pod):
    listed = json.loads(pod.run(["ip", "-j", "-6", "address", "show", "dev", "eth0", "scope", "link"]).stdout)
    return next(info["local"] for link in listed for info in link.get("addr_info", ()) if "local" in info)


class Inbound(CaptureTest):
    def test_connections_are_redirected_and_keep_their_original_destination(self):
        self.init("apply")
        for family in FAMILIES:
            with self.subTest(family=family.name):
                self.assert_inbound(True, family, 8080)

    def test_the_agents_own_ports_are_left_alone(self):
        self.init("apply")
        for family in FAMILIES:
            with self.subTest(family=family.name):
                for port, captured in ((15000, True), (15001, True), (15007, True), (15008, False), (15009, True),
                                       (15019, True), (15020, False), (15021, False), (15022, True)):
                    self.assert_inbound(captured, family, port)

    def test_excluded_ports_are_left_alone(self):
        self.init("apply", "--exclude-inbound-ports=8080,15020-15025")
        for family in FAMILIES:
            with self.subTest(family=family.name):
                for port, captured in ((8080, False), (8081, True), (15025, False), (15008, False)):
                    self.assert_inbound(captured, family, port)

    def test_with_an_include_list_only_its_ports_are_captured(self):
        self.init("apply", "--include-inbound-ports=8080-8090", "--exclude-inbound-ports=8085")
        for family in FAMILIES:
            with self.subTest(family=family.name):
                for port, captured in ((8080, True), (8085, False), (8090, True), (8091, False), (15008, False)):
                    self.assert_inbound(captured, family, port)

    def test_neighbours_do_not_get_around_the_agent_by_the_link_local_address(self):
        self.init("apply")
        listeners = self.listen(self.app, socket.AF_INET6, INBOUND, 8080)
        with self.other.entered():
            scope = socket.if_nametoindex("eth0")
        dialled = self.open.enter_context(self.other.open_socket(socket.AF_INET6))
        dialled.connect((link_local(self.app), 8080, 0, scope))
        arrived, _ = self.arrival(dialled, listeners)
        self.assertEqual(arrived, INBOUND)

    def test_excluded_interfaces_are_left_alone_in_both_directions(self):
        self.init("apply", "--exclude-interfaces=eth0")
        for family in FAMILIES:
            with self.subTest(family=family.name):
                self.assert_inbound(False, family, 8080)
                self.assert_outbound(False, family, self.other.address(family), 8080)
        self.init("apply", "--exclude-interfaces=eth1")
        for family in FAMILIES:
            with self.subTest(family=family.name):
                self.assert_inbound(True, family, 8080)
                self.assert_outbound(True, family, self.other.address(family), 8080)

    def test_other_ports_of_the_agent_can_be_used(self):
        self.init("apply", "--inbound-port=16006", "--outbound-port=16001")
        for family in FAMILIES:
            with self.subTest(family=family.name):
                inbound, outbound = self.listen(self.app, family, 16006, 16001)
                dialled = self.dial(self.other, family, self.app.address(family), 8080)
                self.assertEqual(self.arrival(dialled, [inbound])[0], 16006)
                dialled = self.dial(self.app, family, self.other.address(family), 8080)
                self.assertEqual(self.arrival(dialled, [outbound])[0], 16001)

    def test_packets_of_no_connection_pass_unless_they_are_to_be_dropped(self):
        garbage = b"\x00\x09\x1f\x90" + bytes(8) + b"\x50\xff\x00\x00" + bytes(4)  # all flags, no checksum
        self.init("apply", "--drop-invalid")
        for family in FAMILIES:
            with self.subTest(family=family.name):
                before = self.counters()["packets that belong to no connection"]
                with self.other.entered():
                    raw = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_TCP)
                with raw:
                    raw.sendto(garbage, (self.app.address(family), 0))
                pods.wait_until(lambda b=before: self.counters()["packets that belong to no connection"] == b + 1,
                                "the packet to be dropped")
                self.assert_inbound(True, family, 8080)
        self.init("apply")
        self.assertNotIn("packets that belong to no connection", self.counters())


class Counters(CaptureTest):
    """In pods of its own: late packets of other tests' connections would be counted, too."""

    def test_every_kind_of_connection_moves_its_own_counter(self):
        self.init("apply", "--exclude-outbound-ports=8081", "--exclude-inbound-ports=8081")
        self.assertEqual(set(self.counters().values()), {0})
        for family in FAMILIES:
            with self.subTest(family=family.name):
                self.assert_outbound(True, family, self.other.address(family), 8080)
                self.assert_outbound(False, family, self.other.address(family), 8081)
                self.assert_outbound(False, family, self.other.address(family), 8080, uid=pods.AGENT_UID)
                self.assert_inbound(True, family, 8080)
                self.assert_inbound(False, family, 8081)
                self.assert_inbound(False, family, 15008)
                with self.sockets():
                    self.listen(self.app, family, 8080)
                    self.dial(self.app, family, self.app.address(family), 8080)
        packets = self.counters()
        for comment in ("outbound: to the agent", "outbound: excluded port", "outbound: the agent's own",
                        "outbound: between the pod's containers", "inbound: to the agent", "inbound: excluded port",
                        "inbound: the agent's own ports"):
            self.assertEqual(packets[comment], len(FAMILIES), comment)


class Rules(CaptureTest):
    def ping(self, family, client, server):
        """One ICMP echo request and its reply."""
        v6 = family == socket.AF_INET6
        protocol, request, reply = (socket.IPPROTO_ICMPV6, 128, 129) if v6 else (socket.IPPROTO_ICMP, 8, 0)
        # The kernel fills in the checksum of ICMPv6 alone; that of ICMPv4 follows from the only word that is not 0.
        checksum = 0 if v6 else 0xffff - (request << 8)
        with client.entered():
            raw = socket.socket(family, socket.SOCK_RAW, protocol)
        with raw:
            raw.settimeout(pods.WAIT_S)
            raw.sendto(struct.pack("!BBHI", request, 0, checksum, 0), (server.address(family), 0))
            while True:
                packet, sender = raw.recvfrom(256)
                header_len = 0 if v6 else (packet[0] & 15) * 4
                if sender[0] == server.address(family) and packet[header_len] == reply:
                    return

    def test_udp_and_icmp_are_not_touched(self):
        self.init("apply")
        for family in FAMILIES:
            with self.subTest(family=family.name):
                self.ping(family, self.other, self.app)
                self.ping(family, self.app, self.other)
                for server, client in ((self.app, self.other), (self.other, self.app)):
                    with server.open_socket(family, socket.SOCK_DGRAM) as one, \
                            client.open_socket(family, socket.SOCK_DGRAM) as two:
                        one.bind((server.address(family), 0))
                        two.sendto(b"ping", one.getsockname()[:2])
                        self.assertEqual(one.recv(4), b"ping")

    def test_applying_twice_gives_the_same_rules_and_keeps_connections(self):
        options = ["--exclude-outbound-ports=25,26,30-40", "--include-outbound-cidrs=198.18.0.0/15,fd00::/8",
                   "--exclude-interfaces=net1,net2", "--drop-invalid"]
        self.init("apply", *options)
        before = self.ruleset()
        for family in FAMILIES:
            with self.subTest(family=family.name):
                listener, = self.listen(self.app, family, OUTBOUND)
                dialled = self.dial(self.app, family, self.other.address(family), 8080)
                _, accepted = self.arrival(dialled, [listener])
                self.init("apply", *options)
                accepted.sendall(b"still here")
                self.assertEqual(dialled.recv(10), b"still here")
        self.assertEqual(self.ruleset(), before)

    def test_applying_other_options_replaces_the_rules(self):
        self.init("apply", "--exclude-outbound-ports=8080")
        self.init("apply", "--exclude-outbound-ports=8081")
        for family in FAMILIES:
            with self.subTest(family=family.name):
                self.assert_outbound(True, family, self.other.address(family), 8080)
                self.assert_outbound(False, family, self.other.address(family), 8081)

    def test_removing_leaves_nothing_of_ours_and_everything_else(self):
        self.init("apply")
        self.init("remove")
        self.assertEqual(self.ruleset(), "")
        self.init("remove")
        self.app.run(["nft", "add table inet other; add chain inet other x"])
        others = self.ruleset()
        self.init("apply")
        self.assertIn(others.strip(), self.ruleset())
        self.init("remove")
        self.assertEqual(self.ruleset(), others)
        self.app.run(["nft", "delete table inet other"])
        for family in FAMILIES:
            with self.subTest(family=family.name):
                self.assert_outbound_without_agent(family)

    def assert_outbound_without_agent(self, family):
        listener, = self.listen(self.other, family, 8080)
        self.arrival(self.dial(self.app, family, self.other.address(family), 8080), [listener])

    def test_what_is_printed_is_what_is_applied_and_printing_changes_nothing(self):
        options = ["--exclude-outbound-ports=25,30-40", "--exclude-outbound-cidrs=10.0.0.0/8,fd12::/16",
                   "--agent-gids=1337"]
        printed = self.init("print", *options)
        self.assertEqual(self.ruleset(), "")
        self.init("apply", *options)
        applied = self.ruleset()
        self.init("remove")
        self.app.run(["nft", "-f", "-"], stdin=printed)
        self.assertEqual(self.ruleset(), applied)

    def test_printing_needs_no_privilege(self):
        self.assertIn("redirect to :15001", self.init("print", uid=NOBODY))

    def test_a_failed_change_keeps_the_old_rules_and_says_why(self):
        wrote = self.init("apply", "--exclude-outbound-ports=25")
        self.assertIn("outbound to port 15001, inbound to port 15006", wrote)
        before = self.ruleset()
        for command in ("apply", "remove"):
            self.assertIn("NET_ADMIN", self.init(command, uid=NOBODY, code=DENIED))
            self.assertEqual(self.ruleset(), before)
        self.assertIn("--exclude-outbound-ports", self.init("apply", "--exclude-outbound-ports=25,x", code=USAGE))
        self.assertEqual(self.ruleset(), before)

    def test_options_are_taken_from_the_environment_and_flags_win(self):
        self.init("apply", "--exclude-inbound-ports=9090",
                  env={"REMORA_EXCLUDE_OUTBOUND_PORTS": "8080", "REMORA_EXCLUDE_INBOUND_PORTS": "8080"})
        for family in FAMILIES:
            with self.subTest(family=family.name):
                self.assert_outbound(False, family, self.other.address(family), 8080)
                self.assert_inbound(True, family, 8080)
                self.assert_inbound(False, family, 9090)

    def test_what_is_wrong_is_named_with_where_it_was_given(self):
        for args, env, said in (
                (["--exclude-outbound-ports=80x"], {}, ('--exclude-outbound-ports', '"80x"')),
                (["--include-outbound-cidrs=10.1.0.0/8"], {}, ("--include-outbound-cidrs", "10.0.0.0/8")),
                ([], {"REMORA_AGENT_UIDS": "root"}, ("REMORA_AGENT_UIDS", '"root"')),
                (["--include-inbound-ports=80", "--exclude-inbound-ports=80"], {},
                 ("include-inbound-ports", "exclude-inbound-ports", '"80"')),
                (["--include-outbound-cidrs=10.1.0.0/16", "--exclude-outbound-cidrs=10.0.0.0/8"], {},
                 ("include-outbound-cidrs", "exclude-outbound-cidrs", '"10.1.0.0/16"', '"10.0.0.0/8"')),
                (["--outbound-port=15006"], {}, ("outbound-port", "15006")),
                (["--no-such-option=1"], {}, ("--no-such-option",))):
            with self.subTest(args=args, env=env):
                for command in ("print", "apply", "remove", "verify"):
                    wrote = self.init(command, *args, env=env, code=USAGE)
                    for words in said:
                        self.assertIn(words, wrote)
        self.assertEqual(self.ruleset(), "")
        self.init("no-such-command", code=USAGE)
        self.init(code=USAGE)

    def test_a_connection_older_than_the_rules_does_not_stay_out_of_the_mesh(self):
        for family in FAMILIES:
            with self.subTest(family=family.name):
                self.init("remove")
                listener, = self.listen(self.other, family, 8080)
                dialled = self.dial(self.app, family, self.other.address(family), 8080)
                self.arrival(dialled, [listener])
                self.init("apply")
                with self.assertRaises(ConnectionResetError):
                    dialled.sendall(b"x")
                    dialled.recv(1)


class Verify(CaptureTest):
    def verify(self, *args, code=0, uid=None):
        return self.init("verify", "--verify-timeout=500ms", *args, code=code, uid=uid)

    def test_it_succeeds_in_both_families_before_the_agent_runs(self):
        self.init("apply")
        wrote = self.verify("--verify-families=both")
        self.assertIn("outbound IPv4: redirected: a connection to 192.0.2.1:20001 arrived at port 15001", wrote)
        self.assertIn("outbound IPv6: redirected: a connection to [2001:db8::1]:20001 arrived at port 15001", wrote)
        self.assertIn("inbound: the rule that redirects to port 15006 is there", wrote)

    def test_it_succeeds_while_the_agent_listens(self):
        self.init("apply")
        # As the agent does it: one socket for both families.
        with self.app.open_socket(socket.AF_INET6) as agent:
            agent.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            agent.bind(("::", OUTBOUND))
            agent.listen(8)
            wrote = self.verify("--verify-families=both")
        self.assertEqual(wrote.count("was accepted; another process listens on port 15001"), 2)

    def test_it_needs_no_privilege(self):
        self.init("apply")
        wrote = self.verify("--verify-families=both", uid=NOBODY)
        self.assertEqual(wrote.count("with its original destination"), 2)
        self.assertIn("inbound: skipped", wrote)

    def test_it_fails_without_rules_and_says_so(self):
        wrote = self.verify(code=NOT_REDIRECTED)
        for words in ("outbound IPv4: not redirected to port 15001", "outbound IPv6: not redirected to port 15001",
                      "there are no capture rules", "inbound: there is no table inet remora"):
            self.assertIn(words, wrote)
        self.verify(uid=NOBODY, code=NOT_REDIRECTED)

    def test_without_rules_it_fails_even_if_somebody_answers_at_the_address_and_the_agent_listens(self):
        for family, documentation in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
            self.other.run(["ip", "address", "replace", documentation, "dev", "lo"])
            self.addCleanup(self.other.run, ["ip", "address", "flush", "to", documentation, "dev", "lo"])
            self.node.route(documentation, self.other)
            self.listen(self.other, family, 20001)
            # Reachable indeed, only not with the hop limit that verify sets.
            self.assertIsNotNone(self.dial(self.app, family, documentation, 20001))
            self.listen(self.app, family, OUTBOUND)
        wrote = self.verify("--verify-families=both", code=NOT_REDIRECTED)
        self.assertIn("outbound IPv4: not redirected", wrote)
        self.assertIn("outbound IPv6: not redirected", wrote)

    def test_it_names_the_family_that_does_not_work(self):
        self.init("apply")
        self.app.run(["nft", "insert rule inet remora output meta nfproto ipv6 meta l4proto tcp accept"])
        wrote = self.verify(code=NOT_REDIRECTED)
        self.assertIn("outbound IPv4: redirected", wrote)
        self.assertIn("outbound IPv6: not redirected", wrote)

    def test_it_fails_when_the_rules_redirect_elsewhere(self):
        self.init("apply", "--outbound-port=16001")
        self.assertIn("was refused", self.verify(code=NOT_REDIRECTED))

    def test_it_fails_when_the_inbound_rule_is_gone(self):
        self.init("apply")
        self.app.run(["nft", "flush chain inet remora prerouting"])
        self.assertIn("redirect nothing to port 15006", self.verify(code=NOT_REDIRECTED))

    def test_it_dials_what_the_options_capture(self):
        options = ["--include-outbound-cidrs=198.19.0.0/16,fd00:5e::/32", "--exclude-outbound-ports=20001"]
        self.init("apply", *options)
        wrote = self.verify("--verify-families=both", *options)
        self.assertIn("198.19.0.1:1 arrived", wrote)
        self.assertIn("[fd00:5e::1]:1 arrived", wrote)
        self.verify(code=NOT_REDIRECTED)  # with other options than the rules were made with

    def test_as_the_agents_user_it_cannot_tell_and_says_so(self):
        self.init("apply")
        wrote = self.verify(uid=pods.AGENT_UID, code=NOT_VERIFIED)
        self.assertIn("user 1337", wrote)
        self.assertIn("run it as another user", wrote)

    def test_a_family_without_a_route_is_skipped_unless_it_is_asked_for(self):
        self.init("apply")
        self.app.run(["ip", "-6", "route", "del", "default"])
        self.addCleanup(self.app.run, ["ip", "-6", "route", "add", "default", "via", self.node.ipv6])
        wrote = self.verify()
        self.assertIn("outbound IPv4: redirected", wrote)
        self.assertIn("outbound IPv6: skipped: this pod has no route", wrote)
        self.verify("--verify-families=both", code=NOT_VERIFIED)
        self.verify("--verify-families=ipv6", code=NOT_VERIFIED)
        self.assertNotIn("IPv6", self.verify("--verify-families=ipv4"))

    def test_it_works_again_and_again(self):
        self.init("apply")
        for _ in range(5):
            self.verify("--verify-families=both")


del CaptureTest  # the base class has no tests of its own

if __name__ == "__main__":
    pods.require_root()
    unittest.main(verbosity=2)
