"""
A Kubernetes API without nodes: a real kube-apiserver over a real etcd, in a pod of their own. There is no kubelet and no
controller; what those would write (a pod's status, endpoint slices) is written by whoever uses this.
"""

import http.client
import json
import os
import ssl
import subprocess
import urllib.parse

from authority import Authority
from peers import program
from pods import wait_until

API_PORT = 6443
ETCD_URL = "http://127.0.0.1:2379"
SERVICE_CIDR = "198.19.0.0/16"
START_S = 120

_ADMIN_TOKEN = "admin-0123456789abcdef0123456789abcdef"
_SERVER_LEAF = ("basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature", "extendedKeyUsage=serverAuth")


class ApiError(AssertionError):
    """An answer other than 2xx. Attribute: `status`."""

    def __init__(self, status, what):
        super().__init__(what)
        self.status = status


class Cluster:
    """Attributes: `pod`; `kubeconfig_file`, for programs that administer it; `issuer`, of its service accounts' tokens."""

    def __init__(self, node):
        self.pod = node.pod("cluster")
        self.issuer = "https://kubernetes.default.svc"
        self._folder = os.path.join(node.folder, "cluster")
        os.mkdir(self._folder, mode=0o700)
        self._authority = Authority(self._folder, name="kubernetes")
        self._server = self._authority.credentials(["DNS:kubernetes.default.svc", f"IP:{self.pod.ipv4}", "IP:127.0.0.1"],
                                                   extensions=_SERVER_LEAF)
        self.kubeconfig_file = self._write_kubeconfig()
        self._tls = ssl.create_default_context(cafile=self._authority.root_file)

    def start(self):
        etcd = self.pod.start(["etcd", "--data-dir", self._path("etcd"), "--listen-client-urls", ETCD_URL,
                               "--advertise-client-urls", ETCD_URL, "--listen-peer-urls", "http://127.0.0.1:2380",
                               "--unsafe-no-fsync"], name="etcd")
        self.pod.wait_listening(2379, etcd)
        signing_key = self._path("accounts-key.pem")
        subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", signing_key], check=True)
        with open(self._path("tokens.csv"), "w", encoding="ascii") as file:
            file.write(f"{_ADMIN_TOKEN},admin,admin,system:masters\n")
        apiserver = self.pod.start([
            program("kube-apiserver"), "--etcd-servers", ETCD_URL, "--secure-port", str(API_PORT),
            "--advertise-address", self.pod.ipv4, "--service-cluster-ip-range", SERVICE_CIDR,
            "--tls-cert-file", self._server.chain_file, "--tls-private-key-file", self._server.key_file,
            "--token-auth-file", self._path("tokens.csv"), "--authorization-mode", "RBAC",
            "--service-account-issuer", self.issuer, "--service-account-key-file", signing_key,
            "--service-account-signing-key-file", signing_key, "--cert-dir", self._path("certs"),
            # There is no controller that would make each namespace's default account, which it would wait for.
            "--disable-admission-plugins", "ServiceAccount",
        ], name="kube-apiserver")
        self.pod.wait_listening(API_PORT, apiserver, timeout_s=START_S)
        wait_until(self._is_ready, "the Kubernetes API to be ready", START_S)

    def _is_ready(self):
        try:
            return self.request("GET", "/readyz") == "ok"
        except (OSError, ApiError, http.client.HTTPException):
            return False

    # -------------------------------------------------------------------------------------------------- the API

    def request(self, method, path, body=None, content_type="application/json"):
        """One request as administrator; returns the answer, decoded where it is JSON. `body` is text, or what JSON can say."""
        with self.pod.entered():
            connection = http.client.HTTPSConnection("127.0.0.1", API_PORT, context=self._tls, timeout=30)
            connection.connect()
        try:
            text = body if body is None or isinstance(body, str) else json.dumps(body)
            connection.request(method, path, body=text, headers={"Authorization": f"Bearer {_ADMIN_TOKEN}",
                                                                 "Content-Type": content_type})
            answer = connection.getresponse()
            content = answer.read().decode()
        finally:
            connection.close()
        if not 200 <= answer.status < 300:
            raise ApiError(answer.status, f"{method} {path}: {answer.status}\n{content}")
        return json.loads(content) if answer.headers.get_content_type() == "application/json" else content

    def create(self, api, kind_plural, namespace, name, metadata=None, **fields):
        """Creates an object: api is "v1" or "group/version"; returns it as the API tells it."""
        body = {"metadata": {"name": name, **(metadata or {})}, **fields}
        return self.request("POST", _path(api, kind_plural, namespace), body)

    def patch(self, api, kind_plural, namespace, name, fields, part=None):
        """Merges fields into an object, or into a part of it that has an address of its own: "status"."""
        path = "/".join(filter(None, [_path(api, kind_plural, namespace), name, part]))
        return self.request("PATCH", path, fields, "application/merge-patch+json")

    def get(self, api, kind_plural, namespace, name):
        return self.request("GET", f"{_path(api, kind_plural, namespace)}/{name}")

    def delete(self, api, kind_plural, namespace, name):
        query = urllib.parse.urlencode({"gracePeriodSeconds": 0})
        return self.request("DELETE", f"{_path(api, kind_plural, namespace)}/{name}?{query}")

    def apply_definitions(self, yaml_file):
        """Creates the CustomResourceDefinitions of a YAML file of several documents, and waits until they are served."""
        with open(yaml_file, encoding="utf-8") as file:
            documents = [document for document in file.read().split("\n---\n") if "kind: CustomResourceDefinition" in document]
        path = _path("apiextensions.k8s.io/v1", "customresourcedefinitions", None)
        made = [self.request("POST", path, document, "application/yaml") for document in documents]
        for definition in made:
            name = definition["metadata"]["name"]
            wait_until(lambda name=name: self._is_established(name), f"{name} to be served", START_S)

    def _is_established(self, name):
        status = self.get("apiextensions.k8s.io/v1", "customresourcedefinitions", None, name).get("status", {})
        return any(condition["type"] == "Established" and condition["status"] == "True"
                   for condition in status.get("conditions", []))

    # ------------------------------------------------------------------------------------------ what is in a cluster

    def namespace(self, name, labels=None):
        self.create("v1", "namespaces", None, name, metadata={"labels": labels or {}})

    def service_account(self, namespace, name):
        self.create("v1", "serviceaccounts", namespace, name)

    def token(self, namespace, account, audience, seconds=3600):
        """A service account's token, as the kubelet asks for it when it mounts one into a pod."""
        path = f"{_path('v1', 'serviceaccounts', namespace)}/{account}/token"
        answer = self.request("POST", path, {"spec": {"audiences": [audience], "expirationSeconds": seconds}})
        return answer["status"]["token"]

    def run_pod(self, namespace, name, account, addresses, labels=None, annotations=None, node="node-1"):
        """A pod that has been running since now: its object, and the status that a kubelet would write."""
        self.create("v1", "pods", namespace, name, metadata={"labels": labels or {}, "annotations": annotations or {}},
                    spec={"serviceAccountName": account, "nodeName": node, "automountServiceAccountToken": False,
                          "containers": [{"name": "app", "image": "none.test/app"}]})
        self.patch("v1", "pods", namespace, name, {"status": {
            "phase": "Running", "podIP": addresses[0], "podIPs": [{"ip": address} for address in addresses],
            "conditions": [{"type": kind, "status": "True"} for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")],
        }}, part="status")

    def service(self, namespace, name, ip, ports, selector, labels=None):
        """A service with the given address and ports {service port: target port}. Its endpoints are endpoint_slice()'s."""
        self.create("v1", "services", namespace, name, metadata={"labels": labels or {}}, spec={
            "clusterIP": ip, "selector": selector,
            "ports": [{"name": f"tcp-{port}", "port": port, "targetPort": target} for port, target in ports.items()]})

    def endpoint_slice(self, namespace, service, ports, pods):
        """The slice of a service that a controller would write: pods is {pod name: address}."""
        self.create("discovery.k8s.io/v1", "endpointslices", namespace, f"{service}-1", addressType="IPv4",
                    metadata={"labels": {"kubernetes.io/service-name": service}},
                    ports=[{"name": f"tcp-{port}", "port": target, "protocol": "TCP"} for port, target in ports.items()],
                    endpoints=[{"addresses": [address], "conditions": {"ready": True},
                                "targetRef": {"kind": "Pod", "namespace": namespace, "name": name}}
                               for name, address in pods.items()])

    # ----------------------------------------------------------------------------------------------------- files

    def _path(self, name):
        return os.path.join(self._folder, name)

    def _write_kubeconfig(self):
        cluster = {"server": f"https://{self.pod.ipv4}:{API_PORT}", "certificate-authority": self._authority.root_file}
        config = {"apiVersion": "v1", "kind": "Config", "current-context": "admin",
                  "clusters": [{"name": "test", "cluster": cluster}],
                  "users": [{"name": "admin", "user": {"token": _ADMIN_TOKEN}}],
                  "contexts": [{"name": "admin", "context": {"cluster": "test", "user": "admin"}}]}
        with open(self._path("kubeconfig"), "w", encoding="utf-8") as file:
            json.dump(config, file)
        return self._path("kubeconfig")


def _path(api, kind_plural, namespace):
    start = "/api/v1" if api == "v1" else f"/apis/{api}"
    return f"{start}/namespaces/{namespace}/{kind_plural}" if namespace else f"{start}/{kind_plural}"
