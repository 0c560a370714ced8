"""`leadglass verify`: read every byte back, and hold the catalogue and the storage against each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from leadglass.cli.place import opened, operator
from leadglass.cli.selection import every_record, named_records
from leadglass.cli.signals import STOPPED, until_stopped
from leadglass.cli.voice import Json, Voice, counted, size, verb

if TYPE_CHECKING:
    from leadglass.journeys.ports import ObjectRecord
    from leadglass.journeys.verify import VerifyLine
    from leadglass.wiring import Hub

_HELD_MAX = 1_000_000


@verb("verify", example="leadglass verify --all\nleadglass verify 1.2.840.113619.2.1.2411.1031152382.365.736169244")
@click.argument("name", metavar="UID|OBJECT_ID", required=False)
@click.option("--all", "is_all", is_flag=True, help="Everything, and whether the storage holds anything unknown.")
@click.pass_obj
def command(voice: Voice, site: str | None, name: str | None, is_all: bool) -> None:
    """Prove that every stored byte is what was sealed. Exit code 1 when anything is wrong or missing."""
    from leadglass.journeys.verify import Fault, Verifier

    if (name is None) != is_all:
        raise click.UsageError("Name a study, series, image or object, or say --all.")
    seen = _Seen()
    with opened(site) as hub, until_stopped() as stop:
        verifier = Verifier(hub.archive, hub.clock, operator())
        records = _everything(hub) if name is None else iter(named_records(hub, name))
        total = hub.catalogue.counts().get("archived") if name is None else None
        with voice.progress("Verifying", total) as advance:
            for line in verifier.check(takewhile(lambda _: not stop.is_said, records)):
                seen.note(line)
                advance(1)
        if name is None and not stop.is_said:
            stored = _stored(hub)
            seen.is_listed = stored is not None
            seen.faults += [] if stored is None else verifier.unknown(stored)
        verifier.record(checked=seen.checked, faults=len(seen.faults), is_whole=not stop.is_said)
    if voice.is_json:
        voice.json(seen.json(is_stopped=stop.is_said))
    else:
        _tell(voice, seen, is_stopped=stop.is_said)
    if stop.is_said:
        click.get_current_context().exit(STOPPED)
    if seen.faults:
        only_unreadable = all(line.fault is Fault.UNREADABLE for line in seen.faults)
        click.get_current_context().exit(3 if only_unreadable else 1)


@dataclass(slots=True)
class _Seen:
    """What was looked at so far."""

    checked: int = 0
    discarded: int = 0
    length_bytes: int = 0
    faults: list[VerifyLine] = field(default_factory=list)
    is_listed: bool | None = None

    def note(self, line: VerifyLine) -> None:
        """Count an object."""
        self.checked += not line.is_discarded
        self.discarded += line.is_discarded
        self.length_bytes += line.length_bytes
        self.faults += [line] if line.fault else []

    def json(self, *, is_stopped: bool) -> Json:
        """Give the counts and faults for a program."""
        return {
            "checked": self.checked,
            "discarded": self.discarded,
            "length_bytes": self.length_bytes,
            "storage_listed": self.is_listed,
            "stopped": is_stopped,
            "faults": [
                {"object": f.object_id.hex(), "fault": f.fault and f.fault.value, "message": f.message}
                for f in self.faults
            ],
        }


def _tell(voice: Voice, seen: _Seen, *, is_stopped: bool) -> None:
    if seen.checked or not seen.discarded:
        objects, faults = counted(seen.checked, "object"), counted(len(seen.faults), "fault")
        voice.say(f"{objects}, {size(seen.length_bytes)}, read back and authenticated; {faults}.")
    if seen.discarded:
        voice.say(f"{counted(seen.discarded, 'object')} discarded earlier: its bytes are gone, as they should be.")
    if seen.is_listed is False:
        voice.say("The storage is behind a URL: whether it holds unknown objects was not looked at.")
    if seen.faults:
        voice.table(("Object", "Fault", "What"), ((f.object_id.hex(), f.fault or "", f.message) for f in seen.faults))
        voice.say("Next: restore these objects from a copy that verifies, then verify again.")
    if is_stopped:
        voice.say("Stopped: the rest was not looked at. Next: run it again.")


def _everything(hub: Hub) -> Iterator[ObjectRecord]:
    from leadglass.journeys.ports import ObjectState

    yield from every_record(hub)
    for state in (ObjectState.HELD, ObjectState.CONFLICT):
        yield from hub.catalogue.objects(state, limit=_HELD_MAX)


def _stored(hub: Hub) -> Iterator[bytes] | None:
    """List the sealed objects of a local storage folder; None where it lies behind a URL."""
    storage = hub.site.config.storage
    if storage.blobs_is_url:
        return None
    return _object_ids(hub.site.folder / storage.blobs)


def _object_ids(folder: Path) -> Iterator[bytes]:
    for path in sorted(folder.glob("??/*")):
        if len(path.name) == 32:
            yield bytes.fromhex(path.name)
