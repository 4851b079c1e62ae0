"""
A delta xDS client that does nothing by itself: it sends what it is told and shows what comes, so that what istiod really does can
be seen and recorded. On python3-h2 and Python's ssl.
"""

import socket
import ssl

import h2.config
import h2.connection
import h2.events

import actors

ADDRESS = "type.googleapis.com/istio.workload.Address"
AUTHORIZATION = "type.googleapis.com/istio.security.Authorization"
PATH = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"


class Response:
    """A DeltaDiscoveryResponse. Attributes: `raw`; `type_url`, `version`, `nonce`; `resources`, `removed`."""

    def __init__(self, raw):
        self.raw = raw
        fields = read(raw)
        self.version = _text(fields, 1)
        self.type_url = _text(fields, 4)
        self.nonce = _text(fields, 5)
        self.resources = [Resource(value) for value in fields.get(2, [])]
        self.removed = [value.decode() for value in fields.get(6, [])]

    def __repr__(self):
        return f"<{self.type_url.rpartition('.')[2]} {self.resources} removed={self.removed} nonce={self.nonce} version={self.version}>"


class Resource:
    """Attributes: `name`, `version`, `aliases`, `type_url`, and `value`, the serialized message."""

    def __init__(self, raw):
        fields = read(raw)
        self.version = _text(fields, 1)
        self.name = _text(fields, 3)
        self.aliases = [value.decode() for value in fields.get(4, [])]
        wrapped = read(fields.get(2, [b""])[0])
        self.type_url = _text(wrapped, 1)
        self.value = wrapped.get(2, [b""])[0]

    def __repr__(self):
        return f"{self.name}@{self.version} aliases={self.aliases}"


class XdsProbe:
    """One stream. Use as a context manager."""

    def __init__(self, pod, address, root_file, server_name, token, metadata=()):
        """`metadata` are more gRPC headers, as pairs."""
        host, _, port = address.rpartition(":")
        context = ssl.create_default_context(cafile=root_file)
        context.set_alpn_protocols(["h2"])
        self._socket = context.wrap_socket(pod.connect(host, int(port)), server_hostname=server_name)
        self._http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._http.initiate_connection()
        self._body = b""
        self.ended = None
        headers = [(":method", "POST"), (":scheme", "https"), (":path", PATH), (":authority", server_name),
                   ("content-type", "application/grpc"), ("te", "trailers"), ("authorization", f"Bearer {token}"),
                   ("clusterid", "Kubernetes"), *metadata]
        self._stream = self._http.get_next_available_stream_id()
        self._http.send_headers(self._stream, headers)
        self._flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def _flush(self):
        self._socket.sendall(self._http.data_to_send())

    def send(self, type_url, subscribe=(), unsubscribe=(), initial=None, nonce="", error=None, node=None):
        """A DeltaDiscoveryRequest; `initial` is {name: version}, `node` the serialized Node, `error` the text of a NACK."""
        message = b"" if node is None else _field(1, node)
        message += _field(2, type_url)
        message += b"".join(_field(3, name) for name in subscribe)
        message += b"".join(_field(4, name) for name in unsubscribe)
        message += b"".join(_field(5, _field(1, name) + _field(2, version)) for name, version in (initial or {}).items())
        message += _field(6, nonce) if nonce else b""
        message += b"" if error is None else _field(7, b"\x08\x03" + _field(2, error))
        self._http.send_data(self._stream, b"\0" + len(message).to_bytes(4, "big") + message)
        self._flush()

    def ack(self, response):
        self.send(response.type_url, nonce=response.nonce)

    def receive(self, timeout_s=3.0):
        """The next Response, or None when none comes in this time or the stream has ended (`ended`: its trailers)."""
        self._socket.settimeout(timeout_s)
        while True:
            if len(self._body) >= 5:
                length = int.from_bytes(self._body[1:5], "big")
                if len(self._body) >= 5 + length:
                    raw, self._body = self._body[5:5 + length], self._body[5 + length:]
                    return Response(raw)
            if self.ended is not None:
                return None
            try:
                data = self._socket.recv(actors.CHUNK)
            except (socket.timeout, TimeoutError):
                return None
            if not data:
                self.ended = "connection closed"
                return None
            self._take(data)

    def _take(self, data):
        for event in self._http.receive_data(data):
            if isinstance(event, h2.events.DataReceived):
                self._body += event.data
                self._http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, (h2.events.TrailersReceived, h2.events.ResponseReceived)):
                headers = dict(event.headers)
                if "grpc-status" in headers:
                    self.ended = headers
            elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
                self.ended = self.ended or str(event)
        self._flush()


def node(address, pod, namespace, **metadata):
    """A serialized Node, as ztunnel tells who it is; metadata are texts."""
    identifier = f"ztunnel~{address}~{pod}.{namespace}~{namespace}.svc.cluster.local"
    struct = b"".join(_field(1, _field(1, key) + _field(2, _field(3, value))) for key, value in metadata.items())
    return _field(1, identifier) + _field(3, struct)


def read(message):
    """{field number: [values]} of a protobuf message: bytes, or numbers."""
    fields = {}
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = _read_varint(message, at)
        elif kind == 2:
            length, at = _read_varint(message, at)
            value, at = message[at:at + length], at + length
        else:
            size = {1: 8, 5: 4}[kind]
            value, at = message[at:at + size], at + size
        fields.setdefault(key >> 3, []).append(value)
    return fields


def _text(fields, number):
    return fields.get(number, [b""])[-1].decode()


def _field(number, value):
    octets = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(octets)) + octets


def _varint(number):
    octets = bytearray()
    while number > 0x7f:
        octets.append(number & 0x7f | 0x80)
        number >>= 7
    octets.append(number)
    return bytes(octets)


def _read_varint(message, at):
    number = shift = 0
    while True:
        octet = message[at]
        number |= (octet & 0x7f) << shift
        shift += 7
        at += 1
        if octet < 0x80:
            return number, at
