"""Write tests/vectors/ledger/*.txt: ledgers with a stated outcome, made from docs/spec/ledger.md alone.

A second writer of the format that imports nothing of Leadglass. One line is one entry or one head:

    entry: SEQ TIME KIND SUBJECT-or-"-" SEALED-DETAIL HASH
    head: SIZE TIME ROOT PUBLIC-KEY SIGNATURE

    python tools/make_ledger_vectors.py
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FOLDER = Path(__file__).parents[1] / "tests" / "vectors" / "ledger"
KEY = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"ledger vectors").digest())
KINDS = ("hub-started", "association-accepted", "object-received", "object-held", "login-failed")

Entry = tuple[int, int, str, bytes | None, bytes, bytes]
Head = tuple[int, int, bytes, bytes]


def sha(data: bytes) -> bytes:
    """Give SHA-256."""
    return hashlib.sha256(data).digest()


def entry_hash(previous: bytes, seq: int, time: int, kind: str, subject: bytes | None, sealed: bytes) -> bytes:
    """Hash an entry as the specification's "Entries" says."""
    body = b"LGL1" + previous + seq.to_bytes(8, "big") + time.to_bytes(8, "big") + bytes([len(kind)]) + kind.encode()
    body += b"\0" if subject is None else b"\1" + subject
    return sha(body + len(sealed).to_bytes(4, "big") + sealed)


def chain(count: int, *, start: int = 0, previous: bytes = bytes(32), salt: bytes = b"") -> list[Entry]:
    """Make entries that follow one another."""
    entries: list[Entry] = []
    for seq in range(start + 1, start + count + 1):
        subject = None if seq % 3 == 1 else sha(b"subject %d" % seq)[:16]
        time, kind, sealed = 1_700_000_000_000_000 + seq, KINDS[seq % 5], sha(b"sealed %d" % seq + salt) * (seq % 3)
        previous = entry_hash(previous, seq, time, kind, subject, sealed)
        entries.append((seq, time, kind, subject, sealed, previous))
    return entries


def root(leaves: list[bytes]) -> bytes:
    """Give the tree's root by the recursive definition of RFC 6962 §2.1."""
    if not leaves:
        return sha(b"")
    if len(leaves) == 1:
        return sha(b"\0" + leaves[0])
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return sha(b"\1" + root(leaves[:split]) + root(leaves[split:]))


def head(entries: list[Entry], time: int = 9) -> Head:
    """Sign where these entries stand."""
    top = root([entry[5] for entry in entries])
    return len(entries), time, top, KEY.sign(b"LGH1" + len(entries).to_bytes(8, "big") + time.to_bytes(8, "big") + top)


def ledgers() -> dict[str, tuple[str, str, list[Entry], list[Head]]]:
    """Give each vector's outcome, reason, entries and heads."""
    whole = chain(13)
    heads = [head(whole[:size]) for size in (1, 2, 7, 13)]
    early = heads[:3]

    def changed(at: int, column: int, value: object) -> list[Entry]:
        row = list(whole[at])
        row[column] = value
        return [*whole[:at], tuple(row), *whole[at + 1 :]]  # type: ignore[list-item]

    remade = whole[:4] + chain(9, start=4, previous=whole[3][5], salt=b"other")
    forged = (13, 9, heads[3][2], heads[2][3])
    return {
        "whole": ("success", "Thirteen entries, four heads.", whole, heads),
        "empty": ("success", "Nothing yet.", [], []),
        "no-heads": ("success", "No head was signed yet.", whole, []),
        "beyond-heads": ("success", "Entries added since the last head.", whole, early),
        "time": ("refused", "A time changed.", changed(4, 1, 5), heads),
        "kind": ("refused", "A kind changed.", changed(4, 2, "query"), heads),
        "subject": ("refused", "Another object in an entry's place.", changed(4, 3, bytes(16)), heads),
        "no-subject": ("refused", "An entry's object removed.", changed(4, 3, None), heads),
        "detail": ("refused", "A sealed detail changed.", changed(4, 4, b"other"), heads),
        "hash": ("refused", "A hash changed.", changed(4, 5, bytes(32)), heads),
        "renumbered": ("refused", "The last entry's number changed.", changed(12, 0, 14), []),
        "removed-first": ("refused", "The first entry removed.", whole[1:], []),
        "removed": ("refused", "An entry removed.", whole[:6] + whole[7:], []),
        "repeated": ("refused", "An entry twice.", whole[:6] + whole[5:], []),
        "reordered": ("refused", "Two entries changed places.", [*whole[:5], whole[6], whole[5], *whole[7:]], []),
        "cut-off": ("refused", "The end cut off before a head.", whole[:12], heads),
        "emptied": ("refused", "All entries removed, the heads left.", [], heads),
        "remade": ("refused", "Made anew from the fifth entry on; only the heads tell.", remade, heads),
        "forged-head": ("refused", "A head with the signature of another.", whole, [forged]),
        "two-heads": ("refused", "Two heads of one size, both signed.", whole, [heads[3], head(remade)]),
    }


def main() -> None:
    """Write them all."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    public = KEY.public_key().public_bytes_raw().hex()
    for name, (expect, why, entries, heads) in ledgers().items():
        lines = [f"expect: {expect}", f"why: {why}"]
        for seq, time, kind, subject, sealed, digest in entries:
            about = "-" if subject is None else subject.hex()
            lines.append(f"entry: {seq} {time} {kind} {about} {sealed.hex() or '-'} {digest.hex()}")
        for size, time, top, signature in heads:
            lines.append(f"head: {size} {time} {top.hex()} {public} {signature.hex()}")
        (FOLDER / f"{name}.txt").write_text("\n".join(lines) + "\n", "ascii")


if __name__ == "__main__":
    main()
