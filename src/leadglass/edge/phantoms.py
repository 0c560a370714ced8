"""The door for phantoms: those that come with Leadglass by name, anyone's own by the path of a TOML file."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

from leadglass.errors import UsageError
from leadglass.limits import PHANTOM_TEXT_BYTES_MAX

SHIPPED: Final = ("hand", "calibration", "thorax")


def phantom_text(name: str) -> str:
    """Read a phantom's TOML: a shipped one's by its name, else that of the file. UsageError where there is none."""
    if name in SHIPPED:
        return files("leadglass").joinpath(f"content/phantoms/{name}.toml").read_text(encoding="utf-8")
    path = Path(name)
    if path.suffix.lower() != ".toml" or not path.is_file():
        raise UsageError(
            f"There is no phantom {name!r}.",
            hint="Known are " + ", ".join(SHIPPED) + "; name one of your own by its file: PATH.toml.",
        )
    try:
        with path.open("rb") as file:
            read = file.read(PHANTOM_TEXT_BYTES_MAX + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}).", hint="Check its permissions.") from error
    if len(read) > PHANTOM_TEXT_BYTES_MAX:
        raise UsageError(f"{path} is longer than {PHANTOM_TEXT_BYTES_MAX} bytes.", hint="Is it a phantom?")
    try:
        return read.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not text in UTF-8.", hint="Save it as UTF-8.") from error
