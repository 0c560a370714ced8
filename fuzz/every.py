"""Run every fuzz target for a while each, coverage-guided: `make fuzz SECONDS=600`.

One line a target: inputs tried, inputs a second, branches reached, and whether one broke a promise; that input is kept
as crash-TARGET-…, and the exit code is 1. Targets run one after another, at the lowest priority.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
MALWARE = HERE / "fuzz_malware.py"


def commands(seconds: int, folder: Path) -> dict[str, list[str]]:
    """Give the command of each target."""
    listed = subprocess.run([sys.executable, str(MALWARE), "--list"], capture_output=True, text=True, check=True)
    made = {name: [str(MALWARE), name, "--seconds", str(seconds)] for name in listed.stdout.split()}
    for name, first in (("dataset", []), ("pdu", ["--atheris"]), ("rawdata", ["--atheris"])):
        corpus = folder / name
        corpus.mkdir()
        options = [f"-max_total_time={seconds}", "-timeout=30", "-rss_limit_mb=2048", f"-artifact_prefix=crash-{name}-"]
        made[name] = [str(HERE / f"fuzz_{name}.py"), *first, *options, str(corpus)]
    return made


def told(log: str) -> str:
    """Tell what libFuzzer counted."""
    counts = re.findall(r"#(\d+)\s.*?cov: (\d+).*?exec/s: (\d+)", log)
    if not counts:
        return "nothing was counted"
    inputs, branches, speed = counts[-1]
    return f"{int(inputs):,} inputs, {speed} a second, {branches} branches"


def main() -> int:
    """Run them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("targets", nargs="*", help="only these")
    options = parser.parse_args()
    os.nice(19)
    broken = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, command in commands(options.seconds, Path(folder)).items():
            if options.targets and name not in options.targets:
                continue
            done = subprocess.run([sys.executable, "-W", "ignore", *command], capture_output=True, text=True)
            log = done.stdout + done.stderr
            broken += done.returncode != 0
            print(f"{name:10} {'BROKEN' if done.returncode else 'ok':7} {told(log)}", flush=True)
            if done.returncode:
                print("\n".join(log.splitlines()[-25:]), flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
