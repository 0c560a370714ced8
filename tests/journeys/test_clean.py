"""A copy is written under a safe name after both proofs, or nothing is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256

import pytest

from leadglass.errors import PeerError, StorageFull
from leadglass.finding import Assessed, Finding, Inspection, Severity
from leadglass.journeys.clean import Cleaner
from leadglass.malware.disarm import Disarmer
from tests.malware.rebuild.objects import disarmer, image, text


@dataclass
class File:
    data: bytes
    components: tuple[str, ...] = ("image.dcm",)
    length_bytes: int = 0
    label: str = "a file"

    def pieces(self) -> Iterator[bytes]:
        yield from (self.data[at : at + 100] for at in range(0, len(self.data), 100))


@dataclass
class Folder:
    """A sink in memory."""

    files: dict[tuple[str, ...], bytes] = field(default_factory=dict)
    dropped: int = 0
    is_full: bool = False
    _name: tuple[str, ...] = ()
    _data: bytes = b""

    def begin(self, name: tuple[str, ...], length_bytes: int) -> None:
        self._name, self._data = name, b""

    def write(self, data: bytes | memoryview) -> None:
        if self.is_full:
            raise StorageFull("full")
        self._data += data

    def end(self) -> None:
        self.files[self._name] = self._data

    def drop(self) -> None:
        self.dropped += 1


def test_a_copy_is_written_whole_and_told_with_its_digests() -> None:
    folder = Folder()
    data = image(before=text(0x00081030, "LO", "Chest "))
    line = Cleaner(disarmer(), folder).clean(File(data, ("disc", "IM1")))
    assert line.name == ("disc", "IM1")
    made = folder.files[line.name]
    assert (line.reason, line.length_after) == ("", len(made))
    assert (line.sha256_before, line.sha256_after) == (sha256(data).hexdigest(), sha256(made).hexdigest())
    assert len(line.frame_digests) == 1


@pytest.mark.parametrize("data", [b"", b"no object", image()[:-3], bytes(128) + b"DICM"])
def test_what_is_refused_leaves_nothing(data: bytes) -> None:
    folder = Folder()
    line = Cleaner(disarmer(), folder).clean(File(data))
    assert line.reason
    assert (folder.files, line.name) == ({}, ())


def test_a_copy_that_the_inspection_objects_to_leaves_nothing() -> None:
    def inspect(pieces: object) -> Inspection:
        return Assessed((Finding("LG-X-1", "x", Severity.HIGH, "Bad."),))

    folder = Folder()
    assert "Bad." in Cleaner(disarmer(inspect), folder).clean(File(image())).reason
    assert folder.files == {}


def test_a_fault_of_our_own_refuses_one_file_and_the_next_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Disarmer.disarm

    def faulty(self: Disarmer, data: bytes) -> object:
        raise KeyError("planted")

    folder = Folder()
    cleaner = Cleaner(disarmer(), folder)
    monkeypatch.setattr(Disarmer, "disarm", faulty)
    assert "KeyError" in cleaner.clean(File(image())).reason
    monkeypatch.setattr(Disarmer, "disarm", honest)
    assert cleaner.clean(File(image())).reason == ""


def test_a_file_that_cannot_be_read_is_refused() -> None:
    class Unreadable(File):
        def pieces(self) -> Iterator[bytes]:
            raise PeerError("It cannot be read.", code="media-file")

    assert Cleaner(disarmer(), Folder()).clean(Unreadable(b"")).reason == "It cannot be read."


def test_a_file_larger_than_memory_may_hold_is_refused_before_it_is_read() -> None:
    assert "longer" in Cleaner(disarmer(), Folder()).clean(File(image(), length_bytes=3 << 30)).reason


def test_a_full_target_ends_the_run_and_its_half_file_is_dropped() -> None:
    folder = Folder(is_full=True)
    with pytest.raises(StorageFull):
        Cleaner(disarmer(), folder).clean(File(image()))
    assert folder.dropped == 1


def test_names_are_plain_and_never_meet() -> None:
    folder = Folder()
    cleaner = Cleaner(disarmer(), folder)
    names = [
        ("a", "IM1.dcm"), ("a", "im1.DCM"), ("..", "x"), ("x/../../y",), ("a", "CON"), ("a",), ("a", "IM1.dcm", "b"),
        (".hidden",), ("x.part",), (), ("na\N{RIGHT-TO-LEFT OVERRIDE}me",), ("a", "IM2."), ("LPT1.dcm",),
    ]  # fmt: skip
    made = [cleaner.clean(File(image(), name)).name for name in names]
    assert made[0] == ("a", "IM1.dcm")
    assert made[1:] == [(f"object-{number:06}.dcm",) for number in range(2, 14)]
    assert len(folder.files) == len(names)
