"""
Real SPIRE: for each trust domain a server in a pod of its own, with the SPIRE agents of its machines beside it, and a mesh whose
sidecars get their certificates there. Each workload has a machine to itself, as SPIRE's agents tell workloads apart by their
uid, and sidecars all have the same.
"""

import base64
import json
import os
import subprocess

from mesh import Agent, Mesh
from peers import program
from pods import AGENT_UID, wait_until

SVID_TTL_S = 20
SERVER_PORT = 8081
BUNDLE_PORT = 8443
# SPIRE makes certificates valid from ten seconds before now and replaces them at half their life: when they are 3 to 7 s old.
ROTATION_S = 10

_SERVER = """
server {{
  bind_address = "{address}"
  bind_port = {port}
  socket_path = "{folder}/server.sock"
  trust_domain = "{trust_domain}"
  data_dir = "{folder}"
  experimental {{ cache_reload_interval = "1s" }}
  federation {{
    bundle_endpoint {{
      address = "{address}"
      port = {bundle_port}
      profile "https_spiffe" {{}}
    }}
  }}
}}
plugins {{
  DataStore "sql" {{
    plugin_data {{
      database_type = "sqlite3"
      connection_string = "{folder}/store.sqlite3"
    }}
  }}
  NodeAttestor "join_token" {{ plugin_data {{}} }}
  KeyManager "disk" {{ plugin_data {{ keys_path = "{folder}/keys.json" }} }}
}}
"""

_AGENT = """
agent {{
  server_address = "{address}"
  server_port = {port}
  socket_path = "{folder}/workload.sock"
  trust_bundle_path = "{bundle_file}"
  trust_domain = "{trust_domain}"
  data_dir = "{folder}/data"
  experimental {{ sync_interval = "1s" }}
}}
plugins {{
  NodeAttestor "join_token" {{ plugin_data {{}} }}
  KeyManager "disk" {{ plugin_data {{ directory = "{folder}/data" }} }}
  WorkloadAttestor "unix" {{ plugin_data {{}} }}
}}
"""


