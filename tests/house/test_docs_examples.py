"""Every command that the documents and the help texts show is one the program takes: verb, options and arguments."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest

from leadglass.cli import _VERBS

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def shown() -> Iterator[tuple[str, str]]:
    """Give every command line in a fenced block or in backquotes, and every example of the help texts."""
    for path in DOCUMENTS:
        if "spec" in path.parts and path.name != "disarm.md":
            continue
        text = path.read_text()
        blocks = "\n".join(re.findall(r"(?s)```\w*\n(.*?)```", text))
        lines = re.findall(r"(?m)^(?:\$ )?(leadglass [a-z].*)$", blocks)
        lines += re.findall(r"`(leadglass [a-z][^`]*)`", re.sub(r"(?s)```.*?```", "", text))
        for line in lines:
            yield str(path.relative_to(ROOT)), re.sub(r"\s+&?\s*(#.*)?$", "", line)
    for name in _VERBS:
        yield from ((f"leadglass {name} --help", line) for line in _examples(_command(name)))


def _command(name: str) -> click.Command:
    return import_module(f"leadglass.cli.{_VERBS[name][0]}").command


def _examples(command: click.Command) -> Iterator[str]:
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            yield from _examples(inner)
        return
    lines = [line.strip() for line in (command.epilog or "").splitlines() if line.strip().startswith("leadglass ")]
    assert lines, f"{command.name} has no example"
    yield from lines


@pytest.mark.parametrize(("where", "line"), sorted(set(shown())))
def test_a_command_shown_is_one_the_program_takes(where: str, line: str) -> None:
    """Parsed, not run: an unknown verb, option or value fails."""
    words = shlex.split(line, comments=True)[1:]
    if "--version" in words or "--help" in words:
        return
    assert words[0] in _VERBS, f"{where} shows {line}"
    command = _command(words[0])
    words = words[1:]
    while isinstance(command, click.Group):
        assert words and words[0] in command.commands, f"{where} shows {line}"
        command, words = command.commands[words[0]], words[1:]
    names = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    unknown = [word for word in words if word.startswith("--") and word.split("=")[0] not in names]
    assert unknown == [], f"{where} shows {line}"
