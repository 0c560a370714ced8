"""A copy made in another process is the copy made here, and whatever goes wrong there is a refusal."""

from __future__ import annotations

import base64
import fcntl
import json
import sys
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.dicom.made import SPECIMENS, element, real_files
from tests.malware.rebuild.objects import disarmer, image, us

from leadglass.edge import sandbox_copier
from leadglass.edge.sandbox import COPIES, Sandbox
from leadglass.edge.sandbox_copier import RemoteCopier, confined_disarmer
from leadglass.edge.sandbox_copy_wire import CopyHead, read_head, write_head
from leadglass.errors import ConfigurationError, Refused
from leadglass.journeys.receive import KEEP
from leadglass.malware.disarm import Disarmer
from leadglass.malware.rebuild.changes import Act, Change

PLANTED = (sys.executable, str(Path(__file__).parent / "planted_copier.py"))
PIXELS = 0x7FE00010


@pytest.fixture(scope="module")
def pool() -> Iterator[Sandbox]:
    opened = Sandbox(KEEP)
    yield opened
    opened.close()


@pytest.fixture
def planted() -> Iterator[Sandbox]:
    opened = Sandbox(KEEP, command=PLANTED, seconds=5)
    yield opened
    opened.close()


def told(word: str) -> bytes:
    """Give an object whose last text says what the worker shall do wrong."""
    return image(middle=element(0x00284000, "LT", f"DO:{word:<7}".encode()))


def outcome(by: Disarmer, data: bytes) -> object:
    try:
        made = by.disarm(data[at : at + 100_000] for at in range(0, len(data), 100_000))
    except Refused as error:
        return error.message, error.hint
    copy = made.copy
    content = b"".join(copy.content)
    assert len(content) == copy.length_bytes
    head_bytes = 144 + int.from_bytes(content[140:144], "little")  # in which the two name themselves differently
    return content[head_bytes:], copy.changes, copy.frame_digests, made.sha256_before


def test_the_copy_is_the_one_that_is_made_here(pool: Sandbox) -> None:
    far, near = confined_disarmer(pool), disarmer()
    kinds = set()
    for path in [*real_files()[::30], *real_files(folder=SPECIMENS / "hostile")[::7]]:
        data = path.read_bytes()
        theirs, ours = outcome(far, data), outcome(near, data)
        assert theirs == ours, path.name
        kinds.add(len(ours))  # type: ignore[arg-type]
    assert kinds == {2, 4}, "some refused, some copied"


