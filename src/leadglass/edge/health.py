"""Look a site over from outside: folder, certificates, database, space, doors; each with a state and the next step.

Used by `leadglass doctor` and the console's system page. Nothing is changed. A check that fails to run is
"unknown", with the reason: never a silence, never an "ok".
"""

from __future__ import annotations

import os
import socket
import sqlite3
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from leadglass.config import SiteConfig
from leadglass.edge.certificates import describe
from leadglass.edge.confine import prove
from leadglass.errors import IntegrityError, LeadglassError
from leadglass.gateway.node import NodeState
from leadglass.gateway.policy import Policy, review
from leadglass.journeys.ports import Blobs, Catalogue, Clock, ObjectState

CERTIFICATE_WARNING = timedelta(days=30)
SPACE_WARNING_BYTES = 10 << 30
_STUCK_ATTEMPTS = 3
_A_YEAR_US = 366 * 86_400_000_000
_SAMPLE = 3
_CONNECT_SECONDS = 1.0
_LISTED_MAX = 1_000


class State(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. `step` is empty where there is nothing to do."""

    name: str
    state: State
    detail: str
    step: str = ""


@dataclass(frozen=True, slots=True)
class SiteUnderReview:
    """What is looked over. `verifies_ledger` is false where a page is waiting for the answer."""

    folder: Path
    config: SiteConfig
    policy: Policy
    catalogue: Catalogue
    blobs: Blobs
    clock: Clock
    certificates: tuple[Path, ...]
    secrets: tuple[Path, ...]
    verifies_ledger: bool = True


def examine(site: SiteUnderReview) -> Iterator[Check]:
    """Run every check, most basic first."""
    checks: tuple[tuple[str, Callable[[SiteUnderReview], Check]], ...] = (
        ("folder", _permissions),
        ("certificates", _certificates),
        ("database", _database),
        ("disk", _space),
        ("objects", _objects),
        ("staging", _staging),
        ("doors", _doors),
        ("plaintext", _plaintext),
        ("nodes", _nodes),
        ("policy", _policy),
        ("sandbox", _sandbox),
        ("quarantine", _quarantine),
        ("deliveries", _deliveries),
        ("ledger", _ledger),
    )
    for name, check in checks:
        if name == "ledger" and not site.verifies_ledger:
            continue
        try:
            yield check(site)
        except LeadglassError as error:
            yield Check(name, State.UNKNOWN, error.message, error.hint)
        except (OSError, sqlite3.Error) as error:
            yield Check(name, State.UNKNOWN, f"Could not look: {error}.", "Check the user leadglass runs under.")


def worst(checks: list[Check]) -> State:
    """Give the state of the whole: fail over unknown over warn over ok."""
    states = {check.state for check in checks}
    return next((state for state in (State.FAIL, State.UNKNOWN, State.WARN) if state in states), State.OK)


def _permissions(site: SiteUnderReview) -> Check:
    open_to_others = [path for path in site.secrets if path.exists() and _mode(path) & 0o077]
    if open_to_others:
        names = ", ".join(str(path.relative_to(site.folder)) for path in open_to_others)
        paths = " ".join(str(path) for path in open_to_others)
        return Check("folder", State.FAIL, f"Others on this machine may read {names}.", f"chmod 600 {paths}")
    if _mode(site.folder) & 0o077:
        detail = "Others on this machine may look into the folder; what lies there is encrypted."
        return Check("folder", State.WARN, detail, f"chmod 700 {site.folder}")
    return Check("folder", State.OK, "Only its owner can read it.")


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _certificates(site: SiteUnderReview) -> Check:
    now = datetime.fromtimestamp(site.clock.now_us() / 1e6, UTC)
    soonest: tuple[datetime, str] | None = None
    for path in site.certificates:
        if not path.exists():
            detail = f"{path.name} is missing."
            return Check("certificates", State.FAIL, detail, "Restore it from the last back-up of the site's folder.")
        certificate = describe(path.read_bytes())
        if now < certificate.not_before:
            detail = f"{path.name} is not valid before {certificate.not_before:%Y-%m-%d}."
            return Check("certificates", State.FAIL, detail, "Check this machine's clock.")
        if soonest is None or certificate.not_after < soonest[0]:
            soonest = certificate.not_after, path.name
    if soonest is None:
        return Check("certificates", State.UNKNOWN, "No certificate was found.", "Check the tls folder.")
    ends, name = soonest
    if ends <= now:
        detail = f"{name} expired on {ends:%Y-%m-%d}: nobody can connect."
        return Check("certificates", State.FAIL, detail, "Renew it; docs/guide/administrator.md says how.")
    if ends - now < CERTIFICATE_WARNING:
        detail = f"{name} expires on {ends:%Y-%m-%d}."
        return Check("certificates", State.WARN, detail, "Renew it; docs/guide/administrator.md says how.")
    return Check("certificates", State.OK, f"Valid; the first to end is {name}, on {ends:%Y-%m-%d}.")


def _database(site: SiteUnderReview) -> Check:
    counts = site.catalogue.counts()
    storage = site.config.storage
    if not storage.database_is_url:
        path = site.folder / storage.database
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
        try:
            (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        finally:
            connection.close()
        if answer != "ok":
            step = "Stop the hub, and restore the database from the last back-up that verifies."
            return Check("database", State.FAIL, f"The database is damaged: {answer}.", step)
    told = ", ".join(f"{name} {number}" for name, number in counts.items())
    return Check("database", State.OK, f"Sound: {told}.")


def _space(site: SiteUnderReview) -> Check:
    free = site.blobs.free_bytes()
    told = f"{max(0, free) / (1 << 30):.1f} GiB free beyond the reserve."
    if free <= 0:
        return Check("disk", State.FAIL, "Full: senders are refused (A700).", "Free space on the site's disk.")
    if free < SPACE_WARNING_BYTES:
        return Check("disk", State.WARN, told, "Free space, or move the storage, before senders are refused.")
    return Check("disk", State.OK, told)


def _objects(site: SiteUnderReview) -> Check:
    missing = seen = 0
    for record in site.catalogue.objects(ObjectState.ARCHIVED, limit=_SAMPLE):
        seen += 1
        try:
            site.blobs.size(record.object_id)
        except LeadglassError:
            missing += 1
    if missing:
        detail = f"{missing} of the {seen} newest objects are not in the storage."
        return Check("objects", State.FAIL, detail, "Run `leadglass verify --all`, and check [storage] blobs.")
    if not site.config.storage.blobs_is_url and not os.access(site.folder / site.config.storage.blobs, os.W_OK):
        return Check("objects", State.FAIL, "The storage folder cannot be written.", "Check who owns it.")
    return Check("objects", State.OK, "The storage answers." if seen else "The storage is empty and ready.")


def _staging(site: SiteUnderReview) -> Check:
    staged = len(site.blobs.staged())
    if not staged:
        return Check("staging", State.OK, "Empty.")
    if _answers(site.config.dicom.host, site.config.dicom.tls_port):
        return Check("staging", State.OK, f"{staged} objects are arriving.")
    detail = f"{staged} objects were arriving when the hub ended."
    return Check("staging", State.WARN, detail, "`leadglass serve` keeps or removes them at start.")


def _doors(site: SiteUnderReview) -> Check:
    config = site.config
    doors = [("DICOM over TLS", config.dicom.host, config.dicom.tls_port), ("web", config.web.host, config.web.port)]
    if config.dicom.plain_port is not None:
        doors.append(("DICOM without TLS", config.dicom.host, config.dicom.plain_port))
    doors = [door for door in doors if door[2]]
    answering = [name for name, host, port in doors if _answers(host, port)]
    taken = [
        f"{port} ({name})" for name, host, port in doors if name not in answering and not _is_free(host, int(port or 0))
    ]
    if taken:
        detail = f"Cannot be opened: port {', '.join(taken)}."
        return Check("doors", State.FAIL, detail, "Stop what uses it, or choose another port in leadglass.toml.")
    if not doors:
        return Check("doors", State.WARN, "Every door is closed, or on any free port.", "Set ports in leadglass.toml.")
    if not answering:
        return Check("doors", State.WARN, "The hub is not running; its ports are free.", "Start it: `leadglass serve`.")
    if len(answering) < len(doors):
        closed = ", ".join(name for name, _, _ in doors if name not in answering)
        return Check("doors", State.FAIL, f"Not answering: {closed}.", "Restart the hub, and look at its output.")
    return Check("doors", State.OK, f"Answering: {', '.join(answering)}.")


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 -- compared, not bound


def _answers(host: str, port: int | None) -> bool:
    if not port:
        return False
    try:
        socket.create_connection((_reachable(host), port), timeout=_CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def _is_free(host: str, port: int) -> bool:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port), family=family).close()
    except OSError:
        return False
    return True


def _plaintext(site: SiteUnderReview) -> Check:
    nodes = [node for node in site.catalogue.nodes() if node.plaintext and node.state is NodeState.APPROVED]
    open_to_all = [node.name for node in nodes if not node.addresses]
    if open_to_all:
        detail = f"Without TLS and from any address: {', '.join(open_to_all)}."
        return Check("plaintext", State.FAIL, detail, "Add each again with --address, or with a certificate.")
    names = ", ".join(node.name for node in nodes)
    if nodes:
        detail = f"Anybody on the network can read and alter what these nodes exchange: {names}."
        return Check("plaintext", State.WARN, detail, "Give them certificates as soon as they can take them.")
    if site.config.dicom.plain_port is not None:
        detail = "The plain port is open, and no node needs it."
        return Check("plaintext", State.WARN, detail, 'Set plain_port = "off" in leadglass.toml.')
    return Check("plaintext", State.OK, "No door and no node without TLS.")


def _nodes(site: SiteUnderReview) -> Check:
    nodes = site.catalogue.nodes()
    pending = [node.name for node in nodes if node.state is NodeState.PENDING]
    if pending:
        shown = ", ".join(pending[:5]) + (" …" if len(pending) > 5 else "")
        detail = f"{len(pending)} wait for approval: {shown}."
        return Check("nodes", State.WARN, detail, "`leadglass node list`, then approve or remove each.")
    return Check("nodes", State.OK, f"{len(nodes)} approved, none waits.")


def _policy(site: SiteUnderReview) -> Check:
    known = {node.name for node in site.catalogue.nodes() if node.state is NodeState.APPROVED} | {"IMPORT"}
    strangers = sorted(name for name in site.policy.node_names() - known if not name.startswith("web:"))
    findings = review(site.policy, now_us=site.clock.now_us())
    if strangers:
        detail = f"It names nodes that the site does not know: {', '.join(strangers)}."
        return Check("policy", State.WARN, detail, "Add them with `leadglass node add`, or correct policy.toml.")
    if findings:
        detail = " ".join(finding.claim for finding in findings[:3])
        return Check("policy", State.WARN, detail, "Permitted by policy.toml; see that it stays a choice.")
    return Check("policy", State.OK, f"{len(site.policy.routes)} routes; nothing unsafe passes.")


def _sandbox(_site: SiteUnderReview) -> Check:
    """Prove in a process of its own what inspection and decoding cannot do."""
    held = prove()
    if not held.limits:
        detail = "No process could be confined: inspection does not run here."
        return Check("sandbox", State.FAIL, detail, "Look whether this machine lets leadglass start processes.")
    if held.missing:
        detail = f"Inspection runs without these protections: {', '.join(held.missing)}."
        return Check("sandbox", State.WARN, detail, "They need Linux 5.13 or later, and a container that permits them.")
    return Check("sandbox", State.OK, "Inspection runs without files, network or other processes.")


def _quarantine(site: SiteUnderReview) -> Check:
    held = len(site.catalogue.objects(ObjectState.HELD, limit=_LISTED_MAX))
    conflicts = len(site.catalogue.objects(ObjectState.CONFLICT, limit=_LISTED_MAX))
    if held or conflicts:
        detail = f"{held} held, {conflicts} in conflict."
        return Check("quarantine", State.WARN, detail, "`leadglass quarantine list`, then release or discard each.")
    return Check("quarantine", State.OK, "Nothing waits for a decision.")


def _deliveries(site: SiteUnderReview) -> Check:
    waiting = site.catalogue.due_deliveries(site.clock.now_us() + _A_YEAR_US, limit=_LISTED_MAX)
    stuck = [delivery for delivery in waiting if delivery.attempts >= _STUCK_ATTEMPTS]
    if stuck:
        by_node = sorted({delivery.node for delivery in stuck})
        detail = f"{len(stuck)} objects do not get through to {', '.join(by_node)}: {stuck[0].error}"
        return Check("deliveries", State.WARN, detail, "Check that the node runs and knows this hub.")
    return Check("deliveries", State.OK, f"{len(waiting)} on their way, none stuck." if waiting else "Nothing waits.")


def _ledger(site: SiteUnderReview) -> Check:
    try:
        count = site.catalogue.verify_ledger()
    except IntegrityError as error:
        step = "Keep the folder as it is, and compare with the last back-up."
        return Check("ledger", State.FAIL, error.message, error.hint or step)
    return Check("ledger", State.OK, f"Whole: {count} entries, none changed, none missing.")
