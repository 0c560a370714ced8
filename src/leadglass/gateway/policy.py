"""The written policy: `policy.toml` becomes one frozen `Policy`, an ordered list of routes with closed matchers.

The first route that matches an object decides about it; an object that matches none is held. Nothing is skipped:
one wrong key anywhere refuses the whole file, because a rule that silently does nothing lets traffic through.
A running hub reads a changed file again and keeps the last good one while the new one is wrong (`edge/policy_file.py`).
Matchers compare names and lists; there is no expression to evaluate. `docs/spec/policy.md` is the specification.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final

from leadglass.dicom.syntaxes import STORAGE_SOP_CLASSES
from leadglass.dicom.values import UID
from leadglass.errors import PeerError
from leadglass.finding import Finding, Severity
from leadglass.gateway.feed import is_key
from leadglass.malware.verdict import Verdict
from leadglass.table import Table, parse_toml

ANY: Final = "*"
"""Matches every source."""

WEB: Final = "web:"
"""Begins the source of what an account posts over DICOMweb (web:NAME); `web:*` in a policy is every account."""

BREAK_GLASS_DAYS_MAX: Final = 7
"""An emergency that lasts longer is a new policy, decided in daylight."""

_MODALITY: Final = re.compile(r"[A-Z0-9_ ]{1,16}")
_CLASS: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_SOP_CLASS_UIDS: Final = {name.casefold(): uid for uid, name in STORAGE_SOP_CLASSES.items()}


class Action(IntEnum):
    """What a route does with an object; ordered, the strictest last."""

    FORWARD = 0
    """Archive it and send it to the route's destinations."""
    HOLD = 1
    """Seal it under the quarantine key until a person decides; C-STORE answers C1A0H, never success, for only what is
    archived is the hub's to keep."""
    REJECT = 2
    """Refuse it with a DICOM status and keep nothing but the record."""


@dataclass(frozen=True, slots=True)
class VerdictActions:
    """One action for each verdict. The defaults fail closed: only what was inspected and found clean passes."""

    malicious: Action = Action.HOLD
    suspicious: Action = Action.HOLD
    not_assessed: Action = Action.HOLD
    clean: Action = Action.FORWARD


@dataclass(frozen=True, slots=True)
class Route:
    """One rule. An empty matcher matches everything; `number` is its place in the file, from 1."""

    number: int
    name: str
    sources: frozenset[str] = frozenset()
    sop_classes: frozenset[str] = frozenset()
    modalities: frozenset[str] = frozenset()
    forward_to: tuple[str, ...] = ()
    on: VerdictActions = VerdictActions()
    classes: Mapping[str, Action] = field(default_factory=dict)

    def matches(self, source_node: str, sop_class: str, modality: str) -> bool:
        """Tell whether this route is the one for an object."""
        return (
            _takes(self.sources, source_node)
            and (not self.sop_classes or sop_class in self.sop_classes)
            and (not self.modalities or modality in self.modalities)
        )


@dataclass(frozen=True, slots=True)
class BreakGlass:
    """A named and dated exception: between two moments, what would be held for these verdicts is forwarded.

    It never covers a malicious object (a person can release one by name) and never turns a Reject.
    """

    name: str
    signed_by: str
    reason: str
    begins: datetime
    ends: datetime
    verdicts: frozenset[Verdict]
    sources: frozenset[str] = frozenset()

    def covers(self, source_node: str, verdict: Verdict, now_us: int) -> bool:
        """Tell whether the exception stands for an object at a moment (microseconds since 1970 UTC)."""
        begins_us, ends_us = (round(moment.timestamp()) * 1_000_000 for moment in (self.begins, self.ends))
        in_time = begins_us <= now_us < ends_us
        return in_time and verdict in self.verdicts and _takes(self.sources, source_node)


@dataclass(frozen=True, slots=True)
class Policy:
    """A site's whole written policy."""

    routes: tuple[Route, ...]
    break_glass: tuple[BreakGlass, ...] = ()
    feed_keys: frozenset[str] = frozenset()
    """The public keys whose feeds (rules, advisories) the site takes in."""

    def route_for(self, source_node: str, sop_class: str, modality: str) -> Route | None:
        """Give the first route that matches, None when no rule takes the object."""
        for route in self.routes:
            if route.matches(source_node, sop_class, modality):
                return route
        return None

    def node_names(self) -> frozenset[str]:
        """Give every node the policy names, for a check against the nodes the site knows."""
        named = {name for route in self.routes for name in (*route.sources, *route.forward_to)}
        named = named.union(*(exception.sources for exception in self.break_glass))
        return frozenset(name for name in named if not name.startswith(WEB))


