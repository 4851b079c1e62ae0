"""HBONE spoken by somebody else: OpenSSL (Python's ssl) and Debian's python3-h2, either side, driven step by step by a test.

    with hbone.connect(pod, (address, 15008), hbone.client_context(certificate, bundle_file)) as peer:
        tunnel = peer.connect_to("198.18.0.2:8080")
        assert peer.status(tunnel) == 200
        peer.send(tunnel, b"hello", end=True)
        peer.wait(lambda: tunnel.ended, "the end of the echo")

Nothing happens behind a test's back: bytes are read and answered only inside a method of Peer, so that a peer that does not
answer is one whose methods are not called. python3-h2 checks all that the agent sends; what it would refuse to send itself,
the malformed and the hostile, goes out with send_frame() and send_bytes().
"""

import contextlib
import select
import socket
import ssl
import struct
import time

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2 import events
from h2.exceptions import StreamClosedError
from h2.settings import SettingCodes, Settings

from pods import WAIT_S, Timeout

PORT = 15008
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1

_READ = 256 * 1024
_FRAME_HEAD = 9


def host(address):
    """An address as it stands in an :authority."""
    return f"[{address}]" if ":" in address else address


def source_of(connection):
    """Where a connection of ours comes from, as the agent's log shows it: its src.addr."""
    address, port = connection.getsockname()[:2]
    return f"{host(address)}:{port}"


def frame(kind, flags=0, stream_id=0, payload=b""):
    """The bytes of one HTTP/2 frame (RFC 9113, 4.1), whatever sense it makes."""
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream_id) + payload


# ----------------------------------------------------------------------------------------------------------------- TLS


def _context(protocol, certificate, bundle_file, alpn, versions):
    context = ssl.SSLContext(protocol)
    context.check_hostname = False  # names in the mesh are SPIFFE IDs, see identity_of()
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # for keys that are too weak, and the agent is to notice
    context.minimum_version, context.maximum_version = versions
    if bundle_file is not None:
        context.load_verify_locations(bundle_file)
    if certificate is not None:
        context.load_cert_chain(certificate.chain_file, certificate.key_file)
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


def client_context(certificate, bundle_file, alpn=("h2",), versions=(ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3)):
    """How a peer agent dials. `certificate` None presents none; `alpn` empty leaves the extension out."""
    return _context(ssl.PROTOCOL_TLS_CLIENT, certificate, bundle_file, alpn, versions)


def server_context(certificate, bundle_file, alpn=("h2",), versions=(ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3)):
    """How a peer agent serves: with its own certificate, asking for the client's."""
    return _context(ssl.PROTOCOL_TLS_SERVER, certificate, bundle_file, alpn, versions)


def identity_of(tls):
    """The URI SANs of who is at the other end, as OpenSSL has verified it."""
    return [value for kind, value in tls.getpeercert()["subjectAltName"] if kind == "URI"]


