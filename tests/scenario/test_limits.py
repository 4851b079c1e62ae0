"""Where something runs out, hangs or floods: the limit is named, what is within it goes on, and afterwards all is as before."""

import concurrent.futures
import contextlib
import os
import socket
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

import actors  # noqa: E402
import hbone  # noqa: E402
from mesh import Mesh, parse_log_line  # noqa: E402
from pods import Node, require_root, wait_until  # noqa: E402

OUTBOUND, INBOUND, METRICS, READINESS = 15001, 15006, 15020, 15021
STORM = 500
SILENT = 300
STORMS = 3
# What STORMS storms of STORM connections may leave behind of memory, for allocators keep some: a leak of a kilobyte each is
# more. A burst may also leave more tunnels than the one before, which are kept for a while; each has buffers of its own.
GROWTH_KB = 1000
TUNNEL_KB = 200
# What a connection that is silent may cost in the agent that holds it.
SILENT_KB = 10


def setUpModule():
    global NODE, MESH, CLIENT, SERVER, OUTSIDER, HOLE
    NODE = Node().__enter__()
    try:
        MESH = Mesh(NODE, cert_source="files")
        CLIENT, SERVER = MESH.agent("client"), MESH.agent("server")
        OUTSIDER = NODE.pod("outsider")
        HOLE = MESH.peer("hole")
        swallow(HOLE.pod, "meta l4proto tcp")
        MESH.start()
    except BaseException:
        NODE.show_logs()
        NODE.close()
        raise


def tearDownModule():
    NODE.close()


def swallow(pod, what):
    """From now on, packets to the pod that the expression matches go nowhere."""
    pod.run(["nft", "-f", "-"], stdin=f"table inet swallow {{ chain in {{ type filter hook input priority 0; {what} drop; }}; }}")


