"""Who may associate: certificate, AE title, address and state must all agree, and each disagreement has its name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from leadglass.errors import ConfigurationError
from leadglass.gateway.admission import Refusal, RefusalCode, Welcome, admit_association, checked_networks
from leadglass.gateway.node import Node, NodeState, is_reserved

OURS = frozenset({"LEADGLASS", "OLDPACS"})
CERTIFICATE, OTHER = "aa" * 32, "bb" * 32
CT1 = Node("CT1", NodeState.APPROVED, fingerprint=CERTIFICATE, addresses=("10.1.0.0/16", "2001:db8::/32"))
ANYWHERE = replace(CT1, addresses=())
PENDING = replace(CT1, state=NodeState.PENDING)
UNENROLLED = replace(CT1, fingerprint=None)
PLAIN = Node("CT1", NodeState.APPROVED, addresses=("10.1.2.3",), plaintext=True)


def admit(
    node: Node | None,
    *,
    called: str = "LEADGLASS",
    address: str = "10.1.2.3",
    certificate: str | None = CERTIFICATE,
    is_tls: bool = True,
    open_associations: int = 0,
) -> Welcome | Refusal:
    return admit_association(
        node=node,
        calling="CT1",
        called=called,
        our_ae_titles=OURS,
        address=address,
        certificate_fingerprint=certificate if is_tls else None,
        is_tls=is_tls,
        open_associations=open_associations,
        associations_max=32,
    )


@pytest.mark.parametrize(
    ("node", "circumstances"),
    [
        (CT1, {}),
        (CT1, {"called": "OLDPACS"}),
        (CT1, {"address": "::ffff:10.1.2.3"}),
        (CT1, {"address": "2001:db8::7%eth0"}),
        (CT1, {"open_associations": 31}),
        (ANYWHERE, {"address": "203.0.113.9"}),
        (PLAIN, {"is_tls": False}),
        (replace(PLAIN, fingerprint=CERTIFICATE), {"is_tls": True}),
    ],
)
def test_a_node_whose_record_agrees_is_welcome(node: Node, circumstances: dict[str, object]) -> None:
    assert admit(node, **circumstances) == Welcome(node)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("node", "circumstances", "code", "wire"),
    [
        (CT1, {"certificate": None}, "no-certificate", (1, 1, 3)),
        (CT1, {"called": "ORTHANC"}, "called-ae", (1, 1, 7)),
        (CT1, {"called": "leadglass"}, "called-ae", (1, 1, 7)),
        (None, {"called": "ORTHANC"}, "called-ae", (1, 1, 7)),
        (None, {}, "unknown-node", (1, 1, 3)),
        (None, {"is_tls": False}, "unknown-node", (1, 1, 3)),
        (PENDING, {}, "pending-node", (2, 1, 3)),
        (PENDING, {"certificate": OTHER}, "pending-node", (2, 1, 3)),
        (CT1, {"certificate": OTHER}, "ae-mismatch", (1, 1, 3)),
        (ANYWHERE, {"certificate": OTHER}, "ae-mismatch", (1, 1, 3)),
        (UNENROLLED, {}, "wrong-certificate", (1, 1, 3)),
        (PLAIN, {}, "wrong-certificate", (1, 1, 3)),
        (CT1, {"address": "10.2.0.1"}, "address-mismatch", (1, 1, 3)),
        (CT1, {"address": "::ffff:10.2.0.1"}, "address-mismatch", (1, 1, 3)),
        (CT1, {"address": "not an address"}, "address-mismatch", (1, 1, 3)),
        (replace(CT1, addresses=("10.1.2.300",)), {}, "address-mismatch", (1, 1, 3)),
        (CT1, {"is_tls": False}, "plaintext-refused", (1, 1, 3)),
        (replace(PLAIN, addresses=()), {"is_tls": False}, "plaintext-refused", (1, 1, 3)),
        (PLAIN, {"is_tls": False, "address": "10.1.2.4"}, "address-mismatch", (1, 1, 3)),
        (CT1, {"open_associations": 32}, "pool-full", (2, 3, 2)),
        (CT1, {"open_associations": 32, "certificate": OTHER}, "ae-mismatch", (1, 1, 3)),
    ],
)
def test_each_disagreement_is_refused_under_its_own_name(
    node: Node | None, circumstances: dict[str, object], code: str, wire: tuple[int, int, int]
) -> None:
    answer = admit(node, **circumstances)  # type: ignore[arg-type]
    assert isinstance(answer, Refusal)
    assert answer.code is RefusalCode(code)
    assert (answer.result, answer.source, answer.reason) == wire
    assert answer.sentence.endswith(".") and ("CT1" in answer.sentence)


def test_networks_are_written_in_one_form() -> None:
    assert checked_networks([" 10.1.2.3", "10.1.2.0/24", "10.1.2.9/24", "2001:DB8::1"]) == (
        "10.1.2.3/32",
        "10.1.2.0/24",
        "10.1.2.0/24",
        "2001:db8::1/128",
    )


@pytest.mark.parametrize("text", ["ct1.hospital", "10.1.2", "10.1.2.0/33", ""])
def test_what_is_no_network_is_an_error_with_an_example(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        checked_networks([text])
    assert "10.1.2.0/24" in caught.value.hint


@pytest.mark.parametrize("name", ["IMPORT", "import", "CONSOLE", "web:admin", "WEB:X", "LEADGLASS", "OLDPACS"])
def test_nobody_gets_in_under_a_name_of_the_site_itself(name: str) -> None:
    """Even where such a node stands on record, and without being kept as a stranger to approve."""
    assert is_reserved(name, OURS)
    answer = admit_association(
        node=replace(CT1, name=name),
        calling=name,
        called="LEADGLASS",
        our_ae_titles=OURS,
        address="10.1.2.3",
        certificate_fingerprint=CERTIFICATE,
        is_tls=True,
    )
    assert isinstance(answer, Refusal)
    assert answer.code is RefusalCode.AE_MISMATCH


@pytest.mark.parametrize("name", ["CT1", "IMPORTER", "WEB", "CONSOLE2", "MYLEADGLASS"])
def test_other_names_are_free(name: str) -> None:
    assert not is_reserved(name, OURS)