def client_hello(context):
    """The first bytes of a handshake."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        context.wrap_bio(incoming, outgoing).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


# --------------------------------------------------------------------------------------------------------------- HTTP/2


class Tunnel:
    """One stream, as far as it has come: header fields as a list of pairs, the bytes received, and how the peer ended it."""

    def __init__(self, stream_id):
        self.id = stream_id
        self.headers = None
        self.data = bytearray()
        self.ended = False
        self.reset = None  # the error code of the peer's RST_STREAM

    def header(self, name):
        return dict(self.headers).get(name)


class Peer:
    """
    One HTTP/2 connection over TLS. Attributes: `tls`; `source`, see source_of(); `tunnels` by stream id; `goaways`, pairs of
    last stream id and error code; `frames`, the type, flags, stream id and length of every frame received; `closed`, with
    `error` unless it was an orderly end. `gives_credit` and `answers_pings` may be turned off at any time.
    """

    def __init__(self, tls, is_client, settings=None, extra_window=0, gives_credit=True):
        # A plain CONNECT has neither :scheme nor :path, which python3-h2 asks of every request; responses it can check.
        config = H2Configuration(client_side=is_client, header_encoding="utf-8", validate_inbound_headers=is_client,
                                 validate_outbound_headers=False, normalize_outbound_headers=False)
        self.tls = tls
        self.source = source_of(tls)
        self.h2 = H2Connection(config)
        self.h2.local_settings = Settings(client=is_client, initial_values={
            SettingCodes.MAX_CONCURRENT_STREAMS: 1000, SettingCodes.MAX_HEADER_LIST_SIZE: 64 * 1024, **(settings or {})})
        self.h2.max_inbound_frame_size = self.h2.local_settings.max_frame_size  # else it would only learn of changes
        self.tunnels = {}
        self.requests = []  # a server's: tunnels in the order in which they were asked for, until accept() takes them
        self.goaways = []
        self.frames = []
        self.gives_credit = gives_credit
        self.answers_pings = True
        self.pings_answered = 0
        self._settings_sent = 1
        self._settings_acknowledged = 0
        self.closed = False
        self.error = None
        self._input = bytearray()
        self._preface_left = 0 if is_client else len(PREFACE)
        self.h2.initiate_connection()
        if extra_window:
            self.h2.increment_flow_control_window(extra_window)
        self.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Closes the TCP connection as it is."""
        self.tls.close()

    # --------------------------------------------------------------------------------------------------------- sending

    def send_bytes(self, data):
        """As they are, inside TLS. That the agent has closed the connection is noted like any other end of it."""
        try:
            self.tls.sendall(data)
        except (ssl.SSLError, ConnectionError, BrokenPipeError) as error:
            self._end(error)

    def send_frame(self, kind, flags=0, stream_id=0, payload=b""):
        self.send_bytes(frame(kind, flags, stream_id, payload))

    def flush(self):
        data = self.h2.data_to_send()
        if data and not self.closed:
            self.send_bytes(data)

    def request(self, headers, end=False):
        """A request with exactly these header fields, a list of pairs. Returns its Tunnel at once."""
        tunnel = Tunnel(self.h2.get_next_available_stream_id())
        self.tunnels[tunnel.id] = tunnel
        self.h2.send_headers(tunnel.id, headers, end_stream=end)
        self.flush()
        return tunnel

    def connect_to(self, authority, *more):
        """A CONNECT to "ip:port" or "host:port", with more header fields as pairs."""
        return self.request([(":method", "CONNECT"), (":authority", authority), *more])

    def answer(self, tunnel, status, *more, end=None):
        """A server's response; all but 200 end the stream unless told otherwise."""
        self.h2.send_headers(tunnel.id, [(":status", str(status)), *more], end_stream=status != 200 if end is None else end)
        self.flush()

    def send(self, tunnel, data, end=False):
        """All of it, as the agent's flow control permits."""
        left = memoryview(data)
        while left:
            room = min(self.h2.local_flow_control_window(tunnel.id), self.h2.max_outbound_frame_size)
            if room <= 0:
                self._read_more(f"credit on stream {tunnel.id}", time.monotonic() + WAIT_S)
                continue
            self.h2.send_data(tunnel.id, bytes(left[:room]))
            left = left[room:]
            self.flush()
        if end:
            self.end(tunnel)

    def send_what_fits(self, tunnel, chunk):
        """Copies of chunk until the agent gives no more credit; returns the number of bytes. Does not wait."""
        sent = 0
        self.poll()
        while (room := min(self.h2.local_flow_control_window(tunnel.id), self.h2.max_outbound_frame_size, len(chunk))) > 0:
            self.h2.send_data(tunnel.id, chunk[:room])
            self.flush()
            sent += room
            self.poll()
        return sent

    def end(self, tunnel):
        self.h2.end_stream(tunnel.id)
        self.flush()

    def reset(self, tunnel, code=ErrorCodes.CANCEL):
        self.h2.reset_stream(tunnel.id, code)
        self.flush()

    def give_credit(self, tunnel):
        """For what was received while gives_credit was off, and from now on."""
        self.gives_credit = True
        self.h2.acknowledge_received_data(len(tunnel.data), tunnel.id)
        self.flush()

    def change_settings(self, settings):
        """New SETTINGS; waits until the agent has acknowledged them."""
        self.h2.update_settings(settings)
        self._settings_sent += 1
        self.flush()
        self.wait_settings_known()

    def wait_settings_known(self):
        """Waits until the agent has acknowledged all SETTINGS."""
        self.wait(lambda: self._settings_acknowledged == self._settings_sent, "the acknowledgement of SETTINGS")

    def goaway(self, last_stream_id, code=ErrorCodes.NO_ERROR):
        """Without python3-h2, which would end the connection with it (and RFC 9113, 6.8, does not)."""
        self.send_frame(GOAWAY, payload=struct.pack("!II", last_stream_id, code))

    def ping(self):
        """Waits for the answer to one more PING."""
        before = self.pings_answered
        self.h2.ping(b"are you?")
        self.flush()
        self.wait(lambda: self.pings_answered > before, "the answer to a PING")

    # ------------------------------------------------------------------------------------------------------- receiving

    def wait(self, predicate, what):
        """Reads until predicate() is true, and returns what it returned. The connection's end before it is a failure."""
        deadline = time.monotonic() + WAIT_S
        while not (result := predicate()):
            assert not self.closed, f"the connection ended ({self.error!r}, GOAWAY {self.goaways}) before {what}"
            self._read_more(what, deadline)
        return result

    def wait_closed(self):
        """Reads until the agent has closed the connection."""
        self.wait(lambda: self.closed, "the end of the connection")

    def status(self, tunnel):
        """The status that the agent answers, or minus the code with which it resets the stream instead."""
        self.wait(lambda: tunnel.headers or tunnel.reset is not None, f"an answer on stream {tunnel.id}")
        return int(tunnel.header(":status")) if tunnel.headers else -tunnel.reset

    def receive(self, tunnel, size):
        """Waits until that many bytes have come in, and takes them out."""
        self.wait(lambda: len(tunnel.data) >= size, f"{size} bytes on stream {tunnel.id}")
        taken = bytes(tunnel.data[:size])
        del tunnel.data[:size]
        return taken

    def receive_to_end(self, tunnel):
        self.wait(lambda: tunnel.ended, f"the end of stream {tunnel.id}")
        return bytes(tunnel.data)

    def accept(self):
        """A server's: the next request."""
        self.wait(lambda: self.requests, "a request")
        return self.requests.pop(0)

    def poll(self):
        """Takes in what is there, without waiting."""
        self._read(0)

    def poll_for(self, timeout_s):
        """Takes in what is there, or comes within the time."""
        self._read(timeout_s)

    def _read_more(self, what, deadline):
        left = deadline - time.monotonic()
        if left <= 0 or not self._read(left):
            raise Timeout(f"waited {WAIT_S} s for {what}; frames: {self.frames[-20:]}")

    def _read(self, timeout_s):
        """False when nothing came in time."""
        if self.closed:
            return True
        self.tls.settimeout(timeout_s)
        try:
            data = self.tls.recv(_READ)
        except (ssl.SSLWantReadError, TimeoutError):
            return False
        except (ssl.SSLError, ConnectionError) as error:
            self._end(error)
            return True
        finally:
            self.tls.settimeout(WAIT_S)
        if data:
            self._take(data)
        else:
            self._end(None)
        return True

    def _end(self, error):
        self.closed = True
        self.error = error

    def _take(self, data):
        self._input += data
        if self._preface_left and len(self._input) >= self._preface_left:
            self._handle(self._cut(self._preface_left))
            self._preface_left = 0
        while not self._preface_left and len(self._input) >= _FRAME_HEAD:
            length = int.from_bytes(self._input[:3], "big")
            if len(self._input) < _FRAME_HEAD + length:
                break
            self._take_frame(self._cut(_FRAME_HEAD + length))
        self.flush()

    def _cut(self, size):
        head = bytes(self._input[:size])
        del self._input[:size]
        return head

    def _take_frame(self, data):
        kind, flags, stream_id = struct.unpack("!BBI", data[3:_FRAME_HEAD])
        self.frames.append((kind, flags, stream_id, len(data) - _FRAME_HEAD))
        if kind == GOAWAY:
            # Kept from python3-h2, for which a connection is over with its first GOAWAY.
            self.goaways.append(struct.unpack("!II", data[_FRAME_HEAD:_FRAME_HEAD + 8]))
        elif kind != PING or flags & ACK or self.answers_pings:
            self._handle(data)

    def _handle(self, data):
        for event in self.h2.receive_data(data):
            handler = self._HANDLERS.get(type(event))
            if handler is not None:
                handler(self, event)

    def _on_request(self, event):
        tunnel = Tunnel(event.stream_id)
        tunnel.headers = event.headers
        self.tunnels[tunnel.id] = tunnel
        self.requests.append(tunnel)

    def _on_response(self, event):
        self.tunnels[event.stream_id].headers = event.headers

    def _on_data(self, event):
        self.tunnels[event.stream_id].data += event.data
        if not self.gives_credit or not event.flow_controlled_length:
            return
        try:
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        except StreamClosedError:
            pass  # the test has reset it; the connection's credit was given all the same

    def _on_end(self, event):
        self.tunnels[event.stream_id].ended = True

    def _on_reset(self, event):
        self.tunnels[event.stream_id].reset = int(event.error_code)

    def _on_ping_answer(self, _):
        self.pings_answered += 1

    def _on_settings_acknowledged(self, _):
        self._settings_acknowledged += 1

    _HANDLERS = {
        events.RequestReceived: _on_request, events.ResponseReceived: _on_response, events.DataReceived: _on_data,
        events.StreamEnded: _on_end, events.StreamReset: _on_reset, events.PingAckReceived: _on_ping_answer,
        events.SettingsAcknowledged: _on_settings_acknowledged,
    }


