"""`leadglass node`: who may talk to this site, and as what."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from leadglass.cli.place import opened, operator
from leadglass.cli.voice import Json, Voice, iso, moment, verb
from leadglass.errors import NotFound, UsageError

if TYPE_CHECKING:
    from leadglass.gateway.node import Node, Permission
    from leadglass.wiring import Hub

_NAME = click.argument("name", metavar="AE")
_ANY = "any"
_HELP_MAY = "What it may ask: store, query, retrieve; joined by commas."
_HELP_ADDRESS = f"Address or network it may call from; repeatable. Default: --host. `{_ANY}`: from anywhere."


@click.group("node", short_help="Add, list, approve or remove DICOM nodes.")
def command() -> None:
    """Add, list, approve or remove the DICOM nodes that may talk to this site."""


@verb(
    "add",
    example="""\
leadglass node add CT1 --host 10.0.3.21 --port 104 --to ./for-ct1
leadglass node add PACS --host 10.0.1.5 --port 2762 --may store,query,retrieve --to ./for-pacs
leadglass node add OLDUS --plaintext --address 10.0.3.40/32""",
)
@_NAME
@click.option("--host", default="", help="Where it listens, for C-MOVE, forwarding and reports.")
@click.option("--port", type=click.IntRange(0, 65_535), default=0, help="The port it listens on.")
@click.option("--address", "addresses", multiple=True, metavar="CIDR", help=_HELP_ADDRESS)
@click.option("--may", default="store", show_default=True, help=_HELP_MAY)
@click.option("--plaintext", is_flag=True, help="It may talk without TLS, from --address alone; shown as a finding.")
@click.option(
    "--certificate", type=click.Path(path_type=Path), help="It has a certificate: trust this PEM or DER file."
)
@click.option(
    "--to", "folder", type=click.Path(path_type=Path), help="Folder for its certificate and key. Default: ./AE."
)
@click.pass_obj
def add(
    voice: Voice,
    site: str | None,
    name: str,
    host: str,
    port: int,
    addresses: tuple[str, ...],
    may: str,
    plaintext: bool,
    certificate: Path | None,
    folder: Path | None,
) -> None:
    """Add a node, approved at once: with a new certificate, with its own, or without TLS."""
    from leadglass.cli.enrolment import enrol, put
    from leadglass.gateway.node import Node, NodeState

    networks, origin = _networks(name, host, addresses, plaintext=plaintext)
    node = Node(
        name, NodeState.APPROVED, host, port, addresses=networks, permissions=_permissions(may), plaintext=plaintext
    )
    with opened(site) as hub:
        _check_name(hub, name)
        target: Path | None = None
        if certificate is not None:
            described = hub.identity.trust(_read(certificate))
            node = replace(node, fingerprint=described.fingerprint)
            put(hub, node, operator())
        elif plaintext and folder is None:
            put(hub, node, operator())
        else:
            target = folder or Path(name)
            node = enrol(hub, node, target, operator()).node
        ae_title, dicom = hub.site.config.dicom.ae_title, hub.site.config.dicom
    if voice.is_json:
        voice.json({"node": _json(node), "folder": None if target is None else str(target)})
        return
    voice.say(f"{name} is a node of this site and may {may}, calling from {', '.join(networks) or 'anywhere'}{origin}.")
    if target is not None:
        door = f"on port {dicom.tls_port}" if dicom.tls_port else "on the port that `leadglass serve` prints"
        voice.say(
            f"For the device, in {target}: node.pem (certificate), node.key (private key), ca.pem (our authority)."
        )
        voice.say(f"Next: import them there; it calls {ae_title} {door} with TLS. Then delete the folder.")
    if plaintext and dicom.plain_port is None:
        voice.say("Next: the plain port is closed; set [dicom] plain_port in leadglass.toml and restart.")


@verb("list", example="leadglass node list")
@click.pass_obj
def list_nodes(voice: Voice, site: str | None) -> None:
    """List the nodes, those that wait for approval first."""
    from leadglass.gateway.node import NodeState

    with opened(site) as hub:
        nodes = sorted(hub.catalogue.nodes(), key=lambda node: (node.state is not NodeState.PENDING, node.name))
    if voice.is_json:
        voice.json({"nodes": [_json(node) for node in nodes]})
    elif not nodes:
        voice.say("There are no nodes. Next: `leadglass node add AE`.")
    else:
        voice.table(
            ("AE title", "State", "May", "Listens at", "Calls from", "TLS", "Seen"),
            (
                (
                    node.name,
                    node.state.value,
                    ", ".join(sorted(node.permissions)),
                    f"{node.host}:{node.port}" if node.host else "",
                    ", ".join(node.addresses) or "anywhere",
                    "NO" if node.plaintext else (node.fingerprint or "no certificate yet")[:16],
                    moment(node.seen_at_us),
                )
                for node in nodes
            ),
        )


@verb("approve", example="leadglass node approve CT2\nleadglass node approve PACS --may store,query,retrieve")
@_NAME
@click.option("--may", help=f"{_HELP_MAY} Default: what it may already, else store.")
@click.option("--host", help="Where it listens.")
@click.option("--port", type=click.IntRange(0, 65_535), help="The port it listens on.")
@click.option(
    "--address", "addresses", multiple=True, metavar="CIDR", help=f"{_HELP_ADDRESS.partition(' Default')[0]} "
    f"`{_ANY}`: from anywhere. Default: where it called from."
)  # fmt: skip
@click.pass_obj
def approve(
    voice: Voice,
    site: str | None,
    name: str,
    may: str | None,
    host: str | None,
    port: int | None,
    addresses: tuple[str, ...],
) -> None:
    """Let in a node that waits: under the certificate and from the address it called with.

    On a node that is approved already, only what an option names changes.
    """
    from leadglass.audit import AuditKind
    from leadglass.cli.enrolment import put
    from leadglass.gateway.node import NodeState

    permissions = None if may is None else _permissions(may)
    with opened(site) as hub:
        _check_name(hub, name)
        node = hub.catalogue.node(name)
        if node is None:
            raise NotFound(f"No node {name} has called.", hint="`leadglass node list` shows who waits.")
        if permissions is None:
            permissions = node.permissions if node.state is NodeState.APPROVED else _permissions("store")
        if addresses:
            node = replace(node, addresses=_networks(name, "", addresses, plaintext=node.plaintext)[0])
        node = replace(
            node,
            state=NodeState.APPROVED,
            permissions=permissions,
            host=node.host if host is None else host,
            port=node.port if port is None else port,
        )
        put(hub, node, operator(), AuditKind.NODE_APPROVED)
    if voice.is_json:
        voice.json({"node": _json(node)})
    else:
        may = ", ".join(sorted(node.permissions)) or "nothing"
        voice.say(f"{name} is approved and may {may}, from {', '.join(node.addresses) or 'anywhere'}.")
        if node.plaintext:
            voice.say("It called without TLS: anybody on the network can read and alter what it sends.")


@verb("remove", example="leadglass node remove CT1")
@_NAME
@click.pass_obj
def remove(voice: Voice, site: str | None, name: str) -> None:
    """Shut a node out. What it sent stays."""
    from leadglass.audit import AuditEvent, AuditKind

    with opened(site) as hub:
        if hub.catalogue.node(name) is None:
            raise NotFound(f"There is no node {name}.", hint="`leadglass node list` shows them.")
        event = AuditEvent(AuditKind.NODE_REMOVED, hub.clock.now_us(), operator(), None, "removed", {"node": name})
        hub.catalogue.remove_node(name, event)
    if voice.is_json:
        voice.json({"removed": name})
    else:
        voice.say(f"{name} is shut out.")


def _check_name(hub: Hub, name: str) -> None:
    """Raise UsageError for what cannot be a node's name, or would pass for the site itself."""
    from leadglass.gateway.node import is_reserved
    from leadglass.table import is_ae_title

    if not is_ae_title(name):
        raise UsageError(f"{name} cannot be an AE title.", hint="1 to 16 printable characters, no backslash.")
    if is_reserved(name, hub.site.config.dicom.ae_titles):
        raise UsageError(
            f"{name} names this site itself, or a source of its own, so no node can be called that.",
            hint="Give the device another AE title, then add it under that one.",
        )


