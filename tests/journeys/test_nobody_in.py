"""Nobody in: every way not to be an approved node is refused, recorded, and told apart from the others."""

from __future__ import annotations

import shutil
import ssl
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from leadglass.edge.site import Site as SiteFolder
from leadglass.gateway.node import NodeState
from leadglass.journeys.ports import LedgerLine
from leadglass.wiring import Hub
from tests.peers.harness.certificates import Authority, Credentials
from tests.peers.harness.leadglass import Site
from tests.peers.harness.wire import EXPLICIT, VERIFICATION, Client, Refused


@dataclass(frozen=True, slots=True)
class House:
    """A site that runs, the credentials of CT1 (approved), and of impostors."""

    site: Site
    ct1: Credentials
    mr1: Credentials
    stranger: Credentials
    expired: Credentials
    unknown: Credentials
    away: Credentials
    beside: Hub
    """The site's books, read beside the running hub."""

    def last_entry(self) -> int:
        return self.beside.catalogue.ledger(limit=1)[0].seq

    def refusals_since(self, seq: int) -> list[LedgerLine]:
        """Wait for a refusal: the caller may see its connection close before the record is durable."""
        deadline = time.monotonic() + 20
        while True:
            lines = self.beside.catalogue.ledger(limit=50)
            refusals = [line for line in lines if line.seq > seq and line.kind == "association-refused"]
            if refusals or time.monotonic() > deadline:
                return refusals
            time.sleep(0.02)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("nobody")
    site = Site(folder, plain=True)
    ct1, mr1 = site.add_node("CT1"), site.add_node("MR1")
    # These may call from another network alone; AWAY with a certificate, OLDUS without TLS.
    elsewhere = ("--address", "10.9.0.0/16")
    site.verb("node", "add", "AWAY", "--may", "store", "--to", str(folder / "away"), *elsewhere)
    site.verb("node", "add", "OLDUS", "--may", "store", "--plaintext", *elsewhere)
    # The site's own authority signed these two: only the record, or the date, is against them.
    with Hub.open(SiteFolder.open(site.folder)) as hub:
        long_ago = datetime.now(UTC) - timedelta(days=4000)
        hub.identity.enrol("CT1", folder / "expired", now=long_ago)
        hub.identity.enrol("GHOST", folder / "unknown", now=datetime.now(UTC))
    stranger = Authority(folder / "elsewhere").issue("CT1", trusting=ct1.authority)

    def at(where: str) -> Credentials:
        return Credentials(folder / where / "node.key", folder / where / "node.pem", ct1.authority)

    site.serve()
    try:
        with Hub.open(SiteFolder.open(site.folder)) as beside:
            yield House(site, ct1, mr1, stranger, at("expired"), at("unknown"), at("away"), beside)
    finally:
        site.stop()
        shutil.rmtree(folder, ignore_errors=True)


def without_certificate(house: House) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(house.ct1.authority)
    return context


def old_tls(version: ssl.TLSVersion) -> Callable[[House], ssl.SSLContext]:
    def make(house: House) -> ssl.SSLContext:
        context = house.ct1.client_context()
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = version
            context.maximum_version = version
        return context

    return make


def call(
    house: House,
    context: ssl.SSLContext | None,
    *,
    calling: str = "CT1",
    called: str = "LEADGLASS",
    door: str = "",
) -> str:
    """Try to get in; gives how it was refused, or "in"."""
    is_tls = door == "tls" or context is not None
    port = house.site.tls_port if is_tls else house.site.plain_port
    client = Client("127.0.0.1", port, context, 20.0)
    try:
        client.associate(calling, called, [(1, VERIFICATION, [EXPLICIT])])
        client.release()
    except Refused as refused:
        return str(refused.answer)
    finally:
        client.close()
    return "in"


def test_an_approved_node_gets_in(house: House) -> None:
    """The other tests mean something only because this one passes."""
    assert call(house, house.ct1.client_context()) == "in"
    modern = house.ct1.client_context()
    modern.maximum_version = ssl.TLSVersion.TLSv1_2
    assert call(house, modern) == "in"


