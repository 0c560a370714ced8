"""Who may associate: certificate, AE title, address and state of a node must all agree, and the answer says why not.

One pure function. The reasons on the wire are those of PS3.8 table 9-21 and tell a stranger little; the code and
the sentence go to the ledger and tell a person everything. TLS has already proved that the caller holds the key of
its certificate and that the certificate is in date and from a trusted authority (`edge/tls.py`).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Set
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from leadglass import limits
from leadglass.errors import ConfigurationError
from leadglass.gateway.node import Node, NodeState, is_reserved


class RefusalCode(StrEnum):
    """Every reason for which a caller does not get in, or not further. Stable: the ledger and the console hold them."""

    NO_CERTIFICATE = "no-certificate"
    WRONG_CERTIFICATE = "wrong-certificate"
    EXPIRED = "expired"
    TLS_VERSION = "tls-version"
    AE_MISMATCH = "ae-mismatch"
    ADDRESS_MISMATCH = "address-mismatch"
    UNKNOWN_NODE = "unknown-node"
    PENDING_NODE = "pending-node"
    CALLED_AE = "called-ae"
    POOL_FULL = "pool-full"
    PLAINTEXT_REFUSED = "plaintext-refused"
    RATE = "rate"
    IDLE = "idle"
    ARTIM = "artim"
    PROTOCOL = "protocol"


@dataclass(frozen=True, slots=True)
class Welcome:
    """The caller is this node; what it may ask is in the node's permissions."""

    node: Node


@dataclass(frozen=True, slots=True)
class Refusal:
    """Refused: `result`, `source`, `reason` go on the wire (PS3.8 table 9-21), code and sentence into the ledger."""

    code: RefusalCode
    result: int
    source: int
    reason: int
    sentence: str


def admit_association(
    *,
    node: Node | None,
    calling: str,
    called: str,
    our_ae_titles: Set[str],
    address: str,
    certificate_fingerprint: str | None,
    is_tls: bool,
    open_associations: int = 0,
    associations_max: int = limits.ASSOCIATIONS_PER_NODE_MAX,
) -> Welcome | Refusal:
    """Decide whether a caller may associate.

    `node` is what the site knows under the calling AE title. `certificate_fingerprint` is the SHA-256 of the
    certificate shown, in lower-case hex. `open_associations` counts those the node has already.
    """
    if is_tls and certificate_fingerprint is None:
        return _refuse(RefusalCode.NO_CERTIFICATE, f"{address} showed no certificate while calling as {calling}.")
    if called not in our_ae_titles:
        ours = ", ".join(sorted(our_ae_titles))
        return _refuse(RefusalCode.CALLED_AE, f"{calling} asked for {called}; this hub is {ours}.")
    if is_reserved(calling, our_ae_titles):
        sentence = f"A caller at {address} said it is {calling}, which names this site or a source of its own."
        return _refuse(RefusalCode.AE_MISMATCH, sentence)
    if node is None:
        next_step = "It waits for approval: leadglass node approve."
        return _refuse(RefusalCode.UNKNOWN_NODE, f"{calling} at {address} is not a node of this site. {next_step}")
    match node.state:
        case NodeState.PENDING:
            return _refuse(RefusalCode.PENDING_NODE, f"{calling} at {address} still waits for a person's approval.")
        case NodeState.APPROVED:
            refusal = _identity(node, address, certificate_fingerprint) or _address(node, address, is_tls=is_tls)
        case unreachable:
            assert_never(unreachable)
    if refusal is not None:
        return refusal
    if open_associations >= associations_max:
        sentence = f"{calling} already has {open_associations} associations open; one node never takes the whole pool."
        return _refuse(RefusalCode.POOL_FULL, sentence)
    return Welcome(node)


def checked_networks(networks: Iterable[str]) -> tuple[str, ...]:
    """Give addresses and networks in their canonical form, for a node's record; raises ConfigurationError."""
    try:
        return tuple(str(ipaddress.ip_network(text.strip(), strict=False)) for text in networks)
    except ValueError as error:
        raise ConfigurationError(
            f"That is not an IP address or network: {error}.", hint="Write for example 10.1.2.3 or 10.1.2.0/24."
        ) from None


def _identity(node: Node, address: str, fingerprint: str | None) -> Refusal | None:
    """Hold the caller's certificate, or its having none, against the node's record."""
    if fingerprint is None:
        if node.plaintext:
            return None
        sentence = f"{node.name} called from {address} without TLS, which its record does not allow."
        return _refuse(RefusalCode.PLAINTEXT_REFUSED, sentence)
    if node.fingerprint is None:
        hint = "Enrol its certificate: leadglass node add."
        sentence = f"{node.name} has no certificate on record, so the one shown from {address} proves nothing. {hint}"
        return _refuse(RefusalCode.WRONG_CERTIFICATE, sentence)
    if node.fingerprint != fingerprint:
        sentence = f"A caller at {address} said it is {node.name}, with a certificate that is not {node.name}'s."
        return _refuse(RefusalCode.AE_MISMATCH, sentence)
    return None


def _address(node: Node, address: str, *, is_tls: bool) -> Refusal | None:
    """Hold the caller's address against the node's record; without TLS the address is all there is."""
    if not node.addresses:
        if is_tls:
            return None
        sentence = f"{node.name} calls without TLS from any address; give it an address, or a certificate."
        return _refuse(RefusalCode.PLAINTEXT_REFUSED, sentence)
    caller = _plain_address(address)
    if caller is not None and any(_contains(network, caller) for network in node.addresses):
        return None
    sentence = f"{node.name} called from {address}; its record allows {', '.join(node.addresses)}."
    return _refuse(RefusalCode.ADDRESS_MISMATCH, sentence)


def _plain_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read an address as sockets give it: with a zone (fe80::1%eth0), or IPv4 inside IPv6 on a dual-stack door."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _contains(network: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False  # a record somebody edited by hand admits nobody


def _refuse(code: RefusalCode, sentence: str) -> Refusal:
    """Give the wire's words for a code: rejected permanent (1) by the service-user (1) unless it may pass by itself."""
    match code:
        case RefusalCode.CALLED_AE:
            return Refusal(code, 1, 1, 7, sentence)  # called-AE-title-not-recognized
        case RefusalCode.PENDING_NODE:
            return Refusal(code, 2, 1, 3, sentence)  # transient: a person may approve it
        case RefusalCode.POOL_FULL:
            return Refusal(code, 2, 3, 2, sentence)  # transient, presentation: local-limit-exceeded
        case _:
            return Refusal(code, 1, 1, 3, sentence)  # calling-AE-title-not-recognized
