"""`leadglass send`: put a study on its way to another node and tell how it went."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from leadglass.cli.place import opened, operator
from leadglass.cli.selection import study_records
from leadglass.cli.voice import Voice, verb
from leadglass.errors import NotFound, RemoteError

if TYPE_CHECKING:
    from leadglass.wiring import Hub


@verb(
    "send",
    example="""\
leadglass send 1.2.840.113619.2.1.2411.1031152382.365.736169244 PACS
leadglass send 1.2.840.113619.2.1.2411.1031152382.365.736169244 PACS --later""",
)
@click.argument("study", metavar="STUDY_UID")
@click.argument("node_name", metavar="NODE")
@click.option("--later", is_flag=True, help="Only put it into the queue; the running hub sends it.")
@click.pass_obj
def command(voice: Voice, site: str | None, study: str, node_name: str, later: bool) -> None:
    """Send a study to an approved node. What does not arrive is tried again by the running hub."""
    with opened(site) as hub:
        node = hub.catalogue.node(node_name)
        if node is None:
            raise NotFound(f"There is no node {node_name}.", hint="Add it with `leadglass node add`.")
        records = study_records(hub, study)
        ids = [record.object_id for record in records]
        if later:
            sent, problem = _queue(hub, ids, node_name), ""
        else:
            sent, problem = _send(voice, hub, ids, node_name)
    if problem:
        raise RemoteError(
            f"{sent} of {len(ids)} objects arrived at {node_name}. {problem}",
            hint="The rest is queued: `leadglass serve` tries again; `leadglass show` tells when.",
        )
    if voice.is_json:
        voice.json({"study": study, "node": node_name, "queued" if later else "sent": sent})
    else:
        voice.say(f"{sent} objects {'wait in the queue for' if later else 'arrived at'} {node_name}.")


def _queue(hub: Hub, ids: list[bytes], node_name: str) -> int:
    from leadglass.audit import AuditEvent, AuditKind

    event = AuditEvent(
        kind=AuditKind.SEND_REQUESTED,
        at_us=hub.clock.now_us(),
        actor=operator(),
        subject=None,
        outcome="queued",
        detail={"node": node_name, "objects": len(ids)},
    )
    hub.catalogue.enqueue(ids, node_name, event)
    return len(ids)


def _send(voice: Voice, hub: Hub, ids: list[bytes], node_name: str) -> tuple[int, str]:
    """Queue the objects, deliver what is due, and tell how many of them arrived and what kept the others."""
    _queue(hub, ids, node_name)
    with voice.progress(f"Sending to {node_name}", len(ids)) as advance:
        while arrived := hub.forwarder.deliver_due(limit=len(ids)):
            advance(arrived)
    states = [[d for d in hub.catalogue.deliveries(object_id) if d.node == node_name] for object_id in ids]
    newest = [max(deliveries, key=lambda d: d.delivery_id) for deliveries in states if deliveries]
    problem = next((d.error or "It waits its turn." for d in newest if d.state != "delivered"), "")
    return sum(d.state == "delivered" for d in newest), problem
