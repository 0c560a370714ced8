"""Forwarding and commitment reports keep trying: longer waits, over a restart, one object never in another's way."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from leadglass.audit import AuditEvent, AuditKind
from leadglass.dicom.association import Association, WireLimits
from leadglass.edge.clock import SystemClock
from leadglass.edge.wire import SocketWire
from leadglass.errors import RemoteError
from leadglass.gateway.node import Node, NodeState, Permission
from leadglass.journeys import commit, deliver
from leadglass.journeys.commit import Committer
from leadglass.journeys.deliver import Forwarder
from leadglass.journeys.desk import Desk
from leadglass.journeys.ports import Caller, DeliveryState, Timeouts, Wire
from leadglass.journeys.receive import Archived
from leadglass.journeys.retrieve import OpenedObject
from leadglass.journeys.send import Connect
from leadglass.journeys.serve import serve_association
from tests.journeys.images import arrives, content, image, uid_of
from tests.journeys.shelf import Shelf, shelf_in

FORWARDS = '[[route]]\nname = "On"\nfrom = "*"\nforward_to = ["PACS"]\n'
REJECTS = '[[route]]\nname = "No"\nfrom = "*"\n[route.on]\nclean = "reject"\n'
HOUR = 3600


@dataclass
class Later:
    """A clock that a test moves."""

    us: int = field(default_factory=lambda: SystemClock().now_us() + 3_600_000_000)
    waits: list[int] = field(default_factory=list)

    def now_us(self) -> int:
        return self.us


def no_rewrite(source: OpenedObject, syntax: str) -> Iterator[bytes]:
    raise AssertionError("nothing here needs another transfer syntax")


def unreachable(node: Node) -> Wire:
    raise RemoteError(f"{node.name} does not answer.")


def approve(shelf: Shelf, name: str) -> None:
    node = Node(
        name, NodeState.APPROVED, host="127.0.0.1", port=104, addresses=("127.0.0.1/32",), plaintext=True,
        permissions=frozenset({Permission.STORE}),
    )  # fmt: skip
    event = AuditEvent(AuditKind.NODE_ADDED, shelf.clock.now_us(), "anna", None, "added", {})
    shelf.catalogue.put_node(node, event)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Shelf]:
    """Give a shelf whose route forwards to PACS, which it knows."""
    (tmp_path / "hub").mkdir()
    shelf = shelf_in(tmp_path / "hub", policy=FORWARDS)
    approve(shelf, "PACS")
    yield shelf
    shelf.close()


def forwarder(shelf: Shelf, clock: Later, connect: Connect = unreachable) -> Forwarder:
    return Forwarder(shelf.archive, connect, no_rewrite, clock, "HUB")


def another(shelf: Shelf, callers: list[threading.Thread]) -> Connect:
    """Give a way to connect to a second archive on that shelf, over a socket pair."""
    clock = shelf.clock
    desk = Desk(
        "PACS", frozenset({"PACS"}), shelf.catalogue, shelf.archive, shelf.receiver, clock, unreachable, no_rewrite
    )

    def connect(_: Node) -> Wire:
        ours, theirs = socket.socketpair()
        # TCP options mean nothing on these; `SocketWire` sets one on what it believes to be a TCP connection.
        there = SocketWire(_Pair(theirs), Association(is_requestor=False, limits=WireLimits()), Timeouts())
        caller = Caller("127.0.0.1", is_tls=False)

        def serve() -> None:
            serve_association(desk, there, caller)
            there.close()

        callers.append(threading.Thread(target=serve))
        callers[-1].start()
        return SocketWire(_Pair(ours), Association(is_requestor=True, limits=WireLimits()), Timeouts())

    return connect


class _Pair(socket.socket):
    def __init__(self, end: socket.socket) -> None:
        super().__init__(end.family, end.type, end.proto, end.detach())

    def setsockopt(self, *_: object) -> None:
        pass


# --- forwarding -----------------------------------------------------------------------------------------


def test_each_failure_doubles_the_wait_up_to_an_hour_and_a_day_ends_it(hub: Shelf) -> None:
    outcome = arrives(hub, 1)
    assert isinstance(outcome, Archived)
    clock = Later()
    sender = forwarder(hub, clock)
    for _ in range(deliver.ATTEMPTS_MAX):
        sender.deliver_due()
        [delivery] = hub.catalogue.deliveries(outcome.object_id)
        if delivery.state is DeliveryState.FAILED:
            break
        clock.waits.append((delivery.due_at_us - clock.us) // 1_000_000)
        clock.us = delivery.due_at_us - 1
        assert hub.catalogue.due_deliveries(clock.us) == []
        clock.us += 1
    assert delivery.state is DeliveryState.FAILED
    assert delivery.attempts == deliver.ATTEMPTS_MAX
    assert delivery.error == "PACS does not answer."
    assert clock.waits[:5] == [5, 10, 20, 40, 80]
    assert set(clock.waits[10:]) == {HOUR}
    assert 20 * HOUR < sum(clock.waits) < 30 * HOUR
    lines = [line for line in hub.catalogue.ledger(subject=outcome.object_id) if line.kind == AuditKind.SEND_FAILED]
    assert [line.outcome for line in lines] == ["given up", *["will retry"] * (deliver.ATTEMPTS_MAX - 1)]
    assert hub.catalogue.due_deliveries(clock.us + 10 * HOUR * 1_000_000) == []


def test_a_restart_forgets_neither_delivery_nor_wait(hub: Shelf) -> None:
    outcome = arrives(hub, 1)
    assert isinstance(outcome, Archived)
    clock = Later()
    for _ in range(3):
        forwarder(hub, clock).deliver_due()
        clock.us += 20_000_000
    before = hub.catalogue.deliveries(outcome.object_id)
    assert before[0].attempts == 3
    again = shelf_in(hub.folder, policy=FORWARDS)
    assert again.catalogue.deliveries(outcome.object_id) == before
    again.close()


def test_what_arrives_arrives_once_and_whole(hub: Shelf, tmp_path: Path) -> None:
    (tmp_path / "pacs").mkdir()
    pacs = shelf_in(tmp_path / "pacs")
    approve(pacs, "HUB")
    callers: list[threading.Thread] = []
    first, second = arrives(hub, 1), arrives(hub, 2)
    assert isinstance(first, Archived)
    assert isinstance(second, Archived)
    sender = forwarder(hub, Later(), another(pacs, callers))
    assert sender.deliver_due() == 2
    assert sender.deliver_due() == 0
    for caller in callers:
        caller.join(20)
    assert len(callers) == 1
    for number in (1, 2):
        assert content(pacs, pacs.catalogue.instance(uid_of(number)).object_id) == image(number)
    for outcome in (first, second):
        assert [d.state for d in hub.catalogue.deliveries(outcome.object_id)] == [DeliveryState.DELIVERED]
        assert hub.catalogue.ledger(subject=outcome.object_id)[0].kind == AuditKind.OBJECT_SENT
    pacs.close()


def test_a_refusal_is_a_failure_with_its_status_and_is_tried_again(hub: Shelf, tmp_path: Path) -> None:
    (tmp_path / "pacs").mkdir()
    pacs = shelf_in(tmp_path / "pacs", policy=REJECTS)
    approve(pacs, "HUB")
    callers: list[threading.Thread] = []
    outcome = arrives(hub, 1)
    assert isinstance(outcome, Archived)
    assert forwarder(hub, Later(), another(pacs, callers)).deliver_due() == 0
    for caller in callers:
        caller.join(20)
    [delivery] = hub.catalogue.deliveries(outcome.object_id)
    assert (delivery.state, delivery.attempts) == (DeliveryState.WAITING, 1)
    assert delivery.error == "PACS answered with status 0124."
    pacs.close()


def test_a_node_that_was_shut_out_gets_nothing_more(hub: Shelf) -> None:
    outcome = arrives(hub, 1)
    assert isinstance(outcome, Archived)
    event = AuditEvent(AuditKind.NODE_REMOVED, hub.clock.now_us(), "anna", None, "removed", {})
    hub.catalogue.remove_node("PACS", event)

    def forbidden(_: Node) -> Wire:
        raise AssertionError("connected to a node that is not approved")

    assert forwarder(hub, Later(), forbidden).deliver_due() == 0
    [delivery] = hub.catalogue.deliveries(outcome.object_id)
    assert "not an approved node" in delivery.error


# --- commitment -----------------------------------------------------------------------------------------


def test_a_commitment_report_is_kept_until_it_is_taken_or_given_up(hub: Shelf) -> None:
    """Over a restart too: the request was acknowledged, so the report is owed."""
    clock = Later()
    event = AuditEvent(AuditKind.STORAGE_COMMITMENT, clock.us, "PACS", None, "requested", {"objects": 1})
    hub.catalogue.put_commitment("PACS", "1.2.3", [("1.2.840.10008.5.1.4.1.1.2", uid_of(1))], event)
    again = shelf_in(hub.folder)
    for _ in range(commit.ATTEMPTS_MAX):
        [owed] = again.catalogue.due_commitments(clock.us)
        assert Committer(again.archive, unreachable, clock, "HUB").report_due() == 0
        assert again.catalogue.due_commitments(clock.us) == []
        clock.waits.append(owed.attempts)
        clock.us += HOUR * 1_000_000
    assert clock.waits == list(range(commit.ATTEMPTS_MAX))
    assert again.catalogue.due_commitments(clock.us + HOUR * 1_000_000) == []
    assert again.catalogue.ledger(limit=1)[0].outcome == "given up"
    again.close()
