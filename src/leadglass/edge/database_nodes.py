"""The nodes a site knows, as rows. AE titles and addresses are no patient data and stand in the clear."""

from __future__ import annotations

import json

from sqlalchemy import delete, insert, select, update
from sqlalchemy.engine import Connection

from leadglass.audit import AuditEvent
from leadglass.edge.database_ledger import Evidence
from leadglass.edge.database_store import Store
from leadglass.edge.schema import NODES
from leadglass.errors import NotFound
from leadglass.gateway.node import Node, NodeState, Permission


class Register:
    """Nodes, each change with its ledger entry."""

    def __init__(self, store: Store, evidence: Evidence) -> None:
        self._store, self._evidence = store, evidence

    def nodes(self) -> list[Node]:
        """List every node by name."""
        with self._store.reading() as connection:
            return [
                _node(record) for record in connection.execute(select(NODES.c.record).order_by(NODES.c.name)).scalars()
            ]

    def node(self, name: str) -> Node | None:
        """Give one node, or None."""
        with self._store.reading() as connection:
            record = connection.execute(select(NODES.c.record).where(NODES.c.name == name)).scalar()
        return None if record is None else _node(record)

    def put_node(self, node: Node, event: AuditEvent) -> None:
        """Add or replace a node."""
        sealed, record = self._evidence.sealed(event), _record(node)

        def put(connection: Connection) -> None:
            changed = connection.execute(update(NODES).where(NODES.c.name == node.name).values(record=record))
            if not changed.rowcount:
                connection.execute(insert(NODES).values(name=node.name, record=record))
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


def _record(node: Node) -> str:
    return json.dumps(
        {
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
    )


def _node(record: str) -> Node:
    value = json.loads(record)
    value["state"] = NodeState(value["state"])
    value["addresses"] = tuple(value["addresses"])
    value["permissions"] = frozenset(map(Permission, value["permissions"]))
    return Node(**value)
