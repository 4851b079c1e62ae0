"""The SPIFFE Workload API as go/peers/workload-api serves it, and a mesh whose agents get their certificates there."""

import http.client
import json
import os
import socket
import urllib.parse

from mesh import Agent, Mesh
from peers import program
from pods import AGENT_UID

SVID_TTL_S = 8


class WorkloadApi:
    """
    Authorities of some trust domains, and a socket for each workload. Use: endpoint() for each, then start(). Attributes:
    `pod`; `process`.
    """

    def __init__(self, node, trust_domains, ttl_s=SVID_TTL_S):
        self.pod = node.pod("workload-api")
        self.process = None
        self._folder = os.path.join(node.folder, "workload-api")
        os.mkdir(self._folder, mode=0o755)
        self._control = os.path.join(self._folder, "control.sock")
        self._config = {"ttlSeconds": ttl_s, "trustDomains": trust_domains, "endpoints": []}

    def endpoint(self, name, *identities, federates_with=(), uid=AGENT_UID):
        """The address of a new socket, at which a process of this uid gets these SPIFFE IDs; the first is the default."""
        path = os.path.join(self._folder, f"{name}.sock")
        self._config["endpoints"].append({"socket": path, "uid": uid, "ids": [{"id": identity} for identity in identities],
                                          "federatesWith": list(federates_with)})
        return f"unix://{path}"

    def start(self):
        config = os.path.join(self._folder, "config.json")
        with open(config, "w", encoding="utf-8") as file:
            json.dump(self._config, file)
        self.process = self.pod.start([program("workload-api"), "-config", config, "-control", self._control])
        self.process.wait_log("serving")

    def leave(self):
        """An outage: streams are cut, the sockets are gone; the authorities are kept."""
        self._ask("POST", "/leave")

    def come_back(self):
        self._ask("POST", "/return")

    def rotate(self, step, trust_domain):
        """A step of a trust domain's root: "prepare" (published too), "activate" (signs), "retire" (the old one is withdrawn)."""
        self._ask("POST", f"/{step}?{urllib.parse.urlencode({'trust-domain': trust_domain})}")

    def issued(self):
        """{SPIFFE ID: how many SVIDs were issued for it}."""
        return json.loads(self._ask("GET", "/issued"))

    def _ask(self, method, path):
        connection = http.client.HTTPConnection("localhost", timeout=10)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(self._control)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        assert answer.status == 200, f"{method} {path}: {answer.status} {text}"
        return text


class SpiffeAgent(Agent):
    """A pod whose sidecar gets its certificate from the Workload API, at `endpoint`. Made by SpiffeMesh.spiffe_agent()."""

    def __init__(self, mesh, pod, trust_domain, endpoint):
        super().__init__(mesh, pod, "demo", pod.name)
        self.trust_domain = trust_domain
        self.identity = f"spiffe://{trust_domain}/ns/demo/sa/{pod.name}"
        self.workload["trustDomain"] = trust_domain
        self.endpoint = endpoint

    def options(self):
        return {
            "pod-name": self.name, "pod-namespace": self.namespace, "service-account": self.service_account,
            "trust-domain": self.trust_domain, "local-file": self.mesh.local_file, "access-log": "text",
            "cert-source": "spiffe", "spiffe-endpoint": self.endpoint,
        }


class SpiffeMesh(Mesh):
    """A mesh whose discovery is a file and whose certificates come from a WorkloadApi. Attribute: `api`."""

    def __init__(self, node, trust_domains):
        super().__init__(node)
        self.api = WorkloadApi(node, trust_domains)
        self._trust_domains = trust_domains

    def spiffe_agent(self, name, trust_domain):
        """A new pod with a sidecar in a trust domain that federates with all the others."""
        return self._add(self.agents, name, trust_domain)

    def spiffe_peer(self, name, trust_domain):
        """A new pod without a sidecar, whose program has an identity and takes tunnels all the same."""
        return self._add(self.peers, name, trust_domain)

    def _add(self, group, name, trust_domain):
        others = [other for other in self._trust_domains if other != trust_domain]
        endpoint = self.api.endpoint(name, f"spiffe://{trust_domain}/ns/demo/sa/{name}", federates_with=others)
        group[name] = SpiffeAgent(self, self.node.pod(name), trust_domain, endpoint)
        return group[name]
