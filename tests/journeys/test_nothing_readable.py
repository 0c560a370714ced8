"""Nothing readable: no name, number or UID that was sent lies in clear anywhere in the site's folder.

The hub is searched while it runs (database, write-ahead log, staging, logs) and after it stopped. `secrets/` is left
out: it holds the keys, under a passphrase, and no patient's data, which a separate test states.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from tests.peers import compare
from tests.peers.harness import fast_sender
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


def needles(values: Iterable[str]) -> dict[bytes, str]:
    """Give every way a value may lie on a disk; values too short to mean anything by themselves are left out."""
    found: dict[bytes, str] = {}
    for value in values:
        for part in {value, *value.split("^"), value.replace("^", " ")}:
            if len(part.strip()) >= 6:
                for encoding in ENCODINGS:
                    found[part.strip().encode(encoding, "ignore")] = part.strip()
                    found[part.strip().lower().encode(encoding, "ignore")] = part.strip()
    return found


def search(folder: Path, wanted: dict[bytes, str]) -> list[str]:
    """Look for the needles in the bytes and the names of every file, as they are and in lower case."""
    hits = []
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if relative.parts[0] == "secrets" or not path.is_file():
            continue
        data = path.read_bytes()
        lowered = data.lower()
        for needle, value in wanted.items():
            if needle in data or needle in lowered or value in str(relative):
                hits.append(f"{relative}: {value}")
    return sorted(set(hits))


@pytest.mark.long
def test_no_identifying_value_lies_in_clear(tmp_path: Path) -> None:
    """While running and after, searched in four encodings, in files and names; a planted value is found."""
    site = Site(tmp_path)
    credentials = site.add_node("SENDER")
    site.serve()
    values: set[str] = set()
    sent = 0
    try:
        live = site.live(credentials)
        for name in SAMPLES:
            path = Path(str(get_testdata_file(name)))
            _, _, syntax, dataset = fast_sender.split_file(path)
            ds = compare.read(path)
            values |= {str(ds[keyword].value) for keyword in IDENTIFYING if keyword in ds and ds[keyword].value}
            client = live.associate([(1, str(ds.SOPClassUID), [syntax])])
            client.send(message_pdus(1, 1, str(ds.SOPClassUID), str(ds.SOPInstanceUID), dataset))
            client.read_status()
            client.release()
            sent += 1
        assert live.stored() == sent
        wanted = needles(values)
        assert len(wanted) > 60
        # Ask for it as well: searches and retrievals must leave nothing behind either.
        site.verb("find", "--id", "1CT1")
        assert search(site.folder, wanted) == []
    finally:
        site.stop()
    assert search(site.folder, wanted) == []
    assert site.running is not None
    assert search(site.running.log.parent, needles(values)) == [], "the log holds patient data"

    planted = sorted(values, key=len)[-1]
    (site.folder / "catalogue.db-wal").write_bytes(b"\0" * 4096 + planted.encode("utf-16-le") + b"\0" * 4096)
    assert search(site.folder, wanted) == [f"catalogue.db-wal: {planted}"]


def test_secrets_hold_keys_alone(tmp_path: Path) -> None:
    """What the search leaves out is a handful of small files only their owner may read."""
    site = Site(tmp_path)
    secrets = sorted(path for path in (site.folder / "secrets").rglob("*") if path.is_file())
    assert secrets
    for path in secrets:
        assert path.stat().st_size < 20_000
        assert path.stat().st_mode & 0o077 == 0, path.name
