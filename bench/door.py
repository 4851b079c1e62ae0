"""
Mutual TLS at the application's own door: new connections of callers outside the mesh to an unmodified HTTP server, behind Remora
and behind nginx, with session tickets and without. bench/README.md has the method.
"""

import json
import os
import statistics

import identities
import pods
import processes
import report
import setups

HEADING = "## Mutual TLS at the application's own door"

_AT_ONCE = 16
_WARMUP_S = 0.3
_KEYS = {"p256": ("ECDSA P-256", identities.P256), "rsa2048": ("RSA 2048", identities.RSA2048)}
# What a client does, and what the server side is set to: (key, title, tickets given, tickets used).
_WAYS = (("off", "full handshake, no tickets", False, False),
         ("given", "full handshake, tickets given", True, False),
         ("resumed", "resumed", True, True))
_FIGURES = (("rate", "New connections/s, 16 at once", "{:,.0f}"),
            ("cpu", "— CPU ms of the proxy for each", "{:.3f}"),
            ("p99", "— p99, ms", "{:.2f}"),
            ("handshake", "One at a time: handshake, p50, µs", "{:,.0f}"),
            ("connection", "— the whole connection, p50, µs", "{:,.0f}"))


class NginxDoor(setups.NginxPlain):
    """A server with nginx before it, that demands a client certificate."""

    peer = "nginx"

    def __init__(self, node, tools, certificates, key, tickets):
        self.key = f"{self.peer}-{key}-{'on' if tickets else 'off'}"
        self.tickets = tickets
        super().__init__(node, tools, certificates)

    def target(self):
        return f"{self.server_pod.ipv4}:{setups.TUNNEL_PORT}"

    def start(self, num_connections):
        self._start_nginx("server", num_connections, setups.TUNNEL_PORT,
                          listen=f"{self.server_pod.ipv4}:{setups.TUNNEL_PORT} ssl",
                          upstream=f"127.0.0.1:{setups.SERVER_PORT}", tls=self._door_tls())

    def _door_tls(self):
        leaf = self.certificates.leaf("server")
        return f"""
        ssl_certificate {leaf.cert};
        ssl_certificate_key {leaf.key};
        ssl_client_certificate {self.certificates.ca};
        ssl_verify_client on;
        ssl_verify_depth 1;
        ssl_protocols TLSv1.3;
        ssl_conf_command Ciphersuites {setups.CIPHER_SUITE};
        ssl_session_cache off;
        ssl_session_tickets {"on" if self.tickets else "off"};"""


class RemoraDoor(setups.Remora):
    """The same server with an agent: its port is captured, and the ports-file says mtls."""

    peer = "remora"

    def __init__(self, node, tools, certificates, key, tickets, mesh):
        self.key = f"{self.peer}-{key}-{'on' if tickets else 'off'}"
        self.tickets = tickets
        self.mesh = mesh
        setups.Setup.__init__(self, node, tools, certificates)
        self.server_pod.run([tools.init, "apply"])

    def start(self, num_connections):
        leaf, own, pod = self.certificates.leaf("server"), self.mesh.leaf("server"), self.server_pod
        ports = self._write("ports.yaml", f"""
ports:
  - port: {setups.SERVER_PORT}
    mode: mtls
    certificates: [{{cert: {leaf.cert}, key: {leaf.key}}}]
    client-ca: {self.certificates.ca}
    principal-from: [dns]
    resumption: {"on" if self.tickets else "off"}
""")
        discovery = self._write("discovery.yaml", "workloads:\n" + self._workload("server", pod) + "services: []\npolicies: []\n")
        self._start_proxy("server", [
            self.tools.agent, "--workers", "1", "--access-log", "off",
            "--pod-name", "server", "--pod-namespace", identities.NAMESPACE, "--service-account", "server",
            "--trust-domain", identities.TRUST_DOMAIN, "--instance-ip", pod.ipv4,
            "--local-file", discovery, "--ports-file", ports,
            "--cert-source", "files", "--cert-file", own.cert, "--key-file", own.key, "--trust-bundle-file", self.mesh.ca,
        ], setups.READINESS_PORT)
        pod.wait_http(f"http://{pod.ipv4}:{setups.READINESS_PORT}/healthz/ready", process=self.proxies["server"])


