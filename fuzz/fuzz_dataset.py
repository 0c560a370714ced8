"""Any bytes walk to their end or stop with a PeerError, alike in any chunks; inspection never raises.

With atheris: `python fuzz/fuzz_dataset.py CORPUS [libFuzzer options]`. Without:
`python fuzz/fuzz_dataset.py --runs N --seed S` mutates small real files (or made ones where ../shared is
absent), always the same way for the same seed.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

from leadglass.dicom.dataset import decode
from leadglass.dicom.dictionary import KEPT_BY_DEFAULT
from leadglass.dicom.part10 import Part10Reader, encode_file_meta
from leadglass.dicom.structure import WalkLimits
from leadglass.dicom.syntaxes import (
    DEFLATED_EXPLICIT_LITTLE,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    transfer_syntax,
)
from leadglass.dicom.text import decode_values
from leadglass.errors import PeerError
from leadglass.malware.anatomy import FileInspector, Inspector
from leadglass.malware.verdict import verdict_of

CLEAN = Path(__file__).parents[1] / "../shared/data/dicom-clean"
SEED_BYTES_MAX = 12_000
SYNTAXES = (IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED_EXPLICIT_LITTLE, transfer_syntax("1.2.3"))
LIMITS = WalkLimits(inflated_bytes=1 << 24, elements=100_000)
TELLING = (
    b"\xff\xff\xff\xff",
    b"\xfe\xff\x00\xe0",
    b"\xfe\xff\x0d\xe0",
    b"\xfe\xff\xdd\xe0",
    b"SQ\0\0",
    b"UN\0\0",
    b"\0" * 4,
)


def walk_file(data: bytes, chunk: int) -> object:
    """Read a file; give what is comparable of the outcome."""
    reader = Part10Reader(limits=LIMITS)
    try:
        for start in range(0, len(data), chunk):
            reader.feed(memoryview(data)[start : start + chunk])
        structure = reader.finish().structure
    except PeerError as error:
        return type(error).__name__, error.code
    decode_values(structure.values)
    return structure.element_count, structure.length_bytes, structure.oddities, dict(structure.values)


def one_input(data: bytes) -> None:
    """Feed one input to every door."""
    chunk = 1 + data[0] % 97 if data else 1
    whole, cut = walk_file(data, len(data) or 1), walk_file(data, chunk)
    if whole != cut:
        raise AssertionError(f"chunks of {chunk} change the outcome: {whole} / {cut}")
    inspector = FileInspector(keep=KEPT_BY_DEFAULT, limits=LIMITS)
    inspector.feed(data)
    verdict_of(inspector.finish())
    syntax = SYNTAXES[len(data) % len(SYNTAXES)]
    bare = Inspector(syntax, dataset_offset=0, keep=KEPT_BY_DEFAULT, limits=LIMITS)
    bare.feed(data)
    verdict_of(bare.finish())
    try:
        decode(data[-2000:], syntax)
    except PeerError:
        return


def seeds() -> list[bytes]:
    """Give small real files, or one made object."""
    files = sorted(CLEAN.glob("*.dcm")) if CLEAN.is_dir() else []
    small = [path.read_bytes() for path in files if path.stat().st_size <= SEED_BYTES_MAX]
    head = encode_file_meta(
        sop_class_uid="1.2.840.10008.5.1.4.1.1.7",
        sop_instance_uid="1.2.3",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        implementation_class_uid="1.2.3",
    )
    body = b"\x08\0\x18\0UI\x06\x001.2.3\0\x08\0\x40\x11SQ\0\0\x08\0\0\0\xfe\xff\0\xe0\0\0\0\0"
    body += b"\xe0\x7f\x10\0OB\0\0\2\0\0\0ab"
    return [*small, head + body]


def mutated(seed: bytes, source: random.Random) -> bytes:
    """Change a few places of a file: bytes, telling patterns, cuts, repetitions."""
    data = bytearray(seed)
    for _ in range(source.randint(1, 6)):
        at = source.randrange(len(data) or 1)
        match source.randrange(5):
            case 0 if data:
                data[at] = source.randrange(256)
            case 1:
                pattern = source.choice(TELLING)
                data[at : at + len(pattern)] = pattern
            case 2:
                del data[at : at + source.randint(1, 40)]
            case 3:
                data[at:at] = data[at : at + source.randint(1, 200)]
            case _:
                del data[max(1, at) :]
    return bytes(data)


def run(runs: int, seed: int) -> int:
    """Mutate and feed; give the exit code."""
    source, corpus = random.Random(seed), seeds()
    for number in range(runs):
        data = mutated(source.choice(corpus), source)
        try:
            one_input(data)
        except Exception as error:  # noqa: BLE001 — finding these is what a fuzzer is for
            path = Path(f"crash-dataset-{seed}-{number}.dcm")
            path.write_bytes(data)
            print(f"run {number} (seed {seed}): {type(error).__name__}: {error}; input kept in {path}")
            return 1
    print(f"{runs} mutated files: every one parsed or ended in a PeerError")
    return 0


def main() -> int:
    """Choose between atheris and the deterministic mode."""
    if any(argument.startswith(("--runs", "--seed", "--help")) for argument in sys.argv[1:]):
        parser = argparse.ArgumentParser(description=__doc__)
        parser.add_argument("--runs", type=int, default=10_000)
        parser.add_argument("--seed", type=int, default=1)
        options = parser.parse_args()
        return run(options.runs, options.seed)
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
