"""The agent as a process: starting, being unprivileged, readiness, draining, and what it tells of itself."""

import json
import os
import re
import signal
import socket
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

import actors  # noqa: E402
from h2.settings import SettingCodes  # noqa: E402
import hbone  # noqa: E402
from mesh import Mesh, parse_log_line, replace_file  # noqa: E402
from pods import AGENT_UID, Node, require_root, unprivileged, wait_until  # noqa: E402

EX_USAGE = 64
EX_NOPERM = 77
VIP = "198.19.0.10"
AGENT_PORTS = {"outbound": 15001, "inbound": 15006, "hbone": hbone.PORT, "metrics": 15020, "readiness": 15021}
UPLOAD = 70_001
DOWNLOAD = 230_003

# Istio's names, in the order in which ztunnel exposes them.
TRAFFIC_LABELS = """reporter source_workload source_canonical_service source_canonical_revision source_workload_namespace
    source_principal source_app source_version source_cluster destination_service destination_service_namespace
    destination_service_name destination_workload destination_canonical_service destination_canonical_revision
    destination_workload_namespace destination_principal destination_app destination_version destination_cluster
    request_protocol response_flags connection_security_policy""".split()


def setUpModule():
    global NODE, MESH, CLIENT, SERVER, SPARE, OUTSIDER
    NODE = Node().__enter__()
    try:
        MESH = Mesh(NODE, cert_source="files")
        CLIENT, SERVER, SPARE = (MESH.agent(name) for name in ("client", "server", "spare"))
        OUTSIDER = NODE.pod("outsider")
        MESH.service("both", [VIP], {80: 8080}, [SERVER, SPARE])
        MESH.start()
    except BaseException:
        NODE.show_logs()
        NODE.close()
        raise


def tearDownModule():
    NODE.close()


def status_of(pid, task=""):
    """/proc/<pid>/status as a dictionary."""
    with open(f"/proc/{pid}{task}/status", encoding="ascii") as status:
        return dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)


def exchange(connection, upload, download):
    """Asks an application that runs `answering` for so many bytes, and checks them."""
    connection.sendall(b"%08d%08d" % (upload, download))
    actors.send_pattern(connection, "up", upload)
    assert actors.read_exactly(connection, download) == b"".join(actors.pattern("down", download))


def answering(connection):
    """The application of exchange()."""
    while len(head := connection.recv(16, socket.MSG_WAITALL)) == 16:
        actors.read_exactly(connection, int(head[:8]))
        actors.send_pattern(connection, "down", int(head[8:]))


class Case(unittest.TestCase):
    def serve(self, behave, pod, port=0):
        return self.enterContext(actors.Server(pod.listen(port=port), behave))

    def dial(self, pod, address, port):
        connection = pod.connect(address, port)
        self.addCleanup(connection.close)
        return connection

    def echoes(self, connection, text=b"still here"):
        connection.sendall(text)
        self.assertEqual(actors.read_exactly(connection, len(text)), text)

    def restart(self, agent, **options):
        """With these options for the duration of the test."""
        agent.restart(**options)
        self.addCleanup(agent.restart)

    def peer(self, agent, *names, **peer):
        """A connection to an agent's HBONE port with a certificate of the mesh in these names."""
        context = hbone.client_context(MESH.authority.credentials(names), MESH.authority.root_file)
        return self.enterContext(hbone.connect(OUTSIDER, (agent.pod.ipv4, hbone.PORT), context, **peer))


