"""A mesh in namespaces: Remora's real programs over the pods of pods.py. For scenario tests and the demo.

    with Node() as node:
        mesh = Mesh(node)
        backend, frontend = mesh.agent("backend"), mesh.agent("frontend")
        mesh.start()
        frontend.pod.run(["curl", f"http://{backend.pod.ipv4}:8080/"])

A Mesh has a pod "control" with remora-controlplane, one token for each agent, and one file of workloads, services and policies
that all agents read; with discovery="control-plane" only the control plane reads it, and tells the agents. Agents run as uid
1337 without any capability, behind the rules of remora-init. With cert_source="files" there is no control plane: an openssl
authority makes the certificates, and they come from files.
"""

import json
import os
import re
import shutil
import tempfile

from authority import Authority
from pods import AGENT_UID, WAIT_S, program, unprivileged, wait_until

TRUST_DOMAIN = "cluster.local"
CONTROL_PORT = 15012
CONTROL_NAME = "controlplane.test"

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_FIELD = rf"([a-z0-9_.]+)=({_QUOTED}|-?\d+)"
_LOG_LINE = re.compile(rf"(\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{3}}Z) (error|warn|info|debug) ([a-z0-9_]+) ({_QUOTED})((?: {_FIELD})*)")


def parse_log_line(line):
    """A line of an agent's logs, text or JSON, as a dictionary. What is not such a line is a ValueError."""
    if line.startswith("{"):
        return json.loads(line)
    match = _LOG_LINE.fullmatch(line)
    if not match:
        raise ValueError(f"not a line of the log: {line!r}")
    time, level, module, message, fields = match.groups()[:5]
    entry = {"time": time, "level": level, "module": module, "message": json.loads(message)}
    for key, value in re.findall(_FIELD, fields):
        # \xNN, a byte that is not UTF-8, is the one escape that JSON does not have.
        entry[key] = json.loads(value.replace("\\x", "\\\\x"))
    return entry


