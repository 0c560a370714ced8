"""Any file gives a scan or a UsageError, and any text a phantom or a UsageError; nothing else comes out.

`python fuzz/fuzz_rawdata.py --runs N --seed S` mutates a small scan of every storage layout, and the phantoms that come
with Leadglass, always the same way for the same seed; an input that ends the process is left in a file. With atheris:
`python fuzz/fuzz_rawdata.py --atheris CORPUS [options]`.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

import numpy as np

from leadglass.edge.phantoms import SHIPPED, phantom_text
from leadglass.edge.rawdata import open_scan, write_scan
from leadglass.errors import UsageError
from leadglass.imaging.geometry import Panel, circle
from leadglass.imaging.phantom_text import parse_phantom
from leadglass.imaging.scan import Scan, Sensor, Tube

FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-rawdata-"))


def seeds() -> list[bytes]:
    """Give a small scan as whole numbers and as floats."""
    made = []
    for factor in (1.0, 0.37):
        counts = np.random.default_rng(1).poisson(50, (2, 3, 6, 4)).astype(np.float32) * np.float32(factor)
        geometry = circle(Panel(6, 4, 0.7, 0.9), 3)
        flat, bad = np.full((2, 6, 4), 60, np.float32), np.zeros((6, 4), bool)
        scan = Scan(counts, flat, (20.0, 40.0), geometry, Tube(120, 0.1), Sensor(), bad, "seed", "", {"seed": "1"})
        path = FOLDER / "seed.h5"
        write_scan(scan, path, is_replacing=True)
        made.append(path.read_bytes())
    return made


def one_input(data: bytes) -> None:
    """Feed one input to both doors."""
    path = FOLDER / "input.h5"
    path.write_bytes(data)
    try:
        open_scan(path)
    except UsageError as error:
        assert error.hint, error.message
    try:
        parse_phantom(data.decode("utf-8", "replace"))
    except UsageError as error:
        assert error.hint, error.message


def mutated(seed: bytes, source: random.Random) -> bytes:
    """Change a few places: bytes, runs of one byte, cuts, moves."""
    data = bytearray(seed)
    for _ in range(source.randint(1, 5)):
        at = source.randrange(len(data) or 1)
        match source.randrange(5):
            case 0 | 1 if data:
                data[at] = source.randrange(256)
            case 2:
                data[at : at + source.randint(1, 8)] = bytes([source.choice((0, 255, 127))]) * source.randint(1, 8)
            case 3:
                other = source.randrange(len(data) or 1)
                data[at : at + 8] = data[other : other + 8]
            case _:
                if source.random() < 0.1:
                    del data[max(1, at) :]
    return bytes(data)


def run(runs: int, seed: int) -> int:
    """Mutate and feed; give the exit code. The input is on the disk while it is tried, so a crash leaves it behind."""
    source = random.Random(seed)
    corpus = [*seeds(), *(phantom_text(name).encode() for name in SHIPPED)]
    for number in range(runs):
        data = mutated(source.choice(corpus), source)
        kept = Path(f"crash-rawdata-{seed}-{number}.bin")
        kept.write_bytes(data)
        try:
            one_input(data)
        except Exception as error:  # noqa: BLE001 — finding these is what a fuzzer is for
            print(f"run {number} (seed {seed}): {type(error).__name__}: {error}; input kept in {kept}")
            return 1
        kept.unlink()
    print(f"{runs} mutated files: every one gave a scan, a phantom or a UsageError")
    return 0


def main() -> int:
    """Choose between atheris and the deterministic mode."""
    if "--atheris" in sys.argv:
        import atheris

        sys.argv.remove("--atheris")
        atheris.instrument_all()
        atheris.Setup(sys.argv, one_input)
        atheris.Fuzz()
        return 0
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    return run(options.runs, options.seed)


if __name__ == "__main__":
    sys.exit(main())
