"""The written policy: what it says is what happens, one wrong key refuses it whole, and its specification is true."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest

from leadglass.errors import ConfigurationError
from leadglass.finding import Severity
from leadglass.gateway.policy import Action, Policy, VerdictActions, parse_policy, review
from leadglass.malware.verdict import Verdict

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
SPECIFICATION = Path(__file__).parents[2] / "docs/spec/policy.md"
DEFAULT = files("leadglass").joinpath("content/policies/default.toml").read_text(encoding="utf-8")
EVERYTHING = '[[route]]\nname = "all"\nfrom = "*"\n'
GLASS = """
[[break_glass]]
name = "night"
signed_by = "Dr A."
reason = "upgrade"
verdicts = ["not_assessed"]
from = "*"
begins = 2026-03-01T20:00:00+01:00
ends = 2026-03-02T08:00:00Z
"""
BEGINS_US = 1_772_391_600_000_000
ENDS_US = 1_772_438_400_000_000


def specification_examples() -> list[str]:
    return re.findall(r"```toml\n(.*?)```", SPECIFICATION.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("example", specification_examples())
def test_every_example_of_the_specification_is_a_policy(example: str) -> None:
    assert parse_policy(example).routes


def test_the_specification_has_its_examples() -> None:
    assert len(specification_examples()) == 6


def test_the_policy_of_a_new_site_fails_closed() -> None:
    (route,) = parse_policy(DEFAULT).routes
    assert route.on == VerdictActions() == VerdictActions(Action.HOLD, Action.HOLD, Action.HOLD, Action.FORWARD)
    assert route.matches("ANY", CT, "CT") and route.forward_to == () and not route.classes
    assert review(parse_policy(DEFAULT), now_us=0) == ()


ROUTES = f"""
[[route]]
name = "ct"
from = ["CT1", "CT2"]
sop_class = ["ct image storage", "1.2.3"]
forward_to = ["PACS"]
[[route]]
name = "mr"
from = "MR1"
modality = "MR"
[[route]]
name = "any ct"
from = "*"
sop_class = "{CT}"
"""


@pytest.mark.parametrize(
    ("source", "sop_class", "modality", "name"),
    [
        ("CT1", CT, "CT", "ct"),
        ("CT2", "1.2.3", "", "ct"),
        ("CT1", MR, "MR", None),
        ("MR1", MR, "MR", "mr"),
        ("MR1", MR, "OT", None),
        ("MR1", CT, "CT", "any ct"),
        ("US1", CT, "", "any ct"),
        ("ct1", "1.2.3", "CT", None),
        ("US1", MR, "MR", None),
    ],
)
def test_the_first_route_whose_matchers_all_match_decides(
    source: str, sop_class: str, modality: str, name: str | None
) -> None:
    route = parse_policy(ROUTES).route_for(source, sop_class, modality)
    assert (None if route is None else route.name) == name


def test_what_accounts_post_has_a_source_of_its_own() -> None:
    text = '[[route]]\nname = "one"\nfrom = "web:Dr Élise Martin"\n[[route]]\nname = "web"\nfrom = "web:*"\n'
    policy = parse_policy(text + ROUTES)
    names = [policy.route_for(source, CT, "CT") for source in ("web:Dr Élise Martin", "web:bob", "US1")]
    assert [route.name if route else None for route in names] == ["one", "web", "any ct"]
    assert policy.node_names() == {"CT1", "CT2", "MR1", "PACS"}


def test_a_policy_tells_every_node_it_names() -> None:
    policy = parse_policy(ROUTES + GLASS.replace('"*"', '["US9"]'))
    assert policy.node_names() == {"CT1", "CT2", "MR1", "PACS", "US9"}


def test_actions_are_read_as_written() -> None:
    text = EVERYTHING + (
        '[route.on]\nmalicious = "reject"\nsuspicious = "forward"\nnot_assessed = "reject"\nclean = "hold"\n'
        '[route.class]\ntrailing = "reject"\nts_lie = "forward"\nnesting = "hold"\n'
    )
    (route,) = parse_policy(text).routes
    assert route.on == VerdictActions(Action.REJECT, Action.FORWARD, Action.REJECT, Action.HOLD)
    assert route.classes == {"trailing": Action.REJECT, "ts_lie": Action.FORWARD, "nesting": Action.HOLD}


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ("", "route", "[[route]]"),
        ("[route]\nname = 'x'", "route", "[[route]]"),
        ("[[route]]\nfrom = '*'", "route[1].name", "name ="),
        ("[[route]]\nname = 'x'", "route[1].from", 'from = "*"'),
        ("[[route]]\nname = 'x'\nfrom = []", "route[1].from", "Remove"),
        ("[[route]]\nname = 'x'\nfrom = ['*', 'A']", "route[1].from", "alone"),
        ("[[route]]\nname = 'x'\nfrom = 'A\\B'", "route[1].from", "backslash"),
        ("[[route]]\nname = 'x'\nfrom = 3", "route[1].from", "["),
        ("[[route]]\nname = 'x'\nfrom = 'web:'\nzzz = 1", "route[1].zzz", "Remove"),
        (EVERYTHING + "modality = 'ct'", "route[1].modality", "(0008,0060)"),
        (EVERYTHING + "modality = []", "route[1].modality", "match everything"),
        (EVERYTHING + "sop_class = 'CT Image Storag'", "route[1].sop_class", "CT Image Storage"),
        (EVERYTHING + "sop_class = '1.02.3'", "route[1].sop_class", "UID"),
        (EVERYTHING + "forward_to = ['']", "route[1].forward_to", "["),
        (EVERYTHING + "forward_to = ['SEVENTEEN_LETTERS']", "route[1].forward_to", "1 to 16"),
        (EVERYTHING + "foward_to = ['PACS']", "route[1].foward_to", "Did you mean forward_to?"),
        (EVERYTHING + "[route.on]\nmalicius = 'hold'", "route[1].on.malicius", "Did you mean malicious?"),
        (EVERYTHING + "[route.on]\nclean = 'discard'", "route[1].on.clean", '"forward" or "hold" or "reject"'),
        (EVERYTHING + "[route.class]\ntrailing = 'drop'", "route[1].class.trailing", '"forward" or'),
        (EVERYTHING + "[route.class]\n'Trailing bytes' = 'hold'", "route[1].class.Trailing bytes", "as findings print"),
        (EVERYTHING + EVERYTHING, "route", "unique"),
        (EVERYTHING + "[[route]]\nname = 'y'\nfrom = 'A'", "route[2]", "narrower route first"),
        (EVERYTHING + "[[rout]]\nname = 'y'", "rout", "Did you mean route?"),
        (EVERYTHING + GLASS + GLASS, "break_glass", "unique"),
        (EVERYTHING + GLASS.replace('name = "night"', ""), "break_glass[1].name", "name ="),
        (EVERYTHING + GLASS.replace('"not_assessed"', '"malicious"'), "break_glass[1].verdicts", "one by one"),
        (EVERYTHING + GLASS.replace('"not_assessed"', ""), "break_glass[1].verdicts", "one by one"),
        (EVERYTHING + GLASS.replace('from = "*"', ""), "break_glass[1].from", 'from = "*"'),
        (EVERYTHING + GLASS.replace("+01:00", ""), "break_glass[1].begins", "zone"),
        (EVERYTHING + GLASS.replace("2026-03-01T20:00:00+01:00", '"tonight"'), "break_glass[1].begins", "quotes"),
        (EVERYTHING + GLASS.replace("03-02", "03-01T05:00:00Z#"), "break_glass[1].ends", "change the routes"),
        (EVERYTHING + GLASS.replace("03-02", "03-09"), "break_glass[1].ends", "change the routes"),
        (EVERYTHING + GLASS + "always = true", "break_glass[1].always", "Remove it"),
    ],
)
def test_one_wrong_key_refuses_the_whole_policy(text: str, key: str, hint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_policy(text)
    assert f"policy.toml: {key} " in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("now_us", "verdict", "source", "covers"),
    [
        (BEGINS_US, Verdict.NOT_ASSESSED, "CT1", True),
        (BEGINS_US - 1, Verdict.NOT_ASSESSED, "CT1", False),
        (ENDS_US - 1, Verdict.NOT_ASSESSED, "CT1", True),
        (ENDS_US, Verdict.NOT_ASSESSED, "CT1", False),
        (BEGINS_US, Verdict.SUSPICIOUS, "CT1", False),
        (BEGINS_US, Verdict.MALICIOUS, "CT1", False),
        (BEGINS_US, Verdict.NOT_ASSESSED, "CT2", False),
    ],
)
def test_break_glass_stands_for_its_verdicts_sources_and_time(
    now_us: int, verdict: Verdict, source: str, covers: bool
) -> None:
    (exception,) = parse_policy(EVERYTHING + GLASS.replace('"*"', '["CT1"]')).break_glass
    assert exception.covers(source, verdict, now_us) is covers


def test_what_a_policy_lets_through_stays_visible() -> None:
    text = EVERYTHING + '[route.on]\nmalicious = "forward"\n[route.class]\nts_lie = "forward"\n' + GLASS
    policy = parse_policy(text)
    found = review(policy, now_us=BEGINS_US)
    assert [finding.severity for finding in found] == [Severity.CRITICAL, Severity.MEDIUM, Severity.HIGH]
    assert 'Break-glass "night", signed by Dr A.' in found[2].claim and "not-assessed objects" in found[2].claim
    assert len(review(policy, now_us=ENDS_US)) == 2


def test_a_policy_is_frozen() -> None:
    policy = parse_policy(DEFAULT)
    assert isinstance(policy, Policy)
    with pytest.raises(AttributeError):
        policy.routes = ()  # type: ignore[misc]