class Starting(Case):
    """One pod that has no agent of its own."""

    @classmethod
    def setUpClass(cls):
        cls.agent = MESH.agents["client"]

    def run_agent(self, uid=AGENT_UID, env=None, **options):
        return OUTSIDER.run(self.agent.command(**options), uid=uid, env=env, check=False)

    def assert_refused(self, done, code, *words):
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)

    def test_it_refuses_to_run_as_root_and_says_how_it_would(self):
        self.assert_refused(self.run_agent(uid=None), EX_NOPERM, "root", "1337", "--allow-root")

    def test_as_root_by_request_it_still_holds_no_capability(self):
        key_file = os.path.join(MESH.folder, "root-owned-key.pem")
        with open(MESH.certificate_file(self.agent.name, "key"), encoding="ascii") as key:
            replace_file(key_file, key.read(), mode=0o600)  # without capabilities, root reads what is root's
        process = OUTSIDER.start(self.agent.command(allow_root="true", key_file=key_file))
        self.addCleanup(process.stop)
        process.wait_log('"certificate in force"')
        status = status_of(process.pid)
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            self.assertEqual(int(status[name], 16), 0, name)
        self.assertEqual(process.stop(), 0)

    def test_help_and_version_need_nothing(self):
        program = self.agent.command()[0]
        text = OUTSIDER.run([program, "--help"]).stdout
        for option in ("--pod-name", "--inbound-mode", "--drain-timeout", "REMORA_DRAIN_TIMEOUT", "strict"):
            self.assertIn(option, text)
        self.assertRegex(OUTSIDER.run([program, "--version"]).stdout, r"^remora-agent \d+\.\d+\.\d+\n$")
        self.assertIn("| ", OUTSIDER.run([program, "--help-markdown"]).stdout)

    def test_check_config_says_what_is_in_force_and_where_it_comes_from(self):
        done = self.run_agent(check_config="true", env={"REMORA_CONNECT_TIMEOUT": "7s"}, idle_timeout="3m")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"connect-timeout.*7s.*REMORA_CONNECT_TIMEOUT")
        self.assertRegex(done.stdout, r"idle-timeout.*3m.*--idle-timeout")
        self.assertRegex(done.stdout, r"tls-timeout.*10s.*default")

    def test_check_config_reads_the_file_of_workloads_too(self):
        path = os.path.join(MESH.folder, "bad.yaml")
        replace_file(path, "workloads: []\nservices: []\npolicys: []\n")
        self.assert_refused(self.run_agent(check_config="true", local_file=path), EX_USAGE, f"{path}:3", "policys")
        missing = self.run_agent(check_config="true", local_file=path + ".missing")
        self.assertEqual(missing.returncode, 0)
        self.assertIn("not there yet", missing.stderr)

    def test_check_config_says_what_the_control_plane_needs_and_is_not_there(self):
        done = self.run_agent(check_config="true", local_file=None, xds_root_file="/nowhere/root.pem")
        self.assertEqual(done.returncode, 0)
        self.assertIn("/nowhere/root.pem is not there yet", done.stderr)

    def test_a_wrong_option_is_named(self):
        for options, words in (({"no_such_option": "1"}, ("--no-such-option",)),
                               ({"workers": "0"}, ("--workers", "0", "1")),
                               ({"inbound_mode": "loose"}, ("--inbound-mode", "loose", "strict", "permissive")),
                               ({"connect_timeout": "soon"}, ("--connect-timeout", "soon")),
                               ({"connect_timeout": "1ms"}, ("--connect-timeout", "100ms")),
                               ({"hbone_port": "70000"}, ("--hbone-port", "70000")),
                               ({"outbound_port": "15006"}, ("outbound-port", "inbound-port")),
                               ({"pod_name": None}, ("pod-name",)),
                               ({"xds_address": "istiod:15012"}, ("--xds-address", "local-file")),
                               ({"local_file": None, "xds_address": "istiod"}, ("--xds-address", "istiod")),
                               ({"cert_file": None}, ("cert-file",)),
                               ({"trust_domain": "Cluster Local"}, ("Cluster Local",))):
            with self.subTest(options):
                self.assert_refused(self.run_agent(**options), EX_USAGE, *words)

    def test_a_wrong_variable_is_named(self):
        self.assert_refused(self.run_agent(env={"REMORA_WORKERS": "many"}), EX_USAGE, "REMORA_WORKERS", "many")

    def test_a_wrong_line_of_the_configuration_file_is_named(self):
        path = os.path.join(MESH.folder, "agent.yaml")
        for text, words in (("idle-timeout: 5m\nidle-timout: 6m\n", (f"{path}:2", "idle-timout")),
                            ("idle-timeout: [5m]\n", (f"{path}:1", "idle-timeout")),
                            ("workers: -1\n", (f"{path}:1", "workers")),
                            ("workers: 1\n  bad: {\n", (path,))):
            with self.subTest(text):
                replace_file(path, text)
                self.assert_refused(self.run_agent(config=path), EX_USAGE, *words)

    def test_an_unknown_variable_is_told_without_its_value(self):
        done = OUTSIDER.start(self.agent.command(), uid=AGENT_UID, env={"REMORA_CA_TOKEN": "do-not-print-me"})
        self.addCleanup(done.stop)
        done.wait_log("REMORA_CA_TOKEN")
        self.assertNotIn("do-not-print-me", done.log())

    def test_a_port_that_is_taken_is_named(self):
        for option, port in AGENT_PORTS.items():
            with self.subTest(option), OUTSIDER.listen(port=port):
                process = OUTSIDER.start(self.agent.command(), uid=AGENT_UID)
                self.assertEqual(process.wait(), 1)
                self.assertRegex(process.log(), rf'"cannot start" .*\b{port}\b.*[Aa]ddress already in use')


