"""A TOML table read key by key: what the file may say, checked as it is taken; what nobody asked for is refused.

Shared by `leadglass.toml` (`config.py`) and `policy.toml` (`gateway/policy.py`). Every problem is a
`ConfigurationError` that names the file and the key's full name, and says in its hint what to write instead.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from leadglass.errors import ConfigurationError

OFF: Final = "off"

_SIZE: Final = re.compile(r"(\d{1,15})\s*(B|KiB|MiB|GiB|TiB)")
_UNITS: Final = {"B": 0, "KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40}
_HOST: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}|[0-9A-Fa-f:.]{2,45}")


def parse_toml(text: str, *, file: str) -> Table:
    """Read TOML text into a `Table` whose errors name the file. Raises ConfigurationError."""
    try:
        return Table(tomllib.loads(text), file=file)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(
            f"{file} is not valid TOML: {error}.",
            hint=f"Correct that line of {file}; https://toml.io shows the syntax.",
        ) from None


def is_ae_title(text: str) -> bool:
    """Tell whether text is an AE title (PS3.5 §6.2): 1 to 16 printable characters, no backslash, no outer spaces."""
    return 1 <= len(text) <= 16 and text == text.strip() and all(" " <= c <= "~" and c != "\\" for c in text)


class Table:
    """One table of a TOML file, read key by key; `finish` refuses whatever nobody asked for.

    Every method that reads raises ConfigurationError with the key's full name.
    """

    __slots__ = ("_asked", "_file", "_path", "_values")

    def __init__(self, values: Mapping[str, object], *, file: str, path: str = "") -> None:
        self._values = values
        self._file = file
        self._path = path
        self._asked: set[str] = set()

    def error(self, key: str, problem: str, hint: str) -> ConfigurationError:
        """Make the error that names a key of this table."""
        return ConfigurationError(f"{self._file}: {self._name(key)} {problem}.", hint=hint)

    def has(self, key: str) -> bool:
        """Tell whether the file says anything about a key."""
        self._asked.add(key)
        return key in self._values

    def names(self) -> Iterator[str]:
        """Give the keys as they are written, for tables whose keys are data."""
        return iter(self._values)

    def value(self, key: str) -> object:
        """Give a value as TOML has it, None when absent."""
        self._asked.add(key)
        return self._values.get(key)

    def table(self, key: str) -> Table:
        """Give a table inside this one; an absent one reads as empty."""
        value = self.value(key)
        if value is None:
            return Table({}, file=self._file, path=self._name(key))
        if not isinstance(value, dict):
            raise self.error(key, "must be a table", f"Write it as a section: [{self._name(key)}].")
        return Table(value, file=self._file, path=self._name(key))

    def tables(self, key: str) -> list[Table]:
        """Give an array of tables; an absent one reads as empty."""
        value = self.value(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.error(key, "must be a list of tables", f"Begin each one with [[{self._name(key)}]].")
        name = self._name(key)
        return [Table(item, file=self._file, path=f"{name}[{number}]") for number, item in enumerate(value, 1)]

    def text(self, key: str, default: str | None = None, *, longest: int = 1024) -> str:
        """Give a text of one line, not empty; required when there is no default."""
        value = self.value(key)
        if value is None and default is not None:
            return default
        if value is None:
            raise self.error(key, "is missing", f'Add a line {key} = "…" there.')
        if not isinstance(value, str) or not value.strip() or len(value) > longest or not value.isprintable():
            raise self.error(key, f"must be a text of 1 to {longest} printable characters", f'Write {key} = "…".')
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Give a list of texts without repeats; an absent one reads as empty."""
        value = self.value(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(i, str) and i and i.isprintable() for i in value):
            raise self.error(key, "must be a list of texts", f'Write {key} = ["…", "…"].')
        if len(set(value)) != len(value):
            raise self.error(key, "names something twice", "Remove the repeated entry.")
        return tuple(value)

    def choice(self, key: str, default: str | None, choices: Sequence[str]) -> str:
        """Give one of a closed set of words."""
        value = self.text(key, default)
        if value not in choices:
            listed = " or ".join(f'"{choice}"' for choice in choices)
            raise self.error(key, f'cannot be "{value}"', f"Write {key} = {listed}.")
        return value

    def whole(self, key: str, default: int, *, low: int, high: int) -> int:
        """Give a whole number between two bounds."""
        value = self.value(key)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.error(
                key, f"must be a whole number from {low} to {high}", f"Write for example {key} = {default}."
            )
        return value

    def seconds(self, key: str, default: float, *, low: float, high: float) -> float:
        """Give a duration in seconds between two bounds."""
        value = self.value(key)
        if value is None:
            return default
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            raise self.error(key, f"must be {low:g} to {high:g} seconds", f"Write for example {key} = {default:g}.")
        return float(value)

    def size(self, key: str, default: int, *, low: int, high: int) -> int:
        """Give a number of bytes: a whole number, or a text such as "256 MiB"."""
        value = self.value(key)
        if value is None:
            return default
        length_bytes = value
        if isinstance(value, str) and (found := _SIZE.fullmatch(value)) is not None:
            length_bytes = int(found[1]) << _UNITS[found[2]]
        if not isinstance(length_bytes, int) or isinstance(length_bytes, bool) or not low <= length_bytes <= high:
            raise self.error(
                key,
                f"must be a size from {size_text(low)} to {size_text(high)}",
                f'Write for example {key} = "{size_text(default)}".',
            )
        return length_bytes

    def port(self, key: str, default: int | None) -> int | None:
        """Give a TCP port, 0 for any free one, or None where the file says "off" or false."""
        value = self.value(key)
        if value is None:
            return default
        if value is False or value == OFF:
            return None
        if not isinstance(value, int) or value is True or not 0 <= value <= 65535:
            hint = f'Write {key} = {default or 11112}, or {key} = "off" to keep this door closed.'
            raise self.error(key, "must be a port from 0 to 65535, or off", hint)
        return value

    def host(self, key: str, default: str) -> str:
        """Give a host name or an IP address to listen on."""
        value = self.text(key, default)
        if _HOST.fullmatch(value) is None:
            hint = f'Write {key} = "127.0.0.1" for this machine alone, "0.0.0.0" for every network it is on.'
            raise self.error(key, f'cannot be "{value}"', hint)
        return value

    def ae_title(self, key: str, default: str) -> str:
        """Give an AE title."""
        value = self.text(key, default)
        return self.checked_ae_title(key, value)

    def checked_ae_title(self, key: str, value: str) -> str:
        """Give back a text that is an AE title (PS3.5 §6.2)."""
        if not is_ae_title(value):
            hint = "An AE title is 1 to 16 printable ASCII characters, without a backslash or outer spaces."
            raise self.error(key, f'cannot be "{value}"', hint)
        return value

    def finish(self) -> None:
        """Refuse keys nobody asked for; call it last."""
        for key in self._values:
            if key in self._asked:
                continue
            near = difflib.get_close_matches(key, self._asked, n=1)
            known = ", ".join(sorted(self._asked))
            hint = f"Did you mean {near[0]}?" if near else f"Remove it; what may stand there is: {known}."
            raise self.error(key, "is not a setting", hint)

    def _name(self, key: str) -> str:
        shown = key if key.isprintable() else ascii(key)
        return f"{self._path}.{shown}" if self._path else shown


def size_text(length_bytes: int) -> str:
    """Write a number of bytes in the largest unit that divides it."""
    for unit, shift in reversed(_UNITS.items()):
        if length_bytes and not length_bytes & ((1 << shift) - 1):
            return f"{length_bytes >> shift} {unit}"
    return f"{length_bytes} B"
