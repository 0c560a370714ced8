"""Nobody alters, removes, inserts, moves or cuts off a ledger entry without being found."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from leadglass.archive.ledger import (
    ChainHead,
    LedgerEntry,
    SignedHead,
    Tree,
    check_head,
    entry_hash,
    sign_head,
    verify,
)
from leadglass.errors import IntegrityError

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


def chain(count: int) -> list[LedgerEntry]:
    entries, head = [], ChainHead()
    for number in range(count):
        entry = head.append(1_000 + number, "query", None if number % 2 else bytes([number] * 16), bytes([number]) * 40)
        entries.append(entry)
        head = ChainHead(entry.seq, entry.hash)
    return entries


def tree_of(entries: list[LedgerEntry]) -> Tree:
    tree = Tree()
    for entry in entries:
        tree.add(entry.hash)
    return tree


def rfc_6962_root(leaves: list[bytes]) -> bytes:
    """The definition of RFC 6962 §2.1, written as it reads there."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + rfc_6962_root(leaves[:split]) + rfc_6962_root(leaves[split:])).digest()


@pytest.mark.parametrize("count", [*range(18), 64, 100])
def test_the_tree_is_that_of_the_rfc_and_can_be_taken_up_again(count: int) -> None:
    entries = chain(count)
    tree = tree_of(entries)
    assert tree.root() == rfc_6962_root([entry.hash for entry in entries])
    again = Tree.of(tree.size, tree.peaks)
    more = chain(count + 3)[count:]
    for entry in more:
        again.add(entry.hash)
    assert again.root() == rfc_6962_root([entry.hash for entry in entries + more])


def test_a_whole_chain_verifies_against_all_its_heads() -> None:
    entries = chain(20)
    heads = [sign_head(tree_of(entries[:size]), size, KEY) for size in (1, 7, 20)]
    assert verify(entries, heads) == 20
    assert verify([], []) == 0


def test_the_hash_is_the_one_the_specification_spells_out() -> None:
    subject, detail = bytes(range(16)), b"sealed"
    spelled = (
        b"LGL1" + bytes(32) + (1).to_bytes(8, "big") + (5).to_bytes(8, "big") + b"\x05query" + b"\x01" + subject
        + (6).to_bytes(4, "big") + detail
    )  # fmt: skip
    assert entry_hash(bytes(32), 1, 5, "query", subject, detail) == hashlib.sha256(spelled).digest()


def test_every_way_to_tamper_is_found() -> None:
    entries = chain(10)
    heads = [sign_head(tree_of(entries), 1, KEY)]
    rehashed = [*entries[:4], replace(entries[4], sealed_detail=b"other")]
    head = ChainHead(rehashed[3].seq, rehashed[3].hash)
    remade = entries[:4]
    for entry in rehashed[4:] + entries[5:]:
        made = head.append(entry.at_us, entry.kind, entry.subject, entry.sealed_detail)
        remade = [*remade, made]
        head = ChainHead(made.seq, made.hash)
    tampered = {
        "altered detail": [*entries[:3], replace(entries[3], sealed_detail=b"x"), *entries[4:]],
        "altered time": [*entries[:3], replace(entries[3], at_us=1), *entries[4:]],
        "altered kind": [*entries[:3], replace(entries[3], kind="login"), *entries[4:]],
        "altered subject": [*entries[:3], replace(entries[3], subject=bytes(16)), *entries[4:]],
        "removed": entries[:3] + entries[4:],
        "inserted": [*entries[:3], entries[2], *entries[3:]],
        "reordered": [*entries[:3], entries[4], entries[3], *entries[5:]],
        "cut off": entries[:-1],
        "first removed": entries[1:],
        "renumbered": [*entries[:-1], replace(entries[-1], seq=11)],
        "remade from the fifth on": remade,
    }
    for what, changed in tampered.items():
        with pytest.raises(IntegrityError):
            verify(changed, heads)
            pytest.fail(what)


def test_a_head_nobody_signed_is_refused() -> None:
    head = sign_head(tree_of(chain(3)), 7, KEY)
    check_head(head)
    for forged in (replace(head, size=2), replace(head, root=bytes(32)), replace(head, at_us=8),
                   replace(head, signature=bytes(64)), replace(head, public_key=b"short")):  # fmt: skip
        with pytest.raises(IntegrityError):
            check_head(forged)


def test_peaks_that_do_not_fit_their_size_are_refused() -> None:
    tree = tree_of(chain(5))
    with pytest.raises(IntegrityError):
        Tree.of(4, tree.peaks)


@pytest.mark.parametrize(
    "change",
    [{"kind": "k" * 256}, {"kind": "é"}, {"at_us": -1}, {"at_us": 1 << 64}, {"subject": bytes(17)}, {"subject": b""},
     {"hash": b""}],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_a_row_that_cannot_be_an_entry_is_altered(change: dict[str, object]) -> None:
    entries = chain(3)
    with pytest.raises(IntegrityError, match="2 was altered"):
        verify([entries[0], replace(entries[1], **change), entries[2]], [])  # type: ignore[arg-type]


def test_bytes_cannot_move_between_subject_and_detail() -> None:
    subject, detail = bytes(range(16)), bytes(3) + b"\0\0\0\4four"
    entry = ChainHead().append(1, "query", subject, detail)
    shifted = replace(entry, subject=subject + len(detail).to_bytes(4, "big") + detail[:3], sealed_detail=b"four")
    assert entry_hash(bytes(32), 1, 1, "query", shifted.subject, shifted.sealed_detail) == entry.hash
    with pytest.raises(IntegrityError):
        verify([shifted], [])


def test_heads_are_checked_before_they_are_believed() -> None:
    entries = chain(5)
    head = sign_head(tree_of(entries), 7, KEY)
    with pytest.raises(IntegrityError, match="signature"):
        verify(entries, [replace(head, signature=bytes(64))])
    rewritten = sign_head(tree_of(chain(6)[1:]), 8, KEY)
    for heads in ([head, rewritten], [rewritten, head]):
        with pytest.raises(IntegrityError, match="different histories"):
            verify(entries, heads)


def test_a_gap_is_told_apart_from_a_change() -> None:
    entries = chain(4)
    with pytest.raises(IntegrityError, match="3 is missing"):
        verify([*entries[:2], entries[3]], [])


VECTORS = sorted((Path(__file__).parents[1] / "vectors" / "ledger").glob("*.txt"))


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_vectors_hold(path: Path) -> None:
    """Files written from the specification by `tools/make_ledger_vectors.py`, which does not know the product."""
    entries, heads, expect = [], [], ""
    for line in path.read_text("ascii").splitlines():
        key, _, text = line.partition(": ")
        fields = text.split(" ")
        if key == "expect":
            expect = text
        elif key == "entry":
            subject, sealed, digest = (b"" if field == "-" else bytes.fromhex(field) for field in fields[3:])
            entries.append(LedgerEntry(int(fields[0]), int(fields[1]), fields[2], subject or None, sealed, digest))
        elif key == "head":
            root, public, signature = map(bytes.fromhex, fields[2:])
            heads.append(SignedHead(int(fields[0]), root, int(fields[1]), public, signature))
    if expect == "success":
        assert verify(entries, heads) == len(entries)
    else:
        assert expect == "refused"
        with pytest.raises(IntegrityError):
            verify(entries, heads)


def test_the_ledger_vectors_are_there() -> None:
    assert len(VECTORS) >= 20