def parse_policy(text: str) -> Policy:
    """Read the text of `policy.toml`. Raises ConfigurationError naming the key and the next step."""
    root = parse_toml(text, file="policy.toml")
    routes = tuple(_route(number, table) for number, table in enumerate(root.tables("route"), 1))
    break_glass = tuple(_break_glass(table) for table in root.tables("break_glass"))
    feed_keys = _feed_keys(root.table("feeds"))
    root.finish()
    if not routes:
        raise root.error("route", "is missing", 'Write at least one [[route]] with a name and from = "*".')
    _refuse_repeats(root, "route", [route.name for route in routes])
    _refuse_repeats(root, "break_glass", [exception.name for exception in break_glass])
    _refuse_unreachable(root, routes)
    return Policy(routes, break_glass, feed_keys)


def review(policy: Policy, *, now_us: int) -> tuple[Finding, ...]:
    """Give findings about what a policy lets through: permitted by the site, and shown so that it stays a choice."""
    return tuple(_open_routes(policy)) + tuple(
        Finding(
            id="LG-POL-002",
            cls="policy",
            severity=Severity.HIGH,
            claim=f'Break-glass "{exception.name}", signed by {exception.signed_by}, stands until '
            f"{exception.ends.isoformat()}: {', '.join(sorted(exception.verdicts))} objects are forwarded.",
            control="DCM-INSPECT",
        )
        for exception in policy.break_glass
        if any(exception.covers(next(iter(exception.sources), ""), verdict, now_us) for verdict in exception.verdicts)
    )


def _takes(sources: frozenset[str], source_node: str) -> bool:
    return not sources or source_node in sources or (source_node.startswith(WEB) and WEB + ANY in sources)


def _open_routes(policy: Policy) -> Iterator[Finding]:
    severities = {"malicious": Severity.CRITICAL, "suspicious": Severity.MEDIUM, "not_assessed": Severity.HIGH}
    for route in policy.routes:
        for verdict, severity in severities.items():
            if getattr(route.on, verdict) is Action.FORWARD:
                claim = f'Route "{route.name}" forwards objects whose verdict is {verdict.replace("_", "-")}.'
                yield Finding(id="LG-POL-001", cls="policy", severity=severity, claim=claim, control="DCM-INSPECT")
        for cls, action in route.classes.items():
            if action is Action.FORWARD:
                claim = f'Route "{route.name}" forwards objects with a finding of class {cls}.'
                yield Finding(
                    id="LG-POL-001", cls="policy", severity=Severity.MEDIUM, claim=claim, control="DCM-INSPECT"
                )


def _route(number: int, table: Table) -> Route:
    default = VerdictActions()
    on = table.table("on")
    actions = VerdictActions(
        malicious=_action(on, "malicious", default.malicious),
        suspicious=_action(on, "suspicious", default.suspicious),
        not_assessed=_action(on, "not_assessed", default.not_assessed),
        clean=_action(on, "clean", default.clean),
    )
    on.finish()
    route = Route(
        number=number,
        name=table.text("name", longest=100),
        sources=_sources(table),
        sop_classes=frozenset(_sop_class_uid(table, written) for written in _listed(table, "sop_class")),
        modalities=frozenset(_modality(table, written) for written in _listed(table, "modality")),
        forward_to=tuple(table.checked_ae_title("forward_to", name) for name in table.texts("forward_to")),
        on=actions,
        classes=_classes(table.table("class")),
    )
    table.finish()
    return route


def _break_glass(table: Table) -> BreakGlass:
    begins, ends = _moment(table, "begins"), _moment(table, "ends")
    verdicts = table.texts("verdicts")
    allowed = {"suspicious": Verdict.SUSPICIOUS, "not_assessed": Verdict.NOT_ASSESSED}
    if not verdicts or not set(verdicts) <= set(allowed):
        hint = 'Write verdicts = ["not_assessed"]. A malicious object is released by a person, one by one.'
        raise table.error("verdicts", 'must list "suspicious", "not_assessed" or both', hint)
    exception = BreakGlass(
        name=table.text("name", longest=100),
        signed_by=table.text("signed_by", longest=100),
        reason=table.text("reason", longest=400),
        begins=begins,
        ends=ends,
        verdicts=frozenset(allowed[verdict] for verdict in verdicts),
        sources=_sources(table),
    )
    if not begins < ends <= begins + timedelta(days=BREAK_GLASS_DAYS_MAX):
        hint = "For anything longer, change the routes: break-glass is for an emergency."
        raise table.error("ends", f"must come after begins, by at most {BREAK_GLASS_DAYS_MAX} days", hint)
    table.finish()
    return exception


