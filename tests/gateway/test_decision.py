"""A decision is total, fails closed, and gives its reason to a person."""

from __future__ import annotations

import itertools

import pytest

from leadglass.finding import Assessed, Finding, Inspection, NotAssessed, Severity
from leadglass.gateway.decision import Decision, Forward, Hold, Reject, decide
from leadglass.gateway.policy import Action, parse_policy
from leadglass.malware.verdict import Verdict, verdict_of

CT = "1.2.840.10008.5.1.4.1.1.2"
NOW_US = 1_772_400_000_000_000
GLASS = """
[[break_glass]]
name = "night"
signed_by = "Dr A."
reason = "upgrade"
verdicts = ["not_assessed", "suspicious"]
from = ["CT1"]
begins = 2026-03-01T20:00:00+01:00
ends = 2026-03-02T08:00:00+01:00
"""

TRAILING = Finding("LG-TRL-001", "trailing", Severity.MEDIUM, "Bytes follow the data set.", offset=900)
SCRIPT = Finding("LG-PRE-005", "script_preamble", Severity.CRITICAL, "The file begins like a script.", offset=0)
LIE = Finding("LG-STR-003", "ts_lie", Severity.MEDIUM, "It is not in the syntax it declares", element="(0002,0010)")
ODD = Finding("LG-STR-031", "disorder", Severity.LOW, "An element comes after one with a higher tag.", offset=300)

CLEAN = Assessed()
SUSPICIOUS = Assessed((ODD, TRAILING))
MALICIOUS = Assessed((TRAILING, SCRIPT))
UNREAD = NotAssessed("the data set ends inside an element", (ODD,))
UNREAD_MALICIOUS = NotAssessed("the data set ends inside an element", (SCRIPT,))


def run(tail: str, inspection: Inspection, *, source: str = "CT1", now_us: int = NOW_US) -> Decision:
    policy = parse_policy('[[route]]\nname = "all"\nfrom = ["CT1", "CT2"]\nforward_to = ["PACS", "AI"]\n' + tail)
    return decide(policy, source, CT, "CT", inspection, verdict_of(inspection), now_us=now_us)


@pytest.mark.parametrize(
    ("inspection", "expected"),
    [(CLEAN, Forward), (SUSPICIOUS, Hold), (MALICIOUS, Hold), (UNREAD, Hold), (UNREAD_MALICIOUS, Hold)],
)
def test_a_policy_that_says_nothing_fails_closed(inspection: Inspection, expected: type) -> None:
    assert type(run("", inspection)) is expected


def test_every_action_a_policy_writes_for_a_verdict_is_taken() -> None:
    outcomes = {Action.FORWARD: Forward, Action.HOLD: Hold, Action.REJECT: Reject}
    cases = (("clean", CLEAN), ("suspicious", SUSPICIOUS), ("malicious", MALICIOUS), ("not_assessed", UNREAD))
    for (key, inspection), action in itertools.product(cases, Action):
        assert type(run(f'[route.on]\n{key} = "{action.name.lower()}"', inspection)) is outcomes[action], (key, action)


def test_forwarding_names_the_route_and_its_destinations() -> None:
    assert run("", CLEAN) == Forward(("PACS", "AI"), "all")


def test_an_object_that_no_route_takes_is_held() -> None:
    decision = run("", CLEAN, source="US1")
    assert isinstance(decision, Hold)
    assert decision.reason.startswith("No route of the policy takes CT objects from US1.")


def test_a_strangers_modality_is_not_shown_unless_it_looks_like_one() -> None:
    policy = parse_policy('[[route]]\nname = "all"\nfrom = "A"')
    decision = decide(policy, "US1", CT, "DUPONT^JEAN", CLEAN, Verdict.CLEAN, now_us=0)
    assert isinstance(decision, Hold) and "DUPONT" not in decision.reason