class Privileges(Case):
    def test_every_thread_is_without_any_capability(self):
        for agent in (CLIENT, SERVER):
            pid = agent.process.pid
            tasks = os.listdir(f"/proc/{pid}/task")
            self.assertGreater(len(tasks), 1)
            for task in tasks:
                status = status_of(pid, f"/task/{task}")
                self.assertEqual(status["Uid"].split(), ["1337"] * 4)
                self.assertEqual(status["Gid"].split(), ["1337"] * 4)
                self.assertEqual(status["Groups"].split(), [])
                self.assertEqual(status["NoNewPrivs"], "1")
                for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
                    self.assertEqual(int(status[name], 16), 0, name)

    def test_its_memory_is_closed_to_its_own_user(self):
        pid = CLIENT.process.pid
        with open(f"/proc/{pid}/limits", encoding="ascii") as limits:
            self.assertRegex(limits.read(), r"Max core file size +0 +0 ")
        reader = [*unprivileged(), "head", "-c", "1", f"/proc/{pid}/environ"]
        self.assertNotEqual(CLIENT.pod.run(reader, check=False).returncode, 0)
        # The same look at a process of the same user that does not close itself succeeds: the refusal was the agent's doing.
        open_one = CLIENT.pod.start(["sleep", "60"], uid=AGENT_UID)
        self.addCleanup(open_one.stop)
        wait_until(lambda: status_of(open_one.pid)["Uid"].split()[0] == "1337", "the other process")
        reader[-1] = f"/proc/{open_one.pid}/environ"
        CLIENT.pod.run(reader)


