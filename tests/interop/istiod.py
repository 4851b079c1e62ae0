"""A real istiod in a pod of its own, over the Kubernetes API of cluster.py, with ambient mode on."""

import os

import cluster as kubernetes
from mesh import replace_file
from peers import ISTIO_DEFINITIONS, program
from pods import wait_until

NAMESPACE = "istio-system"
SERVER_NAME = "istiod.istio-system.svc"
AUDIENCE = "istio-ca"
PORT = 15012
CAPTURED = {"ambient.istio.io/redirection": "enabled"}  # what Istio's CNI plugin writes to the pods that it captures
START_S = 120


class Istiod:
    """Attributes: `pod`; `address`, host:port of discovery and CA; `root_file`, by which its server certificate is verified; `crl_file`."""

    def __init__(self, node, cluster):
        self.pod = node.pod("istiod")
        self.address = f"{self.pod.ipv4}:{PORT}"
        self.process = None
        self._cluster = cluster
        self._folder = os.path.join(node.folder, "istiod")
        os.mkdir(self._folder, mode=0o755)
        self.root_file = os.path.join(self._folder, "root.pem")
        self.crl_file = os.path.join(self._folder, "crl.pem")

    def install(self):
        """What an installation puts into the cluster."""
        self._cluster.apply_definitions(ISTIO_DEFINITIONS)
        self._cluster.namespace(NAMESPACE)

    def start(self, *arguments, **environment):
        """Starts it, with these arguments and environment variables beside the usual ones, and waits until it is ready."""
        self.process = self.pod.start(
            [program("pilot-discovery"), "discovery", "--kubeconfig", self._cluster.kubeconfig_file,
             "--namespace", NAMESPACE, "--clusterID", "Kubernetes", "--monitoringAddr", ":15014", "--ctrlz_port", "0", *arguments],
            cwd=self._folder,
            env={"PILOT_ENABLE_AMBIENT": "true", "POD_NAME": "istiod-0", "POD_NAMESPACE": NAMESPACE, "REVISION": "default",
                 "ROOT_CA_DIR": os.path.join(self._folder, "cacerts"), "ISTIO_MULTIROOT_MESH": "true",
                 # The webhooks that it would look after are not installed.
                 "INJECT_ENABLED": "false", "VALIDATION_WEBHOOK_CONFIG_NAME": "", **environment})
        self.pod.wait_http("http://127.0.0.1:8080/ready", process=self.process, timeout_s=START_S)
        wait_until(self.mount_root, "istiod to publish its root certificate", START_S)

    def mount_root(self):
        """
        Brings root_file up to date with what istiod publishes, as the kubelet does for what pods mount. Returns it, or None
        when nothing is published yet.
        """
        return self._mount("istio-ca-root-cert", "root-cert.pem", self.root_file)

    def mount_crl(self):
        """The same for crl_file."""
        return self._mount("istio-ca-crl", "ca-crl.pem", self.crl_file)

    def _mount(self, name, key, path):
        try:
            content = self._cluster.get("v1", "configmaps", NAMESPACE, name)["data"][key]
        except kubernetes.ApiError as error:
            if error.status == 404:
                return None
            raise
        replace_file(path, content)
        return content

    def plug_authority(self, issuer, roots, crl=""):
        """
        Has it sign as `issuer`, an Authority below a root of one's own, and hand out these roots and this revocation list; before
        its start or while it runs.
        """
        folder = os.path.join(self._folder, "cacerts")
        os.makedirs(folder, mode=0o700, exist_ok=True)
        with open(issuer.key_file, encoding="ascii") as file:
            key = file.read()
        files = {"ca-key.pem": key, "ca-cert.pem": issuer.root_pem, "cert-chain.pem": issuer.chain_pem,
                 "root-cert.pem": "".join(root.root_pem for root in roots)}
        if crl:
            files["ca-crl.pem"] = crl
        for name, content in files.items():
            replace_file(os.path.join(folder, name), content, mode=0o600)

    def stop(self):
        return self.process.stop(timeout_s=30)
