"""
The setups that are compared. Each has two pods of its own: in one the client and the client-side proxy, in the other the
server-side proxy and the server. Proxies run one worker thread each, as the same unprivileged user, without access log.

A setup knows how to start its proxies for a number of connections, and where its client connects to; nothing else about it
matters to a measurement.
"""

import os
import re

import identities
import pods

SERVER_PORT = 8080
LOCAL_PORT = 9000   # of the client-side proxy, where the client connects
TUNNEL_PORT = 9001  # of the server-side proxy
READINESS_PORT = 15021
HBONE_PORT = 15008

CIPHER_SUITE = "TLS_AES_128_GCM_SHA256"
_NGINX_STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"

# The same network for all: enough ports and queues that no setup runs into a limit of the kernel's before its own.
_SYSCTLS = {
    "net/ipv4/ip_local_port_range": "1024 65535",
    "net/ipv4/ip_local_reserved_ports": f"{SERVER_PORT},{LOCAL_PORT}-{TUNNEL_PORT},15000-15099",
    "net/ipv4/tcp_tw_reuse": "1",
    "net/ipv4/tcp_max_syn_backlog": "8192",
    "net/core/somaxconn": "8192",
}


class Setup:
    """
    The base of all, and with no proxies at all the setup `direct`.

    Class attributes: `key` names it in options and results, `title` in tables; `tunnel_port` is where the server side speaks
    TLS, None for those that do not. Attributes: `client_pod`, `server_pod`, `proxies` ("client" and "server" side, Process).
    """

    key = "direct"
    title = "direct"
    tunnel_port = None
    measures_only = None  # the keys of the measures that it is for; None: all

    def __init__(self, node, tools, certificates):
        self.node = node
        self.tools = tools
        self.certificates = certificates
        self.client_pod = node.pod(f"{self.key}-client")
        self.server_pod = node.pod(f"{self.key}-server")
        self.proxies = {}
        for pod in (self.client_pod, self.server_pod):
            _set_sysctls(pod)
        self._server = self.server_pod.start([tools.load, "serve", "--listen", f"0.0.0.0:{SERVER_PORT}"], name="server")
        self.server_pod.wait_listening(SERVER_PORT, self._server)

    @classmethod
    def missing(cls, tools):
        """Why this setup cannot be measured here, or None."""
        return None

    def target(self):
        """Where the client connects."""
        return f"{self.server_pod.ipv4}:{SERVER_PORT}"

    def start(self, num_connections):
        """Starts the proxies, ready for so many connections at once."""

    def stop(self):
        """Ends the proxies; start() may follow."""
        for proxy in self.proxies.values():
            proxy.stop()
        self.proxies = {}

    def handshake(self):
        """What the server side negotiates with a client like OpenSSL's, in words; None where there is no TLS."""
        if self.tunnel_port is None:
            return None
        leaf = self.certificates.leaf("client")
        # As the agents' user: that one is never captured.
        told = self.client_pod.run(
            ["openssl", "s_client", "-brief", "-connect", f"{self.server_pod.ipv4}:{self.tunnel_port}", "-alpn", "h2",
             "-cert", leaf.cert, "-key", leaf.key, "-CAfile", self.certificates.ca, "-verify_return_error"],
            uid=pods.AGENT_UID).stderr
        facts = dict(re.findall(r"^([^:\n]+): (.+)$", told, re.MULTILINE))
        version, suite = facts.get("Protocol version"), facts.get("Ciphersuite")
        assert version == "TLSv1.3", f"{self.key}: {version}:\n{told}"
        return f"{version}, {suite}, {facts.get('Server Temp Key', 'unknown group')}"

    def _start_proxy(self, side, argv, port):
        pod = self.client_pod if side == "client" else self.server_pod
        self.proxies[side] = pod.start(argv, name="proxy", uid=pods.AGENT_UID)
        pod.wait_listening(port, self.proxies[side])

    def _write(self, name, text):
        path = os.path.join(self.node.folder, f"{self.key}-{name}")
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        os.chmod(path, 0o644)
        return path


