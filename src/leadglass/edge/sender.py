"""Connections that the hub opens to other nodes: mutual TLS unless the node is written down as plaintext.

The peer's certificate must come from the site's trust store, and be the very one on the node's record where
one is recorded, so that a certificate of another node cannot stand in for it.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
from collections.abc import Callable

from leadglass.dicom.association import Association, WireLimits
from leadglass.edge.wire import SocketWire
from leadglass.errors import RemoteError
from leadglass.gateway.node import Node
from leadglass.journeys.ports import Timeouts, Wire

CONNECT_SECONDS = 10.0


class Sender:
    """Open DICOM connections to nodes."""

    def __init__(self, tls: Callable[[], ssl.SSLContext], *, wire_limits: WireLimits, timeouts: Timeouts) -> None:
        self._tls = tls
        self._wire_limits = wire_limits
        self._timeouts = timeouts

    def connect(self, node: Node) -> Wire:
        """Connect to a node's address; raises RemoteError naming what to check."""
        try:
            stream = socket.create_connection((node.host, node.port), timeout=CONNECT_SECONDS)
        except OSError as error:
            raise RemoteError(
                f"{node.name} does not answer at {node.host}:{node.port} ({error.strerror or error}).",
                hint="Check that the peer runs, and its address with `leadglass node list`.",
            ) from error
        try:
            if not node.plaintext:
                stream = self._secure(stream, node)
            engine = Association(is_requestor=True, limits=self._wire_limits)
            return SocketWire(stream, engine, self._timeouts)
        except BaseException:
            stream.close()
            raise

    def _secure(self, stream: socket.socket, node: Node) -> ssl.SSLSocket:
        try:
            secured = self._tls().wrap_socket(stream, server_hostname=None)
        except (ssl.SSLError, OSError) as error:
            raise RemoteError(
                f"{node.name} did not complete the TLS handshake ({getattr(error, 'reason', None) or error}).",
                hint="Check that the peer speaks TLS with a certificate this site trusts, or add it as --plaintext.",
            ) from error
        certificate = secured.getpeercert(binary_form=True) or b""
        if node.fingerprint is not None and hashlib.sha256(certificate).hexdigest() != node.fingerprint:
            secured.close()
            raise RemoteError(
                f"{node.name} shows another certificate than the one on its record.",
                hint="If the peer's certificate was renewed, enrol it again with `leadglass node add`.",
            )
        return secured