def _networks(name: str, host: str, addresses: tuple[str, ...], *, plaintext: bool) -> tuple[tuple[str, ...], str]:
    """Give the networks a node may call from, none for anywhere, and where they come from. Raises UsageError."""
    from leadglass.edge.addresses import addresses_of
    from leadglass.gateway.admission import checked_networks

    is_any = _ANY in addresses
    if is_any and plaintext:
        raise UsageError(
            f"{name} without TLS needs an address: nothing else tells it from an impostor.",
            hint="Add --address, for example --address 10.0.3.40.",
        )
    if is_any and len(addresses) > 1:
        raise UsageError(f"--address {_ANY} leaves no other address to name.", hint="Name networks, or any alone.")
    if is_any:
        return (), ""
    if addresses:
        return checked_networks(addresses), ""
    if not host:
        raise UsageError(
            f"Where may {name} call from?",
            hint=f"Add --host or --address, for example --address 10.0.3.40; --address {_ANY} is anywhere.",
        )
    found = addresses_of(host)
    origin = "" if found == (host,) else f" (what {host} resolves to now; it is not looked up again)"
    return checked_networks(found), origin


def _permissions(may: str) -> frozenset[Permission]:
    from leadglass.gateway.node import Permission

    try:
        return frozenset(Permission(word.strip()) for word in may.split(",") if word.strip())
    except ValueError:
        raise UsageError(
            f"--may cannot be {may}.", hint="Write store, query, retrieve, or several joined by commas."
        ) from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}).", hint="Check the path.") from error


def _json(node: Node) -> Json:
    return {
        "name": node.name,
        "state": node.state.value,
        "host": node.host,
        "port": node.port,
        "permissions": sorted(node.permissions),
        "addresses": list(node.addresses),
        "plaintext": node.plaintext,
        "fingerprint": node.fingerprint,
        "seen_at": iso(node.seen_at_us),
    }


for _verb in (add, list_nodes, approve, remove):
    command.add_command(_verb)