class TrustDomain:
    """A SPIRE server, running. Attributes: `name`; `pod`; `process`; `machines`, the Machines that it knows."""

    def __init__(self, node, name):
        self.name = name
        self.pod = node.pod(f"spire-{name.partition('.')[0]}")
        self.process = None
        self.machines = []
        self._folder = os.path.join(node.folder, self.pod.name)
        os.mkdir(self._folder, mode=0o755)
        self._config = self.write("server.conf", _SERVER, folder=self._folder, bundle_port=BUNDLE_PORT)
        self.start()

    def write(self, name, template, **values):
        """The path of a file with this configuration."""
        path = os.path.join(self._folder, name)
        with open(path, "w", encoding="ascii") as file:
            file.write(template.format(address=self.pod.ipv4, port=SERVER_PORT, trust_domain=self.name, **values))
        return path

    def start(self):
        """As after a crash too: keys and entries are on disk."""
        self.process = self.pod.start([program("spire-server"), "run", "-config", self._config])
        wait_until(lambda: self._server("healthcheck").returncode == 0, f"SPIRE's server of {self.name}")

    def _server(self, *command):
        return subprocess.run([program("spire-server"), *command, "-socketPath", os.path.join(self._folder, "server.sock")],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    def tell(self, *command):
        """A command of spire-server; returns what it prints."""
        done = self._server(*command)
        assert done.returncode == 0, f"spire-server {' '.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout

    def ask(self, *command):
        """The same, for an answer in JSON."""
        return json.loads(self.tell(*command, "-output", "json"))

    # ----------------------------------------------------------------------------------------- machines and workloads

    def machine(self, name):
        """A new Machine, attested by a join token, with its SPIRE agent running."""
        folder = os.path.join(self._folder, name)
        os.mkdir(folder, mode=0o755)
        made = Machine(self, name, folder)
        self.machines.append(made)
        made.start()
        return made

    def root_file(self):
        """PEM of the roots as they are now."""
        return self._save("bundle.pem", self.tell("bundle", "show"))

    def _save(self, name, text):
        path = os.path.join(self._folder, name)
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        return path

    # ------------------------------------------------------------------------------------------------------ authorities

    def authority(self):
        """The key ID of the authority that signs."""
        return self.ask("localauthority", "x509", "show")["active"]["authority_id"]

    def prepare(self):
        """A new authority, trusted but not used yet; returns its key ID."""
        return self.ask("localauthority", "x509", "prepare")["prepared_authority"]["authority_id"]

    def activate(self, authority):
        """It signs from now on."""
        self.tell("localauthority", "x509", "activate", "-authorityID", authority)

    def taint(self, authority):
        """What an authority has signed is replaced at once."""
        self.tell("localauthority", "x509", "taint", "-authorityID", authority)

    def revoke(self, authority):
        """It is trusted no longer."""
        self.tell("localauthority", "x509", "revoke", "-authorityID", authority)

    # ------------------------------------------------------------------------------------------------------- federation

    def federate(self, other):
        """Trusts another one from now on, whose bundle endpoint it follows. Its entries have to say so, too."""
        bundle = self._save("federated.json", other.tell("bundle", "show", "-format", "spiffe"))
        self.tell("federation", "create", "-trustDomain", other.name, "-bundleEndpointProfile", "https_spiffe",
                  "-bundleEndpointURL", f"https://{other.pod.ipv4}:{BUNDLE_PORT}",
                  "-endpointSpiffeID", f"spiffe://{other.name}/spire/server",
                  "-trustDomainBundlePath", bundle, "-trustDomainBundleFormat", "spiffe")

    def refresh(self, other):
        """Asks the other's bundle endpoint now; by itself it would within 75 s."""
        self.tell("federation", "refresh", "-id", other.name)

    def part(self, other):
        """The end of a federation: the relationship, the bundle, and the entries' share in it."""
        self.tell("federation", "delete", "-id", other.name)
        self.tell("bundle", "delete", "-id", f"spiffe://{other.name}", "-mode", "dissociate")


class Machine:
    """A SPIRE agent. Attributes: `endpoint`, the address of its Workload API; `process`."""

    def __init__(self, domain, name, folder):
        self.domain = domain
        self.endpoint = f"unix://{folder}/workload.sock"
        self.process = None
        self._name = name
        self._token = domain.ask("token", "generate")["value"]
        self._config = domain.write(f"{name}.conf", _AGENT, folder=folder, bundle_file=domain.root_file())

    def start(self):
        """As after a crash, too: then the token is used up, and what it was exchanged for is on disk."""
        socket = self.endpoint.removeprefix("unix://")
        self.process = self.domain.pod.start([program("spire-agent"), "run", "-config", self._config, "-joinToken", self._token],
                                             name=f"spire-agent-{self._name}-{len(self.domain.pod.node.processes)}")
        self.process.wait_log("Starting Workload and SDS APIs")
        wait_until(lambda: os.path.exists(socket), f"the Workload API of {self._name}")

    def knows(self, domain):
        """Whether the Workload API gives out another trust domain's roots as they are now."""
        shown = self.domain.pod.run([program("spire-agent"), "api", "fetch", "x509", "-output", "json", "-socketPath",
                                     self.endpoint.removeprefix("unix://")], uid=AGENT_UID).stdout
        roots = [base64.b64decode(root["asn1"]) for root in domain.ask("bundle", "show")["x509_authorities"]]
        return base64.b64decode(json.loads(shown)["federated_bundles"].get(f"spiffe://{domain.name}", "")) == b"".join(roots)

    def entry(self, identity, federates_with=(), ttl_s=SVID_TTL_S, hint=""):
        """Registers processes of the agents' uid on this machine; returns the Entry."""
        return Entry(self.domain, ["-parentID", f"spiffe://{self.domain.name}/spire/agent/join_token/{self._token}",
                                   "-spiffeID", identity, "-selector", f"unix:uid:{AGENT_UID}", "-x509SVIDTTL", str(ttl_s),
                                   "-hint", hint],
                     [other.name for other in federates_with])


class Entry:
    """A registration entry. Attribute: `id`."""

    def __init__(self, domain, fields, federates_with):
        self._domain = domain
        self._fields = [*fields, *(option for name in federates_with for option in ("-federatesWith", f"spiffe://{name}"))]
        self.id = None
        self.create()

    def create(self):
        """Once more, after delete()."""
        result, = self._domain.ask("entry", "create", *self._fields)["results"]
        self.id = result["entry"]["id"]

    def restore(self):
        """As it was made: TrustDomain.part() takes federations out of entries."""
        self._domain.tell("entry", "update", "-entryID", self.id, *self._fields)

    def delete(self):
        self._domain.tell("entry", "delete", "-entryID", self.id)


class SpireAgent(Agent):
    """A pod whose sidecar gets its certificate from a machine's SPIRE agent. Made by SpireMesh. Attributes: `machine`, `entry`."""

    def __init__(self, mesh, pod, domain, path, **entry):
        super().__init__(mesh, pod, "demo", pod.name)
        self.domain = domain
        self.identity = f"spiffe://{domain.name}{path}"
        self.workload["trustDomain"] = domain.name
        self.machine = domain.machine(pod.name)
        self.entry = self.machine.entry(self.identity, [other for other in mesh.domains if other is not domain], **entry)

    def options(self):
        return {
            "pod-name": self.name, "pod-namespace": self.namespace, "service-account": self.service_account,
            "trust-domain": self.domain.name, "local-file": self.mesh.local_file, "access-log": "text",
            "cert-source": "spiffe", "spiffe-endpoint": self.machine.endpoint,
        }


class SpireMesh(Mesh):
    """A mesh whose discovery is a file, over trust domains that all federate. Attribute: `domains`."""

    def __init__(self, node, *trust_domains):
        super().__init__(node)
        self.domains = [TrustDomain(node, name) for name in trust_domains]
        for one in self.domains:
            for other in self.domains:
                if other is not one:
                    one.federate(other)

    def spire_agent(self, name, domain, path, **entry):
        """A new pod with a sidecar whose SPIFFE ID has this path; more arguments are Machine.entry()'s."""
        self.agents[name] = SpireAgent(self, self.node.pod(name), domain, path, **entry)
        return self.agents[name]

    def spire_peer(self, name, domain, path):
        """A new pod without a sidecar, whose program has an identity and takes tunnels all the same."""
        self.peers[name] = SpireAgent(self, self.node.pod(name), domain, path)
        return self.peers[name]
