"""How the command line speaks: for a person in short lines and tables, for a program in one JSON object.

Results go to standard output, everything else to standard error. Progress bars appear on a terminal only. Whatever a
line is made of, it stays one line, and nothing in it moves a terminal: objects, file names and peers wrote parts of it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ParamSpec

import click

from leadglass.errors import LeadglassError

if TYPE_CHECKING:
    from leadglass.finding import Finding

P = ParamSpec("P")
Json = Mapping[str, object]
Advance = Callable[[float], None]
_WIDE = 400


@dataclass
class Voice:
    """One run's way of speaking; `is_json` is set by the verb's `--json`."""

    is_json: bool = False

    def json(self, value: Json) -> None:
        """Print the result for a program, on one line."""
        text = json.dumps(value, ensure_ascii=False, separators=(", ", ": "))
        click.echo(text if text.isprintable() else "".join(map(_json_character, text)))

    def say(self, text: str = "") -> None:
        """Print a line for a person."""
        click.echo(shown(text))

    def aside(self, text: str) -> None:
        """Print a line that is not the result, to standard error."""
        click.echo(shown(text), err=True)

    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[object]],
        *,
        title: str | None = None,
        width: int = _WIDE,
    ) -> None:
        """Print a table, as wide as the terminal; where there is none, up to `width` characters, untruncated.

        Where the terminal is too narrow for the longest words, each row becomes a few lines.
        """
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        lines = [[shown(cell) for cell in row] for row in rows]
        is_terminal = sys.stdout.isatty()
        console = Console(
            width=None if is_terminal else width, soft_wrap=False, highlight=False, no_color=not is_terminal
        )
        if _narrowest(columns, lines) > console.width:
            self._records(columns, lines, title)
            return
        table = Table(
            box=SIMPLE_HEAD, title=None if title is None else Text(shown(title)), title_justify="left", pad_edge=False
        )
        for column in columns:
            table.add_column(Text(shown(column)), overflow="fold")
        for line in lines:
            table.add_row(*(Text(cell) for cell in line))
        console.print(table)

    def _records(self, columns: Sequence[str], lines: Sequence[Sequence[str]], title: str | None) -> None:
        """Print a row a paragraph, where a terminal is too narrow for a table whose UIDs can be copied whole."""
        if title:
            self.say(title)
        widest = max(map(len, columns))
        for line in lines:
            self.say()
            for column, cell in zip(columns, line, strict=True):
                if cell:
                    self.say(f"{shown(column):<{widest}}  {cell}")

    def error(self, error: LeadglassError) -> None:
        """Tell what went wrong and what to do next."""
        if self.is_json:
            self.json({"error": {"kind": type(error).__name__, "message": error.message, "hint": error.hint}})
            return
        self.aside(f"Error: {error.message}")
        if error.hint:
            self.aside(f"Next:  {error.hint}")

    @contextmanager
    def progress(self, what: str, total: float | None = None) -> Iterator[Advance]:
        """Show a bar on a terminal that takes longer than a moment; give the function that moves it."""
        if self.is_json or not sys.stderr.isatty():
            yield lambda _: None
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task(shown(what), total=total)
            yield lambda amount: progress.advance(task, amount)


def _narrowest(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> int:
    """Give the width below which a table would break a word: a UID, an object id, a date."""
    words = [[column, *(line[at] for line in lines)] for at, column in enumerate(columns)]
    return sum(max((len(word) for cell in cells for word in cell.split()), default=0) + 3 for cells in words)


def counted(number: int, noun: str, plural: str = "") -> str:
    """Write a number with its noun: 1 object, 2 objects, 2 studies."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def shown(value: object) -> str:
    """Make a value one line, fit for a terminal: white space is a space, control and direction characters are seen."""
    text = "" if value is None else str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _json_character(character: str) -> str:
    """Write what a terminal obeys as JSON escapes it: the value stays what it is (RFC 8259 §7)."""
    return character if character.isprintable() else json.dumps(character)[1:-1]


def moment(at_us: int | None) -> str:
    """Write a moment in local time."""
    if at_us is None:
        return ""
    return datetime.fromtimestamp(at_us / 1e6, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def iso(at_us: int | None) -> str | None:
    """Write a moment for a program."""
    return None if at_us is None else datetime.fromtimestamp(at_us / 1e6, UTC).isoformat()


def size(length_bytes: float) -> str:
    """Write a length in the unit that reads best."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if length_bytes < 1024 or unit == "TiB":
            return f"{length_bytes:.0f} {unit}" if unit == "B" else f"{length_bytes:.1f} {unit}"
        length_bytes /= 1024
    raise AssertionError("unreachable")


def findings_json(findings: Iterable[Finding]) -> list[Json]:
    """Give findings in their published shape."""
    return [finding.to_json() for finding in findings]


def _set_json(ctx: click.Context, _parameter: click.Parameter, value: bool) -> bool:
    ctx.ensure_object(Voice).is_json = value
    return value


def verb(name: str, *, example: str, site: bool = True) -> Callable[[Callable[P, None]], click.Command]:
    """Make a function the command of a verb: `--json`, `--site` where it needs one, and an example in its help."""

    def decorate(function: Callable[P, None]) -> click.Command:
        function_ = click.option(
            "--json",
            "is_json",
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_set_json,
            help="Print one JSON object for programs.",
        )(function)
        if site:
            function_ = click.option(
                "--site",
                metavar="DIR",
                type=click.Path(file_okay=False),
                help="The site's folder. Default: this folder when it holds leadglass.toml, else ./leadglass-site.",
            )(function_)
        lines = "\n".join(f"  {line}" for line in example.strip().splitlines())
        return click.command(name, epilog=f"\b\nExample:\n{lines}")(function_)

    return decorate
