"""The ledger's rows: appended inside the transaction of what they are evidence for, headed and verified."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import bindparam, func, insert, select
from sqlalchemy.engine import Connection

from leadglass.archive import ledger
from leadglass.archive.keys import Key
from leadglass.archive.ledger import ChainHead, LedgerEntry, SignedHead, Tree
from leadglass.audit import AuditEvent
from leadglass.edge.database_store import Prepared, Store
from leadglass.edge.database_vault import Vault
from leadglass.edge.schema import LEDGER, LEDGER_HEADS
from leadglass.errors import IntegrityError
from leadglass.journeys.ports import Clock, LedgerLine

_PAGE = 2_000
_PLACE = b"ledger|"

HEAD_EVERY = 4_096
"""Entries after which a head is signed without being asked: what a thief of the folder could cut off unseen."""


class Evidence:
    """Append, read, head and verify the ledger."""

    def __init__(self, store: Store, vault: Vault, root: Key, clock: Clock) -> None:
        self._store, self._vault, self._clock = store, vault, clock
        self._signer = Ed25519PrivateKey.from_private_bytes(root.derive("leadglass ledger head").value)
        last = select(LEDGER.c.seq, LEDGER.c.hash).order_by(LEDGER.c.seq.desc()).limit(1)
        self._last = Prepared(last, store.dialect, is_query=True)
        self._insert = Prepared(insert(LEDGER), store.dialect)
        self._unsigned = 0
        self._signing = threading.Lock()

    def sealed(self, event: AuditEvent) -> bytes:
        """Seal an event's details, before the transaction."""
        detail = {"actor": event.actor, "outcome": event.outcome, "detail": dict(event.detail)}
        return self._vault.seal(_PLACE + (event.subject or b""), detail)

    def append(self, connection: Connection, event: AuditEvent, sealed: bytes) -> None:
        """Add one entry in the transaction of what it records."""
        self._unsigned += 1
        head = ChainHead()
        for seq, digest in self._last.run(connection, {}):
            assert isinstance(seq, int) and isinstance(digest, bytes)
            head = ChainHead(seq, digest)
        entry = head.append(event.at_us, event.kind.value, event.subject, sealed)
        self._insert.run(
            connection,
            {
                "seq": entry.seq,
                "at_us": entry.at_us,
                "kind": entry.kind,
                "subject": entry.subject,
                "sealed": entry.sealed_detail,
                "hash": entry.hash,
            },
        )

    def record(self, event: AuditEvent, *, is_durable: bool) -> None:
        """Append one event; durable on return, or with the next flush."""
        sealed = self.sealed(event)
        self._store.write(lambda connection: self.append(connection, event, sealed), is_durable=is_durable)
        self.sign_when_due()

    def lines(self, *, subject: bytes | None, limit: int, newest_first: bool) -> list[LedgerLine]:
        """Read opened entries."""
        order = LEDGER.c.seq.desc() if newest_first else LEDGER.c.seq
        query = select(LEDGER).order_by(order).limit(limit)
        if subject is not None:
            query = query.where(LEDGER.c.subject == subject)
        with self._store.reading() as connection:
            rows = connection.execute(query).all()
        return [self._line(_entry(row)) for row in rows]

    def _line(self, entry: LedgerEntry) -> LedgerLine:
        opened = self._vault.open(_PLACE + (entry.subject or b""), entry.sealed_detail)
        detail = opened["detail"]
        return LedgerLine(
            entry.seq,
            entry.at_us,
            entry.kind,
            str(opened["actor"]),
            entry.subject,
            str(opened["outcome"]),
            detail if isinstance(detail, dict) else {},
        )

    def sign_when_due(self) -> None:
        """Sign a head when enough was added since the last; others go on meanwhile."""
        if self._unsigned >= HEAD_EVERY and self._signing.acquire(blocking=False):
            try:
                self._unsigned = 0
                self.sign_head()
            finally:
                self._signing.release()

    def sign_head(self) -> None:
        """Sign where the ledger stands now; nothing to do when nothing was added."""
        tree = Tree()
        with self._store.reading() as connection:
            newest = connection.execute(select(LEDGER_HEADS).order_by(LEDGER_HEADS.c.size.desc()).limit(1)).first()
        if newest is not None:
            tree = Tree.of(newest.size, newest.peaks)
        before = tree.size
        for entry in self._entries(after=tree.size):
            tree.add(entry.hash)
        if tree.size == before:
            return
        head = ledger.sign_head(tree, self._clock.now_us(), self._signer)
        values = {
            "size": head.size,
            "root": head.root,
            "at_us": head.at_us,
            "public_key": head.public_key,
            "signature": head.signature,
            "peaks": tree.peaks,
        }

        def add(connection: Connection) -> None:
            known = connection.execute(select(LEDGER_HEADS.c.size).where(LEDGER_HEADS.c.size == head.size)).first()
            if known is None:
                connection.execute(insert(LEDGER_HEADS).values(values))

        self._store.write(add)

    def verify(self) -> int:
        """Check the whole chain against every signed head of this site's own key."""
        with self._store.reading() as connection:
            rows = connection.execute(select(LEDGER_HEADS).order_by(LEDGER_HEADS.c.size)).all()
        heads = [SignedHead(row.size, row.root, row.at_us, row.public_key, row.signature) for row in rows]
        ours = self._signer.public_key().public_bytes_raw()
        if any(head.public_key != ours for head in heads):
            raise IntegrityError("A ledger head was signed by another key than this site's.")
        return ledger.verify(self._entries(after=0), heads)

    def count(self) -> int:
        """Count the entries."""
        with self._store.reading() as connection:
            return connection.execute(select(func.max(LEDGER.c.seq))).scalar() or 0

    def _entries(self, *, after: int) -> Iterator[LedgerEntry]:
        query = select(LEDGER).where(LEDGER.c.seq > bindparam("after")).order_by(LEDGER.c.seq).limit(_PAGE)
        while True:
            with self._store.reading() as connection:
                rows = connection.execute(query, {"after": after}).all()
            if not rows:
                return
            yield from map(_entry, rows)
            after = rows[-1].seq


def _entry(row: object) -> LedgerEntry:
    return LedgerEntry(row.seq, row.at_us, row.kind, row.subject, row.sealed, row.hash)  # type: ignore[attr-defined]
