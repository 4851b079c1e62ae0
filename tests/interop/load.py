"""Load between two pods, to show that what happens meanwhile costs nobody a connection."""

import collections
import random
import threading

import actors

CLIENTS = 4
LONGEST_S = 1.0


class Load:
    """
    Clients in a pod, each of which connects to an echo server, sends, reads what comes back, waits for up to a second, does so
    once more, ends its half and waits for the other's end; then anew. Use as a context manager. Attributes: `connections`, that
    were made; `failures`, {what: how many}.
    """

    def __init__(self, pod, address, port, clients=CLIENTS):
        self.connections = 0
        self.failures = collections.Counter()
        self._pod, self._address, self._port = pod, address, port
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._client, daemon=True) for _ in range(clients)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _client(self):
        while not self._stop.is_set():
            try:
                self._converse()
                failure = None
            except (OSError, EOFError) as error:
                failure = repr(error)
            with self._lock:
                self.connections += 1
                if failure is not None:
                    self.failures[failure] += 1

    def _converse(self):
        text = random.randbytes(random.randint(1, actors.CHUNK))
        with self._pod.connect(self._address, self._port) as connection:
            _echo(connection, text)
            self._stop.wait(random.uniform(0, LONGEST_S))
            _echo(connection, text)
            connection.shutdown(1)
            if connection.recv(1):
                raise EOFError("bytes came after the last")


def _echo(connection, text):
    connection.sendall(text)
    if actors.read_exactly(connection, len(text)) != text:
        raise EOFError("other bytes came back than were sent")
