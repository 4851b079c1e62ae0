"""Attackers that cannot read what they have recorded, and send it once more."""

import contextlib
import os
import ssl
import sys
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import attack  # noqa: E402, first: it knows where the others are
import actors  # noqa: E402
import hbone  # noqa: E402
from attack import APP_PORT, CLIENT_ID, DOOR_PORT, OTHER_DOOR_PORT, SECRET, Case, World  # noqa: E402
from authority import serial_of  # noqa: E402
from mesh import AGENT_UID, replace_file  # noqa: E402
from onpath import OnPath, Relay  # noqa: E402
from pods import require_root, wait_until  # noqa: E402

TRANSFER = b"transfer 100\n"
DONE = b"done\n"
HANDSHAKE, APPLICATION_DATA = 22, 23
RECORD_HEAD = 5
TLS_TIMEOUT_S = 1
TELLER = "dns:teller.example"
WEB_CLIENT = ("basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature", "extendedKeyUsage=clientAuth")


def setUpModule():
    def doors(world):
        global PRIVATE, CA_FILE
        PRIVATE = world.other_authority("private")
        CA_FILE = os.path.join(world.mesh.folder, "clients.pem")
        replace_file(CA_FILE, PRIVATE.root_pem)
        return ({"port": DOOR_PORT, "mode": "mtls", "client-ca": CA_FILE, "principal-from": ["dns"]},
                {"port": OTHER_DOOR_PORT, "mode": "mtls"})

    Case.world = World(doors, callers=[TELLER], tls_timeout=f"{TLS_TIMEOUT_S}s")


def tearDownModule():
    Case.world.close()


class Bank:
    """The application: does as it is told. Attributes: `transfers`."""

    def __init__(self):
        self.transfers = 0

    def __call__(self, connection):
        buffered = b""
        while data := connection.recv(actors.CHUNK):
            buffered += data
            while buffered.startswith(TRANSFER):
                buffered = buffered[len(TRANSFER):]
                self.transfers += 1
                connection.sendall(DONE)


def records(data):
    """The TLS records in a stream's bytes."""
    found = []
    while len(data) >= RECORD_HEAD:
        end = RECORD_HEAD + int.from_bytes(data[3:RECORD_HEAD], "big")
        found.append(bytes(data[:end]))
        data = data[end:]
    return found


