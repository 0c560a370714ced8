"""The evidence chain: every entry names the one before it, and signed tree heads pin how many there were.

docs/spec/ledger.md is the format. Details are sealed before they get here, so the chain is verified by
anyone who has the rows and a head, without a key. Tree heads follow RFC 6962 §2.1.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from leadglass.errors import IntegrityError

_ENTRY = struct.Struct(">4s32sQQB")
_MAGIC, _HEAD_MAGIC = b"LGL1", b"LGH1"
GENESIS = bytes(32)
"""What the first entry names as its predecessor."""
SUBJECT_BYTES = 16


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One link. `subject` is an object id or None; `sealed_detail` is opaque here."""

    seq: int
    at_us: int
    kind: str
    subject: bytes | None
    sealed_detail: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class ChainHead:
    """Where the chain stands: the last sequence number (0 = empty) and its hash."""

    seq: int = 0
    hash: bytes = GENESIS

    def append(self, at_us: int, kind: str, subject: bytes | None, sealed_detail: bytes) -> LedgerEntry:
        """Make the next entry."""
        assert subject is None or len(subject) == SUBJECT_BYTES
        seq = self.seq + 1
        digest = entry_hash(self.hash, seq, at_us, kind, subject, sealed_detail)
        return LedgerEntry(seq, at_us, kind, subject, sealed_detail, digest)


def entry_hash(previous: bytes, seq: int, at_us: int, kind: str, subject: bytes | None, sealed_detail: bytes) -> bytes:
    """Hash an entry's canonical form."""
    name = kind.encode()
    body = _ENTRY.pack(_MAGIC, previous, seq, at_us, len(name)) + name
    body += b"\0" if subject is None else b"\1" + subject
    return hashlib.sha256(body + struct.pack(">I", len(sealed_detail)) + sealed_detail).digest()


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A signed statement: `size` entries have this Merkle root."""

    size: int
    root: bytes
    at_us: int
    public_key: bytes
    signature: bytes


class Tree:
    """The Merkle tree over entry hashes, kept as its O(log n) peaks (RFC 6962 §2.1)."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []

    @classmethod
    def of(cls, size: int, peaks: bytes) -> Tree:
        """Take up a tree whose peaks were kept; raises IntegrityError when there are not as many as its size asks."""
        if len(peaks) != 32 * size.bit_count():
            raise IntegrityError("The kept peaks of the ledger's tree do not fit its size.")
        tree = cls()
        tree.size, tree._peaks = size, [peaks[at : at + 32] for at in range(0, len(peaks), 32)]
        return tree

    @property
    def peaks(self) -> bytes:
        """Give the peaks, largest first, to keep beside a head."""
        return b"".join(self._peaks)

    def add(self, entry_digest: bytes) -> None:
        """Append one leaf."""
        node = hashlib.sha256(b"\0" + entry_digest).digest()
        size = self.size
        while size & 1:
            node = hashlib.sha256(b"\1" + self._peaks.pop() + node).digest()
            size >>= 1
        self._peaks.append(node)
        self.size += 1

    def root(self) -> bytes:
        """Give the tree's root; that of an empty tree is the hash of nothing."""
        if not self._peaks:
            return hashlib.sha256(b"").digest()
        node = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            node = hashlib.sha256(b"\1" + peak + node).digest()
        return node


def sign_head(tree: Tree, at_us: int, key: Ed25519PrivateKey) -> SignedHead:
    """Sign where the tree stands."""
    public = key.public_key().public_bytes_raw()
    size, root = tree.size, tree.root()
    return SignedHead(size, root, at_us, public, key.sign(_head_bytes(size, root, at_us)))


def check_head(head: SignedHead) -> None:
    """Check a head's own signature; raises IntegrityError."""
    try:
        Ed25519PublicKey.from_public_bytes(head.public_key).verify(
            head.signature, _head_bytes(head.size, head.root, head.at_us)
        )
    except (InvalidSignature, ValueError) as error:
        raise IntegrityError("A ledger head's signature does not verify.") from error


def _head_bytes(size: int, root: bytes, at_us: int) -> bytes:
    return _HEAD_MAGIC + struct.pack(">QQ", size, at_us) + root


def verify(entries: Iterable[LedgerEntry], heads: Sequence[SignedHead]) -> int:
    """Walk the whole chain against its heads and give the number of entries.

    Raises IntegrityError naming the first entry that was altered, removed, inserted or reordered, or the
    head that says there were more.
    """
    roots: dict[int, bytes] = {}
    for head in heads:
        check_head(head)
        if roots.setdefault(head.size, head.root) != head.root:
            raise IntegrityError(f"Two signed heads of {head.size} entries tell different histories.")
    tree, at = Tree(), ChainHead()
    for entry in entries:
        if entry.seq != at.seq + 1:
            raise IntegrityError(f"Ledger entry {at.seq + 1} is missing.", hint="Restore the catalogue from a backup.")
        if not _is_encodable(entry) or entry.hash != _hash_after(at.hash, entry):
            raise IntegrityError(f"Ledger entry {entry.seq} was altered.", hint="Restore the catalogue from a backup.")
        at = ChainHead(entry.seq, entry.hash)
        tree.add(entry.hash)
        signed = roots.get(tree.size)
        if signed is not None and signed != tree.root():
            raise IntegrityError(f"The ledger does not have the root that was signed at entry {tree.size}.")
    longest = max(roots, default=0)
    if longest > tree.size:
        raise IntegrityError(f"The ledger ends at entry {tree.size}; {longest} were signed.")
    return tree.size


def _hash_after(previous: bytes, entry: LedgerEntry) -> bytes:
    return entry_hash(previous, entry.seq, entry.at_us, entry.kind, entry.subject, entry.sealed_detail)


def _is_encodable(entry: LedgerEntry) -> bool:
    """Tell whether a stored row has the shape of an entry; a length of its own would make two rows hash alike."""
    return (
        0 <= entry.at_us < 1 << 64
        and entry.kind.isascii()
        and len(entry.kind) < 256
        and (entry.subject is None or len(entry.subject) == SUBJECT_BYTES)
        and len(entry.hash) == len(GENESIS)
    )
