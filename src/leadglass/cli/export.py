"""`leadglass export`: write objects out as Part 10 files under safe names of our own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from leadglass.cli.place import opened, operator
from leadglass.cli.selection import every_record, study_records
from leadglass.cli.voice import Voice, size, verb
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
    files = length_bytes = 0
    with opened(site) as hub:
        total = None if is_all else len(study_records(hub, names[0]))
        exporter = Exporter(hub.archive, hub.clock, operator())
        with open_sink(target, is_zip=is_zip) as sink, voice.progress("Exporting", total) as advance:
            for line in exporter.export(_records(hub, names, is_all), sink, target=target.name):
                files += 1
                length_bytes += line.length_bytes
                advance(1)
    if voice.is_json:
        voice.json({"files": files, "length_bytes": length_bytes, "target": str(target)})
    else:
        voice.say(f"{files} files, {size(length_bytes)}, in {target}. They are not encrypted: guard them.")


def _records(hub: Hub, names: tuple[str, ...], is_all: bool) -> Iterator[ObjectRecord]:
    yield from every_record(hub) if is_all else study_records(hub, names[0])
