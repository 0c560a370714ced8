"""Rules on trial: `python -m leadglass.edge.feeds_trial NEW OTHER…`, a process that compiles them and can do no more.

Rules come from outside, and a compiler is a parser like any other: it reads the files first, gives up files, network
and other processes, then compiles the new rules alone, to count them, and with all others of the site, as the hub
will. One JSON object on standard output says what came of it. `try_rules` starts it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from leadglass import limits
from leadglass.edge.confine import Allowance, address_space_bytes, confine, leave_network
from leadglass.errors import LeadglassError, UsageError

_COMMAND = (sys.executable, "-I", "-m", "leadglass.edge.feeds_trial")
_ANSWER_BYTES_MAX = 64 << 10


def try_rules(new: Path, others: Sequence[Path], *, command: Sequence[str] = _COMMAND) -> int:
    """Compile rules in a confined process, alone and beside the others; give their number. Raises UsageError."""
    failed = UsageError(
        "The rules could not be compiled within what a rule set may take.",
        hint="Nothing was changed. Try fewer rules; `leadglass doctor` tells whether processes can be confined here.",
    )
    words = [*command, str(new.resolve()), *(str(path.resolve()) for path in others)]
    try:
        done = subprocess.run(  # noqa: S603 -- our own interpreter and module
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/",
            env={"LC_ALL": "C.UTF-8"}, timeout=limits.FEED_SECONDS, check=False,
        )  # fmt: skip
        said = json.loads(done.stdout[:_ANSWER_BYTES_MAX])
        error, count = str(said.get("error", "")), int(said.get("rules", 0))
    except (OSError, subprocess.TimeoutExpired, ValueError, TypeError, AttributeError):
        raise failed from None
    if error:
        raise UsageError(error.replace(f"{new.resolve()}/", "")[:1_000], hint="Nothing was changed.")
    if count <= 0:
        raise failed
    return count


def main(arguments: Sequence[str]) -> int:
    """Be the process."""
    from leadglass.edge.engines_yara import compile_sources, rule_sources

    try:
        new, others = rule_sources([Path(arguments[0])]), [Path(path) for path in arguments[1:]]
        beside = rule_sources(others) if others else []
        leave_network()
        confine(
            Allowance(
                memory_bytes=address_space_bytes() + limits.FEED_MEMORY_BYTES,
                open_files=16,
                cpu_seconds=limits.FEED_SECONDS,
                may_load=True,  # rules become machine code
            )
        )
        count = compile_sources(new).count
        if beside:
            compile_sources([*beside, *new])
        print(json.dumps({"rules": count}))  # noqa: T201 -- the answer
    except LeadglassError as error:
        print(json.dumps({"error": error.message}))  # noqa: T201 -- the answer
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