class Draining(Case):
    """SERVER is told to end while connections live in both directions."""

    workers = "1"

    def start(self, drain_timeout):
        self.restart(SERVER, drain_timeout=drain_timeout, workers=self.workers)
        inside = self.serve(actors.echo, SERVER.pod)
        outside = self.serve(actors.echo, CLIENT.pod)
        inbound = self.dial(CLIENT.pod, SERVER.pod.ipv4, inside.port)
        outbound = self.dial(SERVER.pod, CLIENT.pod.ipv4, outside.port)
        self.echoes(inbound)
        self.echoes(outbound)
        return inside, outside, inbound, outbound

    def assert_reset(self, connection):
        with self.assertRaises(ConnectionResetError):
            connection.recv(1)

    def test_live_connections_finish_new_ones_are_refused_and_then_it_ends(self):
        inside, outside, inbound, outbound = self.start("5m")
        self.serve(lambda connection: connection.sendall(b"spare"), SPARE.pod, 8080)
        SERVER.process.signal(signal.SIGTERM)
        SERVER.wait_not_ready("agent: draining")
        self.echoes(inbound)
        self.echoes(outbound)
        with self.assertRaises(ConnectionRefusedError):
            SERVER.pod.connect(CLIENT.pod.ipv4, outside.port)
        CLIENT.pod.assert_reset(SERVER.pod.ipv4, inside.port)
        CLIENT.access_log(f":{inside.port}.*tunnel_connect_refused")
        for _ in range(20):
            with self.dial(CLIENT.pod, VIP, 80) as elsewhere:
                self.assertEqual(actors.read_exactly(elsewhere, 5), b"spare")
        self.echoes(inbound)
        self.echoes(outbound)
        self.assertTrue(SERVER.process.running())
        for connection in (inbound, outbound):
            connection.shutdown(socket.SHUT_WR)
            self.assertEqual(connection.recv(1), b"")
        self.assertEqual(SERVER.process.wait(), 0)
        self.assertEqual([entry["reason"] for entry in SERVER.sessions(inside.port) + SERVER.sessions(outside.port)],
                         ["done", "done"])
        self.assertRegex(SERVER.process.log(), '"stopped"')
        self.assertNotIn("handles open", SERVER.process.log())

    def test_peers_are_told_by_goaway_and_their_streams_go_on(self):
        self.restart(SERVER, drain_timeout="5m", workers=self.workers)
        server = self.serve(actors.echo, SERVER.pod)
        peer = self.peer(SERVER, f"URI:{CLIENT.identity}")
        tunnel = peer.connect_to(f"{SERVER.pod.ipv4}:{server.port}")
        self.assertEqual(peer.status(tunnel), 200)
        SERVER.process.signal(signal.SIGTERM)
        peer.wait(lambda: peer.goaways, "a GOAWAY")
        peer.send(tunnel, b"after the goaway", end=True)
        self.assertEqual(peer.receive_to_end(tunnel), b"after the goaway")
        self.assertEqual({code for _, code in peer.goaways}, {0})
        peer.wait_closed()
        self.assertEqual(SERVER.process.wait(), 0)

    def test_a_slow_reader_gets_the_last_bytes_of_a_finished_tunnel_before_it_ends(self):
        self.restart(SERVER, drain_timeout="5m")
        size = 24 << 20
        server = self.serve(lambda connection: actors.send_pattern(connection, "last", size), SERVER.pod)
        peer = self.peer(SERVER, f"URI:{CLIENT.identity}", receive_buffer=64 << 10, extra_window=1 << 30,
                         settings={SettingCodes.INITIAL_WINDOW_SIZE: (1 << 31) - 1})
        tunnel = peer.connect_to(f"{SERVER.pod.ipv4}:{server.port}")
        self.assertEqual(peer.status(tunnel), 200)
        peer.end(tunnel)
        SERVER.process.signal(signal.SIGTERM)
        while "connection complete" not in SERVER.process.log():
            peer.poll()
        # What the agent has done with is not yet with the peer, which now pauses.
        time.sleep(0.5)
        self.assertEqual(b"".join(actors.pattern("last", size)), peer.receive_to_end(tunnel))
        peer.wait_closed()
        peer.close()
        self.assertEqual(SERVER.process.wait(), 0)

    def test_with_nothing_live_it_ends_at_once(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            self.restart(SERVER, drain_timeout="5m", workers=self.workers)
            SERVER.process.signal(number)
            self.assertEqual(SERVER.process.wait(), 0)

    def test_at_the_deadline_what_is_left_is_reset_and_told(self):
        inside, outside, inbound, outbound = self.start("1s")
        SERVER.process.signal(signal.SIGTERM)
        self.assert_reset(inbound)
        self.assert_reset(outbound)
        self.assertEqual(SERVER.process.wait(), 0)
        for port in (inside.port, outside.port):
            (entry,) = SERVER.sessions(port)
            self.assertEqual((entry["reason"], entry["response_flags"], entry["bytes_sent"], entry["bytes_recv"]),
                             ("drained", "DRAIN", 10, 10))

    def test_at_the_deadline_a_peer_that_reads_nothing_and_still_speaks_is_left(self):
        SPARE.stop()
        self.addCleanup(SPARE.start)
        context = hbone.server_context(MESH.authority.credentials([f"URI:{SPARE.identity}"]), MESH.authority.root_file)
        over = threading.Event()
        self.restart(CLIENT, drain_timeout="1s")
        with hbone.Server(SPARE.pod, context) as server, self.dial(CLIENT.pod, SPARE.pod.ipv4, 8080) as connection:
            peer = server.accept(settings={SettingCodes.INITIAL_WINDOW_SIZE: (1 << 31) - 1}, extra_window=1 << 30)
            peer.answer(peer.accept(), 200)
            connection.setblocking(False)
            idle = 0
            while idle < 20:
                try:
                    connection.send(bytes(1 << 16))
                    idle = 0
                except BlockingIOError:
                    idle += 1
                    time.sleep(0.05)

            def speak():
                while not over.wait(0.2) and not peer.closed:
                    peer.send_frame(hbone.PING, payload=bytes(8))

            speaker = threading.Thread(target=speak)
            speaker.start()
            try:
                CLIENT.process.signal(signal.SIGTERM)
                self.assertEqual(CLIENT.process.wait(), 0)
            finally:
                over.set()
                speaker.join()

    def test_a_second_signal_ends_it_at_once(self):
        inside, outside, inbound, outbound = self.start("1h")
        SERVER.process.signal(signal.SIGTERM)
        SERVER.process.wait_log('"draining')
        self.echoes(inbound)
        SERVER.process.signal(signal.SIGTERM)
        self.assert_reset(inbound)
        self.assert_reset(outbound)
        self.assertEqual(SERVER.process.wait(), 0)
        for port in (inside.port, outside.port):
            self.assertEqual([entry["reason"] for entry in SERVER.sessions(port)], ["drained"])

    def test_the_grace_period_of_the_pod_gives_the_deadline(self):
        self.restart(SERVER, termination_grace_period="40")
        SERVER.process.signal(signal.SIGTERM)
        SERVER.process.wait_log('"draining.*deadline_ms=35000')


class DrainingWorkers(Draining):
    """The same with three threads that carry traffic."""

    workers = "3"


class AccessLog(Case):
    """One session from CLIENT to SERVER, as both tell it."""

    def one_session(self):
        server = self.serve(answering, SERVER.pod)
        with CLIENT.pod.connect(SERVER.pod.ipv4, server.port) as connection:
            exchange(connection, UPLOAD, DOWNLOAD)
            source = "%s:%d" % connection.getsockname()
        return server.port, source

    def check(self, entry, agent, port, direction):
        sent, received = (UPLOAD + 16, DOWNLOAD) if direction == "outbound" else (DOWNLOAD, UPLOAD + 16)
        expected = {
            "level": "info", "module": "access", "message": "connection complete", "direction": direction,
            "src.workload": "client", "src.namespace": "demo", "src.identity": CLIENT.identity, "src.cluster": "Kubernetes",
            "dst.addr": f"{SERVER.pod.ipv4}:{hbone.PORT}", "dst.hbone_addr": f"{SERVER.pod.ipv4}:{port}",
            "dst.workload": "server", "dst.namespace": "demo", "dst.identity": SERVER.identity, "dst.cluster": "Kubernetes",
            "bytes_sent": sent, "bytes_recv": received, "reason": "done", "response_flags": "-",
        }
        self.assertEqual({key: entry.get(key) for key in expected}, expected, agent.name)
        self.assertRegex(entry["duration"], r"^\d+ms$")
        self.assertNotIn("error", entry)

    def check_both(self):
        port, source = self.one_session()
        (outbound,) = CLIENT.sessions(port)
        (inbound,) = SERVER.sessions(port)
        self.assertEqual(outbound["src.addr"], source)
        self.check(outbound, CLIENT, port, "outbound")
        self.check(inbound, SERVER, port, "inbound")

    def test_both_sides_write_one_line_with_both_identities_and_the_exact_bytes(self):
        self.check_both()

    def test_as_json_it_says_the_same(self):
        for agent in (CLIENT, SERVER):
            self.restart(agent, access_log="json", log_format="json")
        self.check_both()
        for agent in (CLIENT, SERVER):
            for line in agent.process.log().splitlines():
                self.assertIsInstance(json.loads(line), dict)

    def test_off_means_off(self):
        self.restart(SERVER, access_log="off")
        port, _ = self.one_session()
        wait_until(lambda: SERVER.metric("remora_session_ends_total", reason="done") == 1, "the session's end")
        self.assertNotIn(f":{port}", SERVER.process.log())

    def test_a_hundred_sessions_are_a_hundred_lines_on_each_side(self):
        server = self.serve(actors.echo, SERVER.pod)
        for _ in range(100):
            with CLIENT.pod.connect(SERVER.pod.ipv4, server.port) as connection:
                self.echoes(connection)
        for agent in (CLIENT, SERVER):
            entries = agent.sessions(server.port, 100)
            self.assertEqual(len(entries), 100)
            self.assertEqual(len({entry["src.addr"] for entry in agent.sessions(server.port, 100)} if agent is CLIENT else entries),
                             100)

    def test_a_peer_s_texts_cannot_forge_a_line(self):
        forged = b'\n2026-01-01T00:00:00.000Z info access "connection complete" src.identity="spiffe://forged" reason="done"'
        for log_format in ("text", "json"):
            self.restart(SERVER, access_log=log_format, log_format=log_format)
            identities = (b"spiffe://cluster.local/ns/demo/sa/x" + forged, b'spiffe://cluster.local/ns/"/sa/\x1b[2J',
                          b"spiffe://cluster.local/ns/\xff\xfe/sa/\xe2\x80\xae")
            for identity in identities:
                self.peer(SERVER, identity).wait_closed()
            peer = self.peer(SERVER, f"URI:{CLIENT.identity}")
            for authority in (b"x" + forged, b'"' + forged[1:], b"\xff\x1b[2J:80", b'a" reason="done:80', b"a\\:80"):
                self.assertNotEqual(peer.status(peer.connect_to(authority)), 200)
            SERVER.process.wait_log("cert_bad_spiffe_id")
            wait_until(lambda: SERVER.metric("remora_tls_handshake_failures_total", direction="inbound") == len(identities),
                       "the refused handshakes")
            with open(SERVER.process.log_path, "rb") as log:
                content = log.read()
            self.assertNotRegex(content, rb"[^\n\x20-\x7e]")
            for line in content.decode("ascii").splitlines():
                entry = parse_log_line(line)
                self.assertEqual(line.startswith("{"), log_format == "json")
                self.assertNotEqual(entry.get("src.identity"), "spiffe://forged")
                self.assertNotEqual(entry["time"], "2026-01-01T00:00:00.000Z")


class Metrics(Case):
    def setUp(self):
        for agent in (CLIENT, SERVER):
            agent.restart()

    def get(self, agent, path="/metrics", accept="*/*"):
        return agent.pod.run(["curl", "-fsS", "-i", "-H", f"Accept: {accept}", f"http://127.0.0.1:15020{path}"]).stdout

    def test_bytes_are_counted_as_the_client_sees_them_on_both_sides(self):
        """Istio's convention (istio#32399): received is what goes from the source to the destination, whoever reports."""
        server = self.serve(answering, SERVER.pod)
        with CLIENT.pod.connect(SERVER.pod.ipv4, server.port) as connection:
            exchange(connection, UPLOAD, DOWNLOAD)
        for agent, reporter in ((CLIENT, "source"), (SERVER, "destination")):
            agent.sessions(server.port)
            labels = {"reporter": reporter, "source_principal": CLIENT.identity, "destination_principal": SERVER.identity,
                      "source_workload": "client", "destination_workload": "server", "source_app": "client",
                      "destination_version": "v1", "request_protocol": "tcp", "response_flags": "-",
                      "connection_security_policy": "mutual_tls", "destination_service": "unknown"}
            self.assertEqual(agent.metric("istio_tcp_received_bytes_total", **labels), UPLOAD + 16, agent.name)
            self.assertEqual(agent.metric("istio_tcp_sent_bytes_total", **labels), DOWNLOAD, agent.name)
            self.assertEqual(agent.metric("istio_tcp_connections_opened_total", **labels), 1, agent.name)
            self.assertEqual(agent.metric("istio_tcp_connections_closed_total", **labels), 1, agent.name)

    def test_a_service_is_named(self):
        for agent in (SERVER, SPARE):
            self.serve(actors.echo, agent.pod, 8080)
        with self.dial(CLIENT.pod, VIP, 80) as connection:
            self.echoes(connection)
        labels = {"destination_service": "both.demo.svc.cluster.local", "destination_service_name": "both",
                  "destination_service_namespace": "demo"}
        wait_until(lambda: CLIENT.metric("istio_tcp_connections_closed_total", **labels) == 1, "the session's end")

    def test_the_labels_are_istio_s(self):
        server = self.serve(actors.echo, SERVER.pod)
        with self.dial(CLIENT.pod, SERVER.pod.ipv4, server.port) as connection:
            self.echoes(connection)
        SERVER.sessions(server.port)
        series = [name for name in SERVER.metrics() if name.startswith("istio_tcp_connections_opened_total")]
        self.assertEqual(re.findall(r'(\w+)="', series[0]), TRAFFIC_LABELS)

    def test_what_was_opened_is_closed_when_all_has_ended(self):
        server = self.serve(actors.echo, SERVER.pod)
        listener = SERVER.pod.listen()
        closed_port = listener.getsockname()[1]
        listener.close()
        live = [self.dial(CLIENT.pod, SERVER.pod.ipv4, server.port) for _ in range(20)]
        for connection in live:
            self.echoes(connection)
        self.assertEqual(CLIENT.metric("istio_tcp_connections_opened_total"), 20)
        self.assertEqual(CLIENT.metric("istio_tcp_connections_closed_total"), 0)
        self.assertEqual(SERVER.metric("remora_tunnel_streams_open", direction="inbound"), 20)
        for number, connection in enumerate(live):
            actors.reset(connection) if number % 2 else connection.close()
        for _ in range(10):
            CLIENT.pod.assert_reset(SERVER.pod.ipv4, closed_port)
            OUTSIDER.assert_reset(SERVER.pod.ipv4, server.port, first=b"clear")
        for agent, count in ((CLIENT, 30), (SERVER, 40)):
            wait_until(lambda: agent.metric("istio_tcp_connections_closed_total") == count, f"{agent.name}'s sessions to end")
            self.assertEqual(agent.metric("istio_tcp_connections_opened_total"), count, agent.name)
            self.assertEqual(agent.metric("remora_session_ends_total"), count, agent.name)
            self.assertEqual(agent.metric("remora_tunnel_streams_open"), 0, agent.name)
            # What is left are the tunnels, which are kept for the next session.
            self.assertGreater(agent.metric("remora_tunnels_open"), 0, agent.name)
            self.assertEqual(agent.metric("istio_tcp_sockets_open"), agent.metric("remora_tunnels_open"), agent.name)
        self.assertEqual(SERVER.metric("istio_tcp_connections_failed_total"), 20)
        self.assertEqual(SERVER.metric("remora_session_ends_total", reason="plaintext_refused"), 10)
        self.assertEqual(SERVER.metric("remora_session_ends_total", reason="connect_refused"), 10)

    def test_both_formats_and_both_paths_are_served(self):
        plain = self.get(CLIENT)
        self.assertIn("content-type: text/plain; version=0.0.4", plain.lower())
        self.assertNotIn("# EOF", plain)
        for accept in ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text;q=0.9,text/plain;q=0.1"):
            page = self.get(CLIENT, "/stats/prometheus", accept)
            self.assertIn("content-type: application/openmetrics-text; version=1.0.0", page.lower())
            self.assertTrue(page.endswith("# EOF\n"))

    def test_the_certificate_s_end_and_the_agent_s_state_are_told(self):
        pem = MESH.certificate_file(CLIENT.name, "cert")
        self.assertEqual(CLIENT.metric("remora_ready"), 1)
        self.assertEqual(CLIENT.metric("remora_discovery_workloads"), len(MESH.agents))
        expiry = int(CLIENT.metric("remora_certificate_expiry_timestamp_seconds"))
        done = CLIENT.pod.run(["openssl", "x509", "-noout", "-enddate", "-in", pem]).stdout
        date = CLIENT.pod.run(["date", "+%s", "-d", done.strip().removeprefix("notAfter=")]).stdout
        self.assertEqual(expiry, int(date))

    def test_nothing_else_is_served(self):
        for port, path, method, status in ((15020, "/", "GET", 404), (15021, "/metrics", "GET", 404),
                                           (15020, "/metrics", "POST", 405), (15021, "/healthz/ready", "DELETE", 405)):
            got = CLIENT.pod.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-X", method,
                                  f"http://127.0.0.1:{port}{path}"]).stdout
            self.assertEqual(int(got), status, f"{method} {path}")