class Agent:
    """One pod with its sidecar. Made by Mesh.agent()."""

    def __init__(self, mesh, pod, namespace, service_account):
        self.mesh = mesh
        self.pod = pod
        self.name = pod.name
        self.namespace = namespace
        self.service_account = service_account
        self.identity = f"spiffe://{mesh.trust_domain}/ns/{namespace}/sa/{service_account}"
        self.process = None
        self.workload = {
            "uid": f"test/{pod.name}", "name": pod.name, "namespace": namespace, "serviceAccount": service_account,
            "trustDomain": mesh.trust_domain, "workloadIps": [pod.ipv4, pod.ipv6], "protocol": "HBONE", "network": "",
            "workloadName": pod.name, "workloadType": "deployment", "canonicalName": pod.name, "canonicalRevision": "v1",
            "clusterId": "Kubernetes", "node": "node", "services": {},
        }

    def options(self):
        """The command line that every agent of this mesh has."""
        return {
            "pod-name": self.name, "pod-namespace": self.namespace, "service-account": self.service_account,
            "trust-domain": self.mesh.trust_domain, "access-log": "text", **self.discovery_options(),
            **(self.ca_options() if self.mesh.authority is None else self.file_options()),
        }

    def discovery_options(self):
        if self.mesh.discovery == "file":
            return {"local-file": self.mesh.local_file}
        return {"xds-address": self.mesh.control_address, "xds-server-name": CONTROL_NAME, "xds-root-file": self.mesh.root_file,
                "token-file": self.mesh.token_file(self.name), "instance-ip": f"{self.pod.ipv4},{self.pod.ipv6}"}

    def ca_options(self):
        return {"cert-source": "istio-ca", "ca-address": self.mesh.control_address, "ca-server-name": CONTROL_NAME,
                "ca-root-file": self.mesh.root_file, "token-file": self.mesh.token_file(self.name)}

    def file_options(self):
        return {"cert-source": "files", **{f"{name}-file": self.mesh.certificate_file(self.name, name)
                                           for name in ("cert", "key", "trust-bundle")}}

    def command(self, **options):
        """The agent's command line, with options beyond or instead of the usual ones; None leaves one out."""
        merged = self.options()
        merged.update({name.replace("_", "-"): value for name, value in options.items()})
        return [program("remora-agent")] + [f"--{name}={value}" for name, value in merged.items() if value is not None]

    def start(self, ready=True, through=(), **options):
        """
        Starts the agent, with options beyond or instead of the usual ones (pod_name="x" is --pod-name=x; None leaves one out),
        and waits for its readiness unless told otherwise. `through` is a program that runs its arguments, like prlimit.
        Returns the Process.
        """
        command = self.command(**options)
        if through:
            # It runs as root, and setpriv below it: the build may be in a folder that only root may enter.
            self.process = self.pod.start([*through, *unprivileged(), *command])
        else:
            self.process = self.pod.start(command, uid=AGENT_UID)
        if ready:
            self.wait_ready()
        return self.process

    def wait_ready(self, timeout_s=WAIT_S):
        self.pod.wait_http("http://127.0.0.1:15021/healthz/ready", process=self.process, timeout_s=timeout_s)

    def readiness(self):
        """(status, text) of the readiness port; status 0 when nobody answers."""
        got = self.pod.run(["curl", "-s", "-w", "\n%{http_code}", "--max-time", "5", "http://127.0.0.1:15021/healthz/ready"],
                           check=False)
        text, _, status = got.stdout.rpartition("\n")
        return int(status), text

    def wait_not_ready(self, pattern, timeout_s=WAIT_S):
        """Waits until readiness says no, for a reason that the regular expression matches."""

        def look():
            status, text = self.readiness()
            return status == 503 and re.search(pattern, text)

        return wait_until(look, f"{self.name} not to be ready because of {pattern!r}", timeout_s)

    def stop(self):
        return self.process.stop()

    def restart(self, **options):
        self.stop()
        return self.start(**options)

    def capture(self, *options):
        """Installs the capture rules."""
        self.pod.run([program("remora-init"), "apply", *options])

    def access_log(self, pattern, since=0):
        """Waits for an access-log line that matches, and returns the whole line. `since` as for Process.wait_log()."""
        return self.process.wait_log(rf"^.*{pattern}.*$", since=since).group(0)

    def sessions(self, port, count=1, timeout_s=WAIT_S):
        """Waits until so many access-log lines name a destination of this port, and returns all there are, parsed."""

        def look():
            entries = [entry for entry in self.log_lines() if entry["module"] == "access" and any(
                entry.get(key, "").endswith(f":{port}") for key in ("dst.addr", "dst.hbone_addr"))]
            return entries if len(entries) >= count else None

        return wait_until(look, f"{count} access-log lines of {self.name} with port {port}", timeout_s)

    def log_lines(self):
        """Everything that the running agent has logged, parsed; a line that is none is a ValueError."""
        whole, _, _ = self.process.log().rpartition("\n")
        return [parse_log_line(line) for line in whole.splitlines()]

    def metrics(self):
        """{series: value} of the agent's metrics page; a series is written as Prometheus does, name{labels}."""
        page = self.pod.run(["curl", "-fsS", "http://127.0.0.1:15020/metrics"]).stdout
        return dict(re.findall(r"^([^#\s].*) (\S+)$", page, re.MULTILINE))

    def wait_unused(self):
        """Waits until the agent holds no connection, no tunnel and no stream of anybody's, as its gauges tell."""
        gauges = ("istio_tcp_sockets_open", "remora_tunnels_open", "remora_tunnel_streams_open")
        wait_until(lambda: all(self.metric(gauge) == 0 for gauge in gauges), f"nothing to be open in {self.name}")

    def metric(self, name, **labels):
        """The sum of a metric over the series that have these labels."""
        total = 0.0
        for series, value in self.metrics().items():
            if re.match(rf"{name}(\{{|$)", series) and all(f'{key}="{val}"' in series for key, val in labels.items()):
                total += float(value)
        return total


