"""Runs of a header that was walked before: broken up where they differ, learnt anew where little is the same."""

from __future__ import annotations

from leadglass.dicom.elements import DatasetWalker
from leadglass.dicom.recall import PARTED_MAX, Recall
from leadglass.dicom.syntaxes import EXPLICIT_LITTLE
from tests.dicom.made import element

TAGS = range(0x00181000, 0x00181000 + 100)


class Unmoved:
    is_unmoved = True


def walked(recall: Recall, values: dict[int, bytes]) -> DatasetWalker:
    recall.begin(Unmoved())
    walker = DatasetWalker(EXPLICIT_LITTLE, keep=frozenset(TAGS), recall=recall)
    walker.feed(b"".join(element(tag, "LO", value) for tag, value in values.items()))
    structure = walker.finish()
    assert structure.element_count == len(values)
    assert walker.values == values
    return walker


def runs(recall: Recall) -> list[list[int]]:
    return sorted(run.tags.tolist() for run in recall.runs.values())


def test_one_run_holds_what_stands_together_and_is_broken_where_it_differs() -> None:
    recall = Recall()
    first = dict.fromkeys(TAGS, b"SAME")
    walked(recall, first)
    walked(recall, first)
    assert runs(recall) == [list(TAGS)]
    walked(recall, first | {TAGS[10]: b"LONGER", TAGS[99]: b"LAST"})
    assert runs(recall) == [list(TAGS[:10]), list(TAGS[11:99])]
    walked(recall, first)
    assert runs(recall) == [list(TAGS[:10]), list(TAGS[11:99])]


def test_an_element_more_or_less_breaks_a_run_and_misleads_nobody() -> None:
    recall = Recall()
    first = dict.fromkeys(TAGS[::2], b"SAME")
    walked(recall, first)
    more = dict(sorted((first | {TAGS[5]: b"MORE"}).items()))
    less = {tag: value for tag, value in first.items() if tag != TAGS[40]}
    for values in (more, less, first):
        walked(recall, values)


def test_another_kind_of_object_is_learnt_anew() -> None:
    recall = Recall()
    walked(recall, dict.fromkeys(TAGS, b"SAME"))
    other = {tag: b"AB" if at % 2 else b"SAME" for at, tag in enumerate(TAGS)}
    assert len(other) // 2 > PARTED_MAX
    walked(recall, other)
    walked(recall, other)
    walked(recall, other)
    assert runs(recall) == [list(TAGS)]


def test_an_element_that_moved_its_visitor_is_always_walked() -> None:
    class Moved:
        is_unmoved = False

    recall = Recall()
    recall.begin(Moved())
    recall.learn(TAGS[0], element(TAGS[0], "LO", b"SAME"), None, 0)
    recall.begin(Unmoved())
    assert not recall.runs
