"""Everything the house can say is said in French and in English; what can be said is read from the code."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest
from tests.malware.rebuild.objects import disarmer

from leadglass.audit import AuditKind
from leadglass.console.messages import LANGUAGES, words
from leadglass.console.phrases import SENTENCE, phrases, say, say_all
from leadglass.edge.accounts import Role
from leadglass.edge.health import State
from leadglass.errors import Refused
from leadglass.finding import Assessed, Finding, NotAssessed, Severity
from leadglass.gateway.admission import RefusalCode
from leadglass.gateway.decision import Hold, Reject, decide
from leadglass.gateway.node import NodeState, Permission
from leadglass.gateway.policy import parse_policy
from leadglass.journeys.import_media import Fate
from leadglass.journeys.ports import ObjectState
from leadglass.malware.anatomy import FileInspector
from leadglass.malware.formats.pattern import Layer
from leadglass.malware.placement import Place
from leadglass.malware.rebuild.changes import change_findings
from leadglass.malware.verdict import verdict_of

from .sources import arguments, finding_codes, first_arguments, sentences

NARROW = "\u202f"
SPECIMENS = Path(__file__).parents[2] / "../shared/data/specimens"

SPEAKING = (
    *("malware/**/*.py", "gateway/decision.py", "gateway/admission.py", "journeys/[!v]*.py"),
    *("dicom/[!_p]*.py", "dicom/part10.py", "dicom/pdu.py"),
    *("edge/health.py", "edge/wire.py", "edge/listener.py", "edge/accounts.py", "edge/database_objects.py"),
    *("console/app.py", "console/desk.py", "console/door.py", "console/entrance.py"),
    *("console/page.py", "console/studies.py"),
)
"""The modules whose sentences reach a page: as reasons, findings, checks and refusals. `verify` speaks to the
command line alone."""

UNSEEN = {
    "Check its permissions, and the user leadglass runs under.",
    "Restore it from a backup, or make an account: `leadglass account add NAME --role admin`.",
    "Restore it from a backup, or move it away: `leadglass account add NAME --role admin` begins anew.",
    "An identifier is longer than {} bytes.",
    "The DICOM port {} on {} cannot be opened: {}.",
    "Choose another {} in leadglass.toml, or stop what uses it.",
    "{} has no cell in {}",
    'Write for example "(2005,xx0D) FL 4" or "(0029,xx10) OB|UN 1048576 csa".',
}
"""Set-up errors with exit code 2, a query's limit, and a bug of our own: none is ever a record or a page."""


def _shape(text: str) -> str:
    fields = string.Formatter().parse(text)
    return "".join(literal + ("" if name is None else "{}") for literal, name, _, _ in fields)


SHAPES = {_shape(shape).rstrip(". ") for shape in phrases(SENTENCE)}


def _has_words(sentence: str) -> bool:
    bare = sentence.rstrip(". ")
    pattern = re.compile(".*?".join(re.escape(part) for part in bare.split("{}")), re.DOTALL)
    return bare in SHAPES or any(pattern.fullmatch(shape) or bare in shape for shape in SHAPES)


@pytest.mark.parametrize("pattern", SPEAKING)
def test_every_sentence_of_the_rooms_has_words(pattern: str) -> None:
    found = sentences(pattern) - UNSEEN
    assert [sentence for sentence in sorted(found) if not _has_words(sentence)] == []


