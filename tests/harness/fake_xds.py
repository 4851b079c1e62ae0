"""
A control plane that does as a test bids: delta xDS (DeltaAggregatedResources) over gRPC and TLS, on python3-h2.

    with FakeXds(pod.listen(port=15012), certificate_file, key_file) as xds:
        xds.put(workload({...}), policy({...}))       what there is, from the start or pushed to who is subscribed
        xds.remove(ADDRESS, "uid")

Left alone it behaves as istiod does, to the point where an agent can go wrong: names of addresses are resolved when they are
asked for, with a service come its endpoints, a request with an old nonce is ignored, what a reconnecting client holds already is
not sent again, and what it holds and is no more is removed. How it misbehaves is what the test sets:

    xds.on_stream = lambda stream: stream.refuse(16, "no")    called for each new stream; true: it is dealt with
    xds.on_request = lambda stream, request: ...              the same for each request
    xds.chunk                                                 resources in one message
"""

import contextlib
import select
import socket
import ssl
import struct
import threading

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import hyperframe.frame

import actors
from protobuf import field, frame, read, repeated, texts
from xds_resources import ADDRESS, AUTHORIZATION

UNAUTHENTICATED = 16
UNAVAILABLE = 14
METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"


class Request:
    """A DeltaDiscoveryRequest, read. `error` is a NACK's message, or None."""

    def __init__(self, message):
        fields = read(message)
        self.type = "".join(texts(fields, 2))
        self.subscribe = texts(fields, 3)
        self.unsubscribe = texts(fields, 4)
        entries = [dict(read(value)) for number, value in fields if number == 5]
        self.held = {entry[1].decode(): entry.get(2, b"").decode() for entry in entries}
        self.nonce = "".join(texts(fields, 6))
        errors = [dict(read(value)) for number, value in fields if number == 7]
        self.error = errors[0].get(2, b"").decode() if errors else None
        self.node = next((value for number, value in fields if number == 1), None)


class _Type:
    """What one stream has said of one type."""

    def __init__(self):
        self.started = False
        self.wildcard = False
        self.names = set()  # of resources that it is subscribed to
        self.nonce = ""


class Stream:
    """One stream of a client. Attributes: `headers`; `requests`."""

    def __init__(self, connection, stream_id, headers):
        self.connection = connection
        self.headers = headers
        self.requests = []
        self.types = {ADDRESS: _Type(), AUTHORIZATION: _Type()}
        self._id = stream_id
        self._body = b""
        self._waiting = b""  # for the client's window
        self._answered = False
        self._nonces = 0

    # ------------------------------------------------------------------------------------------- what comes

    def receive(self, octets):
        self._body += octets
        while len(self._body) >= 5 and len(self._body) >= 5 + (length := int.from_bytes(self._body[1:5], "big")):
            request, self._body = Request(self._body[5:5 + length]), self._body[5 + length:]
            self.requests.append(request)
            yield request

    # ---------------------------------------------------------------------------------------- what is answered

    def answer(self, type_url, resources=(), removed=(), version="v1"):
        """A proper answer."""
        self._nonces += 1
        nonce = f"nonce-{self._nonces}"
        if type_url in self.types:
            self.types[type_url].nonce = nonce
        body = (field(1, version) + repeated(2, [resource.encode() for resource in resources]) + field(4, type_url)
                + field(5, nonce) + repeated(6, removed))
        self.send(frame(body))

    def send(self, octets):
        """Any bytes at all, as the body of the answer."""
        with self.connection.lock:
            self._headers()
            self._waiting += octets
            self.flush()

    def _headers(self):
        if not self._answered:
            self.connection.http.send_headers(self._id, [(":status", "200"), ("content-type", "application/grpc")])
            self._answered = True

    def flush(self):
        """As much as the client's window takes."""
        with self.connection.lock:
            http = self.connection.http
            while self._waiting:
                room = min(http.local_flow_control_window(self._id), http.max_outbound_frame_size, len(self._waiting))
                if room <= 0:
                    break
                http.send_data(self._id, self._waiting[:room])
                self._waiting = self._waiting[room:]
            self.connection.flush()

    def refuse(self, status, message):
        """A gRPC status, and the end of the stream."""
        with self.connection.lock:
            trailers = [("grpc-status", str(status)), ("grpc-message", message)]
            if not self._answered:
                trailers = [(":status", "200"), ("content-type", "application/grpc"), *trailers]
            self.connection.http.send_headers(self._id, trailers, end_stream=True)
            self.connection.forget(self._id)
            self.connection.flush()
        return True

    def finish(self):
        """The end of the stream, in order."""
        self._headers()
        return self.refuse(0, "")

    def answer_http(self, status):
        """No gRPC at all, as from a proxy in between."""
        with self.connection.lock:
            self.connection.http.send_headers(self._id, [(":status", str(status)), ("content-type", "text/html")])
            self.connection.http.send_data(self._id, b"<html>no</html>", end_stream=True)
            self.connection.forget(self._id)
            self.connection.flush()
        return True

    def reset(self):
        with self.connection.lock:
            self.connection.http.reset_stream(self._id, error_code=h2.errors.ErrorCodes.INTERNAL_ERROR)
            self.connection.forget(self._id)
            self.connection.flush()
        return True


