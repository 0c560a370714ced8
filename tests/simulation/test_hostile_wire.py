"""Hostile senders: no crash, no memory, no wait for a good sender; each refused for the right reason and recorded.

The attackers hold an approved node's key (a modality that was taken over) and call from another address than the
good sender. benches/hostile_wire.py runs the same attacks against DCMTK, Orthanc and pynetdicom.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.peers.harness import hostile, leadglass
from tests.peers.harness.servers import Live

pytestmark = pytest.mark.long

GROWTH_MAX_BYTES = 32 << 20
GOOD_SENDER_MAX_SECONDS = 1.0

EXPECTED: dict[str, tuple[str, str]] = {
    # attack: (how the caller sees it end, outcome in the ledger)
    "sequences nested 20,000 deep": ("A-ABORT", "depth"),
    "sequences nested 300,000 deep": ("A-ABORT", "depth"),
    "1 GiB deflate bomb": ("A-ABORT", "inflate-ratio"),
    "endless data set, 1.5 GB": ("A-ABORT", "unbulk-bytes"),
    "one PDU claiming 2 GiB, 1 GiB sent": ("A-ABORT", "pdu-length"),
    "120 idle associations": ("accepted|closed", "idle|pool-full"),
    "200 idle connections": ("200 connected, 200 ended", "idle|artim|pool-full"),
    "1 byte a second": (r"A-ABORT .* after (1\d|2\d|3\d) s", "rate"),
    "any AE title": ("A-ASSOCIATE-RJ", "called-ae"),
    "path traversal in the SOP Instance UID": ("status C", "held|rejected"),
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with leadglass.leadglass(tmp_path_factory.mktemp("hostile") / "a" / "b" / "c") as live:
        hostile.warm_up(live)
        yield live


def outcomes(lines: tuple[str, ...]) -> set[str]:
    return {found for line in lines for found in re.findall(r'"outcome": "([a-z-]+)"', line)}


@pytest.mark.parametrize("attack", hostile.ATTACKS)
def test_an_attack_costs_nobody_anything(hub: Live, attack: str) -> None:
    """The hub stays up, small and open to others, and the ledger says what was tried."""
    assert hub.good_credentials is not None
    good = replace(hub, calling="GOOD", credentials=hub.good_credentials)
    seen_before = len(hub.recorded())
    outcome = hostile.strike(hub, attack, good)
    answer, code = EXPECTED[attack]
    assert not outcome.is_crashed, hub.running.tail()
    assert outcome.growth_bytes <= GROWTH_MAX_BYTES
    assert outcome.good.tries > 2
    assert outcome.good.failures == 0
    assert outcome.good.worst_seconds <= GOOD_SENDER_MAX_SECONDS
    assert re.search(answer, outcome.answer), outcome.answer
    deadline = time.monotonic() + 30
    recorded = set(outcomes(outcome.recorded))
    while not re.search(code, " ".join(recorded)) and time.monotonic() < deadline:
        time.sleep(0.5)
        recorded = outcomes(tuple(hub.recorded()[seen_before:]))
    assert re.search(code, " ".join(recorded)), recorded


def test_after_all_of_it_the_hub_takes_in_an_object(hub: Live) -> None:
    """No attack left anything behind that keeps a good object out."""
    before = hub.stored()
    hostile.warm_up(hub)
    assert hub.stored() >= max(before, 8)
    assert Path(hub.storage).is_dir()
