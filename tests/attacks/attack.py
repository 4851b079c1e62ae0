"""
What an attack is: carried out twice, first where it succeeds, then against Remora, which has to name the reason why it failed.

    class Names(Case):
        @attack("who", without="what the attacker gets", with_remora="what he gets then", reasons=("cert_untrusted",))
        def test_it(self):
            self.assert_taken(loot, SECRET)             # without Remora
            with self.refused(agent, "cert_untrusted"):
                ...                                     # with it; the agent's access log must name the reason

A test that does not show both, or sees other reasons than it declares, fails. docs/SECURITY.md has the declarations as a table,
which table.py writes and test_table.py compares.
"""

import contextlib
import functools
import json
import os
import re
import socket
import ssl
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

import actors  # noqa: E402
import hbone  # noqa: E402
from authority import Authority  # noqa: E402
from mesh import Mesh, replace_file  # noqa: E402
from pods import Node  # noqa: E402

APP_PORT, DOOR_PORT, OTHER_DOOR_PORT = 8000, 8443, 8444
CLIENT_ID = "spiffe://cluster.local/ns/demo/sa/client"
REQUEST = b"GET /balance HTTP/1.0\r\n\r\n"
SECRET = b"the balance is 1000\n"


class Row:
    """One attack as the document has it."""

    def __init__(self, what, without, with_remora, reasons):
        self.what = what
        self.without = without
        self.with_remora = with_remora
        self.reasons = tuple(reasons)


def attack(what, without, with_remora, reasons):
    """Declares a test method to be an attack."""

    def declare(method):
        @functools.wraps(method)
        def run(self, *args):
            method(self, *args)
            self.assertTrue(self.num_taken, "the attack was not shown to succeed without Remora")
            self.assertEqual(self.reasons_seen, set(reasons))

        run.row = Row(what, without, with_remora, reasons)
        return run

    return declare


def add(case, rows, run):
    """Adds an attack for each row: a Row, and what run(self, ...) needs beside it."""
    for row, *args in rows:
        method = attack(row.what, row.without, row.with_remora, row.reasons)(lambda self, args=args: run(self, *args))
        name = "test_" + re.sub(r"\W+", "_", row.what).strip("_").lower()
        assert not hasattr(case, name), name
        setattr(case, name, method)


def rows_of(case):
    """The rows of a test case, in their order."""
    return [value.row for value in vars(case).values() if hasattr(value, "row")]


def keep_secret(connection):
    """The application: tells everybody who asks."""
    while data := connection.recv(actors.CHUNK):
        if b"balance" in data:
            connection.sendall(SECRET)


def ask(connection):
    """What the application tells; what there is when the connection fails instead."""
    got = b""
    with contextlib.suppress(OSError):
        connection.sendall(REQUEST)
        while len(got) < len(SECRET) and (data := connection.recv(1024)):
            got += data
    return got


class World:
    """
    A mesh with two agents, `server` and `client`, of which the server lets in the client alone; `mallory`, a workload of the same
    mesh that the test plays; `legacy`, one that is called by Istio's mutual TLS; and two pods outside of it: `bare`, for victims
    without Remora, and `outsider`.
    """

    def __init__(self, doors=lambda world: (), callers=(), destinations=lambda world: (), **options):
        """
        `doors(world)` are the server's ports as the ports-file has them, `destinations(world)` the client's; `callers` are more
        principals that the server lets in; options are the agents'.
        """
        self.node = Node().__enter__()
        try:
            self._set_up(doors, callers, destinations, options)
        except BaseException:
            self.node.show_logs()
            self.node.close()
            raise

    def _set_up(self, doors, callers, destinations, options):
        self.mesh = Mesh(self.node, cert_source="files")
        self.server, self.client = self.mesh.agent("server", "bank"), self.mesh.agent("client")
        self.mallory, self.legacy = self.mesh.peer("mallory"), self.mesh.peer("legacy")
        self.legacy.workload["protocol"] = "LegacyIstioMtls"
        self.bare, self.outsider = self.node.pod("bare"), self.node.pod("outsider")
        self.root = self.mesh.authority
        self.mesh.allow("client-only", "bank", CLIENT_ID, *callers)
        self.ports_file = os.path.join(self.mesh.folder, "ports.yaml")
        replace_file(self.ports_file, json.dumps({"ports": list(doors(self)), "destinations": list(destinations(self))}))
        self._options = {"ports_file": self.ports_file, **options}
        self.mesh.start(**self._options)

    def restart_client(self):
        """The client's agent anew, without a connection to anywhere."""
        self.client.restart(**self._options)

    def close(self):
        self.node.close()

    def credentials(self, identity=CLIENT_ID, authority=None, **options):
        return (authority or self.root).credentials([f"URI:{identity}"], **options)

    def other_authority(self, name="other", **options):
        return Authority(self.node.folder, name, **options)