class Connection:
    """One client's connection."""

    def __init__(self, server, tls):
        self.server = server
        self.lock = threading.RLock()
        self.streams = {}
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self._tls = tls

    def run(self):
        with self.lock:
            self.http.initiate_connection()
            self.flush()
        while data := self._receive():
            with self.lock:
                for event in self.http.receive_data(data):
                    self._on_event(event)
                self.flush()

    def _receive(self):
        """What has come. Only one thread at a time may use a TLS connection: the client is waited for without the lock."""
        if not self._tls.pending():
            select.select([self._tls], [], [])
        with self.lock:
            return self._tls.recv(actors.CHUNK)

    def _on_event(self, event):
        if isinstance(event, h2.events.RequestReceived):
            stream = self.streams[event.stream_id] = Stream(self, event.stream_id, dict(event.headers))
            self.server.stream_came(stream)
        elif isinstance(event, h2.events.DataReceived):
            self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            stream = self.streams.get(event.stream_id)
            for request in stream.receive(event.data) if stream else ():
                self.server.request_came(stream, request)
        elif isinstance(event, h2.events.WindowUpdated):
            for stream in list(self.streams.values()):
                stream.flush()
        elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
            self.forget(event.stream_id)

    def forget(self, stream_id):
        self.streams.pop(stream_id, None)

    def flush(self):
        with self.lock:
            data = self.http.data_to_send()
            if data:
                self._tls.sendall(data)

    def goaway(self):
        """No new streams here, in order, as when a connection has grown old. h2 itself only says it when all is over."""
        frame_ = hyperframe.frame.GoAwayFrame(0, last_stream_id=2**31 - 1)
        with self.lock:
            self._tls.sendall(frame_.serialize())

    def cut(self):
        """Ends the connection with RST: its own thread, which this wakes, closes it."""
        with self.lock, contextlib.suppress(OSError):
            self._tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._tls.shutdown(socket.SHUT_RD)


