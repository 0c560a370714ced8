"""`leadglass send`: put a study on its way to another node and tell how it went."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

import click

from leadglass.cli.place import opened, operator
from leadglass.cli.selection import study_records
from leadglass.cli.signals import STOPPED, until_stopped
from leadglass.cli.voice import Json, Voice, counted, verb
from leadglass.errors import NotFound, RemoteError, UsageError

if TYPE_CHECKING:
    from leadglass.wiring import Hub

_BATCH = 200


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
    with opened(site) as hub, until_stopped() as stop:
        _check_destination(hub, node_name)
        ids = [record.object_id for record in study_records(hub, study)]
        waiting = [object_id for object_id in ids if _waits(hub, object_id, node_name)]
        fresh = [object_id for object_id in ids if object_id not in set(waiting)]
        if fresh:
            _queue(hub, fresh, node_name)
        sent, problem = (0, "") if later else _send(voice, hub, ids, node_name, lambda: stop.is_said)
    told = {"study": study, "node": node_name, "queued": len(fresh), "already_queued": len(waiting)}
    if stop.is_said:
        _tell_stopped(voice, told, sent, len(ids))
    if problem:
        again = f" {counted(len(waiting), 'object')} of it {_were(waiting)} already queued." if waiting else ""
        raise RemoteError(
            f"{sent} of {counted(len(ids), 'object')} arrived at {node_name}.{again} {problem}",
            hint="The rest is queued: `leadglass serve` tries again; `leadglass show` tells when.",
        )
    if voice.is_json:
        voice.json(told if later else {"study": study, "node": node_name, "sent": sent})
        return
    if later and waiting:
        voice.say(f"{counted(len(waiting), 'object')} {_were(waiting)} already queued for {node_name}.")
    if not later:
        voice.say(f"{counted(sent, 'object')} arrived at {node_name}.")
    elif fresh:
        wait = "waits" if len(fresh) == 1 else "wait"
        voice.say(f"{counted(len(fresh), 'object')} {wait} in the queue for {node_name}; `leadglass serve` sends it.")


def _were(some: list[bytes]) -> str:
    return "was" if len(some) == 1 else "were"


def _check_destination(hub: Hub, node_name: str) -> None:
    """Raise NotFound for a node nobody knows, UsageError for one that nothing can be sent to."""
    from leadglass.gateway.node import NodeState

    node = hub.catalogue.node(node_name)
    if node is None:
        raise NotFound(f"There is no node {node_name}.", hint="Add it with `leadglass node add`.")
    if node.state is not NodeState.APPROVED:
        raise UsageError(f"{node_name} is not approved.", hint=f"`leadglass node approve {node_name}` lets it in.")
    if not node.host or not node.port:
        missing = "address and port" if not node.host and not node.port else "address" if not node.host else "port"
        raise UsageError(
            f"{node_name} has no {missing} on record, so nothing can be sent to it.",
            hint=f"`leadglass node approve {node_name} --host HOST --port PORT` says where it listens.",
        )


def _waits(hub: Hub, object_id: bytes, node_name: str) -> bool:
    """Tell whether an object is on its way to a node already."""
    return any(d.node == node_name and d.state == "waiting" for d in hub.catalogue.deliveries(object_id))


def _queue(hub: Hub, ids: list[bytes], node_name: str) -> None:
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


def _send(voice: Voice, hub: Hub, ids: list[bytes], node_name: str, is_stopping: Callable[[], bool]) -> tuple[int, str]:
    """Deliver what is due, and tell how many of these objects arrived and what kept the others."""
    with voice.progress(f"Sending to {node_name}", len(ids)) as advance:
        while not is_stopping() and (arrived := hub.forwarder.deliver_due(limit=_BATCH, is_stopping=is_stopping)):
            advance(arrived)
    states = [[d for d in hub.catalogue.deliveries(object_id) if d.node == node_name] for object_id in ids]
    newest = [max(deliveries, key=lambda d: d.delivery_id) for deliveries in states if deliveries]
    problem = next((d.error or "It waits its turn." for d in newest if d.state != "delivered"), "")
    return sum(d.state == "delivered" for d in newest), problem


def _tell_stopped(voice: Voice, told: Json, sent: int, total: int) -> NoReturn:
    if voice.is_json:
        voice.json({**told, "sent": sent, "stopped": True})
    else:
        voice.say(f"Stopped: {sent} of {counted(total, 'object')} arrived, the rest is queued.")
        voice.say("Next: `leadglass serve` sends it; the same `leadglass send` goes on now.")
    click.get_current_context().exit(STOPPED)