class NginxPlain(Setup):
    """A pair of nginx stream proxies without TLS: what two more hops cost at all."""

    key = "nginx-plain"
    title = "nginx, plaintext"

    @classmethod
    def missing(cls, tools):
        return None if os.path.exists(_NGINX_STREAM_MODULE) else "no nginx with the stream module (libnginx-mod-stream)"

    def target(self):
        return f"127.0.0.1:{LOCAL_PORT}"

    def start(self, num_connections):
        self._start_nginx("server", num_connections, TUNNEL_PORT,
                          listen=f"{self.server_pod.ipv4}:{TUNNEL_PORT}{self._listen_tls()}",
                          upstream=f"127.0.0.1:{SERVER_PORT}", tls=self._server_tls())
        self._start_nginx("client", num_connections, LOCAL_PORT,
                          listen=f"127.0.0.1:{LOCAL_PORT}",
                          upstream=f"{self.server_pod.ipv4}:{TUNNEL_PORT}", tls=self._client_tls())

    def _start_nginx(self, side, num_connections, port, listen, upstream, tls):
        config = self._write(f"{side}.conf", f"""
load_module {_NGINX_STREAM_MODULE};
daemon off;
pid nginx.pid;
error_log stderr error;
worker_processes 1;
events {{
    # A proxied connection is two; nginx allocates for all of them when it starts.
    worker_connections {2 * num_connections + 512};
}}
stream {{
    access_log off;
    proxy_timeout 1h;
    server {{
        listen {listen} backlog=8192;
        proxy_pass {upstream};
        {tls}
    }}
}}
""")
        self._start_proxy(side, ["nginx", "-e", "stderr", "-p", self._own_folder(side), "-c", config], port)

    def _own_folder(self, side):
        """A folder that the proxy may write to, for its pid file."""
        path = os.path.join(self.node.folder, f"{self.key}-{side}")
        os.makedirs(path, exist_ok=True)
        os.chown(path, pods.AGENT_UID, pods.AGENT_GID)
        return path

    def _listen_tls(self):
        return ""

    def _server_tls(self):
        return ""

    def _client_tls(self):
        return ""


class NginxMtls(NginxPlain):
    """A pair of nginx stream proxies with mutual TLS; every new connection is a full handshake."""

    key = "nginx-mtls"
    title = "nginx, mTLS"
    tunnel_port = TUNNEL_PORT
    session_reuse = "off"

    def _listen_tls(self):
        return " ssl"

    def _server_tls(self):
        leaf = self.certificates.leaf("server")
        return f"""
        ssl_certificate {leaf.cert};
        ssl_certificate_key {leaf.key};
        ssl_client_certificate {self.certificates.ca};
        ssl_verify_client on;
        ssl_protocols TLSv1.3;
        ssl_conf_command Ciphersuites {CIPHER_SUITE};"""

    def _client_tls(self):
        leaf = self.certificates.leaf("client")
        return f"""
        proxy_ssl on;
        proxy_ssl_certificate {leaf.cert};
        proxy_ssl_certificate_key {leaf.key};
        proxy_ssl_trusted_certificate {self.certificates.ca};
        proxy_ssl_verify on;
        proxy_ssl_name server;
        proxy_ssl_protocols TLSv1.3;
        proxy_ssl_conf_command Ciphersuites {CIPHER_SUITE};
        proxy_ssl_session_reuse {self.session_reuse};"""


class NginxMtlsReuse(NginxMtls):
    """The same as nginx has it by default: later connections may resume the session of earlier ones, without certificates."""

    key = "nginx-reuse"
    title = "nginx, mTLS, session reuse"
    session_reuse = "on"
    measures_only = ("connections",)


