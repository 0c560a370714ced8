"""`leadglass node`: the DICOM application entities that may talk to the site."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from leadglass.cli.enrolment import enrol, put
from leadglass.cli.place import opened, operator
from leadglass.cli.voice import Voice, moment, verb
from leadglass.errors import NotFound, UsageError
from leadglass.gateway.node import Node, NodeState, Permission

_MAY = click.option(
    "--may", default="store,query,retrieve", show_default=True, help="What it may do, separated by commas."
)
_ADDRESS = click.option(
    "--address", "addresses", multiple=True, help="Address or network it may call from; repeatable."
)


@click.group("node", short_help="Add, list, approve or remove DICOM nodes.")
def command() -> None:
    """Add, list, approve or remove the DICOM nodes that may talk to the site."""


def _permissions(text: str) -> frozenset[Permission]:
    try:
        return frozenset(Permission(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise UsageError(f"{error}.", hint="--may takes store, query and retrieve, separated by commas.") from None


@verb(
    "add",
    example="leadglass node add CT1 --host 10.1.2.3 --port 11112 --to ct1-files\n"
    "leadglass node add OLD_US --plaintext --address 10.1.2.9",
)
@click.argument("name", metavar="AE")
@click.option("--host", default="", help="Address it listens at, for C-MOVE and forwarding.")
@click.option("--port", default=0, type=click.IntRange(0, 65_535), help="Port it listens at.")
@click.option("--plaintext", is_flag=True, help="Let it talk without TLS. Shown as a finding.")
@_ADDRESS
@_MAY
@click.option("--to", type=click.Path(path_type=Path), help="Folder for its new certificate, key and ca.pem.")
@click.option("--certificate", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="One it already has.")
@click.pass_obj
def add(
    voice: Voice,
    site: str | None,
    name: str,
    host: str,
    port: int,
    plaintext: bool,
    addresses: tuple[str, ...],
    may: str,
    to: Path | None,
    certificate: Path | None,
) -> None:
    """Add a node and approve it at once. --to makes its certificate and key, ready to carry to the device."""
    from leadglass.dicom.values import AETitle
    from leadglass.errors import PeerError
    from leadglass.gateway.admission import checked_networks

    try:
        title = AETitle.parse(name)
    except PeerError as error:
        raise UsageError(error.message, hint="An AE title has 1 to 16 printable characters.") from None
    if to is None and certificate is None and not plaintext:
        raise UsageError(
            f"{title} needs a certificate.",
            hint="Give --to FOLDER to make one, --certificate FILE for one it has, or --plaintext.",
        )
    if plaintext and not addresses and to is None:
        addresses = (host,) if host else ()
    node = Node(
        title,
        NodeState.APPROVED,
        host=host,
        port=port,
        addresses=checked_networks(addresses),
        permissions=_permissions(may),
        plaintext=plaintext,
    )
    with opened(site) as hub:
        if certificate is not None:
            described = hub.identity.trust(certificate.read_bytes())
            put(hub, replace(node, fingerprint=described.fingerprint), operator())
        elif to is not None:
            enrol(hub, node, to, operator())
        else:
            put(hub, node, operator())
    if voice.is_json:
        voice.json({"node": title, "state": "approved", "files": None if to is None else str(to)})
        return
    voice.say(f"{title} may talk to the site.")
    if to is not None:
        voice.say(f"Carry node.pem, node.key and ca.pem from {to} to the device, then delete node.key here.")


@verb("list", example="leadglass node list")
@click.pass_obj
def list_nodes(voice: Voice, site: str | None) -> None:
    """List the nodes; those that wait for approval first."""
    with opened(site) as hub:
        nodes = sorted(hub.catalogue.nodes(), key=lambda node: (node.state is NodeState.APPROVED, node.name))
    if voice.is_json:
        listed = [
            {
                "name": n.name,
                "state": n.state.value,
                "host": n.host,
                "port": n.port,
                "plaintext": n.plaintext,
                "addresses": list(n.addresses),
                "permissions": sorted(n.permissions),
                "fingerprint": n.fingerprint,
            }
            for n in nodes
        ]
        voice.json({"nodes": listed})
        return
    voice.table(
        ("AE title", "State", "Listens at", "May", "From", "TLS", "First seen"),
        (
            (
                n.name,
                n.state.value,
                f"{n.host}:{n.port}" if n.host else "",
                ", ".join(sorted(n.permissions)),
                ", ".join(n.addresses) or "anywhere",
                "no" if n.plaintext else "yes",
                moment(n.seen_at_us),
            )
            for n in nodes
        ),
    )


@verb("approve", example="leadglass node approve CT1 --may store")
@click.argument("name", metavar="AE")
@click.option("--host", default=None, help="Address it listens at, for C-MOVE and forwarding.")
@click.option("--port", default=None, type=click.IntRange(0, 65_535), help="Port it listens at.")
@_MAY
@click.pass_obj
def approve(voice: Voice, site: str | None, name: str, host: str | None, port: int | None, may: str) -> None:
    """Approve a node that called and waits. Its certificate and address are those it called with."""
    from leadglass.audit import AuditKind

    with opened(site) as hub:
        node = hub.catalogue.node(name)
        if node is None:
            raise NotFound(f"There is no node {name}.", hint="`leadglass node list` shows who waits.")
        approved = replace(
            node,
            state=NodeState.APPROVED,
            permissions=_permissions(may),
            host=node.host if host is None else host,
            port=node.port if port is None else port,
        )
        put(hub, approved, operator(), AuditKind.NODE_APPROVED)
    if voice.is_json:
        voice.json({"node": name, "state": "approved"})
    else:
        voice.say(f"{name} may talk to the site.")


@verb("remove", example="leadglass node remove CT1")
@click.argument("name", metavar="AE")
@click.pass_obj
def remove(voice: Voice, site: str | None, name: str) -> None:
    """Forget a node: it is a stranger again."""
    from leadglass.audit import AuditEvent, AuditKind

    with opened(site) as hub:
        event = AuditEvent(AuditKind.NODE_REMOVED, hub.clock.now_us(), operator(), None, "removed", {"node": name})
        hub.catalogue.remove_node(name, event)
    if voice.is_json:
        voice.json({"node": name, "removed": True})
    else:
        voice.say(f"{name} is a stranger again.")


for _command in (add, list_nodes, approve, remove):
    command.add_command(_command)
