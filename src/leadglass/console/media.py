"""What a DICOMweb client would accept, and what this hub calls its answers (PS3.18 §8.7, Tables 8.7.3-1 to -5)."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from leadglass.console.multipart import media_type

__all__ = ["FRAME_TYPES", "OCTETS", "Wish", "wishes"]

OCTETS = "application/octet-stream"

_JPEG = dict.fromkeys(
    (f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 57, 70)),
    "image/jpeg",
)
FRAME_TYPES = {
    **_JPEG,
    "1.2.840.10008.1.2.5": "image/dicom-rle",
    "1.2.840.10008.1.2.4.80": "image/jls",
    "1.2.840.10008.1.2.4.81": "image/jls",
    "1.2.840.10008.1.2.4.90": "image/jp2",
    "1.2.840.10008.1.2.4.91": "image/jp2",
    "1.2.840.10008.1.2.4.92": "image/jpx",
    "1.2.840.10008.1.2.4.93": "image/jpx",
    "1.2.840.10008.1.2.4.110": "image/jxl",
    "1.2.840.10008.1.2.4.111": "image/jxl",
    "1.2.840.10008.1.2.4.112": "image/jxl",
    "1.2.840.10008.1.2.4.201": "image/jphc",
    "1.2.840.10008.1.2.4.202": "image/jphc",
    "1.2.840.10008.1.2.4.203": "image/jphc",
}
"""Media type of one encapsulated frame by transfer syntax."""


@dataclass(frozen=True, slots=True)
class Wish:
    """One acceptable form. `syntax` is "" where the client leaves it to us, "*" where it takes what is stored."""

    kind: str
    is_multipart: bool
    syntax: str
    weight: float

    def takes(self, kind: str) -> bool:
        """Tell whether a media type satisfies the wish."""
        if self.kind in ("*/*", kind):
            return True
        return self.kind.endswith("/*") and kind.startswith(self.kind[:-1])


def wishes(request: Request) -> list[Wish]:
    """Read the `accept` query parameter, else the Accept header; the most wanted comes first."""
    text = request.query_params.get("accept") or request.headers.get("accept") or "*/*"
    out = []
    for entry in _split(text):
        kind, parameters = media_type(entry)
        if not kind:
            continue
        is_multipart = kind == "multipart/related"
        inner = media_type(parameters.get("type", "*/*"))[0] if is_multipart else kind
        try:
            weight = float(parameters.get("q", "1"))
        except ValueError:
            weight = 0.0
        if weight > 0:
            out.append(Wish(inner, is_multipart, parameters.get("transfer-syntax", ""), weight))
    return sorted(out, key=lambda wish: -wish.weight)


def _split(text: str) -> list[str]:
    parts, quoted, start = [], False, 0
    for at, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif character == "," and not quoted:
            parts.append(text[start:at])
            start = at + 1
    return [part.strip() for part in [*parts, text[start:]] if part.strip()]
