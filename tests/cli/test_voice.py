"""What is shown is fit for a terminal, and sizes and moments read well."""

from __future__ import annotations

import pytest

from leadglass.cli.voice import Voice, counted, iso, moment, shown, size
from leadglass.errors import UsageError


def test_control_characters_from_outside_become_visible() -> None:
    assert shown("a\x1b]0;evil\x07b\u202e") == "a\ufffd]0;evil\ufffdb\ufffd"
    assert shown(None) == ""


def test_sizes_read_in_their_unit() -> None:
    assert [size(n) for n in (0, 1023, 1024, 1536, 5 << 30, 1 << 60)] == [
        "0 B", "1023 B", "1.0 KiB", "1.5 KiB", "5.0 GiB", "1048576.0 TiB"]  # fmt: skip


def test_moments() -> None:
    assert iso(0) == "1970-01-01T00:00:00+00:00"
    assert iso(None) is None
    assert moment(None) == ""
    assert len(moment(1_700_000_000_000_000)) == 19


def test_progress_is_silent_where_there_is_no_terminal(capsys) -> None:  # type: ignore[no-untyped-def]
    with Voice().progress("Working", 3) as advance:
        advance(1)
    assert capsys.readouterr() == ("", "")


def test_an_error_is_told_with_its_hint(capsys) -> None:  # type: ignore[no-untyped-def]
    Voice().error(UsageError("No.", hint="Do this."))
    assert capsys.readouterr().err == "Error: No.\nNext:  Do this.\n"


def test_a_table_keeps_every_character_where_there_is_no_terminal(capsys) -> None:  # type: ignore[no-untyped-def]
    uid = "1.2." + "3" * 60
    Voice().table(("UID", "x[red]"), [(uid, "[bold]text")])
    out = capsys.readouterr().out
    assert uid in out
    assert "[bold]text" in out


def test_a_terminal_too_narrow_for_a_table_shows_each_row_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 80 columns a UID stays one word that can be copied, and no line is longer than the terminal."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    uid = "1.2." + "3" * 60
    Voice().table(("Patient", "Study Instance UID", "Date"), [("MARTIN^ANNE", uid, "20260131"), ("", uid, "")])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 88
    assert f"Study Instance UID  {uid}" in lines
    assert "Patient             MARTIN^ANNE" in lines
    assert sum("Patient" in line for line in lines) == 1
    Voice().table(("A", "B"), [("one two " * 20, "x")])
    assert "A" in capsys.readouterr().out.splitlines()[1]


def test_numbers_agree_with_their_nouns() -> None:
    assert [counted(n, "object") for n in (0, 1, 2)] == ["0 objects", "1 object", "2 objects"]
    assert counted(2, "study", "studies") == "2 studies"