def measure(node, tools, rounds, seconds, say):
    """
    All rounds: {"samples": [{"round", "key", "way", "peer", figures...}], "negotiated": {"PEER, KEY": words}}. The two peers
    follow each other within seconds, and change places every round.
    """
    built = _build(node, tools)
    data = {"samples": [], "negotiated": {}}
    for number in range(1, rounds + 1):
        for key in _KEYS:
            for way, _, tickets, resumes in _WAYS:
                for peer in ("remora", "nginx") if number % 2 else ("nginx", "remora"):
                    sample, negotiated = _sample(built[peer, key, tickets], seconds, resumes)
                    data["samples"].append({"round": number, "key": key, "way": way, "peer": peer, **sample})
                    data["negotiated"][f"{peer}, {_KEYS[key][0]}"] = negotiated
        say(f"round {number} of {rounds} is done")
    return data


def _build(node, tools):
    mesh = identities.Certificates(os.path.join(node.folder, "mesh"), pods.AGENT_UID)
    built = {}
    for key, (_, kind) in _KEYS.items():
        certificates = identities.Certificates(os.path.join(node.folder, key), pods.AGENT_UID, kind)
        for tickets in (False, True):
            built["nginx", key, tickets] = NginxDoor(node, tools, certificates, key, tickets)
            built["remora", key, tickets] = RemoraDoor(node, tools, certificates, key, tickets, mesh)
    for setup in built.values():
        setup.start(512)
    return built


def _sample(setup, seconds, resumes):
    """The figures of one setup, many connections at once and then one; and what was negotiated."""
    pid = setup.proxies["server"].pid
    before = processes.cpu_seconds(pid)
    many = _load(setup, _AT_ONCE, seconds, resumes)
    used = processes.cpu_seconds(pid) - before
    assert used > 0, f"{setup.key}: the proxy had nothing to do"
    one = _load(setup, 1, seconds / 2, resumes)
    return {"rate": many["per_second"], "cpu": 1e3 * used / many["total"], "p99": many["p99_us"] / 1e3,
            "handshake": one["handshake_p50_us"], "connection": one["p50_us"]}, many["negotiated"]


def _load(setup, connections, seconds, resumes):
    leaf = setup.certificates.leaf("client")
    result = json.loads(setup.client_pod.run(
        [setup.tools.door, "--connect", setup.target(), "--server-name", "server", "--ca", setup.certificates.ca,
         "--cert", leaf.cert, "--key", leaf.key, "--connections", str(connections), "--seconds", str(seconds),
         "--warmup", str(_WARMUP_S), *(["--resume"] if resumes else [])], timeout_s=seconds + 60).stdout)
    assert result["failed"] == 0 and result["answered"] > 0, f"{setup.key}: {result}"
    # The warm-up has made everybody's first connection; from then on there is always a ticket, or never one.
    wanted = result["answered"] if resumes else 0
    assert result["resumed"] == wanted, f"{setup.key}: not the handshakes that were to be measured: {result}"
    return result


def _values(data, figure, key, way, peer):
    return {sample["round"]: sample[figure] for sample in data["samples"]
            if (sample["key"], sample["way"], sample["peer"]) == (key, way, peer)}


def _cell(form, values):
    found = list(values.values())
    return f"{form.format(statistics.median(found))} ({form.format(min(found))}–{form.format(max(found))})"


def _rows(data, key):
    for figure, title, form in _FIGURES:
        for way, way_title, _, _ in _WAYS:
            remora, nginx = (_values(data, figure, key, way, peer) for peer in ("remora", "nginx"))
            ratios = dict(enumerate(report.ratios(remora, nginx)))
            yield [title, way_title, _cell(form, remora), _cell(form, nginx), _cell("{:.2f}", ratios)]


def _table(data, key):
    header = ["median of the rounds (min–max)", "", "Remora", "nginx", "Remora ÷ nginx"]
    lines = ["| " + " | ".join(header) + " |", "|---|---|---:|---:|---:|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in _rows(data, key)])


def section(data):
    """The section in Markdown."""
    told = [f"- {name}: {text}" for name, text in data["about"].items()]
    told += [f"- Negotiated, {name}: {text}" for name, text in data["negotiated"].items()]
    parts = [HEADING,
             "New connections of callers that are not in the mesh, with a client certificate that the proxy demands, to an HTTP server "
             "that knows nothing of it. Written by `scripts/bench --door`; [bench/README.md](../bench/README.md) has the method. For "
             "connections/s more is better, for all else less. Compare ratios: they are formed inside each round.",
             "\n".join(told)]
    for key, (title, _) in _KEYS.items():
        parts += [f"### Certificates with {title}", _table(data, key)]
    return "\n\n".join(parts) + "\n"
