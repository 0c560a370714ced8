"""`leadglass disarm`: write harmless copies of objects, each proved to be the same picture, and tell what is gone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from leadglass.cli.signals import STOPPED, until_stopped
from leadglass.cli.voice import Json, Voice, counted, shown, size, verb
from leadglass.errors import ConfigurationError, Refused, UsageError

if TYPE_CHECKING:
    from leadglass.journeys.clean import CleanLine
    from leadglass.malware.disarm import Disarmer

_DIRECTORY = "A DICOMDIR is not disarmed: it names files, and their names change."
_DIRECTORY_NEXT = "Disarm the files it names, then make a new DICOMDIR for them."


@verb(
    "disarm",
    site=False,
    example="""\
leadglass disarm /media/cdrom --to /data/clean
leadglass disarm image.dcm --to clean --report removed.json""",
)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--to", "target", required=True, metavar="DIR", type=click.Path(file_okay=False, path_type=Path),
              help="A new or empty folder for the copies.")  # fmt: skip
@click.option("--report", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path),
              help="Write the whole list of changes there, as JSON.")  # fmt: skip
@click.option("--policy", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path),
              help="An allow-list of your own instead of the one that comes with Leadglass.")  # fmt: skip
@click.option("--new-identity", "is_new_identity", is_flag=True,
              help="Replace unsafe UIDs, names and identifiers instead of refusing the object.")  # fmt: skip
@click.pass_obj
def command(
    voice: Voice, path: Path, target: Path, report: Path | None, policy: Path | None, is_new_identity: bool
) -> None:
    """Write harmless copies of a file, folder, zip file or disc. The originals are not changed.

    A copy holds what Leadglass understands and nothing else, and exactly the same pixels. An object is refused, and
    no copy is left, where that cannot be proved or where the inspection of the copy still finds something.
    """
    from leadglass.edge.media import require_media, walk_media
    from leadglass.edge.media_out import open_sink
    from leadglass.journeys.clean import Cleaner

    require_media([path])
    if path.is_dir() and target.resolve().is_relative_to(path.resolve()):
        raise UsageError("The folder for the copies lies among the originals.", hint="Choose one outside of them.")
    seen = _Seen()
    with (
        _report_file(report) as out,
        open_sink(target, is_zip=False) as sink,
        _disarmer(policy, is_new_identity=is_new_identity) as disarmer,
        until_stopped() as stop,
    ):
        cleaner = Cleaner(disarmer, sink)
        with voice.progress("Disarming") as advance:
            for line in _lines(walk_media([path]), cleaner):
                seen.note(line)
                if not voice.is_json:
                    _tell(voice, line)
                advance(1)
                if stop.is_said:
                    break
        if out is not None:
            json.dump([_json(line) for line in seen.lines], out, indent=1, ensure_ascii=False)
    if voice.is_json:
        voice.json({"written": seen.written, "refused": seen.refused, "stopped": stop.is_said, "target": str(target),
                    "files": [_json(line) for line in seen.lines]})  # fmt: skip
    else:
        _summary(voice, seen, target)
    if stop.is_said:
        click.get_current_context().exit(STOPPED)
    if seen.refused:
        click.get_current_context().exit(1)
    if not seen.written:
        raise Refused("There is no DICOM object there.", hint="Name a file, folder or disc that holds some.")


@dataclass(slots=True)
class _Seen:
    """What became of the files so far."""

    written: int = 0
    refused: int = 0
    length_bytes: int = 0
    lines: list[CleanLine] = field(default_factory=list)

    def note(self, line: CleanLine) -> None:
        """Count a file."""
        self.lines.append(line)
        self.written += not line.reason
        self.refused += bool(line.reason)
        self.length_bytes += line.length_after


def _lines(entries: Iterator[object], cleaner: object) -> Iterator[CleanLine]:
    """Clean what is an object, and tell of each other file why it is not."""
    from leadglass.edge.media_sort import MediaFile, Reason, Skipped
    from leadglass.journeys.clean import Cleaner, refused

    assert isinstance(cleaner, Cleaner)
    for entry in entries:
        if isinstance(entry, MediaFile):
            yield cleaner.clean(entry)
        elif isinstance(entry, Skipped) and entry.reason is Reason.DIRECTORY:
            yield refused(entry.label, Refused(_DIRECTORY, hint=_DIRECTORY_NEXT))
        elif isinstance(entry, Skipped):
            yield refused(entry.label, Refused(entry.reason.sentence))


@contextmanager
def _disarmer(policy: Path | None, *, is_new_identity: bool) -> Iterator[Disarmer]:
    """Make and inspect copies in confined processes, with our own rules."""
    from leadglass.edge.sandbox import Sandbox, own_rules
    from leadglass.edge.sandbox_copier import confined_disarmer
    from leadglass.journeys.receive import KEEP

    text = ""
    if policy is not None:
        try:
            text = policy.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{policy} cannot be read.", hint="Check its name and permissions.") from error
    pool = Sandbox(KEEP, rules=(own_rules(),))
    try:
        name = "disarm.toml" if policy is None else policy.name
        disarmer = confined_disarmer(pool, text, file=name, is_new_identity=is_new_identity)
        pool.start()
        yield disarmer
    finally:
        pool.close()


@contextmanager
def _report_file(report: Path | None) -> Iterator[IO[str] | None]:
    """Open the report before anything is read: never over a file that is there."""
    if report is None:
        yield None
        return
    try:
        out = report.open("x", encoding="utf-8")
    except FileExistsError:
        raise UsageError(f"{report} is already there.", hint="Choose another name for the report.") from None
    except OSError as error:
        raise UsageError(f"{report} cannot be made ({error.strerror}).", hint="Choose another place.") from error
    is_done = False
    try:
        with out:
            yield out
        is_done = True
    finally:
        if not is_done:
            report.unlink(missing_ok=True)


def _json(line: CleanLine) -> Json:
    if line.reason:
        return {"path": line.label, "outcome": "refused", "reason": line.reason, "next": line.next_step}
    return {
        "path": line.label,
        "outcome": "written",
        "name": "/".join(line.name),
        "length_before": line.length_before,
        "length_after": line.length_after,
        "sha256_before": line.sha256_before,
        "sha256_after": line.sha256_after,
        "pixel_sha256": [digest.hex() for digest in line.frame_digests],
        "changes": [change.to_json() for change in line.changes],
    }


def _tell(voice: Voice, line: CleanLine) -> None:
    if line.reason:
        voice.say(f"refused  {shown(line.label)}: {shown(line.reason)}")
        return
    acts = Counter(change.act.value for change in line.changes)
    told = ", ".join(f"{number} {act}" for act, number in acts.items()) or "nothing changed"
    voice.say(f"written  {shown(line.label)}: {told}")


def _summary(voice: Voice, seen: _Seen, target: Path) -> None:
    written, refused = counted(seen.written, "copy", "copies"), counted(seen.refused, "file")
    voice.say(f"{written}, {size(seen.length_bytes)}, in {target}; {refused} refused. The originals are unchanged.")
    hints = list(dict.fromkeys(line.next_step for line in seen.lines if line.next_step))
    for hint in hints[:5]:
        voice.say(f"Next: {hint}")
