"""Where the site is, how a verb opens it, and who asks."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from leadglass.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    from leadglass.edge.site import Site
    from leadglass.wiring import Hub

SETTINGS_FILE = "leadglass.toml"
DEFAULT_FOLDER = "leadglass-site"


def site_folder(given: str | None) -> Path:
    """Find the site's folder: the one given, this one, or ./leadglass-site. Raises ConfigurationError."""
    candidates = [Path(given)] if given is not None else [Path(), Path(DEFAULT_FOLDER)]
    for folder in candidates:
        if (folder / SETTINGS_FILE).is_file():
            return folder.resolve()
    raise ConfigurationError(
        f"There is no Leadglass site in {given or 'this folder'}.",
        hint=f"Make one with `leadglass init {given or DEFAULT_FOLDER}`, or name its folder with --site.",
    )


def load(given: str | None) -> Site:
    """Read the site's settings."""
    from leadglass.edge.site import Site

    return Site.open(site_folder(given))


@contextmanager
def opened(given: str | None) -> Iterator[Hub]:
    """Open the site's keys, catalogue and objects, beside a running hub if there is one."""
    from leadglass.wiring import Hub

    with Hub.open(load(given)) as hub:
        yield hub


def operator() -> str:
    """Name the person at this machine, for the record."""
    try:
        return f"{getpass.getuser()}@cli"
    except (KeyError, OSError):  # a container may run under a number that has no name
        return "cli"


def object_id(text: str) -> bytes:
    """Read an object id as it is printed. Raises UsageError."""
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != 16:
        raise UsageError(
            f"{text} is not an object id.", hint="`leadglass quarantine list` prints them: 32 hexadecimal digits."
        )
    return value