class HaproxyMtls(Setup):
    """A pair of haproxies in TCP mode with mutual TLS; every new connection is a full handshake."""

    key = "haproxy-mtls"
    title = "haproxy, mTLS"
    tunnel_port = TUNNEL_PORT
    session_reuse = "no-ssl-reuse"

    @classmethod
    def missing(cls, tools):
        return None if os.path.exists("/usr/sbin/haproxy") else "no haproxy"

    def target(self):
        return f"127.0.0.1:{LOCAL_PORT}"

    def start(self, num_connections):
        ca, server, client = self.certificates.ca, self.certificates.leaf("server"), self.certificates.leaf("client")
        tls = f"ca-file {ca} verify required ssl-min-ver TLSv1.3 ciphersuites {CIPHER_SUITE}"
        self._start_haproxy(
            "server", num_connections, TUNNEL_PORT,
            bind=f"{self.server_pod.ipv4}:{TUNNEL_PORT} ssl crt {server.cert_key} {tls}",
            server=f"127.0.0.1:{SERVER_PORT}")
        self._start_haproxy(
            "client", num_connections, LOCAL_PORT,
            bind=f"127.0.0.1:{LOCAL_PORT}",
            server=f"{self.server_pod.ipv4}:{TUNNEL_PORT} ssl crt {client.cert_key} {tls} verifyhost server "
                   f"{self.session_reuse}")

    def _start_haproxy(self, side, num_connections, port, bind, server):
        config = self._write(f"{side}.cfg", f"""
global
    nbthread 1
    maxconn {num_connections + 256}
defaults
    mode tcp
    no log
    timeout connect 10s
    timeout client 1h
    timeout server 1h
listen pair
    bind {bind} backlog 8192
    server next {server}
""")
        self._start_proxy(side, ["haproxy", "-db", "-q", "-f", config], port)


class HaproxyMtlsReuse(HaproxyMtls):
    """The same as haproxy has it by default: later connections may resume the session of earlier ones."""

    key = "haproxy-reuse"
    title = "haproxy, mTLS, session reuse"
    session_reuse = ""
    measures_only = ("connections",)


class Remora(Setup):
    """A pair of Remora agents: the client connects to the server's own address, and is captured."""

    key = "remora"
    title = "Remora"
    tunnel_port = HBONE_PORT
    access_log = "off"

    def __init__(self, node, tools, certificates):
        super().__init__(node, tools, certificates)
        for pod in (self.client_pod, self.server_pod):
            pod.run([tools.init, "apply"])

    @classmethod
    def missing(cls, tools):
        absent = [os.path.basename(path) for path in (tools.agent, tools.init) if not os.access(path, os.X_OK)]
        return f"not built: {', '.join(absent)}" if absent else None

    def start(self, num_connections):
        discovery = self._write("discovery.yaml", "workloads:\n" + self._workload("client", self.client_pod)
                                + self._workload("server", self.server_pod) + "services: []\npolicies: []\n")
        for side, pod in (("server", self.server_pod), ("client", self.client_pod)):
            leaf = self.certificates.leaf(side)
            self._start_proxy(side, [
                self.tools.agent,
                "--workers", "1", "--access-log", self.access_log,
                "--pod-name", side, "--pod-namespace", identities.NAMESPACE, "--service-account", side,
                "--trust-domain", identities.TRUST_DOMAIN, "--instance-ip", pod.ipv4,
                "--local-file", discovery,
                "--cert-source", "files", "--cert-file", leaf.cert, "--key-file", leaf.key,
                "--trust-bundle-file", self.certificates.ca,
            ], READINESS_PORT)
            pod.wait_http(f"http://{pod.ipv4}:{READINESS_PORT}/healthz/ready", process=self.proxies[side])

    @staticmethod
    def _workload(name, pod):
        return (f"- {{uid: bench/{name}, name: {name}, namespace: {identities.NAMESPACE}, serviceAccount: {name}, "
                f"trustDomain: {identities.TRUST_DOMAIN}, workloadIps: ['{pod.ipv4}'], protocol: HBONE, network: '', "
                f"services: {{}}}}\n")


class RemoraLogged(Remora):
    """The same with an access-log line for each session."""

    key = "remora-logged"
    title = "Remora, access log on"
    access_log = "text"
    measures_only = ("connections",)


ALL = (Setup, NginxPlain, NginxMtls, HaproxyMtls, Remora, NginxMtlsReuse, HaproxyMtlsReuse,
       RemoraLogged)


def _set_sysctls(pod):
    with pod.entered():
        for name, value in _SYSCTLS.items():
            with open(f"/proc/sys/{name}", "w", encoding="ascii") as sysctl:
                sysctl.write(value)
