"""
A certificate service that does as a test bids: Istio's CreateCertificate over gRPC, on python3-h2 and Python's ssl.

    ca = FakeCa(pod.listen(port=15012), server_certificate_file, server_key_file, behave=lambda call: call.answer([leaf, root]))

`behave` is an attribute, so that the CA can change its mind; it is called with each whole request and uses one of the methods
of Call, or none: then the caller waits for ever.
"""

import ssl

import h2.config
import h2.connection
import h2.events
import h2.exceptions

import actors
from protobuf import frame, read, repeated

PERMISSION_DENIED = 7
UNAVAILABLE = 14


class FakeCa(actors.Server):
    """Use as a context manager. Attributes: `behave`; `calls`, what was asked so far."""

    def __init__(self, listener, certificate_file, key_file, behave):
        super().__init__(listener, self._converse)
        self.behave = behave
        self.calls = []
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificate_file, key_file)
        self._tls.set_alpn_protocols(["h2"])

    def _converse(self, connection):
        with self._tls.wrap_socket(connection, server_side=True) as stream:
            http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
            http.initiate_connection()
            stream.sendall(http.data_to_send())
            calls = {}
            while data := stream.recv(actors.CHUNK):
                try:
                    for event in http.receive_data(data):
                        self._on_event(event, calls, http)
                except h2.exceptions.ProtocolError as error:
                    self.errors.append(error)
                stream.sendall(http.data_to_send())

    def _on_event(self, event, calls, http):
        if isinstance(event, h2.events.RequestReceived):
            calls[event.stream_id] = Call(http, event.stream_id, dict(event.headers))
        elif isinstance(event, h2.events.DataReceived):
            calls[event.stream_id].body += event.data
            http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            call = calls.pop(event.stream_id)
            self.calls.append(call)
            self.behave(call)


class Call:
    """One CreateCertificate. Attributes: `headers`, `csr` (PEM) and `validity_s`, what was asked."""

    def __init__(self, http, stream_id, headers):
        self._http = http
        self._stream_id = stream_id
        self.headers = headers
        self.body = b""

    @property
    def csr(self):
        return dict(self._fields()).get(1, b"").decode()

    @property
    def validity_s(self):
        return dict(self._fields()).get(3, 0)

    def _fields(self):
        return read(self.body[5:])

    def answer(self, chain):
        """A proper answer: PEM texts, the leaf first and the roots last."""
        self.answer_bytes(frame(write_chain(chain)))

    def answer_bytes(self, body, status=0):
        """Any body at all, and trailers that call it a success."""
        self.start(body)
        self._http.send_headers(self._stream_id, [("grpc-status", str(status))], end_stream=True)

    def refuse(self, status, message):
        """A gRPC status without an answer."""
        self._http.send_headers(self._stream_id, [(":status", "200"), ("content-type", "application/grpc"),
                                                  ("grpc-status", str(status)), ("grpc-message", message)], end_stream=True)

    def answer_http(self, status):
        """No gRPC at all, as from a proxy in between."""
        self._http.send_headers(self._stream_id, [(":status", str(status)), ("content-type", "text/html")])
        self._http.send_data(self._stream_id, b"<html>no</html>", end_stream=True)

    def start(self, body):
        """The beginning of an answer, whose end never comes."""
        self._http.send_headers(self._stream_id, [(":status", "200"), ("content-type", "application/grpc")])
        for start in range(0, len(body), 16384):
            self._http.send_data(self._stream_id, body[start:start + 16384])

    def reset(self):
        self._http.reset_stream(self._stream_id, error_code=2)

    def hang_up(self):
        """Ends the connection in the middle of the call."""
        self._http.close_connection()
        raise ConnectionAbortedError("as the test asked")


def write_chain(chain):
    """An IstioCertificateResponse: field 1, a text for each certificate."""
    return repeated(1, chain)
