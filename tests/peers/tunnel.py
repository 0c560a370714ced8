"""A TLS tunnel in front of a program that has no TLS of its own, as hospitals put stunnel in front of old devices."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.peers.harness.certificates import Credentials


@contextmanager
def tunnel(port: int, credentials: Credentials) -> Iterator[int]:
    """Listen in the clear on a loopback port, given here, and pass everything on over mutual TLS."""
    door = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_accept, args=(door, port, credentials), daemon=True).start()
    try:
        yield int(door.getsockname()[1])
    finally:
        door.close()


def _accept(door: socket.socket, port: int, credentials: Credentials) -> None:
    context = credentials.client_context()
    while True:
        try:
            near, _ = door.accept()
        except OSError:
            return
        far = context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="localhost")
        for source, target in ((near, far), (far, near)):
            threading.Thread(target=_pass_on, args=(source, target), daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