def test_every_claim_of_a_finding_has_words() -> None:
    claims = arguments("claim") | arguments("claim_text")
    assert len(claims) > 20, "the claims were not found"
    assert [claim for claim in sorted(claims) if not _has_words(claim)] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_code_has_a_name(language: str) -> None:
    speak = words(language)
    codes = {
        "finding": finding_codes(),
        "event": {kind.value for kind in AuditKind},
        "outcome": {outcome for outcome in arguments("outcome") if outcome[0] != "("}  # a tag, of another `note`
        | {code.value for code in RefusalCode}
        | {state.value for state in ObjectState},
        "check": {state.value for state in State},
        "check_name": first_arguments("edge/health.py", "Check"),
        "severity": {severity.name.lower() for severity in Severity},
        "state": {state.value for state in (*ObjectState, *NodeState)},
        "permission": {permission.value for permission in Permission},
        "role": {role.value for role in Role},
        "detail": {fate.value for fate in Fate},
    }
    assert len(codes["finding"]) > 60 and len(codes["outcome"]) > 40 and len(codes["check_name"]) > 10
    missing = {
        f"{section}.{code}" for section, known in codes.items() for code in known if not speak.has(section, code)
    }
    assert missing == set()


@pytest.mark.parametrize("section", ["like", "clause", "does", "verdict", "form", "doors", "tally", SENTENCE])
def test_phrases_have_the_blanks_of_their_shape(section: str) -> None:
    for phrase in phrases(section).values():
        for language, text in phrase.texts.items():
            blanks = {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
            is_flat = {kind for name, kind in phrase.kinds.items() if name not in blanks} <= {"plural", "n"}
            assert blanks <= phrase.kinds.keys() and is_flat, (language, phrase.shape)


def test_every_signature_has_a_name() -> None:
    from leadglass.malware.signatures import _MAGIC, _SHAPES, _TEXT, CARVED

    called = {row.called for rows in (_MAGIC, _SHAPES, _TEXT) for _, row in rows}
    assert called == phrases("like").keys()
    assert {row.called for row in CARVED.values()} == phrases("within").keys()
    assert {place.value.called for place in Place} == phrases("place").keys()
    assert {layer.value for layer in Layer} == phrases("packing").keys()


def test_french_is_set_as_french() -> None:
    for key, text in words("fr").table.items():
        assert not re.search(r"[ \u00a0][:;?!»]|«[ \u00a0]|'", text), key
    assert words("fr")("studies.none_found", q="x") == f"Aucun examen ne correspond à «{NARROW}x{NARROW}»."


@pytest.mark.parametrize(
    ("language", "number", "said"),
    [
        ("fr", 0, "0 octet suit"), ("fr", 1, "1 octet suit"), ("fr", 2, "2 octets suivent"),
        ("fr", 12345, f"12{NARROW}345 octets suivent"), ("en", 1, "1 byte follows"), ("en", 0, "0 bytes follow"),
        ("en", 12345, "12,345 bytes follow"),
    ],
)  # fmt: skip
def test_numbers_choose_their_noun(language: str, number: int, said: str) -> None:
    text = say(language, f"{number} bytes follow the data set.")
    assert text is not None and text.startswith(said)


def test_decimals_and_dates_are_written_as_french_writes_them() -> None:
    assert say("fr", "8.5 GiB free beyond the reserve.") == "8,5 Gio libres au-delà de la réserve."
    assert say("fr", "server.pem expires on 2026-03-09.") == "server.pem expire le 09/03/2026."


POLICY = parse_policy("""
[[route]]
name = "CT. and more"
from = ["CT1"]
[route.on]
not_assessed = "reject"
[route.class]
trailing = "hold"
""")
TRAILING = Finding("LG-TRL-001", "trailing", Severity.CRITICAL,
                   "70 bytes follow the data set, beginning like a ZIP archive.", 1234, 70)  # fmt: skip
NESTED = Finding("LG-STR-001", "truncated", Severity.MEDIUM, "The data set stops too early. (PS3.5 §7.1)", 900,
                 element="(0040,0275)[0].(0040,0007)")  # fmt: skip
DOUBLE = Finding("LG-STR-030", "duplicate_tag", Severity.MEDIUM,
                 "An element comes twice; programs differ in which they believe.", element="(0010,0020)")  # fmt: skip


def test_a_whole_reason_is_said_in_french() -> None:
    inspection = Assessed((TRAILING, NESTED, DOUBLE, DOUBLE))
    made = decide(POLICY, "CT1", "1.2", "CT", inspection, verdict_of(inspection), now_us=0)
    assert isinstance(made, Hold)
    said = say_all("fr", made.reason)
    assert said.is_known
    assert said.text == (
        "70 octets suivent les données, commençant comme une archive ZIP (octet 1234). "
        "Les données s’arrêtent trop tôt (PS3.5 §7.1) (élément (0040,0275)[0].(0040,0007), octet 900). "
        f"Un élément vient deux fois{NARROW}; les logiciels ne croient pas tous le même (élément (0010,0020)). "
        f"1 autre constat. La route «{NARROW}CT. and more{NARROW}» retient les objets malveillants "
        "et ceux qui ont un constat de classe trailing."
    )
    assert say_all("en", made.reason).is_known


def test_what_was_not_read_is_said_in_french() -> None:
    inspection = NotAssessed("The data set stops too early.", (NESTED,))
    made = decide(POLICY, "CT1", "1.2", "CT", inspection, verdict_of(inspection), now_us=0)
    assert isinstance(made, Reject)
    assert say_all("fr", made.reason).text.startswith(
        f"L’inspection n’a pas pu conclure{NARROW}: Les données s’arrêtent trop tôt. "
    )
    stranger = decide(POLICY, "MR9", "1.2", "MR", Assessed(), verdict_of(Assessed()), now_us=0)
    assert isinstance(stranger, Hold)
    assert say_all("fr", stranger.reason).text.startswith("Aucune route de la politique ne prend les objets MR de MR9.")


def test_what_nobody_made_stays_as_it_is() -> None:
    said = say_all("fr", "I looked at it. Fine by me.")
    assert (said.text, said.is_known) == ("I looked at it. Fine by me.", False)
    assert say_all("fr", "x" * 100_000).text == "x" * 100_000


@pytest.mark.parametrize("text", ["Answering: " + "web, " * 390 + "web.", "Empty." + " (byte 1)" * 200, ", " * 990])
def test_a_text_made_to_nest_costs_no_page(text: str) -> None:
    assert say_all("fr", text).text == text


@pytest.mark.skipif(not SPECIMENS.is_dir(), reason="the specimens are not beside the checkout")
def test_every_reason_for_a_specimen_is_said_in_french() -> None:
    policy = parse_policy('[[route]]\nname = "All"\nfrom = "*"\n')
    unsaid, held = [], 0
    for path in sorted(path for path in SPECIMENS.rglob("*") if path.is_file() and path.stat().st_size < 5_000_000):
        inspector = FileInspector(keep=frozenset())
        inspector.feed(path.read_bytes())
        inspection = inspector.finish()
        unsaid += [f.claim for f in inspection.findings if not say_all("fr", f.claim).is_known]
        made = decide(policy, "CT1", "1.2", "CT", inspection, verdict_of(inspection), now_us=0)
        if isinstance(made, Hold):
            held += 1
            unsaid += [] if say_all("fr", made.reason).is_known else [made.reason]
    assert unsaid == [] and held > 20


@pytest.mark.skipif(not SPECIMENS.is_dir(), reason="the specimens are not beside the checkout")
def test_all_that_is_said_of_a_copy_of_a_specimen_is_said_in_french() -> None:
    """What it lacks, as its record has it, and why there is none."""
    tool, unsaid, copies, refusals = disarmer(), set(), 0, 0
    for path in sorted((SPECIMENS / "hostile").glob("*.dcm")):
        if path.stat().st_size > 5_000_000:
            continue
        try:
            changes = tool.disarm([path.read_bytes()]).changes
        except Refused as error:
            refusals += 1
            unsaid |= {text for text in (error.message, error.hint) if text and not say_all("fr", text).is_known}
            continue
        copies += 1
        unsaid |= {change.why for change in changes if not say_all("fr", change.why).is_known}
        unsaid |= {one.claim for one in change_findings(changes) if not say_all("fr", one.claim).is_known}
    assert unsaid == set() and copies > 50 and refusals > 10
