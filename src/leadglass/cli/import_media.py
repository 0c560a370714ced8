"""`leadglass import`: take in files, folders, zip files and discs, each object inspected like any other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from leadglass.cli.place import opened, operator
from leadglass.cli.voice import Json, Voice, findings_json, size, verb

if TYPE_CHECKING:
    from leadglass.edge.media_sort import Entry, MediaFile, MediaReport, Skipped
    from leadglass.journeys.import_media import ImportLine

_SHOWN_MAX = 50
"""Lines of each kind a person is shown; --json has them all."""


@verb("import", example="leadglass import /media/cdrom\nleadglass import exam.zip more/ single.dcm --json")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.pass_obj
def command(voice: Voice, site: str | None, paths: tuple[Path, ...]) -> None:
    """Take in files, folders, zip files and discs. Exit code 1 when anything was held, rejected or suspicious."""
    from leadglass.edge.media import walk_media
    from leadglass.journeys.import_media import Fate, Importer

    lines: list[ImportLine] = []
    medium = _Medium()
    with opened(site) as hub:
        importer = Importer(hub.receiver, operator(), hub.settling.settle)
        with voice.progress("Importing") as advance:
            for line in importer.take(medium.files(walk_media(paths))):
                lines.append(line)
                advance(1)
    if voice.is_json:
        voice.json(_json(lines, medium))
    else:
        _tell(voice, lines, medium)
    is_fine = all(line.fate in (Fate.IMPORTED, Fate.DUPLICATE) for line in lines) and not medium.has_alarm
    if not is_fine:
        click.get_current_context().exit(1)


class _Medium:
    """Pass the candidates on, and keep what else the medium showed."""

    def __init__(self) -> None:
        self.skipped: list[Skipped] = []
        self.reports: list[MediaReport] = []

    def files(self, entries: Iterable[Entry]) -> Iterator[MediaFile]:
        from leadglass.edge.media_sort import MediaFile, Skipped

        for entry in entries:
            if isinstance(entry, MediaFile):
                yield entry
            elif isinstance(entry, Skipped):
                self.skipped.append(entry)
            else:
                self.reports.append(entry)

    @property
    def has_alarm(self) -> bool:
        """Tell whether the medium itself is something to look at."""
        return any(report.finding.severity > 0 for report in self.reports)


def _tell(voice: Voice, lines: list[ImportLine], medium: _Medium) -> None:
    counts = Counter(line.fate.value for line in lines)
    total = size(sum(line.length_bytes for line in lines))
    voice.table(
        ("Outcome", "Files"),
        [*counts.items(), *Counter(f"skipped: {entry.reason.value}" for entry in medium.skipped).items()],
        title=f"{len(lines)} DICOM files, {total}",
    )
    noted = [line for line in lines if line.reason]
    if noted:
        voice.table(
            ("File", "Outcome", "Why", "Object"),
            (
                (line.label, line.fate.value, line.reason, "" if line.object_id is None else line.object_id.hex())
                for line in noted[:_SHOWN_MAX]
            ),
        )
    for report in medium.reports:
        voice.say(f"{report.label}: {report.finding.claim}")
    for reason in dict.fromkeys(entry.reason for entry in medium.skipped):
        voice.say(f"Skipped, {reason.value}: {reason.sentence}")
    if counts["held"]:
        voice.say("Next: `leadglass quarantine list` shows what is held.")


def _json(lines: list[ImportLine], medium: _Medium) -> Json:
    return {
        "counts": dict(Counter(line.fate.value for line in lines)) | {"skipped": len(medium.skipped)},
        "files": [
            {
                "file": line.label,
                "outcome": line.fate.value,
                "object": None if line.object_id is None else line.object_id.hex(),
                "length_bytes": line.length_bytes,
                "reason": line.reason,
                "findings": findings_json(line.findings),
            }
            for line in lines
        ],
        "skipped": [{"file": entry.label, "reason": entry.reason.value} for entry in medium.skipped],
        "medium": [{"file": report.label, **report.finding.to_json()} for report in medium.reports],
    }
