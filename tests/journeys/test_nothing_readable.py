"""Nothing readable: no name, number or UID that was sent lies in clear anywhere in the site's folder.

The hub is searched while it runs (database, write-ahead log, staging, logs) and after it stopped. `secrets/` is left
out: it holds the keys, under a passphrase, and no patient's data, which a separate test states.
"""

from __future__ import annotations

import os
import re
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Set
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from tests.peers import compare
from tests.peers.harness import fast_sender, objects
from tests.peers.harness.leadglass import Site
from tests.peers.harness.wire import message_pdus

SAMPLES = ("CT_small.dcm", "MR_small.dcm",
           "JPEG2000.dcm", "rtplan.dcm", "reportsi.dcm", "waveform_ecg.dcm", "MR_truncated.dcm")  # fmt: skip
"""The last one is held: quarantine must be as dark as the archive."""
IDENTIFYING = (
    "PatientName", "PatientID", "PatientBirthDate", "OtherPatientIDs", "AccessionNumber", "StudyDescription",
    "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID", "ReferringPhysicianName",
    "InstitutionName", "StationName", "DeviceSerialNumber",
)  # fmt: skip
ENCODINGS = ("utf-8", "latin-1", "utf-16-le", "utf-16-be")


RUN_MIN = 10
"""A part of four or five characters counts inside that many printable bytes; anywhere, chance would find it."""
PRINTABLE = re.compile(rb"[\x20-\x7e\xa0-\xff]{%d,}" % RUN_MIN)


@dataclass(frozen=True)
class Wanted:
    """What to look for: byte strings that mean something wherever they stand, and short ones that need company."""

    anywhere: dict[bytes, str]
    in_text: dict[bytes, str]


def needles(values: Iterable[str], *, but: Set[str] = frozenset()) -> Wanted:
    """Give every way a value, and each part of it of at least four characters, may lie on a disk."""
    wanted = Wanted({}, {})
    for value in values:
        for part in {value, *re.split(r"[\^ =]", value), value.replace("^", " ")}:
            text = part.strip()
            for written in {text, text.lower(), text.upper()} if len(text) >= 4 and text not in but else ():
                for encoding in ENCODINGS:
                    needle = written.encode(encoding, "ignore")
                    (wanted.anywhere if len(needle) >= 6 else wanted.in_text)[needle] = text
    return wanted


def search(folder: Path, wanted: Wanted) -> list[str]:
    """Look for the needles in the bytes and the names of every file."""
    hits: set[str] = set()
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if relative.parts[0] == "secrets" or not path.is_file():
            continue
        data = str(relative).encode() + b"\n" + path.read_bytes()
        texts = b"\n".join(PRINTABLE.findall(data))
        hits |= {f"{relative}: {value}" for needle, value in wanted.anywhere.items() if needle in data}
        hits |= {f"{relative}: {value}" for needle, value in wanted.in_text.items() if needle in texts}
    return sorted(hits)


def identifying(path: Path) -> set[str]:
    """Give what identifies the patient, the study or anything else in one object."""
    ds = compare.read(path)
    return {str(ds[keyword].value) for keyword in IDENTIFYING if keyword in ds and ds[keyword].value}


