"""`leadglass archive`: what is done to the archive as a whole; today, inspecting it again."""

from __future__ import annotations

from collections import Counter
from itertools import takewhile
from typing import TYPE_CHECKING

import click

from leadglass.cli.place import opened, operator
from leadglass.cli.selection import every_record
from leadglass.cli.signals import STOPPED, until_stopped
from leadglass.cli.voice import Json, Voice, counted, findings_json, shown, verb

if TYPE_CHECKING:
    from leadglass.journeys.sweep import SweepLine
    from leadglass.malware.verdict import Verdict


@click.group("archive", short_help="Inspect everything archived again.")
def command() -> None:
    """Go through everything archived."""


@verb("inspect", example="leadglass archive inspect\nleadglass archive inspect --quarantine --site /srv/leadglass")
@click.option("--quarantine", "quarantines", is_flag=True, help="Lock away what is malicious now.")
@click.pass_obj
def inspect(voice: Voice, site: str | None, quarantines: bool) -> None:
    """Inspect everything archived with today's detectors and rules.

    Nothing changes but the ledger, unless --quarantine is given. Exit code 1 when anything is suspicious or malicious,
    3 when something could not be assessed and nothing is worse.
    """
    from leadglass.journeys.sweep import Sweeper
    from leadglass.malware.verdict import Verdict

    verdicts: Counter[Verdict] = Counter()
    noted: list[SweepLine] = []
    with opened(site) as hub, until_stopped() as stop:
        hub.sandbox.start()
        sweeper = Sweeper(
            hub.archive,
            hub.clock,
            hub.random,
            hub.settling,
            hub.receiver.inspectors,
            operator(),
            quarantines=quarantines,
        )
        records = list(every_record(hub))  # all at first: what is locked away must not shift the pages
        with voice.progress("Inspecting", len(records)) as advance:
            for line in sweeper.sweep(takewhile(lambda _: not stop.is_said, records)):
                verdicts[line.verdict] += 1
                noted += [line] if line.new or line.verdict is not Verdict.CLEAN else []
                advance(1)
        sweeper.record(verdicts, is_whole=not stop.is_said)
    if voice.is_json:
        voice.json(
            {
                "counts": {verdict.value: count for verdict, count in verdicts.items()},
                "objects": [_json(line) for line in noted],
                "stopped": stop.is_said,
            }
        )
    else:
        _tell(voice, verdicts, noted, is_stopped=stop.is_said)
    is_grave = verdicts[Verdict.MALICIOUS] or verdicts[Verdict.SUSPICIOUS]
    code = STOPPED if stop.is_said else 1 if is_grave else 3 if verdicts[Verdict.NOT_ASSESSED] else 0
    click.get_current_context().exit(code)


def _json(line: SweepLine) -> Json:
    return {
        "object": line.object_id.hex(),
        "sop_instance_uid": line.sop_instance_uid,
        "verdict": line.verdict.value,
        "new_findings": findings_json(line.new),
        "reason": line.reason,
        "held_as": None if line.held_as is None else line.held_as.hex(),
    }


def _tell(voice: Voice, verdicts: Counter[Verdict], noted: list[SweepLine], *, is_stopped: bool) -> None:
    words = ", ".join(f"{count} {verdict.value}" for verdict, count in sorted(verdicts.items()))
    if noted:
        voice.table(
            ("Object", "Verdict", "New", "Why", "Held as"),
            (
                (
                    line.object_id.hex(),
                    line.verdict.value,
                    len(line.new),
                    shown(line.reason),
                    "" if line.held_as is None else line.held_as.hex(),
                )
                for line in noted
            ),
        )
    voice.say(f"{counted(verdicts.total(), 'object')} inspected" + (f": {words}." if words else "."))
    if is_stopped:
        voice.say("Stopped: the rest was not looked at. Next: run it again.")
    elif any(line.held_as for line in noted):
        voice.say("Next: `leadglass quarantine list` shows what was locked away.")
    elif any(line.verdict.value == "malicious" for line in noted):
        voice.say("Next: `leadglass archive inspect --quarantine` locks away what is malicious.")


command.add_command(inspect)
