"""How fast inspection is, beside those who look for malware or read objects today. One core, the same files.

    python -m benches.inspect [--rounds 3] [--ct 200] [--rules 7000] [--signatures 1000000]

Rules and signatures are made here, at random, in the number and of the kinds of the public sets, because those may not
be shipped: what a scanner pays is for what it holds, not for what it is called.

- **Rules**, after ReversingLabs' set, signature-base and Yara-Rules, whose files were read: a quarter has no strings
  (certificates, by the pe module), a sixth long hexadecimal strings with wildcards, a third five to ten texts; all of
  these begin `uint16(0) == 0x5A4D and`, most with a `filesize`. A quarter looks for texts, hexadecimal strings with
  jumps or a regular expression in any file: web shells, scripts, documents, kits. Files hold ten rules, mixed.
- **Signatures**, after ClamAV's databases: most are digests of files (.hdb, .hsb) or of sections of programs (.mdb);
  three in ten have a body (.ndb, .ldb), seven in ten of those for Windows programs (target 1), the rest for any file.
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

from leadglass.edge.engines_yara import RuleEngine, RuleScan, RuleSource, compile_sources
from leadglass.limits import SANDBOX_OBJECTS_MAX
from leadglass.malware.anatomy import FileInspector, Memory
from leadglass.malware.verdict import verdict_of

PIECE = 256 << 10
Run = Callable[[list[Path]], None]


def rules(count: int, seed: int = 1) -> list[str]:
    """Write `count` rules as the public sets have them, in files of ten."""
    chance = random.Random(seed)
    made = [_rule(number, chance) for number in range(count)]
    return ['import "pe"\n' + "\n".join(made[at : at + 10]) for at in range(0, count, 10)]


def _rule(number: int, chance: random.Random) -> str:
    match chance.randrange(12):
        case 0 | 1 | 2:
            serial = chance.randbytes(16).hex(":")
            strings, signature = "", f'pe.signatures[i].serial == "{serial}"'
            condition = f"uint16(0) == 0x5A4D and for any i in (0..pe.number_of_signatures): ({signature})"
        case 3 | 4:
            strings = " ".join(f"$a{at} = {{ {_code(chance)} }}" for at in range(chance.randint(2, 4)))
            condition = "uint16(0) == 0x5A4D and (all of ($a*))"
        case 5 | 6 | 7 | 8:
            kinds = ("fullword ascii", "ascii", "wide", "fullword ascii wide", "ascii nocase")
            strings = " ".join(
                f'$s{at} = "{_text(chance)}" {chance.choice(kinds)}' for at in range(chance.randint(5, 10))
            )
            condition = (
                f"uint16(0) == 0x5a4d and filesize < {chance.randint(1, 40)}00KB and ({chance.randint(1, 4)} of them)"
            )
        case 9 | 10:
            wide = chance.choice(("", " nocase", " wide ascii", " fullword"))
            strings = " ".join(f'$s{at} = "{_text(chance)}"{wide}' for at in range(chance.randint(2, 5)))
            condition = chance.choice(("any of them", "all of them", "2 of them", "filesize < 2MB and all of them"))
        case _:
            first, second = (chance.randbytes(chance.randint(8, 14)).hex(" ") for _ in range(2))
            strings = f"$b = {{ {first} [2-6] {second} }} $c = {{ {chance.randbytes(12).hex(' ')} }}"
            if chance.random() < 0.2:
                strings += f" $d = /{_word(chance)}[a-z0-9]{{4,12}}\\.{_word(chance)}/"
            condition = "any of them"
    return f"rule r{number} {{ {'strings: ' + strings if strings else ''} condition: {condition} }}"


def _word(chance: random.Random) -> str:
    return "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(5, 9)))


def _text(chance: random.Random) -> str:
    """Give a text as programs and scripts hold: words, paths, calls."""
    return chance.choice((" ", "_", ".", "/", ":", "=")).join(
        _word(chance).title() for _ in range(chance.randint(2, 4))
    )


def _code(chance: random.Random) -> str:
    """Give 60 bytes of a program, a quarter of them any byte, in groups as addresses are."""
    parts: list[str] = []
    while len(parts) < 60:
        parts += chance.randbytes(chance.randint(2, 9)).hex(" ").split()
        parts += ["??"] * chance.choice((1, 1, 4))
    return " ".join([*parts, "c3"])


def signatures(count: int, folder: Path, seed: int = 2) -> None:
    """Write ClamAV signatures of every kind."""
    chance = random.Random(seed)
    hashes, bodies = count * 7 // 10, count * 3 // 10
    kinds: dict[str, Callable[[int], str]] = {
        "hdb": lambda at: f"{chance.randbytes(16).hex()}:{chance.randint(500, 4_000_000)}:Made.Hash-{at}",
        "hsb": lambda at: f"{chance.randbytes(32).hex()}:{chance.randint(500, 4_000_000)}:Made.Hash-S{at}",
        "mdb": lambda at: f"{512 * chance.randint(1, 4_000)}:{chance.randbytes(16).hex()}:Made.Section-{at}",
        "ndb": lambda at: f"Made.Body-{at}:{_target(chance)}:*:{_body(chance)}",
        "ldb": lambda at: f"Made.Logic-{at};Engine:51-255,Target:{_target(chance)};0&1;{_body(chance)};{_body(chance)}",
    }
    counts = {
        "hdb": hashes // 5,
        "hsb": hashes * 2 // 5,
        "mdb": hashes * 2 // 5,
        "ndb": bodies * 5 // 6,
        "ldb": bodies // 6,
    }
    for kind, line in kinds.items():
        with (folder / f"made.{kind}").open("w") as file:
            file.writelines(line(at) + "\n" for at in range(counts[kind]))


def _target(chance: random.Random) -> int:
    return 1 if chance.random() < 0.7 else 0


def _body(chance: random.Random) -> str:
    """Give the body of a signature: 20 to 60 bytes, every third with a gap."""
    first, second = (chance.randbytes(chance.randint(10, 30)).hex() for _ in range(2))
    return first + chance.choice(("", "", "{4-20}")) + second


def floor(paths: list[Path]) -> None:
    for path in paths:
        hashlib.sha256(path.read_bytes()).digest()


def leadglass(paths: list[Path], engine: RuleEngine | None = None) -> None:
    """Inspect as workers do: pieces to the inspector, and to the rules where there are some."""
    memory = Memory()
    for number, path in enumerate(paths):
        if number % SANDBOX_OBJECTS_MAX == 0:
            memory = Memory()  # of a new worker
        data = path.read_bytes()
        inspector = FileInspector(keep=frozenset(), memory=memory)
        scan = None if engine is None else RuleScan(engine)
        view = memoryview(data)
        for at in range(0, len(view), PIECE):
            inspector.feed(view[at : at + PIECE])
            if scan is not None:
                scan.feed(view[at : at + PIECE])
        verdict_of(inspector.finish())
        if scan is not None:
            scan.finish()


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
    signatures(count, database)
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
    texts = rules(options.rules)
    together = yara_x.Compiler(relaxed_re_syntax=True)
    for number, text in enumerate(texts):
        together.new_namespace(f"f{number}")
        together.add_source(text)
    scanner = yara_x.Scanner(together.build())
    engine = compile_sources([RuleSource(Path(f"f{number}.yar"), text) for number, text in enumerate(texts)])
    runs: dict[str, Run] = {
        "SHA-256, the floor": floor,
        "Leadglass": leadglass,
        f"Leadglass with {options.rules:,} rules": lambda files: leadglass(files, engine),
        f"yara-x, {options.rules:,} rules": lambda files: yara_x_alone(files, scanner),
        "pydicom, every value": pydicom_walk,
    }
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if shutil.which("yarac"):
            (folder / "rules.yar").write_text(
                'import "pe"\n' + "".join(text.removeprefix('import "pe"') for text in texts)
            )
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
