"""Nothing lost: the hub killed with SIGKILL at random moments under four senders, then held to its promises.

python -m benches.loss [--kills 200] [--seed 1] [--minutes 40]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.peers.harness import programs
from tests.simulation.test_kill import killed


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=40.0, help="no more kills after that")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        done, account = killed(Path(folder), options.kills, options.seed, minutes_max=options.minutes)
    print(f"{programs.machine()}; {time.monotonic() - began:.0f} s\n")
    print("| kills | acknowledged | fetched again, byte for byte | acknowledged and lost | altered | faults |")
    print("|---|---|---|---|---|---|")
    broken = f"{len(account.lost)} | {len(account.altered)} | {len(account.faults)}"
    print(f"| {done} | {account.acknowledged} | {account.found} | {broken} |")
    return 1 if account.lost or account.altered or account.faults else 0


if __name__ == "__main__":
    sys.exit(main())
