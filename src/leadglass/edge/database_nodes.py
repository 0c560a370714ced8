"""The nodes a site knows, as rows.

The AE title stands in the clear; what a node may do is sealed under the site's key, not because it is secret but
so that whoever can write to the database file cannot let a node in.
"""

from __future__ import annotations

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.engine import Connection

from leadglass.audit import AuditEvent
from leadglass.edge.database_ledger import Evidence
from leadglass.edge.database_store import Prepared, Store
from leadglass.edge.database_vault import Vault
from leadglass.edge.schema import NODES
from leadglass.errors import NotFound
from leadglass.gateway.node import Node, NodeState, Permission


class Register:
    """Nodes, each change with its ledger entry."""

    def __init__(self, store: Store, vault: Vault, evidence: Evidence) -> None:
        self._store, self._vault, self._evidence = store, vault, evidence
        one = select(NODES.c.sealed).where(NODES.c.name == bindparam("name"))
        self._one = Prepared(one, store.dialect, is_query=True)

    def nodes(self) -> list[Node]:
        """List every node by name."""
        with self._store.reading() as connection:
            rows = connection.execute(select(NODES).order_by(NODES.c.name)).all()
        return [self._node(row.name, row.sealed) for row in rows]

    def node(self, name: str) -> Node | None:
        """Give one node, or None."""
        with self._store.reading() as connection:
            rows = self._one.run(connection, {"name": name})
        return self._node(name, _bytes(rows[0][0])) if rows else None

    def _node(self, name: str, sealed: bytes) -> Node:
        return _node(self._vault.open(_place(name), sealed))

    def put_node(self, node: Node, event: AuditEvent) -> None:
        """Add or replace a node."""
        sealed, record = self._evidence.sealed(event), self._vault.seal(_place(node.name), _record(node))

        def put(connection: Connection) -> None:
            changed = connection.execute(update(NODES).where(NODES.c.name == node.name).values(sealed=record))
            if not changed.rowcount:
                connection.execute(insert(NODES).values(name=node.name, sealed=record))
            self._evidence.append(connection, event, sealed)

        self._store.write(put)

    def remove_node(self, name: str, event: AuditEvent) -> None:
        """Forget a node; raises NotFound."""
        sealed = self._evidence.sealed(event)

        def remove(connection: Connection) -> None:
            if not connection.execute(delete(NODES).where(NODES.c.name == name)).rowcount:
                raise NotFound(f"There is no node {name}.", hint="`leadglass node list` shows the nodes.")
            self._evidence.append(connection, event, sealed)

        self._store.write(remove)


def _place(name: str) -> bytes:
    return b"node|" + name.encode()


def _record(node: Node) -> dict[str, object]:
    return {
        "name": node.name,
        "state": node.state.value,
        "host": node.host,
        "port": node.port,
        "fingerprint": node.fingerprint,
        "addresses": list(node.addresses),
        "permissions": sorted(node.permissions),
        "plaintext": node.plaintext,
        "seen_at_us": node.seen_at_us,
        "note": node.note,
    }


def _node(record: dict[str, object]) -> Node:
    fingerprint, seen_at_us = record["fingerprint"], record["seen_at_us"]
    addresses, permissions, port = record["addresses"], record["permissions"], record["port"]
    assert isinstance(addresses, list) and isinstance(permissions, list) and isinstance(port, int)
    return Node(
        name=str(record["name"]),
        state=NodeState(str(record["state"])),
        host=str(record["host"]),
        port=port,
        fingerprint=fingerprint if isinstance(fingerprint, str) else None,
        addresses=tuple(map(str, addresses)),
        permissions=frozenset(map(Permission, permissions)),
        plaintext=record["plaintext"] is True,
        seen_at_us=seen_at_us if isinstance(seen_at_us, int) else None,
        note=str(record["note"]),
    )


def _bytes(value: object) -> bytes:
    """Take a blob as a driver gives it."""
    assert isinstance(value, bytes | memoryview)
    return bytes(value)
