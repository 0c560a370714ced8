"""What disarming does to whole corpora: payloads gone, real objects rebuilt to the same pixels and values; how fast.

    python -m benches.disarm [--hostile DIR] [--clean DIR] [--rounds 3]

Copies are made and inspected as `leadglass disarm` does, in confined processes. The judge of pixels and values is
pydicom with its codecs, that of payloads the bytes of the copy.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.dicom.made import SPECIMENS, real_files
from tests.malware.rebuild.equality import differences, is_decoded_the_same
from tests.malware.test_disarm import MARKS, NOT_REBUILT, evidence

from leadglass.edge.sandbox import Sandbox, own_rules
from leadglass.edge.sandbox_copier import confined_disarmer
from leadglass.errors import Refused
from leadglass.journeys.receive import KEEP
from leadglass.malware.anatomy import FileInspector
from leadglass.malware.disarm import Disarmed, Disarmer
from leadglass.malware.verdict import Verdict, verdict_of


def content_of(made: Disarmed) -> bytes:
    return b"".join(made.copy.content)


@dataclass
class Hostile:
    """What became of the hostile specimens."""

    copies: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    left: list[str] = field(default_factory=list)
    not_clean: list[str] = field(default_factory=list)


def hostile(by: Disarmer, folder: Path) -> Hostile:
    """Disarm each; where there is a copy, look for what the original was accused of."""
    seen = Hostile()
    for path in sorted(folder.glob("*.dcm")):
        data = path.read_bytes()
        try:
            made = by.disarm([data])
        except Refused as error:
            seen.refusals[path.name] += 1
            print(f"  refused  {path.name}: {error.message}")
            continue
        seen.copies += 1
        content = content_of(made)
        marks = [mark for mark in MARKS if mark in data and mark in content]
        if marks or any(one in content for one in evidence(data)):
            seen.left.append(path.name)
        if verdict_of(made.inspection) is not Verdict.CLEAN:
            seen.not_clean.append(path.name)
    return seen


@dataclass
class Clean:
    """What became of the real objects."""

    objects: int = 0
    directories: int = 0
    rebuilt: int = 0
    malformed: int = 0
    decoded: int = 0
    compared: int = 0
    altered: list[str] = field(default_factory=list)
    told_otherwise: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def clean(by: Disarmer, folder: Path | None) -> Clean:
    """Disarm each and hold the copy against it."""
    seen = Clean()
    for path in real_files() if folder is None else sorted(path for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        try:
            made = by.disarm([data])
        except Refused as error:
            if "DICOMDIR" in error.message:
                seen.directories += 1
                continue
            seen.objects += 1
            is_known = folder is None and path.name[:4] in NOT_REBUILT
            seen.malformed += is_known
            if not is_known:
                seen.lost.append(f"{path.name}: {error.message}")
            continue
        seen.objects += 1
        seen.rebuilt += 1
        content = content_of(made)
        same = is_decoded_the_same(data, content)
        seen.decoded += same is True
        if same is False:
            seen.altered.append(path.name)
        found = differences(data, content, made.changes)
        seen.compared += found is not None
        seen.told_otherwise += [f"{path.name} {line}" for line in found or ()]
    return seen


def groups() -> dict[str, list[bytes]]:
    """Give the real files above 200 KiB that are rebuilt, by family of transfer syntaxes."""
    found: dict[str, list[bytes]] = {}
    for path in real_files():
        data = path.read_bytes()
        if len(data) < 200 << 10 or path.name[:4] in NOT_REBUILT:
            continue
        inspector = FileInspector(keep=frozenset())
        inspector.feed(data)
        inspector.finish()
        found.setdefault(FAMILIES.get(inspector.transfer_syntax_uid, "other"), []).append(data)
    return found


def cost(objects: list[bytes]) -> tuple[float, float]:
    """Give the seconds of wall and of processor time that disarming takes in all its processes, once they are warm."""
    with pool() as by:
        for _ in range(2):
            by.disarm([objects[0]])
        spent, began = _processor_s(os.getpid()), time.perf_counter()
        for data in objects:
            by.disarm([data])
        return time.perf_counter() - began, _processor_s(os.getpid()) - spent


def _processor_s(process: int) -> float:
    """Give the processor time of a process, of those below it, and of those that ended and were waited for."""
    ticks = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:15]
    below = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK") + sum(_processor_s(int(child)) for child in below)


@contextmanager
def pool() -> Iterator[Disarmer]:
    opened = Sandbox(KEEP, rules=(own_rules(),))
    try:
        yield confined_disarmer(opened)
    finally:
        opened.close()


_UID = "1.2.840.10008.1.2"
FAMILIES = {
    **dict.fromkeys((_UID, f"{_UID}.1", f"{_UID}.2"), "native"),
    f"{_UID}.1.99": "deflated",
    f"{_UID}.5": "RLE",
    **{f"{_UID}.4.{number}": "JPEG, JPEG-LS" for number in (50, 51, 57, 70, 80, 81)},
    **{f"{_UID}.4.{number}": "JPEG 2000" for number in (90, 91, 201, 202, 203)},
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hostile", type=Path, default=SPECIMENS / "hostile")
    parser.add_argument("--clean", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with pool() as by:
        bad = hostile(by, options.hostile)
        print(f"| hostile specimens | {bad.copies + bad.refusals.total()} |")
        print(f"| copied; of these with a payload, or not clean | {bad.copies}; {bad.left}, {bad.not_clean} |")
        print(f"| refused | {bad.refusals.total()} |")
        real = clean(by, options.clean)
    print(f"| real objects (DICOMDIRs besides) | {real.objects} ({real.directories}) |")
    print(f"| rebuilt; malformed and refused; lost | {real.rebuilt}; {real.malformed}; {real.lost} |")
    print(f"| decoded to the same pixels; to others | {real.decoded}; {real.altered} |")
    odd = real.told_otherwise
    print(f"| compared by value; values that differ, or are gone without a word | {real.compared}; {len(odd)} |")
    print(*odd[:20], sep="\n")
    for name, objects in sorted(groups().items()):
        rates = [[sum(map(len, objects)) / 1e6 / s for s in cost(objects)] for _ in range(options.rounds)]
        wall, processor = (statistics.median(column) for column in zip(*rates, strict=True))
        print(f"| {name} ({len(objects)}) | {wall:.0f} MB/s | {processor:.0f} MB/s of processor time |")


if __name__ == "__main__":
    main()