@pytest.mark.parametrize(
    ("rules", "inspection", "expected"),
    [
        ('trailing = "reject"', SUSPICIOUS, Reject),
        ('trailing = "forward"', SUSPICIOUS, Forward),
        ('trailing = "forward"', MALICIOUS, Hold),
        ('trailing = "forward"\nscript_preamble = "forward"', MALICIOUS, Forward),
        ('trailing = "forward"\nscript_preamble = "reject"', MALICIOUS, Reject),
        ('trailing = "forward"', Assessed((TRAILING, LIE)), Hold),
        ('disorder = "hold"', Assessed((ODD,)), Hold),
        ('disorder = "forward"', UNREAD, Hold),
        ('disorder = "reject"', UNREAD, Reject),
        ('script_preamble = "forward"', UNREAD_MALICIOUS, Hold),
        ('nesting = "reject"', SUSPICIOUS, Hold),
    ],
)
def test_class_rules_speak_for_the_findings_they_name_and_the_strictest_wins(
    rules: str, inspection: Inspection, expected: type
) -> None:
    assert type(run(f"[route.class]\n{rules}", inspection)) is expected


def test_an_unread_object_is_never_answered_more_mildly_than_not_assessed() -> None:
    assert type(run('[route.on]\nmalicious = "forward"', UNREAD_MALICIOUS)) is Hold
    assert type(run('[route.on]\nmalicious = "forward"\nnot_assessed = "reject"', UNREAD_MALICIOUS)) is Reject
    policy = parse_policy('[[route]]\nname = "all"\nfrom = "*"')
    assert type(decide(policy, "CT1", CT, "CT", UNREAD, Verdict.CLEAN, now_us=0)) is Hold


@pytest.mark.parametrize(
    ("tail", "inspection", "source", "now_us", "expected"),
    [
        ("", UNREAD, "CT1", NOW_US, Forward(("PACS", "AI"), "all", "night")),
        ("", SUSPICIOUS, "CT1", NOW_US, Forward(("PACS", "AI"), "all", "night")),
        ("", CLEAN, "CT1", NOW_US, Forward(("PACS", "AI"), "all")),
        ("", MALICIOUS, "CT1", NOW_US, None),
        ("", UNREAD_MALICIOUS, "CT1", NOW_US, None),
        ("", UNREAD, "CT2", NOW_US, None),
        ("", UNREAD, "CT1", NOW_US + 86_400_000_000, None),
        ('[route.class]\ntrailing = "hold"', SUSPICIOUS, "CT1", NOW_US, None),
        ('[route.on]\nnot_assessed = "reject"', UNREAD, "CT1", NOW_US, None),
    ],
)
def test_break_glass_turns_only_a_hold_of_its_own_verdicts(
    tail: str, inspection: Inspection, source: str, now_us: int, expected: Decision | None
) -> None:
    decision = run(tail + GLASS, inspection, source=source, now_us=now_us)
    if expected is None:
        assert not isinstance(decision, Forward)
    else:
        assert decision == expected


def test_a_hold_says_what_was_found_and_where_worst_first() -> None:
    decision = run("", Assessed((ODD, LIE, TRAILING, SCRIPT)))
    assert decision == Hold(
        "The file begins like a script (byte 0). It is not in the syntax it declares (element (0002,0010)). "
        'Bytes follow the data set (byte 900). 1 more finding. Route "all" holds malicious objects.',
        "all",
        ("PACS", "AI"),
    )


def test_a_hold_by_a_class_rule_says_so() -> None:
    decision = run('[route.class]\ndisorder = "hold"', Assessed((ODD,)))
    assert isinstance(decision, Hold)
    assert decision.reason.endswith('Route "all" holds clean objects and findings of class disorder.')


@pytest.mark.parametrize(
    ("inspection", "status"), [(UNREAD, 0xC000), (SUSPICIOUS, 0x0124), (UNREAD_MALICIOUS, 0x0124), (CLEAN, 0x0124)]
)
def test_a_reject_carries_the_status_for_the_sender(inspection: Inspection, status: int) -> None:
    every = '[route.on]\nclean = "reject"\nsuspicious = "reject"\nmalicious = "reject"\nnot_assessed = "reject"'
    decision = run(every, inspection)
    assert isinstance(decision, Reject)
    assert decision.status == status
    assert decision.reason.endswith("objects.")
