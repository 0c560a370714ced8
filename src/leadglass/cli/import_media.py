"""`leadglass import`: take in files, folders, zip files and discs, each object inspected like any other.

What was not taken is named and makes the exit code 1; where nothing could be read at all it is 3.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from leadglass.cli.place import opened, operator
from leadglass.cli.signals import STOPPED, until_stopped
from leadglass.cli.voice import Json, Voice, counted, findings_json, size, verb
from leadglass.errors import LeadglassError, StorageError

if TYPE_CHECKING:
    from leadglass.edge.media_sort import Entry, MediaFile, MediaReport, Skipped
    from leadglass.journeys.import_media import ImportLine
    from leadglass.wiring import Hub

_SHOWN_MAX = 50
"""Lines of each kind a person is shown; --json has them all."""

_NAMED_MAX = 10
"""Files not taken in that a person is told by name; --json has them all."""


@verb("import", example="leadglass import /media/cdrom\nleadglass import exam.zip --disarm")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--disarm", "is_disarming", is_flag=True,
              help="Archive a harmless copy of what is held, where one can be proved.")  # fmt: skip
@click.pass_obj
def command(voice: Voice, site: str | None, paths: tuple[Path, ...], is_disarming: bool) -> None:
    """Take in files, folders, zip files and discs.

    With --disarm an object that is held stays held, and a copy with the same pixels and nothing harmful is archived.
    Exit code 1 when anything was held, rejected, suspicious or not taken in, 3 when nothing could be read.
    """
    from leadglass.edge.media import require_media

    require_media(paths)
    with opened(site) as hub, until_stopped() as stopped:
        hub.start_inspection()
        medium = _Medium(paths, lambda: stopped.is_said)
        taken, failure = _take(voice, hub, medium, is_disarming=is_disarming)
    if voice.is_json:
        voice.json(_json(taken, medium, failure))
    else:
        _tell(voice, taken, medium)
    if failure is not None:
        if voice.is_json:
            click.get_current_context().exit(3)
        raise failure
    click.get_current_context().exit(_code(taken, medium))


def _take(
    voice: Voice, hub: Hub, medium: _Medium, *, is_disarming: bool
) -> tuple[list[ImportLine], StorageError | None]:
    """Take in what the medium holds; a storage that fails ends it, with what was done until then."""
    from leadglass.journeys.import_media import Importer

    lines: list[ImportLine] = []
    disarmer = hub.disarmer() if is_disarming else None
    importer = Importer(
        hub.receiver, operator(), hub.settling.settle, is_stopping=medium.is_stopping, disarmer=disarmer
    )
    try:
        with voice.progress("Importing") as advance, closing(importer.take(medium.files())) as taking:
            for line in taking:
                lines.append(line)
                advance(1)
    except StorageError as error:
        return lines, error
    return lines, None


@dataclass(frozen=True, slots=True)
class _Left:
    """Something not taken in, and why."""

    label: str
    reason: str
    sentence: str


class _Medium:
    """Pass the candidates on, and keep what else the medium showed."""

    def __init__(self, paths: Sequence[Path], is_stopping: Callable[[], bool]) -> None:
        self._paths = paths
        self.is_stopping = is_stopping
        self.skipped: list[Skipped] = []
        self.reports: list[MediaReport] = []
        self.failed: list[_Left] = []
        """The paths a person named that gave no DICOM file, or ended with an error."""

    def files(self) -> Iterator[MediaFile]:
        from leadglass.edge.media import walk_media

        for path in self._paths:
            try:
                count = yield from self._sorted(walk_media([path]))
            except StorageError:
                raise
            except LeadglassError as error:
                self.failed.append(_Left(str(path), "damaged", f"{error.message} {error.hint}".strip()))
            else:
                if not count and not self.is_stopping():
                    self.failed.append(_Left(str(path), "nothing", "No DICOM file is in it."))
            if self.is_stopping():
                return

    def _sorted(self, entries: Iterable[Entry]) -> Generator[MediaFile, None, int]:
        from leadglass.edge.media_sort import MediaFile, Skipped

        count = 0
        for entry in entries:
            if self.is_stopping():
                break
            if isinstance(entry, MediaFile):
                count += 1
                yield entry
            elif isinstance(entry, Skipped):
                self.skipped.append(entry)
            else:
                self.reports.append(entry)
        return count

    @property
    def has_alarm(self) -> bool:
        """Tell whether the medium itself is something to look at."""
        return any(report.finding.severity > 0 for report in self.reports)

    @property
    def left(self) -> list[_Left]:
        """Give what may be an image and was not taken in; a text or a table of contents is none."""
        skipped = [entry for entry in self.skipped if entry.reason.may_be_image]
        return [*self.failed, *(_Left(entry.label, entry.reason.value, entry.reason.sentence) for entry in skipped)]


def _code(lines: list[ImportLine], medium: _Medium) -> int:
    from leadglass.journeys.import_media import Fate

    if medium.is_stopping():
        return STOPPED
    if all(line.fate is Fate.UNREADABLE for line in lines):
        return 3
    is_fine = all(line.fate in (Fate.IMPORTED, Fate.DUPLICATE) for line in lines)  # disarmed: its original is held
    return 0 if is_fine and not medium.has_alarm and not medium.left else 1


def _tell(voice: Voice, lines: list[ImportLine], medium: _Medium) -> None:
    counts = Counter(line.fate.value for line in lines)
    total = size(sum(line.length_bytes for line in lines))
    rows = [*counts.items(), *Counter(f"skipped: {entry.reason.value}" for entry in medium.skipped).items()]
    title = f"{counted(len(lines), 'DICOM file')}, {total}"
    if rows:
        voice.table(("Outcome", "Files"), rows, title=title)
    noted = [line for line in lines if line.reason]
    if noted:
        voice.table(
            ("File", "Outcome", "Why", "Object"),
            (
                (
                    line.label,
                    line.fate.value,
                    f"{line.reason} {line.copy}".strip(),
                    "" if line.object_id is None else line.object_id.hex(),
                )
                for line in noted[:_SHOWN_MAX]
            ),
        )
    if len(noted) > _SHOWN_MAX:
        voice.say(f"… and {len(noted) - _SHOWN_MAX} more; --json tells all.")
    for report in medium.reports:
        voice.say(f"{report.label}: {report.finding.claim}")
    _tell_left(voice, medium)
    _tell_next(voice, counts, medium)


def _tell_left(voice: Voice, medium: _Medium) -> None:
    left = medium.left
    if left:
        voice.say(f"Not taken in: {len(left)}.")
        for one in left[:_NAMED_MAX]:
            voice.say(f"  {one.label}: {one.sentence}")
        if len(left) > _NAMED_MAX:
            voice.say(f"  … and {len(left) - _NAMED_MAX} more; --json names them all.")
    for reason in dict.fromkeys(entry.reason for entry in medium.skipped if not entry.reason.may_be_image):
        voice.say(f"Skipped, {reason.value}: {reason.sentence}")


def _tell_next(voice: Voice, counts: Counter[str], medium: _Medium) -> None:
    if medium.is_stopping():
        voice.say("Stopped: what is counted above is kept, the rest of the medium was not looked at.")
        voice.say("Next: run the same import again; what is here already counts as a duplicate.")
        return
    if counts["held"] or counts["conflict"] or counts["disarmed"]:
        voice.say("Next: `leadglass quarantine list` shows what is held or in conflict.")
    if counts["unreadable"] or medium.left:
        voice.say("Next: put right what was not taken in, and import it again; what is here already is no harm.")


def _json(lines: list[ImportLine], medium: _Medium, failure: StorageError | None) -> Json:
    told: dict[str, object] = {
        "counts": dict(Counter(line.fate.value for line in lines)) | {"skipped": len(medium.skipped)},
        "files": [
            {
                "file": line.label,
                "outcome": line.fate.value,
                "object": None if line.object_id is None else line.object_id.hex(),
                "length_bytes": line.length_bytes,
                "reason": line.reason,
                "copy": line.copy,
                "findings": findings_json(line.findings),
            }
            for line in lines
        ],
        "skipped": [{"file": entry.label, "reason": entry.reason.value} for entry in medium.skipped],
        "not_taken": [{"file": one.label, "reason": one.reason, "message": one.sentence} for one in medium.left],
        "medium": [{"file": report.label, **report.finding.to_json()} for report in medium.reports],
        "stopped": medium.is_stopping(),
    }
    if failure is not None:
        told["error"] = {"kind": type(failure).__name__, "message": failure.message, "hint": failure.hint}
    return told
