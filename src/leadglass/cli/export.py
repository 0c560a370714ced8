"""`leadglass export`: write objects out as Part 10 files under safe names of our own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from leadglass.cli.place import opened, operator
from leadglass.cli.selection import every_record, study_records
from leadglass.cli.signals import STOPPED, until_stopped
from leadglass.cli.voice import Voice, counted, size, verb
from leadglass.errors import UsageError

if TYPE_CHECKING:
    from leadglass.journeys.ports import ObjectRecord
    from leadglass.wiring import Hub


@verb(
    "export",
    example="""\
leadglass export 1.2.840.113619.2.1.2411.1031152382.365.736169244 /media/usb/exam
leadglass export --all /backup/plain
leadglass export --zip 1.2.840.113619.2.1.2411.1031152382.365.736169244 exam.zip""",
)
@click.argument("names", metavar="STUDY_UID|--all TARGET", nargs=-1, required=True)
@click.option("--all", "is_all", is_flag=True, help="Every archived study.")
@click.option("--zip", "is_zip", is_flag=True, help="Write one zip file instead of a folder.")
@click.pass_obj
def command(voice: Voice, site: str | None, names: tuple[str, ...], is_all: bool, is_zip: bool) -> None:
    """Write a study out as DICOM files. They are not encrypted any more: what you do with them is yours."""
    from leadglass.edge.media_out import open_sink
    from leadglass.journeys.export import Exporter

    if len(names) != (1 if is_all else 2):
        raise UsageError("Name a study and a target, or --all and a target.", hint="`leadglass export --help`")
    target = Path(names[-1])
    done = _Done()
    with opened(site) as hub, until_stopped() as stop:
        total = hub.catalogue.counts().get("archived") if is_all else len(study_records(hub, names[0]))
        records = takewhile(lambda _: not stop.is_said, _records(hub, names, is_all))
        try:
            with open_sink(target, is_zip=is_zip) as sink, voice.progress("Exporting", total) as advance:
                for line in Exporter(hub.archive, hub.clock, operator()).export(records, sink, target=target.name):
                    done.files += 1
                    done.length_bytes += line.length_bytes
                    advance(1)
                if stop.is_said:
                    raise _Stopped  # here, so that half a zip file is removed
        except _Stopped:
            _tell_stopped(voice, done, total, target, is_zip=is_zip)
    if voice.is_json:
        voice.json({"files": done.files, "length_bytes": done.length_bytes, "target": str(target)})
    else:
        told = counted(done.files, "file")
        guard = "It is not encrypted: guard it." if done.files == 1 else "They are not encrypted: guard them."
        voice.say(f"{told}, {size(done.length_bytes)}, in {target}. {guard}")


@dataclass(slots=True)
class _Done:
    """What was written so far."""

    files: int = 0
    length_bytes: int = 0


class _Stopped(Exception):
    """Ctrl-C or SIGTERM came between two files."""


def _tell_stopped(voice: Voice, done: _Done, total: int | None, target: Path, *, is_zip: bool) -> NoReturn:
    """Tell what stands at the target, and end."""
    files = 0 if is_zip else done.files
    if voice.is_json:
        voice.json({"stopped": True, "files": files, "target": str(target)})
    elif is_zip:
        voice.say(f"Stopped: half a zip file opens nowhere, so {target} was removed.")
        voice.say("Next: run the same export again.")
    else:
        voice.say(f"Stopped: {files} of {counted(total or 0, 'file')} stand in {target}, each of them whole.")
        voice.say(f"Next: remove {target}, then run the same export again.")
    click.get_current_context().exit(STOPPED)


def _records(hub: Hub, names: tuple[str, ...], is_all: bool) -> Iterator[ObjectRecord]:
    yield from every_record(hub) if is_all else study_records(hub, names[0])
