"""Attackers that want less of TLS than there is: openssl s_client against openssl s_server, and against agents."""

import contextlib
import os
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import attack  # noqa: E402, first: it knows where the others are
import hbone  # noqa: E402
from attack import APP_PORT, DOOR_PORT, OTHER_DOOR_PORT, Case, Row, World, add  # noqa: E402
from pods import WAIT_S, require_root  # noqa: E402

VICTIM_PORT = 8000
EVERYTHING = ("-cipher", "ALL:eNULL:@SECLEVEL=0")
RENEGOTIATE = b"R\n"  # a command to s_client
HELLO = (b"secret\n", b"terces")  # what is said to a victim, and what it answers
TLS13, TLS12 = "the ports that speak TLS 1.3 only", "a port that permits TLS 1.2"
# Ports, with the protocol that is negotiated there.
STRICT, LENIENT = ((hbone.PORT, "h2"), (DOOR_PORT, None), (APP_PORT, "istio")), ((OTHER_DOOR_PORT, None),)

# What the attacker offers, and where; what s_server needs to go along; the reason.
DOWNGRADES = (
    ("TLS 1.2", ("-tls1_2", *EVERYTHING), (), STRICT, "tls_version"),
    ("TLS 1.1", ("-tls1_1", *EVERYTHING), (), STRICT + LENIENT, "tls_version"),
    ("TLS 1.0", ("-tls1", *EVERYTHING), (), STRICT + LENIENT, "tls_version"),
    ("TLS 1.2 without forward secrecy (RSA key exchange)", ("-tls1_2", "-cipher", "AES128-GCM-SHA256:@SECLEVEL=0"), (), LENIENT,
     "tls_failed"),
    ("TLS 1.2 with CBC and SHA-1", ("-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA:@SECLEVEL=0"), (), LENIENT, "tls_failed"),
    ("TLS 1.2 with finite-field Diffie-Hellman", ("-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0"), (), LENIENT,
     "tls_failed"),
    ("TLS 1.2 without encryption (NULL)", ("-tls1_2", "-cipher", "ECDHE-RSA-NULL-SHA:@SECLEVEL=0"), (), LENIENT, "tls_failed"),
    ("a weak group in TLS 1.2 (P-192)", ("-tls1_2", "-groups", "P-192", *EVERYTHING), ("-groups", "P-192"), LENIENT, "tls_failed"),
    ("a group nobody needs in TLS 1.3 (ffdhe2048)", ("-tls1_3", "-groups", "ffdhe2048"), ("-groups", "ffdhe2048"), STRICT,
     "tls_failed"),
    ("a signature with SHA-1 in TLS 1.2", ("-tls1_2", "-sigalgs", "RSA+SHA1", *EVERYTHING),
     ("-sigalgs", "RSA+SHA1", "-client_sigalgs", "RSA+SHA1"), LENIENT, "tls_failed"),
)


def setUpModule():
    def doors(world):
        global PAIR
        PAIR = world.credentials(key="RSA-2048")
        own = world.credentials(world.server.identity, key="RSA-2048")
        files = {"cert": own.chain_file, "key": own.key_file}
        os.chmod(own.key_file, 0o600)
        os.chown(own.key_file, 1337, 1337)
        return ({"port": DOOR_PORT, "mode": "mtls"},
                {"port": OTHER_DOOR_PORT, "mode": "mtls", "min-tls": "1.2", "certificates": [files]})

    Case.world = World(doors)


def tearDownModule():
    Case.world.close()


class Downgrade(Case):
    """All with the right certificate: it is TLS itself that is bargained over."""

    title = "Downgrades"

    def openssl_client(self, address, port, *options, alpn=None, dialogue=()):
        """
        What s_client shows of a connection. `dialogue` are pairs of a line that it says and what has to be shown before the next; None
        is the end of the connection.
        """
        more = () if alpn is None else ("-alpn", alpn)
        argv = ["openssl", "s_client", "-connect", f"{address}:{port}", "-cert", PAIR.chain_file, "-key", PAIR.key_file, *more, *options]
        with subprocess.Popen(self.world.outsider.command(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, bufsize=0) as client:
            limit = threading.Timer(WAIT_S, client.kill)
            limit.start()
            shown = b""
            for line, answer in dialogue:
                with contextlib.suppress(BrokenPipeError):
                    client.stdin.write(line)
                shown += self.read_until(client.stdout, answer)
            client.stdin.close()
            shown += self.read_until(client.stdout, None)
            limit.cancel()
        return shown

    def read_until(self, stream, answer):
        """What is shown, up to the answer or the end."""
        shown = b""
        while (answer is None or answer not in shown) and (more := stream.read(4096)):
            shown += more
        return shown

    def start_victim(self, *options):
        """A server of openssl's for one connection, that sends each line back in reverse."""
        self.start_openssl_server("-CAfile", self.world.root.root_file, "-Verify", "9", "-naccept", "1", "-rev", *EVERYTHING,
                                  *options, port=VICTIM_PORT, key="RSA-2048")

    def run_downgrade(self, offer, permitted, ports, reason):
        world = self.world
        self.start_victim(*permitted)
        self.assert_taken(self.openssl_client(world.bare.ipv4, VICTIM_PORT, *offer, dialogue=(HELLO,)), b"terces")
        for port, alpn in ports:
            with self.subTest(port=port), self.refused(world.server, reason):
                got = self.openssl_client(world.server.pod.ipv4, port, *offer, alpn=alpn)
                self.assertIn(b"Cipher is (NONE)", got)

    @attack.attack("renegotiation, asked for by the client in TLS 1.2",
                   "`s_server -client_renegotiation` begins anew, any number of times",
                   "the connection is cut", ("tls_failed",))
    def test_renegotiation(self):
        world = self.world
        self.start_victim("-client_renegotiation", "-tls1_2")
        got = self.openssl_client(world.bare.ipv4, VICTIM_PORT, "-tls1_2", *EVERYTHING, dialogue=(HELLO, (RENEGOTIATE, b"depth=0")))
        self.assert_taken(got.partition(b"RENEGOTIATING")[2], b"depth=0 O = test")  # the server's certificate, once more
        self.serve(world.server.pod, OTHER_DOOR_PORT)
        balance = (b"balance\n", attack.SECRET)
        self.assert_taken(self.openssl_client(world.server.pod.ipv4, OTHER_DOOR_PORT, "-tls1_2", dialogue=(balance,)), attack.SECRET)
        with self.refused(world.server, "tls_failed", text="the peer wanted to renegotiate"):
            got = self.openssl_client(world.server.pod.ipv4, OTHER_DOOR_PORT, "-tls1_2",
                                      dialogue=((RENEGOTIATE, b"RENEGOTIATING"), (b"balance\n", None)))
            _, renegotiating, after = got.partition(b"RENEGOTIATING")
            self.assertTrue(renegotiating)
            self.assertNotIn(b"depth=0", after)
            self.assertNotIn(attack.SECRET, got)


add(Downgrade, ((Row(f"{what}, at {TLS12 if ports is LENIENT else TLS13 if ports is STRICT else 'any port'}",
                     "an OpenSSL server that permits it answers", "refused in the handshake", (reason,)),
                 offer, permitted, ports, reason)
                for what, offer, permitted, ports, reason in DOWNGRADES), Downgrade.run_downgrade)


if __name__ == "__main__":
    require_root()
    unittest.main(verbosity=2)