CASES: dict[str, tuple[Callable[[House], ssl.SSLContext | None], dict[str, str], str, str]] = {
    # case: (TLS side, titles, code in the ledger, what the caller sees)
    "no certificate": (without_certificate, {}, "no-certificate", ""),
    "certificate of another authority": (lambda h: h.stranger.client_context(), {}, "wrong-certificate", ""),
    "expired certificate": (lambda h: h.expired.client_context(), {}, "expired", ""),
    "TLS 1.0": (old_tls(ssl.TLSVersion.TLSv1), {}, "tls-version", ""),
    "TLS 1.1": (old_tls(ssl.TLSVersion.TLSv1_1), {}, "tls-version", ""),
    "another node's AE title": (lambda h: h.mr1.client_context(), {}, "ae-mismatch", "A-ASSOCIATE-RJ"),
    "unknown AE, certificate of the site": (
        lambda h: h.unknown.client_context(), {"calling": "GHOST"}, "unknown-node", "A-ASSOCIATE-RJ"
    ),
    "wrong called AE title": (lambda h: h.ct1.client_context(), {"called": "WHOEVER"}, "called-ae", "A-ASSOCIATE-RJ"),
    "without TLS": (lambda _: None, {}, "plaintext-refused", "A-ASSOCIATE-RJ"),
    "without TLS at the door for TLS": (lambda _: None, {"door": "tls"}, "protocol", ""),
    "another address": (
        lambda h: h.away.client_context(), {"calling": "AWAY"}, "address-mismatch", "A-ASSOCIATE-RJ"
    ),
    "without TLS from another address": (
        lambda _: None, {"calling": "OLDUS"}, "address-mismatch", "A-ASSOCIATE-RJ"
    ),
    "a node without TLS with another's certificate": (
        lambda h: h.ct1.client_context(), {"calling": "OLDUS"}, "wrong-certificate", "A-ASSOCIATE-RJ"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_an_impostor_is_refused_recorded_and_told_apart(house: House, case: str) -> None:
    """Nobody gets in; the ledger says why in a code of its own and holds the address."""
    context_of, titles, code, seen = CASES[case]
    before = house.last_entry()
    answer = call(house, context_of(house), **titles)
    assert answer != "in"
    assert answer.startswith(seen)
    refusals = house.refusals_since(before)
    assert [line.outcome for line in refusals] == [code]
    assert refusals[0].detail["address"] == "127.0.0.1"
    assert refusals[0].detail["reason"]


def test_every_way_in_that_is_closed_has_a_code_of_its_own() -> None:
    """Two cases share a code only where they are one fault: an old protocol, a wrong address, a wrong certificate."""
    by_code: dict[str, set[str]] = {}
    for case, (_, _, code, _) in CASES.items():
        by_code.setdefault(code, set()).add(case)
    assert {code for code, cases in by_code.items() if len(cases) > 1} == {
        "tls-version", "address-mismatch", "wrong-certificate"
    }  # fmt: skip
    assert len(by_code) >= 10


def test_an_unknown_caller_waits_for_approval_and_is_never_let_in_meanwhile(house: House) -> None:
    """STRANGER shows a certificate of the site's authority: it is listed as pending, and refused each time."""
    context = house.unknown.client_context()
    for code in ("unknown-node", "pending-node", "pending-node"):
        before = house.last_entry()
        assert call(house, context, calling="STRANGER") != "in"
        assert [line.outcome for line in house.refusals_since(before)] == [code]
    nodes = {node.name: node.state for node in house.beside.catalogue.nodes()}
    assert nodes["STRANGER"] is NodeState.PENDING


def test_a_removed_node_is_a_stranger_again(house: House) -> None:
    """What let it in yesterday lets it in no more, without a restart."""
    gone = house.site.add_node("GONE")
    assert call(house, gone.client_context(), calling="GONE") == "in"
    house.site.verb("node", "remove", "GONE")
    before = house.last_entry()
    assert call(house, gone.client_context(), calling="GONE") != "in"
    assert [line.outcome for line in house.refusals_since(before)] == ["unknown-node"]


def test_nobody_who_was_refused_left_an_object_or_an_association(house: House) -> None:
    """After all of that the archive is empty, and the ledger whole."""
    counts = house.beside.catalogue.counts()
    assert counts["archived"] == counts["held"] == 0
    assert house.beside.catalogue.verify_ledger() > len(CASES)