# ------------------------------------------------------------------------------------------------------------- either side


def forward(peer, tunnel, connection):
    """Carries bytes between a tunnel and a TCP connection, as a gateway does, until both directions or one of the two have ended."""
    with contextlib.suppress(StreamClosedError):  # reset by the agent while something was on its way to it
        _forward(peer, tunnel, connection)


def _forward(peer, tunnel, connection):
    ended = {"there": False, "here": False}
    while not (all(ended.values()) or peer.closed or tunnel.reset is not None):
        if not peer.tls.pending():
            waiting = [peer.tls] if ended["there"] else [peer.tls, connection]
            select.select(waiting, [], [], WAIT_S)
        peer.poll()
        if tunnel.data:
            connection.sendall(tunnel.data)
            tunnel.data.clear()
        if tunnel.ended and not ended["here"]:
            connection.shutdown(socket.SHUT_WR)
            ended["here"] = True
        if not ended["there"]:
            ended["there"] = not _forward_back(peer, tunnel, connection)


def _forward_back(peer, tunnel, connection):
    """What the connection has to say now; False when that was its end."""
    connection.settimeout(0)
    try:
        data = connection.recv(_READ)
    except BlockingIOError:
        return True
    finally:
        connection.settimeout(WAIT_S)
    if data:
        peer.send(tunnel, data)
    else:
        peer.end(tunnel)
    return bool(data)


