"""Programs that know nothing of the mesh, as threads: servers that answer in one way, and clients' helpers."""

import contextlib
import hashlib
import socket
import struct
import threading

CHUNK = 64 * 1024


class Server:
    """
    Accepts on a listening socket and runs behave(connection) in a thread for each. Use as a context manager. Attributes:
    `port`, None of a Unix socket; `num_accepted`; `errors`, what ended connections before their time.
    """

    def __init__(self, listener, behave):
        address = listener.getsockname()
        self.port = address[1] if isinstance(address, tuple) else None
        self.num_accepted = 0
        self.errors = []
        self._listener = listener
        self._behave = behave
        self._listener.settimeout(None)
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        # shutdown() wakes the thread that sits in accept(); close() alone would not.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.num_accepted += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        connection.settimeout(60)
        try:
            self._behave(connection)
        except OSError as error:
            self.errors.append(error)
        finally:
            connection.close()


def echo(connection):
    """Sends back what comes, until the end, which it sends back too."""
    while data := connection.recv(CHUNK):
        connection.sendall(data)


def pattern(seed, size):
    """`size` bytes in chunks, the same for the same seed, that no wrong order or loss leaves unnoticed."""
    counter = 0
    while size > 0:
        block = hashlib.shake_128(f"{seed}-{counter}".encode()).digest(min(size, CHUNK))
        yield block
        size -= len(block)
        counter += 1


def send_pattern(connection, seed, size):
    for block in pattern(seed, size):
        connection.sendall(block)


def digest_of_pattern(seed, size):
    digest = hashlib.sha256()
    for block in pattern(seed, size):
        digest.update(block)
    return digest.hexdigest()


def digest_to_end(connection):
    """The SHA-256 of everything up to the end."""
    digest = hashlib.sha256()
    while data := connection.recv(CHUNK):
        digest.update(data)
    return digest.hexdigest()


def read_exactly(connection, size):
    parts = []
    while size > 0:
        data = connection.recv(min(size, CHUNK))
        if not data:
            raise EOFError(f"the connection ended {size} bytes early")
        parts.append(data)
        size -= len(data)
    return b"".join(parts)


def reset(connection):
    """Closes with RST instead of FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
