"""`leadglass quarantine`: what is held, why, and what a person decides about it."""

from __future__ import annotations

import click

from leadglass.cli.place import object_id, opened, operator
from leadglass.cli.voice import Json, Voice, findings_json, iso, moment, verb
from leadglass.errors import Refused
from leadglass.journeys.ports import ObjectRecord, ObjectState

_REASON = click.option("--reason", required=True, help="Why; it stays in the ledger.")
_ID = click.argument("held_id", metavar="ID")
_MODALITY = 0x00080060


@click.group("quarantine", short_help="Decide about held objects.")
def command() -> None:
    """Decide about held objects. They are sealed, and nobody else sees them."""


@verb("list", example="leadglass quarantine list")
@click.pass_obj
def list_held(voice: Voice, site: str | None) -> None:
    """List the objects that wait for a decision."""
    with opened(site) as hub:
        held = [*hub.catalogue.objects(ObjectState.HELD), *hub.catalogue.objects(ObjectState.CONFLICT)]
    if voice.is_json:
        voice.json({"held": [_json(record) for record in held]})
    elif not held:
        voice.say("Nothing is held.")
    else:
        voice.table(
            ("ID", "When", "From", "Modality", "Why"),
            (
                (
                    record.object_id.hex(),
                    moment(record.received_at_us),
                    record.source,
                    record.attributes.get(_MODALITY, ""),
                    _why(record),
                )
                for record in held
            ),
        )
        voice.say("Next: `leadglass quarantine why ID`, then release or discard it.")


@verb("why", example="leadglass quarantine why 0f3b5a9c2d1e4f60718293a4b5c6d7e8")
@_ID
@click.pass_obj
def why(voice: Voice, site: str | None, held_id: str) -> None:
    """Tell why an object is held: every finding, with its place in the file."""
    with opened(site) as hub:
        record = hub.catalogue.object(object_id(held_id))
    _need_held(record)
    if voice.is_json:
        voice.json(_json(record))
        return
    voice.say(_why(record))
    if record.findings:
        voice.table(
            ("Finding", "Severity", "Claim", "Byte", "Element"),
            (
                (f.id, f.severity.name.lower(), f.claim, "" if f.offset is None else f.offset, f.element or "")
                for f in record.findings
            ),
        )


@verb("release", example='leadglass quarantine release 0f3b5a9c2d1e4f60718293a4b5c6d7e8 --reason "Checked with CT1"')
@_ID
@_REASON
@click.pass_obj
def release(voice: Voice, site: str | None, held_id: str, reason: str) -> None:
    """Let a held object into the archive."""
    with opened(site) as hub:
        new_id = hub.quarantine.release(object_id(held_id), operator(), reason)
        state = hub.catalogue.object(new_id).state
    if voice.is_json:
        voice.json({"released": held_id, "object": new_id.hex(), "state": state.value})
    elif state is ObjectState.CONFLICT:
        voice.say(f"Released as object {new_id.hex()}, but another content already carries its SOP Instance UID.")
        voice.say("Next: `leadglass quarantine list`; the first content is served as long as it is there.")
    else:
        voice.say(f"Released: it is in the archive as object {new_id.hex()}.")


@verb("discard", example='leadglass quarantine discard 0f3b5a9c2d1e4f60718293a4b5c6d7e8 --reason "Not ours"')
@_ID
@_REASON
@click.pass_obj
def discard(voice: Voice, site: str | None, held_id: str, reason: str) -> None:
    """Remove a held object for good; its history stays."""
    with opened(site) as hub:
        hub.quarantine.discard(object_id(held_id), operator(), reason)
    if voice.is_json:
        voice.json({"discarded": held_id})
    else:
        voice.say("Discarded: the bytes are gone, the history stays in the ledger.")


def _need_held(record: ObjectRecord) -> None:
    if record.state not in (ObjectState.HELD, ObjectState.CONFLICT):
        raise Refused("The object is not in quarantine.", hint="`leadglass quarantine list` shows what is.")


def _why(record: ObjectRecord) -> str:
    if record.state is ObjectState.CONFLICT:
        return "Another content already carries this SOP Instance UID; both are kept, the first one is served."
    return record.reason


def _json(record: ObjectRecord) -> Json:
    return {
        "object": record.object_id.hex(),
        "state": record.state.value,
        "received_at": iso(record.received_at_us),
        "source": record.source,
        "modality": record.attributes.get(_MODALITY, ""),
        "sop_instance_uid": record.sop_instance_uid,
        "length_bytes": record.length_bytes,
        "reason": _why(record),
        "findings": findings_json(record.findings),
    }


for _verb in (list_held, why, release, discard):
    command.add_command(_verb)
