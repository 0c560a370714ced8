"""`leadglass show`: the life of a study, series, image or object, from the ledger, with what inspection found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from leadglass.cli.place import opened
from leadglass.cli.selection import named_records
from leadglass.cli.voice import Json, Voice, counted, findings_json, iso, moment, size, verb

if TYPE_CHECKING:
    from leadglass.journeys.ports import Delivery, LedgerLine, ObjectRecord
    from leadglass.wiring import Hub

_IN_DETAIL_MAX = 20
"""Objects whose life is told line by line; a larger selection is told in one line each."""


@verb(
    "show",
    example="""\
leadglass show 1.2.840.113619.2.1.2411.1031152382.365.736169244
leadglass show 0f3b5a9c2d1e4f60718293a4b5c6d7e8 --json""",
)
@click.argument("name", metavar="UID|OBJECT_ID")
@click.pass_obj
def command(voice: Voice, site: str | None, name: str) -> None:
    """Tell the life of a study, series or image: received, inspected, sealed, sent; and every finding."""
    with opened(site) as hub:
        records = named_records(hub, name)
        told = [
            (record, hub.catalogue.ledger(subject=record.object_id, newest_first=False), _waiting(hub, record))
            for record in (records if voice.is_json else records[:_IN_DETAIL_MAX])
        ]
    if voice.is_json:
        voice.json({"objects": [_json(*one) for one in told]})
        return
    if len(records) > 1:
        studies = len({record.study_instance_uid for record in records})
        series = len({record.series_instance_uid for record in records})
        total = sum(record.length_bytes for record in records)
        of = counted(studies, "study", "studies")
        voice.say(f"{counted(len(records), 'object')} in {series} series of {of}, {size(total)}.")
    for one in told:
        _tell(voice, *one)
    if len(records) > len(told):
        voice.say(f"… and {len(records) - len(told)} more; --json tells all, a series or SOP Instance UID fewer.")


def _waiting(hub: Hub, record: ObjectRecord) -> list[Delivery]:
    return [delivery for delivery in hub.catalogue.deliveries(record.object_id) if delivery.state != "delivered"]


def _tell(voice: Voice, record: ObjectRecord, life: list[LedgerLine], waiting: list[Delivery]) -> None:
    voice.say()
    voice.say(f"{record.sop_instance_uid or '(no SOP Instance UID)'}   object {record.object_id.hex()}")
    voice.say(f"  {record.state.value}, {size(record.length_bytes)}, from {record.source}")
    for line in life:
        detail = ", ".join(f"{key}: {value}" for key, value in line.detail.items() if key != "length")
        voice.say(f"  {moment(line.at_us)}  {line.kind:<22} {line.outcome}{f'  ({detail})' if detail else ''}")
    for delivery in waiting:
        when = moment(delivery.due_at_us)
        why = f": {delivery.error}" if delivery.error else ""
        voice.say(f"  waits for {delivery.node}, next try {when}, {delivery.attempts} so far{why}")
    for finding in record.findings:
        voice.say(f"  finding {finding.id} ({finding.severity.name.lower()}): {finding.claim}")


def _json(record: ObjectRecord, life: list[LedgerLine], waiting: list[Delivery]) -> Json:
    return {
        "object": record.object_id.hex(),
        "state": record.state.value,
        "reason": record.reason,
        "sop_instance_uid": record.sop_instance_uid,
        "sop_class_uid": record.sop_class_uid,
        "transfer_syntax_uid": record.transfer_syntax_uid,
        "series_instance_uid": record.series_instance_uid,
        "study_instance_uid": record.study_instance_uid,
        "source": record.source,
        "received_at": iso(record.received_at_us),
        "length_bytes": record.length_bytes,
        "findings": findings_json(record.findings),
        "life": [
            {
                "at": iso(line.at_us),
                "kind": line.kind,
                "actor": line.actor,
                "outcome": line.outcome,
                "detail": dict(line.detail),
            }
            for line in life
        ],
        "waiting": [
            {"node": d.node, "state": d.state, "attempts": d.attempts, "due_at": iso(d.due_at_us), "error": d.error}
            for d in waiting
        ],
    }