class Mesh:
    """
    Attributes: `agents` and `peers` by pod name, `services` and `policies` as they go into the file, `control`, the control
    plane.
    """

    def __init__(self, node, trust_domain=TRUST_DOMAIN, cert_source="istio-ca", discovery="file"):
        self.node = node
        self.discovery = discovery
        self.authority = Authority(node.folder) if cert_source == "files" else None
        self.trust_domain = trust_domain
        self.folder = tempfile.mkdtemp(prefix="mesh-", dir=node.folder)
        os.chmod(self.folder, 0o755)
        self.agents = {}
        self.peers = {}
        self.services = []
        self.policies = []
        self.control_pod = node.pod("control")
        self.control_address = f"{self.control_pod.ipv4}:{CONTROL_PORT}"
        self.control = None
        self.state_dir = os.path.join(self.folder, "control-state")
        self.root_file = os.path.join(self.state_dir, "root.pem")
        self.discovery_dir = os.path.join(self.folder, "discovery")
        os.mkdir(self.discovery_dir)
        self.local_file = os.path.join(self.discovery_dir, "mesh.yaml")
        self.tokens_file = os.path.join(self.folder, "tokens.yaml")

    # ------------------------------------------------------------------------------------------------ who is in it

    def agent(self, name, namespace="demo", service_account=None):
        agent = Agent(self, self.node.pod(name), namespace, service_account or name)
        self.agents[name] = agent
        return agent

    def peer(self, name, namespace="demo", service_account=None):
        """An agent that is not ours: in discovery like the others, but never started. The test plays it."""
        peer = Agent(self, self.node.pod(name), namespace, service_account or name)
        self.peers[name] = peer
        return peer

    def service(self, name, vips, ports, endpoints, namespace="demo", **fields):
        """A service with VIPs (texts) and ports {service port: target port}, backed by agents."""
        hostname = f"{name}.{namespace}.svc.cluster.local"
        self.services.append({"name": name, "namespace": namespace, "hostname": hostname,
                              "vips": [f"/{vip}" for vip in vips], "ports": ports, **fields})
        for endpoint in endpoints:
            endpoint.workload["services"][f"{namespace}/{hostname}"] = ports

    def allow(self, name, to_namespace, *principals):
        """An ALLOW policy of a namespace: these SPIFFE IDs, and with it nobody else."""
        values = [{"Exact": principal.removeprefix("spiffe://")} for principal in principals]
        self.policies.append({"name": name, "namespace": to_namespace, "scope": "Namespace", "action": "Allow",
                              "rules": [[[{"principals": values}]]], "dryRun": False})

    # ------------------------------------------------------------------------------------------------------- files

    def write_local_file(self, workloads=None):
        """(Re)writes the file of workloads, services and policies, replaced in one step as a ConfigMap is."""
        everybody = [*self.agents.values(), *self.peers.values()]
        content = {"workloads": workloads if workloads is not None else [agent.workload for agent in everybody],
                   "services": self.services, "policies": self.policies}
        replace_file(self.local_file, json.dumps(content, indent=1))

    def token_file(self, name):
        return os.path.join(self.folder, f"token-{name}")

    def write_tokens(self):
        entries = []
        for name, agent in self.agents.items():
            token = f"token-of-{name}-{'0123456789abcdef' * 2}"
            replace_file(self.token_file(name), token + "\n", mode=0o600, uid=AGENT_UID)
            entries.append({"token": token, "trustDomain": self.trust_domain, "namespace": agent.namespace,
                            "serviceAccount": agent.service_account})
        replace_file(self.tokens_file, json.dumps({"tokens": entries}), mode=0o600)

    def certificate_file(self, agent_name, what):
        return os.path.join(self.folder, f"{agent_name}-{what}.pem")

    def write_certificate(self, agent):
        """(Re)places the files of an agent whose certificate comes from files."""
        chain, key = self.authority.issue([f"URI:{agent.identity}"])
        replace_file(self.certificate_file(agent.name, "trust-bundle"), self.authority.root_pem)
        replace_file(self.certificate_file(agent.name, "key"), key, mode=0o600, uid=AGENT_UID)
        replace_file(self.certificate_file(agent.name, "cert"), chain)

    # ------------------------------------------------------------------------------------------------------ running

    def start_control(self, **options):
        merged = {"listen": f"{self.control_pod.ipv4}:{CONTROL_PORT}", "state-dir": self.state_dir,
                  "tokens-file": self.tokens_file, "server-name": CONTROL_NAME, "trust-domain": self.trust_domain}
        if self.discovery == "control-plane":
            merged["discovery-dir"] = self.discovery_dir
        merged.update({name.replace("_", "-"): value for name, value in options.items()})
        argv = [program("remora-controlplane")] + [f"--{name}={value}" for name, value in merged.items()]
        self.control = self.control_pod.start(argv)
        self.control_pod.wait_listening(CONTROL_PORT, self.control)
        wait_until(lambda: os.path.exists(self.root_file), "the control plane's root certificate")
        return self.control

    def start(self, control=None, **agent_options):
        """The files, the control plane (with these options), the capture rules and every agent."""
        self.write_local_file()
        if self.authority is None:
            self.write_tokens()
            self.start_control(**(control or {}))
        for agent in self.agents.values():
            if self.authority is not None:
                self.write_certificate(agent)
            agent.capture()
            agent.start(ready=False, **agent_options)
        for agent in self.agents.values():
            agent.wait_ready()


def replace_file(path, content, mode=0o644, uid=None):
    """Writes a file in one step: readers see the old content or the new, never a part."""
    temporary = path + ".new"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(content)
    os.chmod(temporary, mode)
    if uid is not None:
        shutil.chown(temporary, uid)
    os.replace(temporary, path)
