"""What hostile senders do to each server: crashed, memory, a good sender's wait, how it was refused.

    python -m benches.hostile_wire [--servers leadglass,storescp,orthanc,pynetdicom] [--attacks deflate] [--plain]

Each attack meets a fresh server over mutual TLS, with a key the server trusts: a modality that was taken over.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

from tests.peers.harness import hostile, leadglass, programs, servers

from benches.receive import Kind

KINDS: dict[str, Kind] = {
    "leadglass": leadglass.leadglass,
    "orthanc": servers.orthanc,
    "storescp": partial(servers.storescp, fork=False),
    "pynetdicom": servers.pynetdicom,
}


def outcome_text(outcome: hostile.Outcome) -> str:
    crashed = "**crashed**" if outcome.is_crashed else "up"
    return f"{crashed}; +{outcome.growth_mb:.0f} MB; good sender {outcome.good}; {outcome.answer}"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--servers", default=",".join(KINDS))
    parser.add_argument("--attacks", default="")
    parser.add_argument("--plain", action="store_true")
    options = parser.parse_args()
    names = [name for name in options.servers.split(",") if name != "leadglass" or leadglass.is_available()]
    wanted = [part for part in options.attacks.split(",") if part]
    attacks = [name for name in hostile.ATTACKS if not wanted or any(part in name for part in wanted)]
    rows: dict[str, list[str]] = {attack: [] for attack in attacks}
    titles = []
    for name in names:
        title = name
        for attack in attacks:
            with (
                tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
                KINDS[name](Path(folder) / "a" / "b" / "c" / "d", tls=not options.plain) as live,
            ):
                title = f"{live.name.split(',')[0]} {live.version}"
                good = (
                    replace(live, calling="GOOD", credentials=live.good_credentials) if live.good_credentials else live
                )
                outcome = hostile.strike(live, attack, good)
            rows[attack].append(outcome_text(outcome))
            print(f"{title}: {attack}: {outcome_text(outcome)}", file=sys.stderr, flush=True)
            for line in outcome.recorded[:4]:
                print(f"    recorded {line[:400]}", file=sys.stderr)
        titles.append(title)
    print(f"{programs.machine()}, {os.cpu_count()} cores shared with the attackers\n")
    print("| attack | " + " | ".join(titles) + " |")
    print("|---" * (len(titles) + 1) + "|")
    for attack, cells in rows.items():
        print(f"| {attack} | " + " | ".join(cells) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