def ask(site: Site, token: str, path: str) -> int:
    """Ask the hub over DICOMweb; gives the status."""
    context = ssl.create_default_context(cafile=str(site.folder / "tls/ca.pem"))
    request = urllib.request.Request(
        f"https://127.0.0.1:{site.web_port}/dicom-web{path}",
        headers={"Authorization": f"Bearer {token}", "Accept": "multipart/related; type=application/dicom, */*"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60, context=context) as answer:
            answer.read()
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.long
def test_no_identifying_value_lies_in_clear(tmp_path: Path) -> None:
    """While running, after a kill in the middle of an object, and after a stop: files, names, log; nothing."""
    site = Site(tmp_path)
    credentials = site.add_node("SENDER")
    token = site.reader_token()
    paths = [Path(str(get_testdata_file(name))) for name in SAMPLES]
    [large] = objects.ct_objects(1)
    values = set().union(*(identifying(path) for path in [*paths, large]))
    # Words that stand in a site to which nothing was ever sent (column names, settings) identify nobody.
    words = {hit.rpartition(": ")[2] for hit in search(site.folder, needles(values))}
    assert all(word.isalpha() and len(word) < 8 for word in words), words
    assert len(words) < 12, words
    wanted = needles(values, but=words)
    assert len(wanted.anywhere) > 150
    site.serve()
    try:
        live = site.live(credentials)
        for path in paths:
            sop_class, sop_instance, syntax, dataset = fast_sender.split_file(path)
            client = live.associate([(1, sop_class, [syntax])])
            client.send(message_pdus(1, 1, sop_class, sop_instance, dataset))
            client.read_status()
            client.release()
        assert live.stored() == len(paths)
        # Ask for it as well: searches and retrievals must leave nothing behind either.
        site.verb("find", "--id", "1CT1")
        ct = compare.read(paths[0])
        assert ask(site, token, f"/studies?PatientName={urllib.parse.quote(str(ct.PatientName))}") == 200
        assert ask(site, token, f"/studies/{ct.StudyInstanceUID}") == 200
        assert ask(site, token, f"/studies/{ct.StudyInstanceUID}/metadata") in (200, 406)
        assert ask(site, token, f"/studies/1.2.3/series/{ct.SeriesInstanceUID}") == 404
        assert (site.folder / "catalogue.db-wal").stat().st_size > 0
        assert search(site.folder, wanted) == []

        sop_class, sop_instance, syntax, dataset = fast_sender.split_file(large)
        client = live.associate([(1, sop_class, [syntax])])
        message = message_pdus(1, 1, sop_class, sop_instance, dataset)
        client.send(message[: len(message) // 2])
        deadline = time.monotonic() + 20
        while not any(p.stat().st_size for p in (site.folder / "staging").iterdir()) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert site.running is not None
        site.running.kill()
        client.close()
        assert any(path.stat().st_size for path in (site.folder / "staging").iterdir())
        assert search(site.folder, wanted) == []
        log = site.log.read_bytes()
        site.serve()
    finally:
        site.stop()
    assert search(site.folder, wanted) == []
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/first").write_bytes(log)
    (tmp_path / "logs/second").write_bytes(site.log.read_bytes())
    assert search(tmp_path / "logs", wanted) == [], "the log holds patient data"

    planted = sorted(values, key=len)[-1]
    with (site.folder / "catalogue.db").open("ab") as database:
        database.write(b"\0" * 4096 + planted.encode("utf-16-le") + b"\0" * 4096)
    assert f"catalogue.db: {planted}" in search(site.folder, wanted)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("written", ["Müller^Anneliese", "anneliese", "MÜLLER", "Müller Anneliese", "Anne"])
def test_the_search_catches_what_is_planted(tmp_path: Path, encoding: str, written: str) -> None:
    """In any encoding, in capitals or not, whole or a part, between bytes that mean nothing."""
    wanted = needles(["Müller^Anneliese", "Anne^Li"])
    noise = bytes(range(128, 256)) * 30
    (tmp_path / "noise").write_bytes(noise)
    assert search(tmp_path, wanted) == []
    (tmp_path / "leak").write_bytes(noise + f'{{"name": "{written}"}}'.encode(encoding) + noise)
    assert search(tmp_path, wanted)


def test_the_search_reads_names_of_files_too(tmp_path: Path) -> None:
    (tmp_path / "objects").mkdir()
    (tmp_path / "objects/1.2.826.0.1.99.7.dcm").write_bytes(b"sealed")
    assert search(tmp_path, needles(["1.2.826.0.1.99.7"])) == ["objects/1.2.826.0.1.99.7.dcm: 1.2.826.0.1.99.7"]


def test_everything_is_its_owner_s_alone(tmp_path: Path) -> None:
    """Whatever the umask: nobody else on the machine reads a file or lists a folder of a site that is at work."""
    before = os.umask(0)
    try:
        site = Site(tmp_path)
        credentials = site.add_node("SENDER")
        site.serve()
        try:
            path = Path(str(get_testdata_file("CT_small.dcm")))
            sop_class, sop_instance, syntax, dataset = fast_sender.split_file(path)
            client = site.live(credentials).associate([(1, sop_class, [syntax])])
            client.send(message_pdus(1, 1, sop_class, sop_instance, dataset))
            assert client.read_status() == 0
            client.release()
            found = {p.relative_to(site.folder) for p in site.folder.rglob("*")}
            assert {Path("catalogue.db"), Path("catalogue.db-wal"), Path("catalogue.db-shm")} <= found
            assert open_to_others(site.folder) == []
        finally:
            site.stop()
        assert open_to_others(site.folder) == []
        assert open_to_others(site.exchange / "SENDER") == []
    finally:
        os.umask(before)


def open_to_others(folder: Path) -> list[str]:
    """Name what anybody but the owner may read, write or enter."""
    seen = [folder, *folder.rglob("*")]
    return [f"{path} {path.stat().st_mode & 0o777:o}" for path in seen if path.stat().st_mode & 0o077]


def test_secrets_hold_keys_alone(tmp_path: Path) -> None:
    """What the search leaves out is a handful of small files only their owner may read."""
    site = Site(tmp_path)
    secrets = sorted(path for path in (site.folder / "secrets").rglob("*") if path.is_file())
    assert secrets
    for path in secrets:
        assert path.stat().st_size < 20_000
        assert path.stat().st_mode & 0o077 == 0, path.name
