"""The command line shows hostile texts and the terminal does nothing: every line is one of ours, and JSON is JSON."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Run, run

from leadglass.cli.serve import LogLine
from leadglass.cli.voice import Voice
from leadglass.errors import UsageError
from leadglass.journeys.ports import ObjectState
from leadglass.wiring import Hub

from .conftest import STRANGER, verb
from .texts import FORGED, INSTANCE, STUDY, TEXTS, told_of, uid


def tame(text: str) -> list[str]:
    """Give the lines of an output, every character of which a terminal draws and does not obey."""
    lines = text.split("\n")
    unfit = sorted({character for line in lines for character in line if not character.isprintable()})
    assert unfit == []
    assert not [line for line in lines if line.lstrip().startswith((FORGED, "Set-Cookie"))]
    return lines


def told(outcome: Run) -> str:
    """Check both streams of a verb and give what it printed."""
    tame(outcome.err)
    return "\n".join(tame(outcome.out))


EVERYWHERE = (
    ("find", "--limit", "1000"), ("find", "--level", "series"), ("find", "--level", "image"), ("status",), ("doctor",),
    ("quarantine", "list"), ("ledger", "list", "--limit", "1000"), ("node", "list"), ("account", "list"),
    ("feeds", "list"), ("identity", "show"), ("verify", "--all"),
    pytest.param(("archive", "inspect"), marks=pytest.mark.long),
)  # fmt: skip


@pytest.mark.parametrize("arguments", EVERYWHERE, ids=" ".join)
def test_each_verb_over_the_whole_site(site: Path, arguments: tuple[str, ...]) -> None:
    """For a person each line is ours; for a program it is one line of JSON with nothing raw in it."""
    assert told(verb(site, *arguments)).strip()
    outcome = verb(site, *arguments, "--json")
    (line, empty) = tame(outcome.out)
    assert empty == ""
    assert isinstance(json.loads(line), dict)


def test_what_is_told_is_really_there(site: Path) -> None:
    """So that the tests around this one look at something: texts are shown whole, as far as they can be drawn."""
    studies, nodes, people = (told(verb(site, *words)) for words in (("find",), ("node", "list"), ("account", "list")))
    for name in ("script", "event", "template", "format", "rich", "sql", "shell", "path", "formula"):
        assert TEXTS[name].text in studies, name
    assert "\ufffd[2J\ufffd]0;owned" in studies
    assert "ANNE\ufffdNITRAM" in studies
    assert f"ANNE  Set-Cookie: x=1    {FORGED}" in studies
    assert STRANGER in nodes
    assert "<img src=x onerror=alert(1)>" in people


@pytest.mark.parametrize("name", TEXTS)
def test_one_object(site: Path, held: dict[str, str], name: str) -> None:
    """Its life, by UID and by object id, and why it is held."""
    for words in (("show", uid(name, STUDY)), ("show", uid(name, STUDY, 1))):
        assert told(verb(site, *words)).strip()
    if name in held:
        assert told(verb(site, "quarantine", "why", held[name])).strip()
        assert told(verb(site, "show", held[name], "--json")).strip()


@pytest.fixture(scope="module")
def held(hub: Hub) -> dict[str, str]:
    """The ids of what is held, by text."""
    ids = {record.sop_instance_uid: record.object_id for record in hub.catalogue.objects(ObjectState.HELD)}
    found = {name: ids[uid(name, INSTANCE, 3)].hex() for name in TEXTS if uid(name, INSTANCE, 3) in ids}
    assert len(found) > len(TEXTS) / 2
    return found


def test_a_text_comes_back_from_json_as_it_was_sent(site: Path) -> None:
    matches = {match["study_instance_uid"]: match for match in verb(site, "find", "--json").json["matches"]}
    for name in TEXTS:
        assert matches[uid(name, STUDY)]["description"] == told_of(name), name


@pytest.mark.long
def test_files_of_hostile_names(discs: Path, tmp_path: Path, site: Path) -> None:
    """On a disc and in a zip file: judged, imported, disarmed and watched."""
    for path in (discs / "titled", discs / "titled.zip"):
        assert "<script>alert(1)<_script>" in told(run("inspect", path))
        assert len([json.loads(line) for line in tame(run("inspect", path, "--json").out)[:-1]]) >= len(TEXTS)
        assert told(verb(site, "import", path)).strip()
        assert "=cmd" in told(verb(site, "import", path, "--json"))
        for words in (("--report", tmp_path / f"{path.name}.report"), ("--json",)):
            assert "=cmd" in told(run("disarm", path, "--to", tmp_path / f"{path.name}{len(words)}", *words))
        assert json.loads((tmp_path / f"{path.name}.report").read_text())
    for words in ((), ("--json",)):
        assert told(verb(site, "watch", discs / "titled", "--once", *words))


@pytest.mark.parametrize("name", TEXTS)
def test_the_voice_itself(name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a verb says, to whom, in whatever form: on a terminal, in a narrow one, and where there is none."""
    text, voice = TEXTS[name].text, Voice()
    for is_terminal, columns in ((False, "80"), (True, "2000"), *([(True, "40")] if name != "crlf" else [])):
        monkeypatch.setattr("sys.stdout.isatty", lambda is_terminal=is_terminal: is_terminal, raising=False)
        monkeypatch.setenv("COLUMNS", columns)
        monkeypatch.setenv("TERM", "dumb")
        voice.say(text)
        voice.aside(text)
        voice.error(UsageError(text, hint=text))
        voice.table((text[:9], "Other"), [(text, "x")], title=text[:9])
    voice.json({text: [text]})
    said = capsys.readouterr()
    *_, line, _ = tame(said.out)
    tame(said.err)
    assert json.loads(line) == {text: [text]}


@pytest.mark.parametrize("name", TEXTS)
def test_what_a_shell_makes_of_file_names(name: str) -> None:
    """`leadglass inspect *` on a disc: names become options, verbs, paths that are not there."""
    text = TEXTS[name].text.replace("\0", "_").replace("/", "_")
    for arguments in ((f"--{text}",), (text,), ("inspect", f"--{text}"), ("inspect", text[:200]), ("show", text)):
        outcome = run(*arguments)
        assert outcome.code == 2
        assert told(outcome) + "\n".join(tame(outcome.err))


def test_a_log_record_is_one_line() -> None:
    log = logging.LogRecord("leadglass", logging.ERROR, "", 1, "%s failed", (TEXTS["crlf"].text,), None)
    line = LogLine("%(levelname)s: %(message)s")
    assert len(tame(line.format(log))) == 1
    try:
        raise ValueError(TEXTS["crlf"].text + TEXTS["ansi"].text)
    except ValueError:
        log.exc_info = sys.exc_info()
    first, *more = tame(line.format(log))
    assert first.startswith("ERROR: ANNE")
    assert more
    assert all(line.startswith("  | ") for line in more)