class Workers(Case):
    def test_all_of_them_carry_traffic_and_are_counted_together(self):
        for agent in (CLIENT, SERVER):
            self.restart(agent, workers="3")
        server = self.serve(actors.echo, SERVER.pod)
        live = [self.dial(CLIENT.pod, SERVER.pod.ipv4, server.port) for _ in range(60)]
        for connection in live:
            self.echoes(connection)
        for agent in (CLIENT, SERVER):
            self.assertEqual(agent.metric("istio_tcp_connections_opened_total"), 60, agent.name)
            self.assertGreaterEqual(agent.metric("remora_tunnels_open"), 2, agent.name)
            self.assertEqual(len([name for name in self.threads(agent) if name.startswith("worker-")]), 3)
        for connection in live:
            connection.close()
        for agent in (CLIENT, SERVER):
            self.assertEqual(len(agent.sessions(server.port, 60)), 60)
            wait_until(lambda: agent.metric("istio_tcp_connections_closed_total") == 60, f"{agent.name}'s sessions to end")

    def threads(self, agent):
        names = []
        for task in os.listdir(f"/proc/{agent.process.pid}/task"):
            with open(f"/proc/{agent.process.pid}/task/{task}/comm", encoding="ascii") as name:
                names.append(name.read().strip())
        return names


