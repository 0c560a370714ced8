"""Inspection in other processes says what inspection here says, and whatever goes wrong there is `NotAssessed`."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.dicom.made import element, real_files

from leadglass.dicom.syntaxes import transfer_syntax
from leadglass.edge.sandbox import Sandbox, SandboxError
from leadglass.edge.sandbox_wire import Answer, read_answer, write_answer
from leadglass.errors import UsageError
from leadglass.finding import Assessed, Finding, NotAssessed, Severity
from leadglass.journeys.receive import KEEP
from leadglass.malware.anatomy import FileInspector, Inspector
from leadglass.malware.verdict import Verdict, verdict_of

PLANTED = (sys.executable, str(Path(__file__).parent / "planted_worker.py"))
COMMENTS = 0x00104000
EXPLICIT = "1.2.840.10008.1.2.1"


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


def data_set(comments: bytes) -> bytes:
    return element(0x00080060, "CS", b"CT") + element(COMMENTS, "LT", comments + b" " * (len(comments) % 2))


def judged(pool: Sandbox, comments: bytes) -> NotAssessed | Assessed:
    inspector = pool.data_set(EXPLICIT, 132)
    inspector.feed(data_set(comments))
    return inspector.finish()


@pytest.mark.parametrize("cut", [1 << 24, 1 << 17, 999])
def test_the_answer_is_that_of_the_inspection_here(pool: Sandbox, cut: int) -> None:
    for path in real_files()[:: 40 if cut > 999 else 90]:
        data = path.read_bytes()
        far, near = pool.file(), FileInspector(keep=KEEP)
        for at in range(0, len(data), cut):
            far.feed(memoryview(data)[at : at + cut])
            near.feed(data[at : at + cut])
        assert far.finish() == near.finish(), path.name
        assert dict(far.values) == {tag: value for tag, value in near.values.items() if tag in KEEP}
        assert (far.dataset_offset, far.transfer_syntax_uid) == (near.dataset_offset, near.transfer_syntax_uid)
        if near.structure is None:
            assert far.structure is None
            continue
        assert far.structure is not None
        mine, theirs = near.structure.pixel_data, far.structure.pixel_data
        assert (mine is None) == (theirs is None)
        if mine is not None and theirs is not None:
            assert (mine.tag, mine.offset, mine.length) == (theirs.tag, theirs.offset, theirs.length)
            assert mine.fragments == theirs.fragments
            assert list(mine.basic_offset_table) == list(theirs.basic_offset_table)
        assert far.structure.wire_bytes == near.structure.wire_bytes


def test_a_bare_data_set_is_inspected_as_here(pool: Sandbox) -> None:
    far, near = pool.data_set(EXPLICIT, 132), Inspector(transfer_syntax(EXPLICIT), dataset_offset=132, keep=KEEP)
    data = data_set(b"nothing") + b"MZ\x90\0 bytes that are no element"
    far.feed(data)
    near.feed(data)
    assert far.finish() == near.finish()
    assert far.dataset_offset == 132


@pytest.mark.parametrize(
    ("comments", "reason"),
    [
        (b"CRASH", "The inspection ended before its answer."),
        (b"EXIT", "The inspection ended before its answer."),
        (b"RAISE", "The inspection failed (ZeroDivisionError)."),
        (b"EAT", "The inspection needed more memory than it may have."),
        (b"LIE", "The inspection gave an answer that cannot be true."),
        (b"NOISE", "The inspection gave an answer that cannot be true."),
        (b"PEEK", "The inspection failed (PermissionError)."),
    ],
)
def test_what_goes_wrong_there_is_not_assessed_and_the_next_object_is(
    planted: Sandbox, comments: bytes, reason: str
) -> None:
    assert judged(planted, comments) == NotAssessed(reason)
    assert judged(planted, b"nothing") == Assessed()


@pytest.mark.parametrize("comments", [b"SLEEP", b"SPIN"])
def test_silence_is_not_assessed(comments: bytes) -> None:
    pool = Sandbox(KEEP, command=PLANTED, seconds=0.5)
    try:
        assert judged(pool, comments) == NotAssessed("The inspection took longer than it may.")
        assert judged(pool, b"nothing") == Assessed()
    finally:
        pool.close()


def test_a_nursery_that_ended_is_replaced(planted: Sandbox) -> None:
    assert judged(planted, b"nothing") == Assessed()
    assert judged(planted, b"RAISE") != Assessed()  # so that no worker waits
    assert planted._nursery is not None
    os.kill(planted._nursery._process.pid, signal.SIGKILL)
    planted._nursery._process.wait()
    assert judged(planted, b"nothing") == Assessed()


def test_a_worker_sees_no_more_after_an_object_that_was_not_clean(planted: Sandbox) -> None:
    judged(planted, b"nothing")
    (kept,) = planted._idle
    judged(planted, b"nothing")
    assert planted._idle == [kept], "one after another uses the same worker"
    judged(planted, b"RAISE")
    assert planted._idle == []


def test_an_object_given_up_leaves_no_worker_at_work(planted: Sandbox) -> None:
    inspector = planted.file()
    inspector.feed(b"\0" * 4_096)
    inspector.close()
    inspector.close()
    assert planted._busy == 0
    assert inspector.finish() == NotAssessed("")
    forgotten = planted.file()
    del forgotten
    assert planted._busy == 0


def test_a_closed_pool_assesses_nothing() -> None:
    pool = Sandbox(KEEP)
    pool.close()
    inspection = judged(pool, b"nothing")
    assert verdict_of(inspection) is Verdict.NOT_ASSESSED
    with pytest.raises(SandboxError):
        pool.start()


def test_a_rule_that_does_not_compile_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "bad.yar").write_text("rule x { condition: nothing }")
    with pytest.raises(UsageError, match=r"bad\.yar does not compile"):
        Sandbox(KEEP, rules=[tmp_path]).start()


def test_rules_are_applied_in_the_worker(tmp_path: Path) -> None:
    (tmp_path / "good.yar").write_text('rule marked { strings: $a = "MARKED" condition: $a }')
    pool = Sandbox(KEEP, rules=[tmp_path])
    try:
        assert pool.start() == 1
        found = judged(pool, b"it is MARKED").findings
        assert [(finding.id, finding.claim) for finding in found] == [
            ("LG-YAR-001", "The YARA rule good.marked matches.")
        ]
    finally:
        pool.close()


ANSWER = Answer(
    Assessed((Finding("LG-XXX-001", "some_class", Severity.LOW, "A claim.", 7, 9, "(0008,0018)", "DCM-INSPECT"),)),
    {0x00080018: b"1.2.3\xff"},
)


def test_an_answer_reads_back_as_written() -> None:
    assert read_answer(write_answer(ANSWER), fed_bytes=100, keep=KEEP) == ANSWER


@pytest.mark.parametrize(
    "change",
    [
        {"findings": [["LG-XXX-001", "a", 9, "A claim.", None, None, None, None]]},
        {"findings": [["LG-XXX-001", "a", 1, "A claim.", -1, None, None, None]]},
        {"findings": [["<script>", "a", 1, "A claim.", None, None, None, None]]},
        {"findings": [["LG-XXX-001", "a", 1, 5, None, None, None, None]]},
        {"findings": [["LG-XXX-001", "a", True, "A claim.", None, None, None, None]]},
        {"findings": [[]] * 1_000},
        {"values": {"1": "x"}},
        {"values": {str(0x00080018): 5}},
        {"values": {str(0x00080018): "x" * 100_000}},
        {"values": {str(0x00080018): "\u20ac"}},
        {"values": []},
        {"structure": [1, 0, 200, 200, 0, None]},
        {"structure": [1, 0, 100, 100, 0, [0x7FE00010, 90, 20, False, "", "", "", "", ""]]},
        {"structure": [1, 0, 100, 100, 0, [0x7FE00010, 0, None, True, "eAAAAAAAAAA=", "AQAAAA==", "", "", ""]]},
        {"structure": [1, 0, 100, 100, 0, [0x7FE00010, 0, None, True, "AAAAAAAAAAA=", "", "", "", ""]]},
        {"structure": [1, 0, 100, 100, 0, [0x7FE00010, 0, 4, 1, "", "", "", "", ""]]},
        {"structure": [1, 0, 100, 100]},
        {"reason": 5},
        {"limit": ["x"]},
    ],
)
def test_an_answer_that_cannot_be_true_is_refused(change: dict[str, object]) -> None:
    said = json.loads(write_answer(ANSWER)) | change
    with pytest.raises((ValueError, TypeError)):
        read_answer(json.dumps(said).encode(), fed_bytes=100, keep=KEEP)


@pytest.mark.parametrize("said", [b"", b"[]", b"7", b"null", b"{}", b"{" * 5_000, b"\xff"])
def test_what_is_no_answer_is_refused(said: bytes) -> None:
    with pytest.raises((ValueError, TypeError, RecursionError)):
        read_answer(said, fed_bytes=100, keep=KEEP)


def test_words_of_a_worker_have_no_control_characters() -> None:
    said = json.loads(write_answer(ANSWER))
    said["findings"][0][3] = "a\x1b[31m\u202eb" + "x" * 10_000
    (finding,) = read_answer(json.dumps(said).encode(), fed_bytes=100, keep=KEEP).inspection.findings
    assert finding.claim.startswith("a\ufffd[31m\ufffdb") and len(finding.claim) == 2_000