def test_pixels_cross_no_socket(pool: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an object of 40 MiB, what is sent back is its header: pixels are ranges of the original."""
    heads: list[CopyHead] = []

    def reading(untrusted: bytes, object_bytes: int) -> CopyHead:
        heads.append(read_head(untrusted, object_bytes))
        return heads[-1]

    monkeypatch.setattr(sandbox_copier, "read_head", reading)
    pixels = b"\1\2" * (20 << 20)
    data = image(pixels, rows=4096, columns=5120, bits=(16, 16, 15))
    assert outcome(confined_disarmer(pool), data) == outcome(disarmer(), data)
    (head,) = heads
    assert head.literal_bytes < 2_000
    assert [length for offset, length in head.segments if offset is not None] == [len(pixels)]


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("CRASH", "Making a copy ended before its answer."),
        ("EXIT", "Making a copy ended before its answer."),
        ("RAISE", "A fault of Leadglass itself (ZeroDivisionError) stopped it: nothing is proved."),
        ("EAT", "Making a copy needs more memory than it may have."),
        ("LIE", "Making a copy gave an answer that cannot be true."),
        ("BEYOND", "Making a copy gave an answer that cannot be true."),
        ("NOISE", "Making a copy gave an answer that cannot be true."),
        ("PEEK", "A fault of Leadglass itself (PermissionError) stopped it: nothing is proved."),
    ],
)
def test_what_goes_wrong_there_is_refused_and_the_next_object_is_copied(
    planted: Sandbox, word: str, reason: str
) -> None:
    by = confined_disarmer(planted)
    with pytest.raises(Refused) as refused:
        by.disarm([told(word)])
    assert refused.value.message == reason
    assert by.disarm([told("GOOD")]).copy.length_bytes
    assert planted._busy == 0


@pytest.mark.parametrize("word", ["SLEEP", "SPIN", "DRIP"])
def test_silence_is_refused(word: str) -> None:
    pool = Sandbox(KEEP, command=PLANTED, seconds=0.5)
    by = confined_disarmer(pool)
    try:
        with pytest.raises(Refused, match="longer than it may"):
            by.disarm([told(word)])
        assert pool._busy == 0
    finally:
        pool.close()


def test_pixels_that_must_change_need_memory_and_those_that_stay_need_none(planted: Sandbox) -> None:
    """A worker may have 48 MiB here: 64 MiB of clean pixels pass, and with one bit too many they do not."""
    by = confined_disarmer(planted)
    clean = image(bytes(64 << 20), rows=8192, columns=4096)
    assert by.disarm([clean]).copy.length_bytes > 64 << 20
    dirty = bytearray(clean)
    dirty[-1] = 0xFF
    with pytest.raises(Refused, match="more memory than it may have"):
        by.disarm([bytes(dirty)])


def test_a_worker_goes_on_only_after_an_object_that_is_clean(pool: Sandbox) -> None:
    by = confined_disarmer(pool)

    def waiting() -> list[int]:
        return [worker.number for worker in pool._idle if worker.errand == COPIES]

    for _ in range(12):  # more than the descriptors it may hold
        by.disarm([image()])
    (kept,) = waiting()
    by.disarm([b"MZ" + image()[2:]])
    assert waiting() == []
    by.disarm([image()])
    (other,) = waiting()
    assert other != kept
    confined_disarmer(pool, takes_only_held=True).disarm([image()])
    assert waiting() == []


def test_the_object_is_sealed_before_a_worker_sees_it(pool: Sandbox) -> None:
    copier = confined_disarmer(pool).begin()
    assert isinstance(copier, RemoteCopier)
    copier.feed(image())
    copier.make(())
    seals = fcntl.fcntl(copier._file.fileno(), fcntl.F_GET_SEALS)
    assert seals & fcntl.F_SEAL_WRITE and seals & fcntl.F_SEAL_SHRINK and seals & fcntl.F_SEAL_SEAL
    copier.close()


def test_an_empty_object_and_a_closed_pool_are_refused() -> None:
    pool = Sandbox(KEEP)
    by = confined_disarmer(pool)
    with pytest.raises(Refused):
        by.disarm([])
    pool.close()
    with pytest.raises(Refused, match="closed"):
        by.disarm([image()])


def test_a_wrong_list_is_told_before_anything_starts(pool: Sandbox) -> None:
    with pytest.raises(ConfigurationError):
        confined_disarmer(pool, "surprise = 1")


# --- the wire -----------------------------------------------------------------------------------------------

HEAD = CopyHead([(None, 200), (300, 500), (None, 7)], (Change(Act.REMOVED, "(0009,1001)", 8, "Why."),), (b"\1" * 32,))


def packed(*numbers: int) -> str:
    return base64.b64encode(array("Q", numbers).tobytes()).decode()


def test_an_answer_reads_back_as_written() -> None:
    assert read_head(write_head(HEAD), 1_000) == HEAD
    with pytest.raises(Refused, match=r"No\.") as refused:
        read_head(write_head(Refused("No.", hint="Do.")), 1_000)
    assert refused.value.hint == "Do."


@pytest.mark.parametrize(
    "change",
    [
        {"segments": packed(501, 500)},
        {"segments": packed((1 << 64) - 1, 1 << 40)},
        {"segments": packed(0, 1_000, 5)},
        {"segments": packed(*[0, 900] * (4 << 20))},
        {"segments": "x"},
        {"segments": 5},
        {"changes": [["removed", "(0009,1001)", -1, "Why."]]},
        {"changes": [["exploded", "(0009,1001)", 1, "Why."]]},
        {"changes": [["removed", "(0009,1001)", 1]]},
        {"changes": [["removed", "(0009,1001)", 1, "Why."]] * 10_002},
        {"changes": "x"},
        {"digests": "AAAA"},
        {"refused": ["x"]},
        {"refused": [5, 5]},
    ],
)
def test_an_answer_that_cannot_be_true_is_refused(change: dict[str, object]) -> None:
    said = json.loads(write_head(HEAD)) | change
    with pytest.raises((ValueError, TypeError)):
        read_head(json.dumps(said).encode(), 1_000)


@pytest.mark.parametrize("said", [b"", b"[]", b"7", b"null", b"{}", b"{" * 5_000, b"\xff"])
def test_what_is_no_answer_is_refused(said: bytes) -> None:
    with pytest.raises((ValueError, TypeError, RecursionError)):
        read_head(said, 1_000)


def test_words_of_a_worker_have_no_control_characters() -> None:
    head = CopyHead([], (Change(Act.REMOVED, "a\x1b[2Jb", 0, "x" * 10_000),), ())
    (change,) = read_head(write_head(head), 0).changes
    assert change.element == "a\ufffd[2Jb"
    assert len(change.why) == 2_000


def test_an_element_that_was_objected_to_far_away_goes(pool: Sandbox) -> None:
    """The objection crosses by its place in the copy, and what stands there is left out of the next."""
    copier = confined_disarmer(pool).begin()
    copier.feed(image(middle=us(0x00280106, 7)))
    first = copier.make(())
    at = b"".join(first.content).index(b"\x28\0\x06\x01")
    second = copier.make([sandbox_copier.Objection(None, at)])
    assert b"\x28\0\x06\x01" not in b"".join(second.content)
    assert any(change.element == "(0028,0106)" for change in second.changes)
    with pytest.raises(Refused, match="cannot go"):
        copier.make([sandbox_copier.Objection("(7FE0,0010)", None)])
    copier.close()
