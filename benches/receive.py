"""How fast a study arrives: the same files, the same senders, servers taking turns. `make bench`.

    python -m benches.receive [--quick] [--rounds 3] [--servers leadglass,storescp,...] [--cells ct,multi]

Senders: DCMTK storescu with TCP_NODELAY=1, and our own fast sender (PDUs cut beforehand, one C-STORE answered
before the next). Every server starts fresh for each figure, on the same disk, and its files are removed after it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from tests.peers.harness import fast_sender, leadglass, objects, programs, servers
from tests.peers.harness.servers import Live

Kind = Callable[..., AbstractContextManager[Live]]
KINDS: dict[str, Kind] = {
    "storescp": servers.storescp,
    "orthanc-sync": partial(servers.orthanc, sync=True),
    "orthanc-nosync": partial(servers.orthanc, sync=False),
    "pynetdicom": servers.pynetdicom,
    "leadglass": leadglass.leadglass,
}


def storescu(live: Live, files: Sequence[Sequence[Path]]) -> float:
    """Send with DCMTK, one process per association, and give the seconds until the last has ended."""
    environment = {**os.environ, "TCP_NODELAY": "1"}
    base = [programs.path_of("storescu"), "-pdu", "131072", "--max-send-pdu", "131072", *live.dcmtk_arguments()]
    began = time.perf_counter()
    running = [
        subprocess.Popen([*base, *map(str, stream)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for stream in files
    ]
    outputs = [process.communicate(timeout=1800)[0] for process in running]
    taken = time.perf_counter() - began
    for process, output in zip(running, outputs, strict=True):
        if process.returncode != 0:
            raise RuntimeError(f"storescu to {live.name}: {output.decode(errors='replace')[-1500:]}")
    return taken


SENDERS: dict[str, Callable[[Live, Sequence[Sequence[Path]]], float]] = {
    "storescu": storescu,
    "fast sender": fast_sender.run,
}


def split(files: list[Path], associations: int) -> list[list[Path]]:
    return [files[start::associations] for start in range(associations)]


def measure(kind: Kind, sender: str, files: list[Path], *, tls: bool, associations: int, scratch: Path) -> float:
    """Give MB/s (10^6 bytes) of one fresh server."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    try:
        with kind(folder / "server", tls=tls) as live:
            seconds = SENDERS[sender](live, split(files, associations))
            stored = live.stored()
            if stored < len(files):
                raise RuntimeError(f"{live.name} kept {stored} of {len(files)}")
        return sum(path.stat().st_size for path in files) / seconds / 1e6
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.sync()


def associations_per_second(kind: Kind, *, tls: bool, count: int, scratch: Path) -> float:
    """Give C-ECHO associations a second, one after the other: connect, associate, echo, release."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    try:
        with kind(folder / "server", tls=tls) as live:
            live.associate().release()
            began = time.perf_counter()
            for _ in range(count):
                client = live.associate()
                client.echo()
                client.release()
            return count / (time.perf_counter() - began)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def cell_text(figures: list[float]) -> str:
    middle = statistics.median(figures)
    return f"{middle:.0f} ({min(figures):.0f}–{max(figures):.0f})"


def ratio(results: dict[str, list[float]], of: str, to: str) -> str:
    if not results.get(of) or not results.get(to):
        return "–"
    return f"{statistics.median(results[of]) / statistics.median(results[to]):.2f}"


def print_table(title: str, rows: dict[str, dict[str, list[float]]], names: list[str]) -> None:
    print(f"\n### {title}\n")
    ratios = [("leadglass", "storescp"), ("leadglass", "orthanc-sync")] if "leadglass" in names else []
    ratios = [pair for pair in ratios if pair[1] in names]
    print("| | " + " | ".join(names) + "".join(f" | {of} ÷ {to}" for of, to in ratios) + " |")
    print("|---" * (1 + len(names) + len(ratios)) + "|")
    for label, results in rows.items():
        cells = [cell_text(results[name]) if results.get(name) else "–" for name in names]
        print(f"| {label} | " + " | ".join(cells + [ratio(results, *pair) for pair in ratios]) + " |", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="100 CT, 4 multi-frame, one round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--servers", default=",".join(KINDS))
    parser.add_argument("--cells", default="ct,multi,associations")
    parser.add_argument("--senders", default=",".join(SENDERS))
    parser.add_argument("--tls", choices=["tls", "plain", "both"], default="both")
    parser.add_argument("--ct", type=int, default=500)
    parser.add_argument("--multi", type=int, default=20)
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--json", type=Path, help="write every single figure here")
    options = parser.parse_args()
    rounds = 1 if options.quick else options.rounds
    names = [name for name in options.servers.split(",") if name in KINDS]
    if not leadglass.is_available() and "leadglass" in names:
        print("leadglass: not installed here, left out", file=sys.stderr)
        names.remove("leadglass")
    ct = objects.ct_objects(100 if options.quick else options.ct) if "ct" in options.cells else []
    multi = objects.multi_frame_objects(4 if options.quick else options.multi) if "multi" in options.cells else []
    print(f"{programs.machine()}; DCMTK {programs.version('storescp')}, Orthanc {programs.version('Orthanc')}")
    for word, files in (("CT", ct), ("multi-frame", multi)):
        if files:
            print(f"{len(files)} {word} objects of {files[0].stat().st_size / 1024:.0f} KiB")
    print(f"MB/s, median (range) of {rounds}")
    workloads = {"ct": ("CT", ct), "multi": ("multi-frame", multi)}
    securities = {"tls": [True], "plain": [False], "both": [False, True]}[options.tls]
    everything: dict[str, dict[str, list[float]]] = {}
    for cell in [name for name in options.cells.split(",") if name in workloads]:
        word, files = workloads[cell]
        rows: dict[str, dict[str, list[float]]] = {}
        for tls in securities:
            for associations in (1, 4):
                for sender in options.senders.split(","):
                    label = (
                        f"{'TLS' if tls else 'plain'}, {associations} association{'s' * (associations > 1)}, {sender}"
                    )
                    rows[label] = {name: [] for name in names}
                    for turn in range(rounds):
                        for name in names[turn % len(names) :] + names[: turn % len(names)]:
                            try:
                                figure = measure(
                                    KINDS[name],
                                    sender,
                                    files,
                                    tls=tls,
                                    associations=associations,
                                    scratch=options.scratch,
                                )
                            except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
                                print(f"{label}: {name}: {error}", file=sys.stderr)
                                continue
                            rows[label][name].append(figure)
                            print(f"{word}, {label}: {name} {figure:.0f} MB/s", file=sys.stderr, flush=True)
        print_table(f"{word}, MB/s", rows, names)
        everything |= {f"{word}, {label}": results for label, results in rows.items()}
    if "associations" in options.cells:
        rows = {}
        for tls in securities:
            label = f"C-ECHO associations/s, {'TLS' if tls else 'plain'}"
            rows[label] = {name: [] for name in names}
            for _ in range(rounds):
                for name in names:
                    rows[label][name].append(
                        associations_per_second(
                            KINDS[name], tls=tls, count=30 if options.quick else 100, scratch=options.scratch
                        )
                    )
        print_table("Association set-up rate", rows, names)
        everything |= rows
    if options.json:
        options.json.write_text(json.dumps(everything, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
