"""Forward, Hold or Reject: one total function from the written policy and what inspection found.

There is no fourth outcome: an object is never dropped in silence. Reasons are sentences for a person; they say what
was found and where, and never hold patient data (finding claims do not).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, assert_never

from leadglass.finding import Assessed, Finding, Inspection, NotAssessed
from leadglass.gateway.policy import Action, Policy, Route
from leadglass.malware.verdict import Verdict, verdict_of

STATUS_NOT_AUTHORIZED: Final = 0x0124
"""Refused: Not Authorized (PS3.7 §9.1.1.1.9): the site's policy does not take this object."""

STATUS_CANNOT_UNDERSTAND: Final = 0xC000
"""Error: Cannot Understand (PS3.4 table B.2-1): inspection could not read it, so sending it again will not help."""

FINDINGS_TOLD_MAX: Final = 3
"""Findings named in a reason; the rest are counted and stand in the object's record."""


@dataclass(frozen=True, slots=True)
class Forward:
    """Archive it and send it on. `break_glass` names the exception that let it pass, for the record."""

    destinations: tuple[str, ...]
    route: str = ""
    break_glass: str | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """Seal it under the quarantine key until a person decides; `destinations` are where a release would send it."""

    reason: str
    route: str = ""
    destinations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse it with a DICOM status; only the record stays."""

    reason: str
    status: int
    route: str = ""


Decision = Forward | Hold | Reject


def decide(
    policy: Policy,
    source_node: str,
    sop_class: str,
    modality: str,
    inspection: Inspection,
    verdict: Verdict,
    *,
    now_us: int,
) -> Decision:
    """Decide about one object; `now_us` (microseconds since 1970 UTC) is what break-glass entries are held against."""
    route = policy.route_for(source_node, sop_class, modality)
    if route is None:
        # The modality is a stranger's text: it is shown only where it looks like one (PS3.5 VR CS).
        what = f"{modality} objects from {source_node}" if modality.isalnum() and len(modality) <= 16 else source_node
        return Hold(f"No route of the policy takes {what}. Add one to policy.toml, then release the object.")
    by_verdict = _verdict_action(route, inspection, verdict)
    by_class = _class_action(route, inspection.findings)
    match max(by_verdict, by_class):
        case Action.FORWARD:
            return Forward(route.forward_to, route.name)
        case Action.HOLD:
            if by_class is not Action.HOLD:
                for exception in policy.break_glass:
                    if exception.covers(source_node, verdict, now_us):
                        return Forward(route.forward_to, route.name, exception.name)
            return Hold(_reason(route, inspection, verdict, "holds"), route.name, route.forward_to)
        case Action.REJECT:
            not_read = verdict is Verdict.NOT_ASSESSED
            status = STATUS_CANNOT_UNDERSTAND if not_read else STATUS_NOT_AUTHORIZED
            return Reject(_reason(route, inspection, verdict, "rejects"), status, route.name)
        case unreachable:
            assert_never(unreachable)


def _verdict_action(route: Route, inspection: Inspection, verdict: Verdict) -> Action:
    """Give the action for the verdict, taken over the findings that no class rule of the route names."""
    match inspection:
        case NotAssessed():
            # What was not read may hold anything: whatever else is known, the answer is never milder than this.
            return max(route.on.not_assessed, _action_on(route, verdict))
        case Assessed(findings):
            unnamed = tuple(finding for finding in findings if finding.cls not in route.classes)
            return _action_on(route, verdict if len(unnamed) == len(findings) else verdict_of(Assessed(unnamed)))
        case unreachable:
            assert_never(unreachable)


def _action_on(route: Route, verdict: Verdict) -> Action:
    match verdict:
        case Verdict.CLEAN:
            return route.on.clean
        case Verdict.SUSPICIOUS:
            return route.on.suspicious
        case Verdict.MALICIOUS:
            return route.on.malicious
        case Verdict.NOT_ASSESSED:
            return route.on.not_assessed
        case unreachable:
            assert_never(unreachable)


def _class_action(route: Route, findings: Sequence[Finding]) -> Action:
    """Give the strictest class rule that a finding meets."""
    return max((route.classes[f.cls] for f in findings if f.cls in route.classes), default=Action.FORWARD)


def _reason(route: Route, inspection: Inspection, verdict: Verdict, does: str) -> str:
    match inspection:
        case NotAssessed(why, findings):
            told = [f"Inspection could not tell: {_sentence(why)}", *_told(findings)]
        case Assessed(findings):
            told = _told(findings) or ["Nothing was found."]
        case unreachable:
            assert_never(unreachable)
    rules = sorted({f.cls for f in inspection.findings if route.classes.get(f.cls, Action.FORWARD) > Action.FORWARD})
    kinds = f" and findings of class {', '.join(rules)}" if rules else ""
    return " ".join([*told, f'Route "{route.name}" {does} {verdict.value} objects{kinds}.'])


def _told(findings: Sequence[Finding]) -> list[str]:
    worst_first = sorted(findings, key=lambda finding: -finding.severity)
    told = [f"{_sentence(finding.claim)[:-1]}{_where(finding)}." for finding in worst_first[:FINDINGS_TOLD_MAX]]
    if (more := len(findings) - len(told)) > 0:
        told.append(f"{more} more finding{'s' if more > 1 else ''}.")
    return told


def _sentence(text: str) -> str:
    return text.rstrip(". ") + "."


def _where(finding: Finding) -> str:
    places = []
    if finding.element is not None:
        places.append(f"element {finding.element}")
    if finding.offset is not None:
        places.append(f"byte {finding.offset}")
    return f" ({', '.join(places)})" if places else ""