def _feed_keys(table: Table) -> frozenset[str]:
    keys = table.texts("trusted")
    for key in keys:
        if not is_key(key):
            hint = 'Write trusted = ["ed25519:…"], as `leadglass feeds key` prints it.'
            raise table.error("trusted", f'cannot hold "{key}"', hint)
    table.finish()
    return frozenset(keys)


def _action(table: Table, key: str, default: Action) -> Action:
    return Action[table.choice(key, default.name.lower(), [action.name.lower() for action in Action]).upper()]


def _classes(table: Table) -> Mapping[str, Action]:
    for cls in table.names():
        if _CLASS.fullmatch(cls) is None:
            hint = "Write it as findings print it, for instance trailing or ts_lie."
            raise table.error(cls, "is not a class of findings", hint)
    return {cls: _action(table, cls, Action.HOLD) for cls in table.names()}


def _sources(table: Table) -> frozenset[str]:
    """Read `from`; it is required, so that a route for everybody says so."""
    value = table.value("from")
    if value == ANY:
        return frozenset()
    names = _listed(table, "from")
    if not names:
        raise table.error("from", "is missing", 'Write from = "*" for every node, or from = ["CT1", "MR1"].')
    if ANY in names:
        raise table.error("from", 'mixes "*" with names', 'Write from = "*" alone: it covers every node.')
    return frozenset(name if _is_web(name) else table.checked_ae_title("from", name) for name in names)


def _is_web(name: str) -> bool:
    return name.startswith(WEB) and len(WEB) < len(name) <= len(WEB) + 64


def _listed(table: Table, key: str) -> tuple[str, ...]:
    """Read one text or a list of texts; a list that is there and empty would match nothing, or everything: refuse."""
    value = table.value(key)
    if isinstance(value, str):
        return (table.text(key),)
    if value == []:
        raise table.error(key, "is an empty list", f"Remove the line {key} to match everything, or name something.")
    return table.texts(key)


def _sop_class_uid(table: Table, written: str) -> str:
    """Take a SOP class as a UID or under its name in PS3.6 Annex A."""
    if (uid := _SOP_CLASS_UIDS.get(written.casefold())) is not None:
        return uid
    try:
        return UID.parse(written, strict=True)
    except PeerError:
        near = difflib.get_close_matches(written.casefold(), _SOP_CLASS_UIDS, n=1)
        name = STORAGE_SOP_CLASSES[_SOP_CLASS_UIDS[near[0]]] if near else "CT Image Storage"
        hint = f'Write a UID, or a name of PS3.6 Annex A such as "{name}".'
        raise table.error("sop_class", f'cannot be "{written}"', hint) from None


def _modality(table: Table, written: str) -> str:
    if _MODALITY.fullmatch(written) is None:
        raise table.error("modality", f'cannot be "{written}"', 'Write it as in (0008,0060): "CT", "MR", "US".')
    return written


def _moment(table: Table, key: str) -> datetime:
    value = table.value(key)
    if not isinstance(value, datetime) or value.tzinfo is None:
        hint = f"Write {key} = 2026-03-01T22:00:00+01:00, without quotes and with the zone."
        raise table.error(key, "must be a date and time with a zone", hint)
    return value


def _refuse_repeats(root: Table, key: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise root.error(key, f'has two entries named "{name}"', "Names are printed in records: make each unique.")


def _refuse_unreachable(root: Table, routes: tuple[Route, ...]) -> None:
    """Refuse a route an earlier one hides whole: a person who wrote it believes that it works."""
    for later in routes:
        for earlier in routes[: later.number - 1]:
            if all(
                not above or (below and below <= above)
                for above, below in (
                    (earlier.sources, later.sources),
                    (earlier.sop_classes, later.sop_classes),
                    (earlier.modalities, later.modalities),
                )
            ):
                problem = f'"{later.name}" can never match: "{earlier.name}" above it takes everything it takes'
                raise root.error(f"route[{later.number}]", problem, "Put the narrower route first, or remove one.")
