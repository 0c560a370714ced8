"""A node gets its identity: certificate, key and the site's authority in a folder for the device, and a record here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from leadglass.audit import AuditEvent, AuditKind
from leadglass.gateway.node import Node

if TYPE_CHECKING:
    from leadglass.edge.tls import TlsFiles
    from leadglass.wiring import Hub


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A node with its identity, and where its files are."""

    node: Node
    files: TlsFiles


def enrol(hub: Hub, node: Node, folder: Path, actor: str) -> Enrolled:
    """Issue a certificate for the node, write it with its key into `folder`, and put the node on record.

    The private key is kept nowhere else. Raises UsageError when the folder already holds an identity.
    """
    from leadglass.edge.tls import TlsFiles

    names = (node.host,) if node.host else ()
    described = hub.identity.enrol(node.name, folder, now=datetime.now(UTC), names=names)
    enrolled = replace(node, fingerprint=described.fingerprint)
    put(hub, enrolled, actor)
    return Enrolled(enrolled, TlsFiles(folder / "ca.pem", folder / "node.pem", folder / "node.key"))


def put(hub: Hub, node: Node, actor: str, kind: AuditKind = AuditKind.NODE_ADDED) -> None:
    """Put a node on record."""
    detail: dict[str, str | int] = {
        "node": node.name,
        "host": node.host,
        "port": node.port,
        "addresses": ",".join(node.addresses) or "anywhere",
        "may": ",".join(sorted(node.permissions)),
    }
    if node.plaintext:
        detail["plaintext"] = "yes"
    hub.catalogue.put_node(node, AuditEvent(kind, hub.clock.now_us(), actor, None, node.state.value, detail))