class Replay(Case):
    """He stands between client and server, and has recorded everything."""

    title = "Replay"

    def setUp(self):
        super().setUp()
        self.bank, self.meshed_bank = Bank(), Bank()
        self.serve(self.world.bare, behave=self.bank)
        self.serve(self.world.server.pod, behave=self.meshed_bank)
        self.world.restart_client()  # which forgets its tunnels

    def transfer(self, pod, address):
        with pod.connect(address, APP_PORT) as connection:
            connection.sendall(TRANSFER)
            return connection.recv(len(DONE))

    def record(self, caller, callee, port, **changes):
        """What the caller sends for one transfer."""
        relay = Relay(self.world.mallory.pod, callee.ipv4, port, **changes)
        with OnPath(self.world.mallory.pod, caller, callee.ipv4, port, relay):
            self.done = self.transfer(caller, callee.ipv4)
            return bytes(relay.sent)

    def replay(self, address, port, *parts):
        """Sends the parts, each but the first after something has come back. Waits for the end."""
        with contextlib.suppress(OSError), self.world.mallory.pod.connect(address, port) as connection:
            for part in parts:
                connection.sendall(part)
                connection.recv(actors.CHUNK)
            while connection.recv(actors.CHUNK):
                pass

    def assert_paid_once(self):
        self.assertEqual(self.meshed_bank.transfers, 1)

    @attack.attack("sends the recorded bytes of a whole connection", "the transfer is made twice", "refused: the keys are others",
                   ("tls_failed",))
    def test_a_whole_connection(self):
        world = self.world
        recorded = self.record(world.outsider, world.bare, APP_PORT)
        with world.mallory.pod.connect(world.bare.ipv4, APP_PORT) as connection:
            connection.sendall(recorded)
            self.assert_taken(connection.recv(len(DONE)), DONE)
        self.assertEqual(self.bank.transfers, 2)
        recorded = self.record(world.client.pod, world.server.pod, hbone.PORT)
        for parts in ((recorded,), (recorded[:len(records(recorded)[0])], recorded[len(records(recorded)[0]):])):
            with self.refused(world.server, "tls_failed"):
                self.replay(world.server.pod.ipv4, hbone.PORT, *parts)
        self.assert_paid_once()

    @attack.attack("sends the client's first flight, early data included (0-RTT)",
                   "`s_server -early_data` takes the early data twice",
                   "nothing is read with it; given up after tls-timeout", ("tls_timeout",))
    def test_the_client_s_flight(self):
        self.replay_early_data()
        world = self.world
        hello = records(self.record(world.client.pod, world.server.pod, hbone.PORT))[0]
        self.assertEqual(hello[0], HANDSHAKE)
        with self.refused(world.server, "tls_timeout"):
            self.replay(world.server.pod.ipv4, hbone.PORT, hello)
        self.assert_paid_once()

    def replay_early_data(self):
        """The attack itself, on openssl's server with its protection off."""
        world = self.world
        victim = self.start_openssl_server("-early_data", "-no_anti_replay", "-tls1_3", "-quiet", port=DOOR_PORT)
        session, early = (os.path.join(world.node.folder, name) for name in ("session.pem", "early"))
        replace_file(early, TRANSFER.decode())

        def say(host, *options):
            world.outsider.run(["sh", "-c", 'sleep 0.2 | openssl s_client "$@"', "sh", "-connect", f"{host}:{DOOR_PORT}", "-tls1_3",
                                *options])

        say(world.bare.ipv4, "-sess_out", session)
        relay = Relay(world.mallory.pod, world.bare.ipv4, DOOR_PORT)
        with actors.Server(world.mallory.pod.listen(port=DOOR_PORT), relay):
            say(world.mallory.pod.ipv4, "-sess_in", session, "-early_data", early)
        flight = b"".join(records(relay.sent)[:3])
        wait_until(lambda: victim.log().count(TRANSFER.decode()) == 1, "the transfer")
        with world.mallory.pod.connect(world.bare.ipv4, DOOR_PORT) as connection:
            connection.sendall(flight)
            wait_until(lambda: victim.log().count(TRANSFER.decode()) == 2, "the second transfer")
        self.assert_taken(victim.log().encode(), TRANSFER)

    @attack.attack("sends a piece of application data twice, within the connection", "the transfer is made twice",
                   "the connection is cut: the second does not authenticate", ("tunnel_lost",))
    def test_application_data(self):
        world = self.world
        caller = world.outsider
        self.record(caller, world.bare, APP_PORT, change_sent=lambda data: data + data)
        wait_until(lambda: self.bank.transfers == 2, "the second transfer")
        self.assert_taken(self.done, DONE)
        armed = threading.Event()

        def twice(data):
            is_data = armed.is_set() and data[0] == APPLICATION_DATA
            return data + data if is_data else data

        relay = Relay(world.mallory.pod, world.server.pod.ipv4, hbone.PORT, change_sent=twice)
        with OnPath(world.mallory.pod, world.client.pod, world.server.pod.ipv4, hbone.PORT, relay):
            with world.client.pod.connect(world.server.pod.ipv4, APP_PORT) as connection, self.refused(world.server, "tunnel_lost"):
                connection.sendall(TRANSFER)
                self.assertEqual(connection.recv(len(DONE)), DONE)
                armed.set()
                with contextlib.suppress(ConnectionError):
                    connection.sendall(b"nothing more\n")
                    connection.recv(1)
        self.assert_paid_once()

    def resume(self, address, context, session=None, port=DOOR_PORT, name=None):
        """(what the application tells, the session for the next time, whether this one was resumed); all empty when refused."""
        with contextlib.suppress(OSError), self.world.outsider.connect(address, port) as connection, \
                context.wrap_socket(connection, session=session, server_hostname=name) as tls:
            return attack.ask(tls), tls.session, tls.session_reused
        return b"", None, None

    def resume_where_nobody_looks(self, credentials):
        """The attack itself: a server that has withdrawn its trust in a certificate, and resumes all the same."""
        world = self.world
        caller = attack.client_context(credentials, None, alpn=())
        victim = hbone.server_context(world.credentials(world.server.identity), world.root.root_file, alpn=())
        self.serve_tls(world.bare, victim, DOOR_PORT)
        told, session, _ = self.resume(world.bare.ipv4, caller)
        self.assertEqual(told, SECRET)
        self.revoke(victim, credentials, world.root)
        self.assertEqual(self.resume(world.bare.ipv4, caller)[0], b"")
        told, _, resumed = self.resume(world.bare.ipv4, caller, session)
        self.assertTrue(resumed)
        self.assert_taken(told)

    def has_ticket(self, credentials):
        """(context, session) of a workload that is let in, and can resume, at the door for the mesh."""
        world = self.world
        self.serve(world.server.pod, OTHER_DOOR_PORT)
        caller = attack.client_context(credentials, None, alpn=())
        _, session, _ = self.resume(world.server.pod.ipv4, caller, port=OTHER_DOOR_PORT)
        told, _, resumed = self.resume(world.server.pod.ipv4, caller, session, OTHER_DOOR_PORT)
        self.assertEqual((told, resumed), (SECRET, True))
        return caller, session

    def refuse_ticket(self, ticket, reason):
        world = self.world
        with self.refused(world.server, reason, text=f":{OTHER_DOOR_PORT}"):
            caller, session = ticket
            self.assertEqual(self.resume(world.server.pod.ipv4, caller, session, OTHER_DOOR_PORT)[0], b"")

    @attack.attack("comes back with a ticket after the roots of his trust domain are others (trust epoch)",
                   "a server that resumes looks at no certificate: it answers", "a full handshake, which refuses",
                   ("cert_untrusted",))
    def test_a_ticket_of_another_trust_epoch(self):
        world = self.world
        credentials = world.credentials()
        self.resume_where_nobody_looks(credentials)
        # The server's own certificate stays what it is, of the new root; the old root is trusted beside it, and then not any more.
        new = world.other_authority("new")
        self.addCleanup(self.change_server, world.root, world.root.root_pem)
        self.change_server(new, new.root_pem + world.root.root_pem)
        ticket = self.has_ticket(credentials)
        self.change_trust(new.root_pem)
        self.refuse_ticket(ticket, "cert_untrusted")

    @attack.attack("comes back with a ticket after no policy lets him in any more",
                   "a server that resumes looks at no certificate: it answers", "refused: each connection is authorized",
                   ("not_allowed",))
    def test_a_ticket_after_the_policy_has_changed(self):
        world = self.world
        credentials = world.credentials()
        self.resume_where_nobody_looks(credentials)
        ticket = self.has_ticket(credentials)
        policies = list(world.mesh.policies)
        self.addCleanup(self.change_policies, policies)
        world.mesh.policies.clear()
        world.mesh.allow("nobody", "bank", world.server.identity)
        self.change_policies(world.mesh.policies)
        self.refuse_ticket(ticket, "not_allowed")

    @attack.attack("comes back with the ticket of a port that trusts another CA",
                   "a server that chooses by name whom it trusts (SNI), and resumes under another (CVE-2025-23419)",
                   "a full handshake, which refuses", ("cert_untrusted",))
    def test_a_ticket_of_another_port(self):
        world = self.world
        teller = PRIVATE.credentials(["DNS:teller.example", f"URI:{CLIENT_ID}"], extensions=WEB_CLIENT)
        caller = attack.client_context(teller, None, alpn=())
        own = world.credentials(world.server.identity)
        lenient, strict = (hbone.server_context(own, roots, alpn=()) for roots in (PRIVATE.root_file, world.root.root_file))

        def choose(tls, name, _context):
            tls.context = strict if name == "strict.example" else lenient

        lenient.sni_callback = choose
        self.serve_tls(world.bare, lenient, DOOR_PORT)
        _, session, _ = self.resume(world.bare.ipv4, caller)
        self.assertEqual(self.resume(world.bare.ipv4, caller, name="strict.example")[0], b"")
        self.assert_taken(self.resume(world.bare.ipv4, caller, session, name="strict.example")[0])
        for port in (DOOR_PORT, OTHER_DOOR_PORT):
            self.serve(world.server.pod, port)
        _, session, _ = self.resume(world.server.pod.ipv4, caller)
        self.assertEqual(self.resume(world.server.pod.ipv4, caller, session)[::2], (SECRET, True))
        self.refuse_ticket((caller, session), "cert_untrusted")

    def change_server(self, authority, bundle):
        """The server's certificate is this authority's, and whom it trusts another matter."""
        mesh, server = self.world.mesh, self.world.server
        chain, key = authority.issue([f"URI:{server.identity}"])
        since = len(server.process.log())
        replace_file(mesh.certificate_file(server.name, "trust-bundle"), bundle)
        replace_file(mesh.certificate_file(server.name, "key"), key, mode=0o600, uid=AGENT_UID)
        replace_file(mesh.certificate_file(server.name, "cert"), chain)
        serial = serial_of(chain)
        server.process.wait_log(rf'"certificate in force".*{serial}', since=since)

    def change_trust(self, bundle):
        server = self.world.server
        since = len(server.process.log())
        replace_file(self.world.mesh.certificate_file(server.name, "trust-bundle"), bundle)
        server.process.wait_log('"certificate in force".* roots=1 ', since=since)

    def change_policies(self, policies):
        mesh, process = self.world.mesh, self.world.server.process
        mesh.policies[:] = policies
        since = len(process.log())
        mesh.write_local_file()
        process.wait_log("discovery loaded", since=since)

    @attack.attack("comes back with a ticket after the CA of its certificate is not trusted any more",
                   "a server that resumes looks at no certificate: it answers", "a full handshake, which refuses",
                   ("cert_untrusted",))
    def test_a_ticket_after_the_trust_has_changed(self):
        world = self.world
        teller = PRIVATE.credentials(["DNS:teller.example"], extensions=WEB_CLIENT)
        caller = attack.client_context(teller, None, alpn=())
        victim = hbone.server_context(world.credentials(world.server.identity), PRIVATE.root_file, alpn=())
        self.serve_tls(world.bare, victim, DOOR_PORT)
        told, session, _ = self.resume(world.bare.ipv4, caller)
        self.assertEqual(told, SECRET)
        self.revoke(victim, teller, PRIVATE)
        self.assertEqual(self.resume(world.bare.ipv4, caller)[0], b"")
        told, _, resumed = self.resume(world.bare.ipv4, caller, session)
        self.assertTrue(resumed)
        self.assert_taken(told)
        self.serve(world.server.pod, DOOR_PORT)
        _, session, _ = self.resume(world.server.pod.ipv4, caller)
        self.assertEqual(self.resume(world.server.pod.ipv4, caller, session)[::2], (SECRET, True))
        self.addCleanup(self.change_door_s_ca, PRIVATE.root_pem)
        self.change_door_s_ca(world.other_authority().root_pem)
        with self.refused(world.server, "cert_untrusted"):
            self.assertEqual(self.resume(world.server.pod.ipv4, caller, session)[0], b"")

    def revoke(self, context, credentials, authority):
        """A server without Remora learns that a certificate is not to be trusted any more."""
        path = os.path.join(self.world.node.folder, "revoked.pem")
        with open(credentials.chain_file, encoding="ascii") as file:
            replace_file(path, authority.crl(file.read()))
        context.load_verify_locations(path)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF

    def change_door_s_ca(self, root_pem):
        process = self.world.server.process
        since = len(process.log())
        replace_file(CA_FILE, root_pem)
        process.wait_log("ports loaded", since=since)


if __name__ == "__main__":
    require_root()
    unittest.main(verbosity=2)
