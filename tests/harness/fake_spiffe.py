"""
A SPIFFE Workload API that does as a test bids: FetchX509SVID over gRPC on a Unix socket, on python3-h2.

    with FakeWorkloadApi(path) as api:
        api.push(state([svid("spiffe://td/a", authority)]))       # told to all streams, and to those that come later

`behave` is an attribute, called with each Stream that begins, in place of telling it the newest state.
"""

import base64
import contextlib
import os
import re
import socket
import threading

import h2.config
import h2.connection
import h2.events
import h2.exceptions

import actors
from protobuf import field, frame, repeated

INVALID_ARGUMENT = 3
PERMISSION_DENIED = 7


def der(pem):
    """The blocks of a PEM text, one after the other."""
    return b"".join(base64.b64decode(block) for block in re.findall(r"-----BEGIN [^-]+-----(.*?)-----END", pem, re.DOTALL))


def svid(identity, authority, hint="", bundle=None, **options):
    """An X509SVID in bytes. `bundle` is PEM, the authority's root unless given; other options as Authority.issue()."""
    chain, key = authority.issue([f"URI:{identity}"], **options)
    roots = authority.root_pem if bundle is None else bundle
    return (field(1, identity) + field(2, der(chain + authority.chain_pem)) + field(3, der(key)) + field(4, der(roots)) +
            field(5, hint))


def state(svids, federated=None, crls=()):
    """An X509SVIDResponse in bytes. `federated` is {trust domain: PEM}, `crls` are PEM."""
    entries = [field(1, f"spiffe://{name}") + field(2, der(pem)) for name, pem in (federated or {}).items()]
    return repeated(1, svids) + repeated(2, [der(crl) for crl in crls]) + repeated(3, entries)


class FakeWorkloadApi(actors.Server):
    """Use as a context manager: the socket is there inside the block. Attributes: `behave`; `streams`, all that ever began."""

    def __init__(self, path):
        listener = socket.socket(socket.AF_UNIX)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        listener.bind(path)
        os.chmod(path, 0o666)
        listener.listen(16)
        super().__init__(listener, self._converse)
        self.endpoint = f"unix://{path}"
        self.behave = None
        self.streams = []
        self._path = path
        self._newest = None
        self._connections = []

    def __exit__(self, *args):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        super().__exit__(*args)
        self.cut()

    def push(self, message):
        """The state from now on."""
        self._newest = message
        for stream in self.streams:
            stream.send(message)

    def cut(self):
        """Breaks every connection."""
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _converse(self, connection):
        connection.settimeout(None)
        self._connections.append(connection)
        http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        lock = threading.RLock()
        streams = {}
        with lock:
            http.initiate_connection()
            connection.sendall(http.data_to_send())
        try:
            while data := connection.recv(actors.CHUNK):
                with lock:
                    for event in http.receive_data(data):
                        self._on_event(event, streams, Stream(http, lock, connection))
                    connection.sendall(http.data_to_send())
        except h2.exceptions.ProtocolError as error:
            self.errors.append(error)
        finally:
            for stream in streams.values():
                stream.is_open = False

    def _on_event(self, event, streams, fresh):
        if isinstance(event, h2.events.RequestReceived):
            fresh.begin(event.stream_id, dict(event.headers))
            streams[event.stream_id] = fresh
        elif isinstance(event, h2.events.StreamEnded):
            stream = streams[event.stream_id]
            self.streams.append(stream)
            if self.behave is not None:
                self.behave(stream)
            elif self._newest is not None:
                stream.send(self._newest)
        elif isinstance(event, h2.events.StreamReset):
            streams[event.stream_id].is_open = False


class Stream:
    """One FetchX509SVID. Attributes: `headers`; `is_open`."""

    def __init__(self, http, lock, connection):
        self._http = http
        self._lock = lock
        self._connection = connection
        self._answered = False
        self.headers = None
        self.is_open = False

    def begin(self, number, headers):
        self._number = number
        self.headers = headers
        self.is_open = True

    def send(self, message):
        """A message, if the stream is still open."""
        self.send_bytes(frame(message))

    def send_bytes(self, body):
        with self._lock:
            if not self.is_open:
                return
            self._answer()
            for start in range(0, len(body), 16384):
                self._http.send_data(self._number, body[start:start + 16384])
            self._flush()

    def end(self, status=0, message=""):
        """The end, with a gRPC status."""
        with self._lock:
            if not self.is_open:
                return
            self._answer()
            self._http.send_headers(self._number, [("grpc-status", str(status)), ("grpc-message", message)], end_stream=True)
            self.is_open = False
            self._flush()

    def _answer(self):
        if not self._answered:
            self._http.send_headers(self._number, [(":status", "200"), ("content-type", "application/grpc")])
        self._answered = True

    def _flush(self):
        with contextlib.suppress(OSError):
            self._connection.sendall(self._http.data_to_send())
