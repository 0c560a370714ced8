"""`leadglass verify`: read every byte back, and hold the catalogue and the storage against each other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from leadglass.cli.place import opened, operator
from leadglass.cli.selection import every_record, named_records
from leadglass.cli.voice import Voice, size, verb

if TYPE_CHECKING:
    from leadglass.journeys.ports import ObjectRecord
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
    checked = length_bytes = 0
    faults = []
    listed: bool | None = None
    with opened(site) as hub:
        verifier = Verifier(hub.archive, hub.clock, operator())
        records = _everything(hub) if name is None else iter(named_records(hub, name))
        total = hub.catalogue.counts().get("archived") if name is None else None
        with voice.progress("Verifying", total) as advance:
            for line in verifier.check(records):
                checked += 1
                length_bytes += line.length_bytes
                faults += [line] if line.fault else []
                advance(1)
        if name is None:
            stored = _stored(hub)
            listed = stored is not None
            faults += [] if stored is None else verifier.unknown(stored)
        verifier.record(checked=checked, faults=len(faults))
    if voice.is_json:
        voice.json(
            {
                "checked": checked,
                "length_bytes": length_bytes,
                "storage_listed": listed,
                "faults": [
                    {"object": f.object_id.hex(), "fault": f.fault and f.fault.value, "message": f.message}
                    for f in faults
                ],
            }
        )
    else:
        voice.say(f"{checked} objects, {size(length_bytes)}, read back and authenticated; {len(faults)} faults.")
        if listed is False:
            voice.say("The storage is behind a URL: whether it holds unknown objects was not looked at.")
        if faults:
            voice.table(("Object", "Fault", "What"), ((f.object_id.hex(), f.fault or "", f.message) for f in faults))
            voice.say("Next: restore these objects from a copy that verifies, then verify again.")
    if faults:
        only_unreadable = all(line.fault is Fault.UNREADABLE for line in faults)
        click.get_current_context().exit(3 if only_unreadable else 1)


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
