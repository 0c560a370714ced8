"""Text that a sender wrote, on its way into a page, an address or a header: nothing in it leaves its place.

Markup is Jinja2's to escape (`page.py`); here is what HTML lets through: characters that turn the writing direction of
what stands beside them, that nobody sees, or that are no text. DICOM JSON is data and carries texts as they are.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from markupsafe import Markup

__all__ = ["parameter", "segment", "visible"]

_UNFIT: Final = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u206f\ud800-\udfff"
    r"\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
"""Controls, separators of lines, overrides and isolates of direction, halves of characters, annotations and tags.

The marks of direction and the joiners (U+200C to U+200F) stay: names in Hebrew, Arabic and Persian need them."""

_WORD: Final = re.compile(r"[A-Za-z0-9._+-]{1,64}")


def visible(value: object) -> object:
    """Make a value fit for a page: what is unfit becomes visible. Markup stays markup, all else what it is."""
    if not isinstance(value, str) or value.isprintable():
        return value
    text = _UNFIT.sub("\N{REPLACEMENT CHARACTER}", value)
    return Markup(text) if isinstance(value, Markup) else text  # noqa: S704 -- as much markup as it was before


def segment(text: str) -> str:
    """Write a text as one step of an address (RFC 3986 §3.3): it neither ends the step nor climbs out of it."""
    return quote(text, safe="") if text.strip(".") else "-"


def parameter(text: str) -> str:
    """Write a text as the value of a media type's parameter (RFC 9110 §5.6.6); empty where it is no word."""
    return text if _WORD.fullmatch(text) else ""
