"""How fast inspection is, beside those who look for malware or read objects today. One core, the same files.

    python -m benches.inspect [--rounds 3] [--ct 200] [--rules 7000] [--signatures 1000000]

Rules and signatures are made here, at random, in the number of the public sets (7,000 YARA rules; a million ClamAV
body signatures) and in their shape: what a scanner pays is for how many it holds, not for what they are called.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import random
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import yara_x
from pydicom import dcmread
from tests.peers.harness import objects, programs
from tests.peers.harness.process import Running

from leadglass.malware.anatomy import FileInspector
from leadglass.malware.verdict import verdict_of

PIECE = 256 << 10
Run = Callable[[list[Path]], None]


def rules(count: int, seed: int = 1) -> str:
    """Write `count` rules: two or three strings each (text, wide text, hexadecimal with jumps), as real sets have."""
    chance, lines = random.Random(seed), []
    for number in range(count):
        text = "".join(chance.choices("abcdefghijklmnopqrstuvwxyzABCDEFGHIJ0123456789_./", k=chance.randint(10, 28)))
        first, second = (chance.randbytes(chance.randint(6, 14)).hex(" ") for _ in range(2))
        wide = " wide ascii" if chance.random() < 0.3 else ""
        lines.append(
            f'rule r{number} {{ strings: $a = "{text}"{wide} $b = {{ {first} [2-6] {second} }} '
            f"$c = {{ {chance.randbytes(12).hex(' ')} }} condition: any of them }}"
        )
    return "\n".join(lines)


def signatures(count: int, seed: int = 2) -> Iterator[str]:
    """Give ClamAV body signatures (.ndb) of 24 random bytes each."""
    chance = random.Random(seed)
    return (f"Made.Signature-{number}:0:*:{chance.randbytes(24).hex()}\n" for number in range(count))


def floor(paths: list[Path]) -> None:
    for path in paths:
        hashlib.sha256(path.read_bytes()).digest()


def leadglass(paths: list[Path], scanner: yara_x.Scanner | None = None) -> None:
    for path in paths:
        data = path.read_bytes()
        inspector = FileInspector(keep=frozenset())
        view = memoryview(data)
        for at in range(0, len(view), PIECE):
            inspector.feed(view[at : at + PIECE])
        verdict_of(inspector.finish())
        if scanner is not None:
            scanner.scan(data)


def yara_x_alone(paths: list[Path], scanner: yara_x.Scanner) -> None:
    for path in paths:
        scanner.scan(path.read_bytes())


def pydicom_walk(paths: list[Path]) -> None:
    for path in paths:
        for element in dcmread(path).iterall():
            element.value  # noqa: B018 -- reading it is what is measured


def yara(paths: list[Path], compiled: Path) -> None:
    listing = compiled.with_suffix(".list")
    listing.write_text("\n".join(map(str, paths)))
    command = [programs.path_of("yara"), "-p", "1", "-w", "-C", str(compiled), "--scan-list", str(listing)]
    subprocess.run(command, check=True, capture_output=True)


def clamd_stream(paths: list[Path], address: str) -> None:
    for path in paths:
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(address)
            link.sendall(b"zINSTREAM\0")
            view = memoryview(path.read_bytes())
            for at in range(0, len(view), PIECE):
                piece = view[at : at + PIECE]
                link.sendall(struct.pack(">I", len(piece)))
                link.sendall(piece)
            link.sendall(bytes(4))
            answer = link.recv(4096)
            if b"OK" not in answer:
                raise RuntimeError(f"clamd: {answer!r}")


@contextlib.contextmanager
def clamd(folder: Path, count: int) -> Iterator[str]:
    """Run clamd over `count` signatures on a socket of its own."""
    database, address = folder / "database", str(folder / "clamd.sock")
    database.mkdir()
    with (database / "made.ndb").open("w") as file:
        file.writelines(signatures(count))
    settings = folder / "clamd.conf"
    settings.write_text(
        f"DatabaseDirectory {database}\nLocalSocket {address}\nForeground yes\nStreamMaxLength 2000M\nMaxThreads 1\n"
        "MaxScanSize 2000M\nMaxFileSize 2000M\nUser root\n"
    )
    running = Running([programs.path_of("clamd"), "--config-file", str(settings)], folder / "clamd.log")
    try:
        deadline = time.monotonic() + 300
        while not Path(address).exists():
            if not running.is_alive() or time.monotonic() > deadline:
                raise RuntimeError(f"clamd does not start:\n{running.tail()}")
            time.sleep(0.2)
        yield address
    finally:
        running.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ct", type=int, default=200)
    parser.add_argument("--rules", type=int, default=7_000)
    parser.add_argument("--signatures", type=int, default=1_000_000)
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # one core, and whoever is started from here too
    paths = objects.ct_objects(options.ct)
    size = sum(path.stat().st_size for path in paths)
    text = rules(options.rules)
    scanner = yara_x.Scanner(yara_x.compile(text))
    runs: dict[str, Run] = {
        "SHA-256, the floor": floor,
        "Leadglass": leadglass,
        f"Leadglass with {options.rules:,} rules": lambda files: leadglass(files, scanner),
        f"yara-x, {options.rules:,} rules": lambda files: yara_x_alone(files, scanner),
        "pydicom, every value": pydicom_walk,
    }
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if shutil.which("yarac"):
            (folder / "rules.yar").write_text(text)
            subprocess.run(["yarac", "-w", str(folder / "rules.yar"), str(folder / "rules.yac")], check=True)
            runs[f"yara, {options.rules:,} rules"] = lambda files: yara(files, folder / "rules.yac")
        if programs.find("clamd") is not None:
            address = stack.enter_context(clamd(folder, options.signatures))
            runs[f"clamd INSTREAM, {options.signatures:,} signatures"] = lambda files: clamd_stream(files, address)
        for run in runs.values():
            run(paths[:2])  # compiled patterns, loaded databases
        figures: dict[str, list[float]] = {name: [] for name in runs}
        for turn in range(options.rounds):
            for name, run in list(runs.items())[:: 1 if turn % 2 == 0 else -1]:
                began = time.perf_counter()
                run(paths)
                figures[name].append(size / (time.perf_counter() - began) / 1e6)
    print(f"{programs.machine()}; {len(paths)} CT of {size / len(paths) / 1024:.0f} KiB, one core\n")
    print("| | MB/s, median (range) | objects/s | ÷ SHA-256 |")
    print("|---|---:|---:|---:|")
    base = statistics.median(figures["SHA-256, the floor"])
    for name, speeds in figures.items():
        middle = statistics.median(speeds)
        spread = f"{middle:.0f} ({min(speeds):.0f}–{max(speeds):.0f})"
        print(f"| {name} | {spread} | {middle * 1e6 * len(paths) / size:.0f} | {middle / base:.2f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