class Case(unittest.TestCase):
    """Attributes: `world`, which the module has made."""

    world = None

    def setUp(self):
        self.num_taken = 0
        self.reasons_seen = set()

    def assert_taken(self, loot, expected=SECRET):
        """The attack has succeeded: that is what the attacker has."""
        self.assertIn(expected, loot)
        self.num_taken += 1

    @contextlib.contextmanager
    def refused(self, agent, *reasons, text=""):
        """The block is an attack that fails: afterwards, the access log has one of the reasons, with the text in its line."""
        since = len(agent.process.log())
        yield
        try:
            line = agent.access_log(rf' access (?=.*{re.escape(text)}).*reason="(?:{"|".join(reasons)})"', since)
        except AssertionError as error:
            raise AssertionError(f"{error}; but it wrote:\n{agent.process.log()[since:]}") from None
        self.reasons_seen.add(re.search(r' reason="([a-z0-9_]+)"', line).group(1))

    def serve(self, pod, port=APP_PORT, behave=keep_secret, family=socket.AF_INET, host=None):
        """A server for the time of the test."""
        return self.enterContext(actors.Server(pod.listen(family, port, host), behave))

    def serve_tls(self, pod, context, port=APP_PORT, accepts=lambda tls: True):
        """The application with TLS of its own, which looks at its callers as accepts(connection) does. Errors end connections."""

        def behave(connection):
            with context.wrap_socket(connection, server_side=True) as tls:
                if accepts(tls):
                    keep_secret(tls)

        return self.serve(pod, port, behave)

    def start_openssl_server(self, *options, port=APP_PORT, key="P-256"):
        """openssl s_server in the pod without Remora, with the server's certificate, for the time of the test; its Process."""
        world = self.world
        own = world.credentials(world.server.identity, key=key)
        server = world.bare.start(["openssl", "s_server", "-accept", str(port), "-cert", own.chain_file, "-key", own.key_file,
                                   *options])
        self.addCleanup(server.stop)
        world.bare.wait_listening(port, server)
        return server

    def take(self, pod, address, port=APP_PORT):
        """What an attacker gets in clear."""
        with contextlib.suppress(ConnectionError), pod.connect(address, port) as connection:
            return ask(connection)
        return b""

    def take_tls(self, pod, address, context, port=APP_PORT):
        """What an attacker gets by TLS."""
        with contextlib.suppress(OSError), pod.connect(address, port) as connection, context.wrap_socket(connection) as tls:
            return ask(tls)
        return b""

    def take_tunnel(self, pod, address, context, port=APP_PORT, headers=()):
        """What an attacker gets through a tunnel, beginning with the status."""
        with contextlib.suppress(OSError), hbone.connect(pod, (address, hbone.PORT), context) as peer:
            tunnel = peer.connect_to(f"{address}:{port}", *headers)
            peer.wait(lambda: tunnel.headers or tunnel.reset is not None or peer.closed, "an answer")
            if not tunnel.headers:
                return b""
            if tunnel.header(":status") != "200":
                return tunnel.header(":status").encode()
            peer.send(tunnel, REQUEST)
            return peer.receive(tunnel, len(SECRET))
        return b""

    def assert_works(self):
        """Whoever may ask is answered: what failed did so because it was an attack."""
        self.assertEqual(self.take(self.world.client.pod, self.world.server.pod.ipv4), SECRET)


def client_context(credentials, root_file, alpn=("h2",), **options):
    """An attacker's: it takes whatever server there is."""
    context = hbone.client_context(credentials, root_file, alpn, **options)
    context.verify_mode = ssl.CERT_NONE
    return context
