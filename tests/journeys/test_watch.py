"""A watched folder: what ransomware does to real objects is told; what people and machines do to them is not."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from leadglass.edge.watched import WatchedFolder
from leadglass.errors import StorageError
from leadglass.journeys.receive import IN_PROCESS
from leadglass.journeys.watch import Known, Pass, Watcher
from tests.dicom.made import real_files
from tests.journeys.shelf import Shelf, shelf_in

OBJECTS = 60
HOUR_US = 3_600 * 1_000_000


@dataclass
class Time:
    """A clock of the test's own, ahead of the files' times, so that none is fresh."""

    at_us: int

    def now_us(self) -> int:
        return self.at_us


@dataclass
class Watch:
    """A share with real objects, and what is known of it."""

    share: Path
    shelf: Shelf
    time: Time
    known: Known

    def go(self, minutes: float = 1) -> Pass:
        """Let time pass and read the share through."""
        self.time.at_us += int(minutes * 60e6)
        watcher = Watcher(IN_PROCESS, self.time, self.shelf.catalogue, "anna", "share")
        done, self.known = watcher.watch(WatchedFolder(self.share).files(), self.known)
        watcher.record(done)
        return done

    @property
    def objects(self) -> list[Path]:
        """The files that walk, in order."""
        return [self.share / name for name, state in sorted(self.known.files.items()) if state.is_object]


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    """A share that was read through once."""
    share = tmp_path / "share"
    small = [path for path in real_files() if path.stat().st_size < 140_000]
    large = [path for path in real_files("*_UNC.dcm") if 140_000 < path.stat().st_size < 600_000][:4]
    for number, path in enumerate([*small[:: len(small) // OBJECTS][:OBJECTS], *large]):
        folder = share / f"study{number % 4}"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / path.name)
    (share / "worklist.log").write_text("started\n" * 900)
    shelf = shelf_in(tmp_path)
    watched = Watch(share, shelf, Time(os.stat(share).st_ctime_ns // 1000 + HOUR_US), Known())
    first = watched.go()
    assert first.is_first
    assert first.signs == []
    assert first.objects > 50
    yield watched
    shelf.close()


def encrypted(data: bytes) -> bytes:
    """As ransomware leaves it: AES-256 in counter mode, the key nowhere."""
    return Cipher(algorithms.AES(os.urandom(32)), modes.CTR(os.urandom(16))).encryptor().update(data)


def found(done: Pass) -> dict[str, str]:
    return {sign.name: sign.finding.id for sign in done.signs}


def test_nothing_happened_nothing_is_said(watch: Watch) -> None:
    done = watch.go()
    assert (done.signs, done.new, done.changed, done.gone, done.length_bytes) == ([], 0, 0, 0, 0)
    assert watch.shelf.catalogue.ledger(limit=1)[0].outcome == "clean"


def test_objects_encrypted_in_place(watch: Watch) -> None:
    for path in watch.objects:
        path.write_bytes(encrypted(path.read_bytes()))
    targets = [path.relative_to(watch.share).as_posix() for path in watch.objects]
    done = watch.go()
    assert done.is_alarm
    ids = found(done)
    assert ids.keys() == {*targets, ""}
    assert ids[""] == "LG-RSM-005", "and the rate is told"
    lengths = {name: watch.known.files[name].length_bytes for name in targets}
    assert all(ids[name] == "LG-RSM-002" for name in targets if lengths[name] >= 4_096)
    assert {ids[name] for name in targets} <= {"LG-RSM-001", "LG-RSM-002"}
    entry = watch.shelf.catalogue.ledger(limit=1)[0]
    assert (entry.kind, entry.outcome) == ("folder-watched", "findings")
    assert (
        entry.detail["reason"]
        == f"{len(targets)} of {len(watch.known.files)} known files were rewritten within ten minutes."
    )
    again = watch.go()
    assert (again.signs, again.standing) == ([], len(targets)), "told once, and it stands"


@pytest.mark.parametrize(
    "name", [lambda p: p.name + ".locked", lambda p: p.stem + ".xyz", lambda p: f"id-9.{p.name}.a"]
)
def test_objects_replaced_under_new_names(watch: Watch, name: Callable[[Path], str]) -> None:
    victims = watch.objects[:3]
    for path in victims:
        path.with_name(name(path)).write_bytes(encrypted(path.read_bytes()))
        path.unlink()
    ids = found(watch.go())
    assert ids == {p.with_name(name(p)).relative_to(watch.share).as_posix(): "LG-RSM-003" for p in victims}


def test_a_copy_first_and_the_original_gone_later(watch: Watch) -> None:
    """The two halves fall into different passes, in either order; a name that says nothing does not help."""
    first, second = watch.objects[:2]
    first.with_name("7f3a").write_bytes(encrypted(bytes(20_000)))
    assert watch.go().signs == []
    first.unlink()
    assert found(watch.go()) == {first.with_name("7f3a").relative_to(watch.share).as_posix(): "LG-RSM-003"}
    second.unlink()
    assert watch.go().signs == []
    second.with_name("9c1b").write_bytes(encrypted(bytes(20_000)))
    assert set(found(watch.go()).values()) == {"LG-RSM-003"}


def test_pixels_encrypted_under_a_sound_header(watch: Watch) -> None:
    """The object still walks: its pixels became random, in the middle alone where the encryptor skips."""
    native = [p for p in watch.objects if watch.known.files[_name(watch, p)].nature.value == "native"]
    victims = [p for p in native if p.stat().st_size > 140_000][:3]
    assert victims
    for path in victims:
        data = bytearray(path.read_bytes())
        data[65_536:131_072] = encrypted(bytes(data[65_536:131_072]))
        path.write_bytes(data)
    assert found(watch.go()) == {_name(watch, path): "LG-RSM-002" for path in victims}


def test_objects_cut_or_overwritten(watch: Watch) -> None:
    first, second = watch.objects[:2]
    first.write_bytes(bytes(len(first.read_bytes())))
    second.write_bytes(b"GONE")
    assert found(watch.go()) == {_name(watch, first): "LG-RSM-001", _name(watch, second): "LG-RSM-001"}


def test_a_program_put_into_an_object(watch: Watch) -> None:
    victim = next(p for p in watch.objects if watch.known.files[_name(watch, p)].verdict.value == "clean")
    victim.write_bytes(b"MZ" + victim.read_bytes()[2:])
    assert found(watch.go()) == {_name(watch, victim): "LG-RSM-004"}


def test_other_files_encrypted_and_a_note_left(watch: Watch) -> None:
    (watch.share / "worklist.log").write_bytes(encrypted(bytes(7_200)))
    (watch.share / "README_NOW.txt").write_text(
        "All your files have been encrypted. To decrypt them pay 3 bitcoin: open the Tor Browser and write to us."
    )
    note = "<html>Vos données ont été chiffrées. Payez la rançon pour les déchiffrer ; ne modifiez pas les noms."
    (watch.share / "LISEZ-MOI.html").write_bytes(note.encode())
    assert found(watch.go()) == {
        "worklist.log": "LG-RSM-002", "README_NOW.txt": "LG-RSM-007", "LISEZ-MOI.html": "LG-RSM-007",
    }  # fmt: skip


def test_a_random_file_named_as_an_image(watch: Watch) -> None:
    (watch.share / "IM9.dcm").write_bytes(os.urandom(50_000))
    assert found(watch.go()) == {"IM9.dcm": "LG-RSM-008"}


def test_a_slow_encryptor_is_told_by_its_files_and_not_by_its_rate(watch: Watch) -> None:
    for path in watch.objects[:24]:
        path.write_bytes(encrypted(path.read_bytes()))
        assert set(found(watch.go(minutes=1.5)).values()) <= {"LG-RSM-001", "LG-RSM-002"}


def test_a_new_study_a_correction_and_a_move_are_no_signs(watch: Watch) -> None:
    new = watch.share / "study9"
    new.mkdir()
    for path in [path for path in real_files() if path.stat().st_size < 100_000][1:20:2]:
        shutil.copy(path, new / path.name)
    corrected = 0
    for path in watch.objects:
        data = pydicom.dcmread(path, force=True)
        data.PatientName = "CORRECTED^NAME"
        try:
            data.save_as(path)
            corrected += 1
        except (ValueError, AttributeError, TypeError):
            continue
    assert corrected > 40
    done = watch.go()
    assert done.signs == [] and done.new >= 5 and done.changed >= 40
    for path in watch.objects[:30]:
        path.rename(watch.share / f"moved-{path.parent.name}-{path.name}")
    assert watch.go().signs == []


def test_packed_and_emptied_shares_are_no_alarm(watch: Watch) -> None:
    """Old studies packed into archives, and a share emptied after its studies were sent: told, no alarm."""
    for path in watch.objects[:3]:
        packed = BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(path.name, path.read_bytes())
        path.with_name(path.name + ".zip").write_bytes(packed.getvalue())
        path.unlink()
    assert watch.go().signs == []
    for path in watch.objects:
        path.unlink(missing_ok=True)
    done = watch.go()
    assert [(sign.finding.id, sign.name) for sign in done.signs] == [("LG-RSM-006", "")]
    assert not done.is_alarm


@pytest.mark.peer
def test_recompression_is_no_sign(watch: Watch) -> None:
    """DCMTK compresses every native object in place: compressed pixels are random, and the objects still walk."""
    program = shutil.which("dcmcjpeg")
    if program is None:
        pytest.skip("dcmcjpeg is not installed")
    done = 0
    for path in watch.objects:
        target = path.with_name("new.tmp")
        if subprocess.run([program, path, target], capture_output=True, timeout=60).returncode == 0:
            target.replace(path)
            done += 1
    assert done > 15
    seen = watch.go()
    assert seen.signs == [] and seen.changed == done


def test_what_is_still_being_written_waits(watch: Watch) -> None:
    victim = watch.objects[0]
    whole = victim.read_bytes()
    victim.write_bytes(whole[: len(whole) // 2])
    os.utime(victim, ns=(0, (watch.time.at_us + 58_000_000) * 1000))
    done = watch.go()
    assert (done.signs, done.waiting) == ([], 1)
    victim.write_bytes(whole)
    assert watch.go().signs == []


def test_an_unmounted_share_is_not_a_loss(watch: Watch) -> None:
    for path in watch.share.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    before = watch.known
    with pytest.raises(StorageError, match="The folder is empty"):
        watch.go()
    assert watch.known is before


def test_an_inspection_that_cannot_tell_is_no_sign(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """An inspector that fails says nothing of the file: it stays as it was known, and is looked at again."""
    from leadglass.malware.anatomy import FileInspector

    def broken(self: FileInspector, data: bytes) -> None:
        raise RuntimeError

    victim = watch.objects[0]
    victim.write_bytes(victim.read_bytes() + bytes(2))
    before = watch.known.files[_name(watch, victim)]
    with monkeypatch.context() as patch:
        patch.setattr(FileInspector, "feed", broken)
        done = watch.go()
    assert (done.signs, done.unread) == ([], 1)
    assert watch.known.files[_name(watch, victim)] == before


def test_a_repaired_file_has_no_sign(watch: Watch) -> None:
    victim = watch.objects[0]
    whole = victim.read_bytes()
    victim.write_bytes(encrypted(whole))
    assert watch.go().is_alarm
    assert watch.go().standing == 1
    victim.write_bytes(whole)
    assert (watch.go().signs, watch.go().standing) == ([], 0)


def _name(watch: Watch, path: Path) -> str:
    return path.relative_to(watch.share).as_posix()


def test_lossy_copies_are_other_instances_of_the_same_study(watch: Watch) -> None:
    """A new SOP Instance UID alone, as lossy compression gives (PS3.3 §C.12.1.1.2), counts towards no rate."""
    for number, path in enumerate(watch.objects):
        data = path.read_bytes()
        head, uid = pydicom.dcmread(path, force=True), f"2.25.{number}"
        old = str(head.get("SOPInstanceUID", "")).encode()
        path.write_bytes(data.replace(old, uid.encode().ljust(len(old), b"\0")) if len(old) > 8 else data + b"")
    done = watch.go()
    assert done.changed > 40
    assert not done.is_alarm


def test_objects_overwritten_by_one_of_another_study(watch: Watch) -> None:
    """They still walk, and are not what they were: the rate tells."""
    other = watch.objects[-1].read_bytes()
    for path in watch.objects[:-1]:
        path.write_bytes(other)
    assert found(watch.go()).get("") == "LG-RSM-005"
