"""The door for colour maps: those that come with Leadglass by name, anyone's own by the path of a TOML file."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

from leadglass.errors import UsageError
from leadglass.imaging.colour import ColourMap, colour_map

SHIPPED: Final = ("bone-iodine-gold", "safe")
TEXT_BYTES_MAX: Final = 65_536


def open_colours(name: str) -> ColourMap:
    """Read a colour map. Raises UsageError for one that is not there or is none."""
    if name in SHIPPED:
        return colour_map(files("leadglass").joinpath(f"content/colours/{name}.toml").read_text(encoding="utf-8"))
    path = Path(name)
    if not path.is_file():
        hint = "Known are " + ", ".join(SHIPPED) + "; name one of your own by its file: PATH.toml."
        raise UsageError(f"There is no colour map {name!r}.", hint=hint)
    try:
        with path.open(encoding="utf-8") as file:
            return colour_map(file.read(TEXT_BYTES_MAX))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as text.", hint="Is it a colour map in UTF-8?") from error
