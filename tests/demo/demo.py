"""The demo: what Remora does, shown with real programs in plain words. Run by scripts/demo.

Three pods with a sidecar each (frontend, backend, stranger) and one without (outsider), each a network namespace. Every claim
that is printed as "ok" was checked; a claim that does not hold is printed as FAILED, and the exit code says so.
"""

import argparse
import collections
import glob
import http.client
import os
import re
import shutil
import socket
import struct
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

from mesh import Mesh  # noqa: E402
from pods import Node, Timeout, program, remove, require_root, wait_until  # noqa: E402

SECRET = "the-recipe-for-remora-soup"
VIPS = ("198.19.0.10", "fd00:19::10")
LOAD_S = 12
LOAD_CLIENTS = 4
CERT_TTL = "6s"
PUSH_S = 5  # how long a written policy may take until it is in force; it takes a fraction of a second


class Report:
    """Prints the story and keeps count."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def chapter(self, text):
        print(f"\n{text}", flush=True)

    def show(self, text):
        for line in text.strip().splitlines():
            print(f"      | {line}", flush=True)

    def check(self, claim, holds, shown=""):
        if holds:
            self.passed += 1
        else:
            self.failed += 1
        print(f"  {'ok     ' if holds else 'FAILED '}{claim}", flush=True)
        if shown:
            self.show(shown)


# ----------------------------------------------------------------------------------------------------- actors


def make_www(folder):
    """What the unmodified web server serves."""
    os.makedirs(folder, mode=0o755)
    with open(os.path.join(folder, "index.html"), "w", encoding="utf-8") as file:
        file.write(f"Hello World, {SECRET}\n")


def curl(pod, url, *options):
    """curl as a person would run it; returns (exit code, what it printed)."""
    done = pod.run(["curl", "-sS", "--max-time", "10", *options, url], check=False)
    return done.returncode, (done.stdout + done.stderr).strip()


def hosted(ip, port, path="/"):
    return f"http://[{ip}]:{port}{path}" if ":" in ip else f"http://{ip}:{port}{path}"


class Load:
    """Clients in a pod that ask for a page again and again, each request on a connection of its own."""

    def __init__(self, pod, ip, port):
        self._pod, self._ip, self._port = pod, ip, port
        self.requests = 0
        self.failures = collections.Counter()
        self._lock = threading.Lock()

    def _ask(self):
        with self._pod.entered():
            connection = http.client.HTTPConnection(self._ip, self._port, timeout=10)
            connection.connect()
        try:
            connection.request("GET", "/", headers={"Connection": "close"})
            answer = connection.getresponse()
            body = answer.read().decode()
            return None if answer.status == 200 and SECRET in body else f"status {answer.status}"
        finally:
            connection.close()

    def _client(self, until):
        while time.monotonic() < until:
            try:
                failure = self._ask()
            except (OSError, http.client.HTTPException) as error:
                failure = repr(error)
            with self._lock:
                self.requests += 1
                if failure:
                    self.failures[failure] += 1

    def run(self, seconds):
        until = time.monotonic() + seconds
        clients = [threading.Thread(target=self._client, args=(until,)) for _ in range(LOAD_CLIENTS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()


# -------------------------------------------------------------------------------------------------- the wire


def tls13_server_hellos(packets):
    """
    How many ServerHellos in the capture choose TLS 1.3: a handshake record (22) with a ServerHello (2) whose supported_versions
    extension (43) is 0x0304 (RFC 8446, 4.1.3 and 4.2.1).
    """
    chosen = struct.pack("!HHH", 43, 2, 0x0304)
    return sum(1 for hello in re.finditer(rb"\x16\x03\x03..\x02\x00..\x03\x03", packets, re.DOTALL)
               if chosen in packets[hello.start():hello.start() + 1400])


def captured(pod, pcap, what):
    """The packets of a capture file that a filter selects, as tcpdump prints them, a line each."""
    return pod.run(["tcpdump", "-r", pcap, "-nn", "-q", "-t", what], check=False).stdout.splitlines()


def capture_on_wire(mesh, report, frontend, backend):
    report.chapter("4. What travels between the pods (tcpdump on the backend's interface)")
    pcap = os.path.join(mesh.node.folder, "wire.pcap")
    for agent in (frontend, backend):
        agent.restart()  # a new connection between the agents, so that its handshake is in the capture
    dump = backend.pod.start(["tcpdump", "-i", "eth0", "--immediate-mode", "-U", "-s", "0", "-w", pcap,
                              "tcp", "and", "not", "port", "15012"])
    dump.wait_log("listening on")
    code, body = curl(frontend.pod, hosted(VIPS[0], 80), "-H", f"X-Secret: {SECRET}")
    wait_until(lambda: captured(backend.pod, pcap, "tcp port 15008 and greater 200"), "tcpdump to write what it has seen")
    dump.stop()
    with open(pcap, "rb") as file:
        packets = file.read()
    tunnel, other = captured(backend.pod, pcap, "tcp port 15008"), captured(backend.pod, pcap, "not tcp port 15008")
    report.check("the request itself worked", code == 0 and SECRET in body)
    report.check(f"{len(tunnel)} packets, all of them to or from port 15008", tunnel and not other,
                 "\n".join((tunnel[:4] + ["..."])))
    report.check("the handshake in them is TLS 1.3", tls13_server_hellos(packets) > 0,
                 f"{tls13_server_hellos(packets)} ServerHello chooses 0x0304")
    report.check("neither the request nor the answer can be read in them",
                 SECRET.encode() not in packets and b"GET /" not in packets and b"HTTP/1" not in packets,
                 f'searched {len(packets)} bytes for "{SECRET}", "GET /" and "HTTP/1"')


# ----------------------------------------------------------------------------------------------- the chapters


def build(node, report):
    report.chapter("1. Four pods, a control plane, and an unmodified web server on port 8080 of the backend")
    mesh = Mesh(node, discovery="control-plane")
    frontend, backend, stranger = (mesh.agent(name) for name in ("frontend", "backend", "stranger"))
    outsider = node.pod("outsider")
    mesh.service("backend", VIPS, {80: 8080}, [backend])
    mesh.allow("only-frontend", "demo", frontend.identity)
    mesh.write_local_file()
    mesh.write_tokens()
    mesh.start_control(max_cert_ttl=CERT_TTL)
    www = os.path.join(node.folder, "www")
    make_www(www)
    backend.web = backend.pod.start([sys.executable, "-m", "http.server", "8080", "--bind", "::", "--directory", www])
    backend.pod.wait_listening(8080, backend.web)
    for agent in (frontend, backend, stranger):
        agent.capture()
        done = agent.pod.run([program("remora-init"), "verify"], check=False)
        report.check(f"{agent.name}: remora-init installed the rules, and real connections prove them", done.returncode == 0,
                     done.stdout + done.stderr)
    for agent in (frontend, backend, stranger):
        agent.start(ready=False)
    for agent in (frontend, backend, stranger):
        agent.wait_ready()
        report.check(f"{agent.name}: the sidecar is ready, as {agent.identity}", True)
    clients = mesh.control.wait_log(r'^.*client has come(.|\n)*client has come(.|\n)*client has come.*$').group(0)
    report.check("each has its certificate and its view of the mesh from the control plane, by its token", True,
                 "\n".join(line for line in clients.splitlines() if "client has come" in line))
    return mesh, frontend, backend, stranger, outsider


def show_privileges(report, agents):
    report.chapter("2. The sidecars hold no privilege")
    for agent in agents:
        with open(f"/proc/{agent.process.pid}/status", encoding="ascii") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        caps = {name: int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
        report.check(f"{agent.name}: uid {status['Uid'].split()[0]}, no capability in any set, no new privileges",
                     not any(caps.values()) and status["Uid"].split()[0] == "1337" and status["NoNewPrivs"] == "1",
                     " ".join(f"{name}={value:016x}" for name, value in caps.items()))


def show_allowed(report, frontend, backend):
    report.chapter("3. The frontend calls the backend; neither program knows of the mesh")
    for what, ip, port in (("pod IP, IPv4", backend.pod.ipv4, 8080), ("pod IP, IPv6", backend.pod.ipv6, 8080),
                           ("service VIP, IPv4", VIPS[0], 80), ("service VIP, IPv6", VIPS[1], 80)):
        code, body = curl(frontend.pod, hosted(ip, port))
        report.check(f"curl {hosted(ip, port)}  ({what})", code == 0 and SECRET in body, body)
    line = backend.access_log(f"connection complete.*{frontend.identity}")
    report.check("the backend's sidecar names both identities", backend.identity in line, line)


def show_refused(report, frontend, backend, stranger):
    report.chapter("5. The stranger has a valid certificate of the same mesh, and may not call")
    code, body = curl(stranger.pod, hosted(VIPS[0], 80))
    report.check("curl from the stranger gets nothing", code != 0 and SECRET not in body, body)
    line = backend.access_log(f"{stranger.identity}.*not_allowed")
    report.check("the backend's log says who and why", "frontend" not in line, line)
    line = stranger.access_log("peer_refused")
    report.check("the stranger's log says why", "401" in line or "policy" in line, line)
    code, body = curl(frontend.pod, hosted(VIPS[0], 80))
    report.check("the frontend still gets through", code == 0 and SECRET in body)


class Held:
    """A connection that stays open and says nothing."""

    def __init__(self, pod, ip, port):
        with pod.entered():
            self._socket = socket.create_connection((ip, port), timeout=10)

    def ended(self, timeout_s):
        """How it ended within the time; None: it is still open."""
        self._socket.settimeout(timeout_s)
        try:
            return "ended in order" if not self._socket.recv(1) else None
        except ConnectionResetError:
            return "was reset"
        except TimeoutError:
            return None


def until(predicate):
    """Seconds until it is true, or None when that does not come about within PUSH_S."""
    begin = time.monotonic()
    try:
        wait_until(predicate, "the change", PUSH_S)
    except Timeout:
        return None
    return time.monotonic() - begin


def show_push(report, mesh, frontend, backend, stranger):
    report.chapter("6. A policy changes while everything runs: the control plane tells the sidecars")
    mesh.policies.clear()
    mesh.allow("frontend-and-stranger", "demo", frontend.identity, stranger.identity)
    mesh.write_local_file()
    took = until(lambda: curl(stranger.pod, hosted(VIPS[0], 80))[0] == 0)
    report.check("a policy that lets the stranger in was written to the control plane's directory: it may call", took is not None,
                 f"{took or PUSH_S:.1f} s later")
    held = {agent.name: Held(agent.pod, VIPS[0], 80) for agent in (frontend, stranger)}
    report.check("the stranger, and the frontend, hold a connection open",
                 not any(connection.ended(0.5) for connection in held.values()))
    since = len(backend.process.log())
    mesh.policies.clear()
    mesh.allow("only-frontend", "demo", frontend.identity)
    mesh.write_local_file()
    how = held["stranger"].ended(PUSH_S)
    report.check("the policy is taken back: the stranger's live connection ends", how is not None, f"it {how or 'is still open'}")
    report.check("the frontend's stays", held["frontend"].ended(0.5) is None)
    line = backend.access_log(f"{stranger.identity}.*not_allowed", since=since)
    report.check("the backend's log says why", True, line)
    code, body = curl(stranger.pod, hosted(VIPS[0], 80))
    report.check("and the stranger may not call again", code != 0 and SECRET not in body, body)


def show_plaintext(report, mesh, backend, outsider):
    report.chapter("7. Plaintext from a pod without a sidecar")
    code, body = curl(outsider, hosted(backend.pod.ipv4, 8080))
    report.check("strict (the default): refused", code != 0 and SECRET not in body, body)
    line = backend.access_log("plaintext_refused")
    report.check("the backend's log says why", True, line)
    loaded = len(mesh.control.log())
    mesh.policies.clear()
    mesh.write_local_file()
    mesh.control.wait_log("discovery loaded", since=loaded)
    backend.restart(inbound_mode="permissive")
    code, body = curl(outsider, hosted(backend.pod.ipv4, 8080))
    report.check("permissive, and no policy against it: served", code == 0 and SECRET in body, body)


def serials(agent):
    """The serial numbers of the certificates that the agent has taken into use, in order."""
    return re.findall(r"serial=\"?([0-9a-f]+)", agent.process.log())


def show_rotation(report, frontend, backend):
    report.chapter(f"8. Certificates that live {CERT_TTL} rotate while {LOAD_CLIENTS} clients make new connections for {LOAD_S} s")
    before = {agent.name: len(set(serials(agent))) for agent in (frontend, backend)}
    load = Load(frontend.pod, VIPS[0], 80)
    load.run(LOAD_S)
    for agent in (frontend, backend):
        seen = list(dict.fromkeys(serials(agent)))
        rotations = len(seen) - before[agent.name]
        report.check(f"{agent.name}: {rotations} rotations under load", rotations >= 3, " -> ".join(s[:12] for s in seen))
    report.check(f"{load.requests} requests, {sum(load.failures.values())} failed",
                 load.requests > 100 and not load.failures, "\n".join(f"{n} x {what}" for what, n in load.failures.items()))


def tell_kept(node, agents, outsider):
    node.leave_standing()
    print("\nThe pods are left standing. To enter one, and to take everything down:")
    for pod in [agent.pod for agent in agents] + [outsider]:
        print(f"  ip netns exec {pod.netns} bash      # {pod.name}: {pod.ipv4}, {pod.ipv6}")
    print(f"  try: ip netns exec {agents[0].pod.netns} curl http://{VIPS[0]}/")
    print(f"  logs: {node.folder}")
    print(f"  scripts/demo --remove {node.prefix}")


def take_down(prefix):
    remove(prefix)
    for folder in glob.glob(os.path.join(tempfile.gettempdir(), prefix + "*")):
        shutil.rmtree(folder)


def main():
    parser = argparse.ArgumentParser(prog="scripts/demo", description="Shows what Remora does, with real programs.")
    parser.add_argument("--keep", action="store_true", help="leave the pods standing and say how to enter them")
    parser.add_argument("--remove", metavar="PREFIX", help="take down what --keep left")
    options = parser.parse_args()
    require_root()
    if options.remove:
        take_down(options.remove)
        return 0
    report = Report()
    with Node() as node:
        mesh, frontend, backend, stranger, outsider = build(node, report)
        agents = (frontend, backend, stranger)
        show_privileges(report, agents)
        show_allowed(report, frontend, backend)
        capture_on_wire(mesh, report, frontend, backend)
        show_refused(report, frontend, backend, stranger)
        show_push(report, mesh, frontend, backend, stranger)
        show_plaintext(report, mesh, backend, outsider)
        show_rotation(report, frontend, backend)
        if options.keep:
            tell_kept(node, agents, outsider)
    print(f"\ndemo: {report.passed} checks passed, {report.failed} failed")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
