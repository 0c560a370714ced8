"""Every verb explains itself with an example, answers --help quickly, and turns each error into its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from tests.cli.conftest import run

from leadglass import errors
from leadglass.cli import _VERBS, exit_code, main

GROUPS = {"node": ("add", "list", "approve", "remove"), "identity": ("show", "renew"),
          "account": ("list", "add", "password", "role", "remove"), "quarantine": ("list", "why", "release", "discard"),
          "archive": ("inspect",), "feeds": ("import", "list", "status", "restore", "remove", "pack", "key"),
          "ledger": ("list", "verify")}  # fmt: skip
WITHOUT_A_SITE = (("init",), ("demo",), ("inspect",), ("disarm",), ("simulate",), ("quality",), ("feeds", "pack"),
                  ("feeds", "key"))  # fmt: skip
EVERY = [(name,) for name in _VERBS if name not in GROUPS] + [(g, v) for g, vs in GROUPS.items() for v in vs]


@pytest.mark.parametrize("verb", EVERY, ids=" ".join)
def test_every_verb_has_help_with_an_example_of_itself_and_json(verb: tuple[str, ...]) -> None:
    told = run(*verb, "--help")
    assert told.code == 0
    example = told.out.partition("Example:")[2]
    assert f"leadglass {' '.join(verb)}" in example
    assert "--json" in told.out
    assert ("--site" in told.out) == (verb not in WITHOUT_A_SITE)


def test_the_list_of_verbs_is_the_list_of_commands() -> None:
    for name in _VERBS:
        command = main.get_command(click.Context(main), name)
        assert command is not None
        assert command.name == name
    assert main.get_command(click.Context(main), "fly") is None
    assert run("fly").code == 2


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from leadglass.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'sqlalchemy', 'rich', 'cryptography', 'numpy', 'pydicom', 'starlette'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError("x"), 2),
        (errors.ConfigurationError("x"), 2),
        (errors.Refused("x"), 1),
        (errors.NotFound("x"), 1),
        (errors.IntegrityError("x"), 1),
        (errors.PeerError("x", code="c"), 1),
        (errors.LimitExceeded("x", code="c"), 1),
        (errors.Cancelled("x"), 1),
        (errors.StorageError("x"), 3),
        (errors.StorageFull("x"), 3),
        (errors.RemoteError("x"), 3),
    ],
)
def test_the_class_of_an_error_is_its_exit_code(error: errors.LeadglassError, code: int) -> None:
    assert exit_code(error) == code


def test_every_error_class_was_thought_of() -> None:
    def below(cls: type) -> set[type]:
        return {cls}.union(*(below(sub) for sub in cls.__subclasses__() if sub.__module__ == "leadglass.errors"))

    assert len(below(errors.LeadglassError)) == 12


def test_an_error_names_the_next_step_and_shows_no_traceback(tmp_path: Path) -> None:
    told = run("status", "--site", tmp_path)
    assert told.code == 2
    assert told.out == ""
    assert "Next:" in told.err
    assert "leadglass init" in told.err
    assert "Traceback" not in told.err


def test_an_error_is_json_where_json_was_asked_for(tmp_path: Path) -> None:
    told = run("status", "--json", "--site", tmp_path)
    assert told.code == 2
    assert set(told.json["error"]) == {"kind", "message", "hint"}


def test_a_fault_of_our_own_could_not_tell(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("leadglass.cli.place.load", broken)
    told = run("status", "--site", site)
    assert told.code == 3
    assert "fault of Leadglass" in told.err


def test_the_version_is_told() -> None:
    assert run("--version").out.split() == ["main", "0.1.0"] or "0.1.0" in run("--version").out


def test_json_is_one_object_on_one_line(site: Path) -> None:
    for verb in (("status",), ("find",), ("node", "list"), ("quarantine", "list"), ("ledger", "list")):
        assert isinstance(json.loads(run(*verb, "--json", "--site", site).out), dict)


def program(*arguments: str | Path, stdout: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "leadglass.cli", *map(str, arguments)]
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize(
    "verb", [("status",), ("find", "--json"), ("find",), ("--help",), ("find", "--help"), ("show", "--json", "1.2")]
)
def test_a_full_disk_under_the_output_is_one_clear_error(site: Path, verb: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:
        ended = program(*verb, *(() if "--help" in verb else ("--site", site)), stdout=full.fileno())
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [
        "Error: The output cannot be written: No space left on device.",
        "Next:  Free space where it goes, then run the command again.",
    ]


@pytest.mark.parametrize("verb", [("status",), ("find", "--help")])
def test_a_reader_that_left_ends_the_output_silently(site: Path, verb: tuple[str, ...]) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    try:
        ended = program(*verb, *(() if "--help" in verb else ("--site", site)), stdout=writes)
    finally:
        os.close(writes)
    assert (ended.returncode, ended.stderr) == (141, "")