def resident_kb(agent):
    with open(f"/proc/{agent.process.pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def descriptors_of_sessions(agent):
    """How many are open; tunnels are left out, for the pool keeps some longer than others."""
    return len(os.listdir(f"/proc/{agent.process.pid}/fd")) - tunnels(agent)


def tunnels(agent):
    return agent.metric("remora_tunnels_open")


def opened_sessions(agent):
    return agent.metric("istio_tcp_connections_opened_total")


def live_sessions(agent):
    return opened_sessions(agent) - agent.metric("istio_tcp_connections_closed_total")


def silent_sessions(agent):
    """Connections that came in clear and are connected to, of whatever has been said on them: two sockets each."""
    return agent.metric("istio_tcp_sockets_open") / 2


class Case(unittest.TestCase):
    def serve(self, behave, pod):
        return self.enterContext(actors.Server(pod.listen(), behave))

    def echoes(self, pod, address, port):
        """A new connection that works."""
        with pod.connect(address, port) as connection:
            connection.sendall(b"anybody?")
            self.assertEqual(actors.read_exactly(connection, 8), b"anybody?")

    def hold(self, pod, address, port, count, settled=lambda: True):
        """
        Opens connections that say nothing, and waits until the agent has dealt with them. Returns those that are up, and how
        many were reset.
        """
        held = []
        for _ in range(count):
            with contextlib.suppress(ConnectionResetError):
                held.append(self.enterContext(pod.connect(address, port)))
        wait_until(settled, "the agent to have dealt with all connections")
        alive = [connection for connection in held if self.is_silent(connection)]
        return alive, count - len(alive)

    def is_silent(self, connection):
        """Whether it is up, without a byte to be read; not so when it was reset."""
        connection.setblocking(False)
        try:
            self.fail(f"a silent connection has something to say: {connection.recv(1)}")
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False

    def hold_echoing(self, pod, address, port, count):
        """The same with connections that have carried a byte both ways."""
        held = []
        for _ in range(count):
            with contextlib.suppress(ConnectionResetError):
                connection = self.enterContext(pod.connect(address, port))
                connection.sendall(b"x")
                if connection.recv(1) == b"x":
                    held.append(connection)
        return held, count - len(held)

    def restart(self, agent, **options):
        """With these options for the duration of the test."""
        agent.restart(**options)
        self.addCleanup(agent.restart)

    def peer(self, agent):
        """An HTTP/2 connection to an agent's HBONE port, from somebody whom policy lets in."""
        context = hbone.client_context(MESH.authority.credentials([f"URI:{CLIENT.identity}"]), MESH.authority.root_file)
        peer = self.enterContext(hbone.connect(OUTSIDER, (agent.pod.ipv4, hbone.PORT), context))
        peer.tls.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return peer


class Output(Case):
    def test_a_stdout_that_nobody_reads_costs_lines_and_no_traffic(self):
        fifo = os.path.join(NODE.folder, "stdout")
        os.mkfifo(fifo)
        os.chmod(fifo, 0o666)
        # Opened first, and at first never read from.
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        self.restart(SERVER, through=["sh", "-c", 'exec "$0" "$@" >' + fifo])
        server = self.serve(actors.echo, SERVER.pod)

        def connect_until_dropped():
            for _ in range(50):
                self.echoes(CLIENT.pod, SERVER.pod.ipv4, server.port)
            return SERVER.metric("remora_log_lines_dropped_total", log="access") > 0

        wait_until(connect_until_dropped, "lines to be dropped", timeout_s=60)
        self.assertEqual(SERVER.readiness()[0], 200)
        self.assertEqual(SERVER.metric("remora_log_lines_dropped_total", log="program"), 0)
        self.assertEqual(SERVER.metric("istio_tcp_connections_failed_total"), 0)
        # Read at last, it goes on with whole lines.
        with os.fdopen(os.dup(reader), "rb") as file:
            text = self.read_lines(file, server.port)
        lines = [parse_log_line(line) for line in text.decode("ascii").splitlines()]
        self.assertTrue(all(entry["module"] == "access" for entry in lines))
        told = len(lines) + SERVER.metric("remora_log_lines_dropped_total", log="access")
        self.assertEqual(told, SERVER.metric("istio_tcp_connections_closed_total"))

    def test_a_reader_of_both_logs_that_goes_away_does_not_take_the_agent_along(self):
        fifo = os.path.join(NODE.folder, "both")
        os.mkfifo(fifo)
        os.chmod(fifo, 0o666)
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        self.restart(SERVER, through=["sh", "-c", f'exec "$0" "$@" >{fifo} 2>&1'])
        server = self.serve(actors.echo, SERVER.pod)
        self.echoes(CLIENT.pod, SERVER.pod.ipv4, server.port)
        os.close(reader)
        for _ in range(50):
            self.echoes(CLIENT.pod, SERVER.pod.ipv4, server.port)
        self.assertEqual(SERVER.readiness()[0], 200)
        self.assertEqual(SERVER.stop(), 0)

    def read_lines(self, file, port):
        """Everything up to the line of a connection that is made now."""
        text = b""

        def look():
            nonlocal text
            if b"connection complete" not in text:
                text += file.read() or b""
                return False
            text += file.read() or b""
            return text.endswith(b"\n") and marker in text

        with CLIENT.pod.connect(SERVER.pod.ipv4, port) as connection:
            text += file.read() or b""
            connection.sendall(b"marker" * 1111)
            actors.read_exactly(connection, 6666)
        marker = b"bytes_sent=6666 "
        wait_until(look, "the line of a new connection")
        return text


class Descriptors(Case):
    def test_when_they_run_out_it_is_said_the_agent_still_works_and_all_recovers(self):
        # A connection takes two: the last one is missing for the first of the two, or for the second.
        for limit in (200, 201):
            with self.subTest(limit=limit):
                self.run_out(limit)

    def run_out(self, limit):
        self.restart(CLIENT, through=["prlimit", f"--nofile={limit}:{limit}"])
        server = self.serve(actors.echo, OUTSIDER)
        alive, num_reset = self.hold_echoing(CLIENT.pod, OUTSIDER.ipv4, server.port, 120)
        self.assertGreater(len(alive), 40)
        self.assertGreater(num_reset, 20)
        self.assertEqual(CLIENT.readiness()[0], 200)
        self.assertGreater(CLIENT.metric("remora_session_ends_total", reason="out_of_descriptors") +
                           CLIENT.metric("remora_accept_overloads_total", direction="outbound"), 0)
        CLIENT.process.wait_log('out_of_descriptors.*|proxy "connections dropped: out of file descriptors.*"outbound"')
        # What the agent needs for itself it still has.
        since = len(CLIENT.process.log())
        MESH.write_certificate(CLIENT)
        CLIENT.process.wait_log('"certificate in force"', since=since)
        MESH.write_local_file()
        CLIENT.process.wait_log('"discovery loaded"', since=since)
        for connection in alive:
            connection.sendall(b"y")
            self.assertEqual(connection.recv(1), b"y")
            connection.close()
        wait_until(lambda: live_sessions(CLIENT) == 0, "the held connections to end")
        self.echoes(CLIENT.pod, OUTSIDER.ipv4, server.port)
        self.echoes(SERVER.pod, CLIENT.pod.ipv4, self.serve(actors.echo, CLIENT.pod).port)

    def test_an_agent_whose_port_for_tunnels_is_flooded_recovers(self):
        self.restart(SERVER, through=["prlimit", "--nofile=128:128"], tls_timeout="2s")
        server = self.serve(actors.echo, SERVER.pod)
        self.hold(OUTSIDER, SERVER.pod.ipv4, hbone.PORT, 200)
        self.assertEqual(SERVER.readiness()[0], 200)
        SERVER.process.wait_log('proxy "connections dropped: out of file descriptors.*"inbound"')
        # Those who never finish their handshake are put out by its timer, whatever they do.
        SERVER.access_log("tls_timeout")
        wait_until(lambda: SERVER.metric("istio_tcp_sockets_open", reporter="destination") == 0, "the silent ones to be put out")
        self.echoes(CLIENT.pod, SERVER.pod.ipv4, server.port)


    def test_streams_in_tunnels_take_none_of_the_last_ones_either(self):
        self.restart(SERVER, through=["prlimit", "--nofile=128:128"])
        server = self.serve(actors.echo, SERVER.pod)
        peer = self.peer(SERVER)
        tunnels = [peer.connect_to(f"{SERVER.pod.ipv4}:{server.port}") for _ in range(120)]
        self.assertEqual({peer.status(tunnel) for tunnel in tunnels}, {200, 503})
        self.assertEqual(SERVER.readiness()[0], 200)
        SERVER.access_log(f":{server.port}.*out_of_descriptors")
        for tunnel in tunnels:
            if not tunnel.ended:
                peer.reset(tunnel)
        wait_until(lambda: live_sessions(SERVER) == 0, "them to end")
        self.assertEqual(peer.status(peer.connect_to(f"{SERVER.pod.ipv4}:{server.port}")), 200)


class Counts(Case):
    def test_more_connections_than_allowed_are_refused_by_name_and_fit_again_later(self):
        self.restart(CLIENT, max_connections="16")
        server = self.serve(actors.echo, SERVER.pod)
        alive, num_reset = self.hold(CLIENT.pod, SERVER.pod.ipv4, server.port, 20, lambda: opened_sessions(CLIENT) == 20)
        self.assertEqual((len(alive), num_reset), (16, 4))
        line = CLIENT.access_log("reason=\"limit\"")
        self.assertIn("max-connections", line)
        self.assertEqual(CLIENT.metric("remora_session_ends_total", reason="limit"), 4)
        for connection in alive[:4]:
            connection.close()
        wait_until(lambda: live_sessions(CLIENT) == 12, "four to end")
        self.echoes(CLIENT.pod, SERVER.pod.ipv4, server.port)

    def test_inbound_the_tunnel_s_client_is_told_and_the_tunnel_lives(self):
        self.restart(SERVER, max_connections="16")
        server = self.serve(actors.echo, SERVER.pod)
        peer = self.peer(SERVER)
        tunnels = [peer.connect_to(f"{SERVER.pod.ipv4}:{server.port}") for _ in range(20)]
        self.assertEqual([peer.status(tunnel) for tunnel in tunnels].count(200), 16)
        self.assertEqual({peer.status(tunnel) for tunnel in tunnels}, {200, 503})
        self.assertEqual(SERVER.metric("remora_session_ends_total", reason="limit"), 4)
        self.assertFalse(peer.closed)

    def test_more_streams_than_a_tunnel_may_have_go_into_more_tunnels(self):
        self.restart(SERVER, http2_max_streams="4")
        server = self.serve(actors.echo, SERVER.pod)
        alive, num_reset = self.hold(CLIENT.pod, SERVER.pod.ipv4, server.port, 30, lambda: opened_sessions(SERVER) == 30)
        # The pool knows the peer's limit and makes more tunnels.
        self.assertEqual((len(alive), num_reset), (30, 0))
        self.assertGreaterEqual(SERVER.metric("remora_tunnels_open", direction="inbound"), 8)
        # Those that were refused because their sender could not know are nobody's failure.
        self.assertEqual(SERVER.metric("remora_session_ends_total"), 0)


class Timers(Case):
    def test_a_connection_without_a_byte_for_the_idle_timeout_is_closed_by_name(self):
        self.restart(CLIENT, idle_timeout="1s")
        server = self.serve(actors.echo, SERVER.pod)
        with CLIENT.pod.connect(SERVER.pod.ipv4, server.port) as connection:
            connection.sendall(b"x")
            self.assertEqual(connection.recv(1), b"x")
            with self.assertRaises(ConnectionResetError):
                connection.recv(1)
        (entry,) = CLIENT.sessions(server.port)
        self.assertEqual((entry["reason"], entry["response_flags"]), ("idle", "IDLE"))
        self.assertGreaterEqual(int(entry["duration"].removesuffix("ms")), 1000)
        self.assertEqual(SERVER.sessions(server.port)[0]["reason"], "peer_reset")

    def test_bytes_in_either_direction_put_the_idle_timeout_off(self):
        self.restart(CLIENT, idle_timeout="1s")
        release = threading.Event()

        def drip(connection):
            while not release.wait(0.2):
                connection.sendall(b".")

        server = self.serve(drip, SERVER.pod)
        with CLIENT.pod.connect(SERVER.pod.ipv4, server.port) as connection:
            self.assertEqual(actors.read_exactly(connection, 15), b"." * 15)  # for three seconds
            release.set()
            self.assertEqual(actors.digest_to_end(connection), actors.hashlib.sha256().hexdigest())
        self.assertEqual(CLIENT.sessions(server.port)[0]["reason"], "done")

    def test_a_destination_that_does_not_answer_is_given_up_after_the_connect_timeout(self):
        self.restart(CLIENT, connect_timeout="300ms")
        swallow(OUTSIDER, "tcp dport 9999")
        for address in (OUTSIDER.ipv4, OUTSIDER.ipv6):
            CLIENT.pod.assert_reset(address, 9999)
        for entry in CLIENT.sessions(9999, 2):
            self.assertEqual((entry["reason"], entry["response_flags"]), ("connect_timeout", "CONNECT"))

    def test_a_peer_agent_that_does_not_answer_is_given_up_and_a_network_policy_suspected(self):
        self.restart(CLIENT, connect_timeout="300ms")
        CLIENT.pod.assert_reset(HOLE.pod.ipv4, 8080)
        (entry,) = CLIENT.sessions(8080)
        self.assertEqual((entry["reason"], entry["response_flags"]), ("tunnel_timeout", "NETWORK_POLICY"))
        self.assertIn("NetworkPolicy", entry["error"])

    def test_an_application_that_does_not_answer_is_given_up_by_its_own_agent(self):
        self.restart(SERVER, connect_timeout="300ms")
        swallow(SERVER.pod, "iif lo tcp dport 9998")
        CLIENT.pod.assert_reset(SERVER.pod.ipv4, 9998)
        self.assertEqual(SERVER.sessions(9998)[0]["reason"], "connect_timeout")
        self.assertEqual(CLIENT.sessions(9998)[0]["reason"], "peer_unreachable")


class SelfCalls(Case):
    """Nobody gets the agent to connect to the agent."""

    def num_refused(self, agent):
        return agent.metric("remora_session_ends_total", reason="self_call")

    def test_from_inside_by_loopback(self):
        for address in ("127.0.0.1", "::1"):
            for port in (OUTBOUND, INBOUND):
                with self.subTest(address=address, port=port):
                    before = self.num_refused(SERVER)
                    SERVER.pod.assert_reset(address, port)
                    wait_until(lambda: self.num_refused(SERVER) == before + 1, "the refusal")

    def test_from_outside_in_clear(self):
        for mode in ("strict", "permissive"):
            self.restart(SERVER, inbound_mode=mode)
            for address in (SERVER.pod.ipv4, SERVER.pod.ipv6):
                for port in (OUTBOUND, INBOUND):
                    with self.subTest(mode=mode, address=address, port=port):
                        since = len(SERVER.process.log())
                        OUTSIDER.assert_reset(address, port)
                        SERVER.access_log(f":{port}.*self_call", since)

    def test_from_outside_through_a_tunnel(self):
        peer = self.peer(SERVER)
        for port in (OUTBOUND, INBOUND, hbone.PORT):
            since = len(SERVER.process.log())
            self.assertEqual(peer.status(peer.connect_to(f"{SERVER.pod.ipv4}:{port}")), 503)
            SERVER.access_log(f":{port}.*self_call", since)

    def test_metrics_and_readiness_may_be_asked_for_through_a_tunnel(self):
        for port, path in ((METRICS, "/metrics"), (READINESS, "/healthz/ready")):
            since = len(SERVER.process.log())
            CLIENT.pod.run(["curl", "-fsS", "-o", "/dev/null", f"http://{SERVER.pod.ipv4}:{port}{path}"])
            self.assertIn(CLIENT.identity, SERVER.access_log(f"{SERVER.pod.ipv4}:{port}.*done", since))

    def test_from_another_meshed_application(self):
        for port in (OUTBOUND, INBOUND):
            CLIENT.pod.assert_reset(SERVER.pod.ipv4, port)
            SERVER.access_log(f":{port}.*self_call")
            CLIENT.access_log(f":{port}.*peer_unreachable")

    def test_clear_text_on_the_port_for_tunnels_is_a_failed_handshake(self):
        for pod, address in ((OUTSIDER, SERVER.pod.ipv4), (SERVER.pod, "127.0.0.1")):
            before = SERVER.metric("remora_tls_handshake_failures_total", direction="inbound", reason="tls_failed")
            with pod.connect(address, hbone.PORT) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                with contextlib.suppress(ConnectionResetError):
                    while connection.recv(1024):
                        pass
            wait_until(lambda: SERVER.metric("remora_tls_handshake_failures_total", direction="inbound",
                                             reason="tls_failed") == before + 1, "the failed handshake")


class Silence(Case):
    """Clients that connect in clear to a permissive agent and say nothing, all at once."""

    def test_they_cost_little_and_disturb_nobody_and_a_server_that_speaks_first_is_heard(self):
        self.restart(SERVER, inbound_mode="permissive")
        server = self.serve(actors.echo, SERVER.pod)
        greeter = self.serve(lambda connection: connection.sendall(b"220 ready"), SERVER.pod)
        alive, _ = self.hold(OUTSIDER, SERVER.pod.ipv4, server.port, 10, lambda: silent_sessions(SERVER) == 10)
        self.assertEqual(len(alive), 10)
        before_kb = resident_kb(SERVER)
        alive, num_reset = self.hold(OUTSIDER, SERVER.pod.ipv4, server.port, SILENT,
                                     lambda: silent_sessions(SERVER) == 10 + SILENT)
        self.assertEqual((len(alive), num_reset), (SILENT, 0))
        self.assertLess(resident_kb(SERVER) - before_kb, SILENT * SILENT_KB)
        with OUTSIDER.connect(SERVER.pod.ipv4, greeter.port) as connection:
            self.assertEqual(actors.read_exactly(connection, 9), b"220 ready")
        self.echoes(CLIENT.pod, SERVER.pod.ipv4, server.port)

    def test_the_limit_of_connections_holds_against_them(self):
        self.restart(SERVER, inbound_mode="permissive", max_connections="32")
        server = self.serve(actors.echo, SERVER.pod)
        alive, num_reset = self.hold(OUTSIDER, SERVER.pod.ipv4, server.port, 48,
                                     lambda: silent_sessions(SERVER) == 32 and opened_sessions(SERVER) == 16)
        self.assertEqual((len(alive), num_reset), (32, 16))
        for connection in alive:
            connection.close()
        wait_until(lambda: live_sessions(SERVER) == 0, "them to end")
        self.echoes(OUTSIDER, SERVER.pod.ipv4, server.port)


class Storms(Case):
    """Connections that are made and reset at once, by the hundred."""

    def storm(self, attack):
        with concurrent.futures.ThreadPoolExecutor(8) as executor:
            list(executor.map(attack, range(STORM)))

    def settle(self, agents):
        for agent in agents:
            wait_until(lambda: live_sessions(agent) == 0, f"{agent.name}'s sessions to end", timeout_s=30)
            wait_until(lambda: agent.metric("remora_tunnel_streams_open") == 0, f"{agent.name}'s streams to end")

    def leaves_nothing_behind(self, attack, agents):
        # The first storm makes what is kept on purpose: pooled tunnels, series of metrics, the allocator's arenas.
        self.storm(attack)
        self.settle(agents)
        before = {agent: (descriptors_of_sessions(agent), tunnels(agent), resident_kb(agent)) for agent in agents}
        for _ in range(STORMS):
            self.storm(attack)
        self.settle(agents)
        for agent in agents:
            num_descriptors, num_tunnels, kb = before[agent]
            more_tunnels = max(tunnels(agent) - num_tunnels, 0)
            wait_until(lambda: descriptors_of_sessions(agent) <= num_descriptors, f"{agent.name}'s descriptors to be closed")
            self.assertLess(resident_kb(agent) - kb, GROWTH_KB + TUNNEL_KB * more_tunnels, agent.name)
            self.assertEqual(agent.readiness()[0], 200)

    def test_of_applications(self):
        server = self.serve(actors.echo, SERVER.pod)

        def attack(number):
            with contextlib.suppress(ConnectionResetError), CLIENT.pod.connect(SERVER.pod.ipv4, server.port) as connection:
                if number % 3 == 1:
                    connection.sendall(b"x" * 1000)
                elif number % 3 == 2:
                    connection.sendall(b"x")
                    connection.recv(1)
                actors.reset(connection)

        self.leaves_nothing_behind(attack, (CLIENT, SERVER))
        self.echoes(CLIENT.pod, SERVER.pod.ipv4, server.port)

    def test_of_applications_to_a_closed_port(self):
        listener = SERVER.pod.listen()
        port = listener.getsockname()[1]
        listener.close()

        def attack(_):
            with contextlib.suppress(ConnectionResetError):
                actors.reset(CLIENT.pod.connect(SERVER.pod.ipv4, port))

        self.leaves_nothing_behind(attack, (CLIENT, SERVER))

    def test_of_strangers_at_every_port(self):
        server = self.serve(actors.echo, SERVER.pod)
        hello = hbone.client_hello(hbone.client_context(None, MESH.authority.root_file))
        ports = (hbone.PORT, server.port, READINESS, METRICS)

        def attack(number):
            with contextlib.suppress(ConnectionError), \
                    OUTSIDER.connect(SERVER.pod.ipv4, ports[number % len(ports)]) as connection:
                connection.sendall((b"", b"\x16", hello, b"GET ")[number // len(ports) % 4])
                actors.reset(connection)

        self.leaves_nothing_behind(attack, (SERVER,))
        self.echoes(CLIENT.pod, SERVER.pod.ipv4, server.port)

    def test_of_streams_in_one_tunnel(self):
        server = self.serve(actors.echo, SERVER.pod)
        # As many streams as a peer may open and take back before it is taken for an attacker (CVE-2023-44487).
        peers = [self.peer(SERVER) for _ in range(2)]

        def storm():
            for peer in peers:
                for _ in range(50):
                    tunnel = peer.connect_to(f"{SERVER.pod.ipv4}:{server.port}")
                    peer.status(tunnel)
                    peer.reset(tunnel)
            self.settle((SERVER,))
            return descriptors_of_sessions(SERVER), resident_kb(SERVER)

        num_descriptors, kb = storm()
        after_descriptors, after_kb = storm()
        self.assertLessEqual(after_descriptors, num_descriptors)
        self.assertLess(after_kb - kb, GROWTH_KB)


class Families(Case):
    """Pods that have only one of the two."""

    def lonely_agent(self, name, without, sysctls, *commands):
        agent = MESH.agent(name)
        self.addCleanup(self.forget, agent)
        for setting in sysctls:
            agent.pod.run(["sysctl", "-qw", setting])
        for command in commands:
            agent.pod.run(command)
        agent.workload["workloadIps"].remove(without(agent.pod))
        MESH.write_certificate(agent)
        MESH.write_local_file()
        agent.capture()
        agent.start()
        return agent

    def forget(self, agent):
        agent.stop()
        del MESH.agents[agent.name]
        MESH.write_local_file()
        for other in (CLIENT, SERVER):
            self.knows_all(other)

    def knows_all(self, agent):
        """Waits until an agent has heard of a pod that came or went: until then, a new one's address is nobody's."""
        wait_until(lambda: agent.metric("remora_discovery_workloads") == len(MESH.agents) + len(MESH.peers),
                   f"{agent.name} to know all pods")

    def serves_and_calls(self, agent, address_of):
        for source, destination in ((CLIENT, agent), (agent, SERVER)):
            self.knows_all(source)
            server = self.serve_at(destination.pod, address_of(destination.pod))
            self.echoes(source.pod, address_of(destination.pod), server.port)
            for side in (source, destination):
                entry = side.sessions(server.port)[0]
                self.assertEqual((entry["src.identity"], entry["dst.identity"]), (source.identity, destination.identity))

    def serve_at(self, pod, address):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return self.enterContext(actors.Server(pod.listen(family), actors.echo))

    def test_an_agent_works_where_the_kernel_has_no_ipv6(self):
        agent = self.lonely_agent("four", lambda pod: pod.ipv6, ["net.ipv6.conf.all.disable_ipv6=1"])
        self.assertEqual(agent.pod.run(["ip", "-6", "address"]).stdout, "")
        self.serves_and_calls(agent, lambda pod: pod.ipv4)

    def test_an_agent_works_with_ipv6_turned_off_by_option(self):
        agent = self.lonely_agent("four-by-option", lambda pod: pod.ipv6, [])
        agent.restart(ipv6="false")
        self.assertFalse(agent.pod.run(["ss", "-Hltn6"]).stdout)
        self.serves_and_calls(agent, lambda pod: pod.ipv4)

    def test_an_agent_works_where_there_is_ipv6_only(self):
        agent = self.lonely_agent("six", lambda pod: pod.ipv4, [], ["ip", "-4", "address", "flush", "dev", "eth0"])
        self.assertNotIn("eth0", agent.pod.run(["ip", "-4", "address"]).stdout)
        self.serves_and_calls(agent, lambda pod: pod.ipv6)


if __name__ == "__main__":
    require_root()
    unittest.main(verbosity=2)