class Signals(Case):
    def test_hangup_reads_the_certificate_and_the_mesh_again_and_keeps_what_lives(self):
        self.restart(SERVER)
        server = self.serve(actors.echo, SERVER.pod)
        connection = self.dial(CLIENT.pod, SERVER.pod.ipv4, server.port)
        self.echoes(connection)
        since = len(SERVER.process.log())
        SERVER.process.signal(signal.SIGHUP)
        SERVER.process.wait_log('"discovery loaded"', since=since)
        self.echoes(connection)
        with self.dial(CLIENT.pod, SERVER.pod.ipv4, server.port) as another:
            self.echoes(another)

    def test_a_killed_agent_s_connections_are_reset_and_the_next_agent_serves(self):
        self.restart(SERVER)
        server = self.serve(actors.echo, SERVER.pod)
        connection = self.dial(CLIENT.pod, SERVER.pod.ipv4, server.port)
        self.echoes(connection)
        SERVER.process.kill()
        with self.assertRaises(ConnectionResetError):
            connection.recv(1)
        CLIENT.access_log(f":{server.port}.*tunnel_lost")
        SERVER.start()
        with self.dial(CLIENT.pod, SERVER.pod.ipv4, server.port) as another:
            self.echoes(another)


if __name__ == "__main__":
    require_root()
    unittest.main(verbosity=2)