class FakeXds(actors.Server):
    """Use as a context manager. Attributes: `streams`, all there ever were; the hooks of the module's text."""

    def __init__(self, listener, certificate_file, key_file):
        super().__init__(listener, self._converse)
        self.streams = []
        self.connections = []
        self.on_stream = None
        self.on_request = None
        self.chunk = 1000
        self._resources = {ADDRESS: {}, AUTHORIZATION: {}}
        self._lock = threading.RLock()
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificate_file, key_file)
        self._tls.set_alpn_protocols(["h2"])

    def __exit__(self, *_):
        super().__exit__()
        self.cut_all()

    def _converse(self, connection):
        with self._tls.wrap_socket(connection, server_side=True) as tls:
            conversation = Connection(self, tls)
            with self._lock:
                self.connections.append(conversation)
            try:
                conversation.run()
            except h2.exceptions.ProtocolError as error:
                self.errors.append(error)
            finally:
                with self._lock:
                    self.connections.remove(conversation)

    # --------------------------------------------------------------------------------------------- the mesh

    def put(self, *resources, push=True):
        """What there is from now on; pushed to those that are subscribed, unless told otherwise."""
        with self._lock:
            for resource in resources:
                self._resources[resource.type][resource.name] = resource
        if push:
            self._push(list(resources), [])

    def remove(self, type_url, *names, push=True):
        with self._lock:
            for name in names:
                del self._resources[type_url][name]
        if push:
            self._push([], [(type_url, name) for name in names])

    def _push(self, changed, removed):
        for stream in self.live():
            for type_url, state in stream.types.items():
                news = [resource for resource in changed if resource.type == type_url
                        and (state.wildcard or resource.name in state.names)]
                gone = [name for kind, name in removed if kind == type_url and (state.wildcard or name in state.names)]
                state.names.difference_update(gone)
                if state.started and (news or gone):
                    self._send(stream, type_url, news, gone)

    def _send(self, stream, type_url, resources, removed):
        """In as many messages as `chunk` makes of it; one at least."""
        chunks = [resources[at:at + self.chunk] for at in range(0, len(resources), self.chunk)] or [[]]
        for chunk in chunks[:-1]:
            stream.answer(type_url, chunk)
        stream.answer(type_url, chunks[-1], removed)

    def _resolve(self, name):
        """The resources that a name of an address stands for: with a service come its endpoints."""
        everything = self._resources[ADDRESS]
        found = [resource for resource in everything.values() if name == resource.name or name in resource.aliases]
        behind = [resource for resource in everything.values()
                  if any(service.name in resource.services for service in found)]
        return {resource.name: resource for resource in found + behind}

    # ------------------------------------------------------------------------------------------- conversation

    def live(self):
        """The streams that stand."""
        with self._lock:
            return [stream for connection in self.connections for stream in list(connection.streams.values())]

    def requests(self, type_url=ADDRESS):
        """All that ever came, in order."""
        return [request for stream in self.streams for request in stream.requests if request.type == type_url]

    def times_asked(self, name):
        return sum(request.subscribe.count(name) for request in self.requests())

    def nacks(self):
        return [request for stream in self.streams for request in stream.requests if request.error is not None]

    def cut_all(self):
        """Every connection ends with RST."""
        with self._lock:
            connections = list(self.connections)
        for connection in connections:
            connection.cut()

    def stream_came(self, stream):
        self.streams.append(stream)
        if self.on_stream is not None:
            self.on_stream(stream)

    def request_came(self, stream, request):
        if self.on_request is not None and self.on_request(stream, request):
            return
        state = stream.types.get(request.type)
        if state is None or (request.nonce and request.nonce != state.nonce):
            return
        with self._lock:
            if not state.started:
                self._start(stream, state, request)
            elif request.subscribe or request.unsubscribe:
                self._subscribe(stream, state, request)

    def _start(self, stream, state, request):
        state.started = True
        everything = self._resources[request.type]
        wanted = [name for name in request.subscribe if name != "*"]
        state.wildcard = not request.subscribe or ("*" in request.subscribe and "*" not in request.unsubscribe)
        found = dict(everything) if state.wildcard else {}
        for name in wanted:
            found.update(self._resolve(name))
        for name in request.held:
            if name in everything:
                found[name] = everything[name]
        state.names = set(found)
        # Policies have no version, so that they always are sent.
        news = [resource for name, resource in found.items()
                if not resource.version or request.held.get(name) != resource.version]
        gone = [name for name in request.held if name not in everything and not self._resolve_any(name, request.type)]
        gone += [name for name in wanted if name not in gone and not self._resolve_any(name, request.type)]
        self._send(stream, request.type, news, gone)

    def _resolve_any(self, name, type_url):
        return self._resolve(name) if type_url == ADDRESS else name in self._resources[type_url]

    def _subscribe(self, stream, state, request):
        state.names.difference_update(request.unsubscribe)
        found, gone = {}, []
        for name in request.subscribe:
            if name in state.names:
                continue
            resolved = self._resolve(name)
            found.update(resolved)
            if not resolved:
                gone.append(name)
        state.names.update(found)
        if request.subscribe and (found or gone):
            self._send(stream, request.type, list(found.values()), gone)