def dial(pod, address, family=socket.AF_INET, receive_buffer=None):
    """A TCP connection from a pod to (host, port). `receive_buffer` in bytes, for a peer that is to be slow."""
    connection = pod.open_socket(family)
    if receive_buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.connect(address)
    return connection


def connect(pod, address, context, family=socket.AF_INET, receive_buffer=None, **peer):
    """Dials and shakes hands; `peer` goes to Peer(). In TLS 1.3 a client's certificate is judged only after this returns."""
    connection = dial(pod, address, family, receive_buffer)
    try:
        return Peer(context.wrap_socket(connection), True, **peer)
    except BaseException:
        connection.close()
        raise


class Server:
    """Listens in a pod. The test accepts, one by one; use it as a context manager, which closes what was accepted too."""

    def __init__(self, pod, context, family=socket.AF_INET, port=PORT):
        self._listener = pod.listen(family, port)
        self._listener.settimeout(WAIT_S)
        self.context = context
        self.connections = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for connection in self.connections:
            connection.close()
        self._listener.close()

    def accept_tcp(self):
        connection, _ = self._listener.accept()
        connection.settimeout(WAIT_S)
        self.connections.append(connection)
        return connection

    def accept_tls(self):
        """Raises ssl.SSLError or ConnectionError when there is no agreement."""
        tls = self.context.wrap_socket(self.accept_tcp(), server_side=True)
        self.connections.append(tls)
        return tls

    def accept(self, **peer):
        return Peer(self.accept_tls(), False, **peer)

    def nobody_is_there(self):
        """Whether nobody waits to be accepted; who does goes on waiting."""
        return not select.select([self._listener], [], [], 0)[0]

    def nobody_waits(self):
        """Whether no connection is there to be accepted now."""
        self._listener.setblocking(False)
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return True
        finally:
            self._listener.settimeout(WAIT_S)
        connection.close()
        return False
