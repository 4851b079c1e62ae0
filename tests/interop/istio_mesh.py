"""A mesh whose control plane is a real istiod over a real Kubernetes API: the pods of pods.py are pods of that cluster, too."""

import istiod as istio
from mesh import Agent, Mesh, replace_file
from pods import AGENT_UID


class IstioAgent(Agent):
    """A pod of the cluster with its sidecar. Made by IstioMesh.agent()."""

    def options(self):
        return {
            "pod-name": self.name, "pod-namespace": self.namespace, "service-account": self.service_account,
            "trust-domain": self.mesh.trust_domain, "instance-ip": self.pod.ipv4, "access-log": "text",
            "cert-source": "istio-ca", "ca-address": self.mesh.istiod.address, "ca-server-name": istio.SERVER_NAME,
            "ca-root-file": self.mesh.istiod.root_file, "token-file": self.mesh.token_file(self.name),
            "xds-address": self.mesh.istiod.address, "xds-server-name": istio.SERVER_NAME,
            "xds-root-file": self.mesh.istiod.root_file,
        }

    def write_token(self, audience=istio.AUDIENCE, account=None):
        """What the kubelet mounts into the pod; a token of another account or for another audience when told so."""
        token = self.mesh.cluster.token(self.namespace, account or self.service_account, audience)
        replace_file(self.mesh.token_file(self.name), token, mode=0o600, uid=AGENT_UID)


class IstioMesh(Mesh):
    """Attributes: `cluster`, `istiod`."""

    def __init__(self, node, cluster, istiod):
        super().__init__(node)
        self.cluster = cluster
        self.istiod = istiod

    def agent(self, name, namespace="demo", service_account=None):
        """A new pod with a sidecar, known to the cluster as one that is captured."""
        self.cluster.service_account(namespace, service_account or name)
        return self.adopt(self.node.pod(name), namespace, service_account)

    def adopt(self, pod, namespace="demo", service_account=None, name=None):
        """The same in a network namespace, and with a service account, that are there already; its name is the former's else."""
        agent = IstioAgent(self, pod, namespace, service_account or pod.name)
        agent.name = name or pod.name
        self.agents[agent.name] = agent
        agent.write_token()
        self.run(pod, namespace, agent.service_account, istio.CAPTURED, agent.name)
        return agent

    def run(self, pod, namespace, service_account, annotations=None, name=None):
        """Makes a pod known to the cluster; its label `app` is its name."""
        name = name or pod.name
        self.cluster.run_pod(namespace, name, service_account, [pod.ipv4, pod.ipv6], {"app": name}, annotations)
