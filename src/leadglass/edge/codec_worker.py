"""The process that touches code streams: `python -m leadglass.edge.codec_worker`, one socket on descriptor 0.

It holds no key, opens no connection and no file but those of its libraries, sees one object at a time through the
ranges it asks for, and is killed and replaced on any doubt. `confine.py` tells what else it gives up.
"""

from __future__ import annotations

import contextlib
import io
import json
import socket
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NoReturn

from leadglass.edge.codec_wire import MESSAGE_BYTES_MAX, NEED, Kind, receive_message, send_message
from leadglass.edge.confine import Allowance, allow_cpu, confine, leave_network
from leadglass.limits import DECODE_HEAD_BYTES_MAX, DECODE_MEMORY_BYTES, DECODE_SECONDS

if TYPE_CHECKING:
    from leadglass.edge.codecs_object import StoredObject

Ask = dict[str, object]
Answer = tuple[dict[str, object], Iterator[bytes]]

_READ_AHEAD = 64 << 10


class _Remote(io.RawIOBase):
    """The object as a file: each read asks the owner for a range."""

    def __init__(self, link: socket.socket, length: int) -> None:
        self._link, self._length, self._at = link, length, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        want = min(len(buffer), self._length - self._at, MESSAGE_BYTES_MAX)
        if want <= 0:
            return 0
        send_message(self._link, Kind.NEED, NEED.pack(self._at, want))
        kind, data = receive_message(self._link)
        if kind is not Kind.DATA or len(data) > want:
            raise EOFError
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _confine() -> None:
    """Give up what decoding does not need; codecs are loaded at first use, so their folders may still be read."""
    leave_network()
    libraries = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64", "/etc/ld.so.cache")
    readable = (*(path for path in sys.path if path), sys.prefix, sys.base_prefix, *libraries)
    confine(Allowance(DECODE_MEMORY_BYTES, readable=readable, may_load=True))


def _integer(ask: Ask, key: str, default: int = 1) -> int:
    value = ask.get(key, default)
    return value if isinstance(value, int) else default


def _metadata(obj: StoredObject, ask: Ask) -> Answer:
    from leadglass.edge.json_model import json_model, pixel_reference

    uri = str(ask.get("bulk_uri", ""))
    model = json_model(obj.head, uri)
    if obj.pixel is not None:
        model[f"{obj.pixel.tag:08X}"] = pixel_reference(obj.pixel.vr, uri, obj.pixel.tag)
        with contextlib.suppress(Exception):
            model |= json_model(obj.tail(), uri)
    model["00083002"] = {"vr": "UI", "Value": [obj.stored_syntax.uid]}
    return {}, iter((json.dumps(model, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode(),))


def _frame(obj: StoredObject, ask: Ask) -> Answer:
    native, form = obj.native_bytes(_integer(ask, "number"))
    return {"photometric": form.photometric, "rows": form.rows, "columns": form.columns}, iter((native,))


def _code_stream(obj: StoredObject, ask: Ask) -> Answer:
    return {}, iter((obj.code_stream(_integer(ask, "number")),))


def _pixels(obj: StoredObject, ask: Ask) -> Answer:
    """Give what the viewer draws: grey stored values with their transform, or RGB."""
    import numpy as np

    from leadglass.edge.codecs_display import grey, rgb

    form, number = obj.form(), _integer(ask, "number")
    info: dict[str, object] = {"rows": form.rows, "columns": form.columns, "frames": form.frames}
    if form.samples > 1 or form.photometric == "PALETTE COLOR":
        return info | {"kind": "rgb8"}, iter((rgb(obj, number).tobytes(),))
    shown = grey(obj, number)
    values = shown.values
    if values.dtype.kind == "f" or values.dtype.itemsize > 2:
        kind, values = "f32", np.nan_to_num(values.astype(np.float32))
    else:
        kind, values = ("i16", values.astype("<i2")) if values.dtype.kind == "i" else ("u16", values.astype("<u2"))
    return info | {
        "kind": kind,
        "slope": shown.slope,
        "intercept": shown.intercept,
        "centre": shown.window.centre,
        "width": shown.window.width,
        "function": shown.window.function,
        "inverted": shown.is_inverted,
        "unit": shown.unit,
    }, iter((values.tobytes(),))


def _render(obj: StoredObject, ask: Ask) -> Answer:
    from leadglass.edge.codecs_display import Rendering, Window, render

    window, viewport = ask.get("window"), ask.get("viewport")
    wish = Rendering(
        str(ask.get("media_type", "image/jpeg")),
        _integer(ask, "quality", 90),
        Window(float(window[0]), float(window[1]), str(window[2])) if isinstance(window, list) else None,
        tuple(int(v) for v in viewport) if isinstance(viewport, list) else (),
    )
    return {}, iter((render(obj, _integer(ask, "number"), wish),))


def _bulk(obj: StoredObject, ask: Ask) -> Answer:
    """Give the bytes of one element, or the whole native pixel data."""
    from leadglass.edge.codecs import CodecError
    from leadglass.edge.json_model import element_at

    path = str(ask.get("path", ""))
    if obj.pixel is not None and path.strip("/").upper() == f"{obj.pixel.tag:08X}":
        return {"pixels": True}, obj.native_frames()
    element = element_at(obj.head, path) or element_at(obj.tail(), path)
    if element is None:
        raise CodecError("The object has no such element.", clause="PS3.18 §10.4.1.1.5")
    value = element.value
    return {}, iter((value if isinstance(value, bytes) else str(value).encode(),))


def _rewrite(obj: StoredObject, ask: Ask) -> Answer:
    from leadglass.dicom.syntaxes import transfer_syntax
    from leadglass.edge.codecs_transcode import part10_head, rewritten_dataset

    target = transfer_syntax(str(ask.get("syntax", "")))
    body = rewritten_dataset(obj, target)
    first = next(body, b"")

    def chunks() -> Iterator[bytes]:
        if ask.get("part10", True):
            yield part10_head(obj, target)
        yield first
        yield from body

    return {}, chunks()


def _describe(obj: StoredObject, _ask: Ask) -> Answer:
    form = obj.form()
    return {
        "rows": form.rows,
        "columns": form.columns,
        "frames": form.frames,
        "samples": form.samples,
        "bits_allocated": form.bits_allocated,
        "photometric": form.photometric,
        "syntax": obj.stored_syntax.uid,
        "encapsulated": obj.is_encapsulated,
    }, iter(())


_OPERATIONS: dict[str, Callable[[StoredObject, Ask], Answer]] = {
    "metadata": _metadata,
    "frame": _frame,
    "code-stream": _code_stream,
    "pixels": _pixels,
    "render": _render,
    "bulk": _bulk,
    "rewrite": _rewrite,
    "describe": _describe,
}


def _answer(link: socket.socket, ask: Ask) -> None:
    from leadglass.edge.codecs_object import StoredObject

    file = io.BufferedReader(_Remote(link, _integer(ask, "length", 0)), _READ_AHEAD)
    frames = ask.get("frames")
    known = {int(number): ranges for number, ranges in frames.items()} if isinstance(frames, dict) else {}
    obj = StoredObject(file, known=known)
    info, chunks = _OPERATIONS[str(ask.get("operation"))](obj, ask)
    send_message(link, Kind.INFO, json.dumps(info).encode())
    for chunk in chunks:
        view = memoryview(chunk)
        for at in range(0, len(view), MESSAGE_BYTES_MAX):
            send_message(link, Kind.CHUNK, view[at : at + MESSAGE_BYTES_MAX])
        allow_cpu(DECODE_SECONDS)
    send_message(link, Kind.DONE)


def _error(error: Exception) -> bytes:
    """Describe an error in our own words; the text of a library may quote the object."""
    from leadglass.errors import PeerError

    if isinstance(error, PeerError):
        return json.dumps({"message": error.message, "clause": error.clause}).encode()
    return json.dumps({"message": f"The object cannot be read ({type(error).__name__}).", "clause": ""}).encode()


def serve() -> NoReturn:
    """Answer requests until the owner closes the socket."""
    link = socket.socket(fileno=0)
    _confine()
    warnings.simplefilter("ignore")
    from leadglass.edge import codecs_display, codecs_transcode, json_model  # noqa: F401  loaded before the first ask

    send_message(link, Kind.DONE)
    while True:
        try:
            kind, payload = receive_message(link)
        except EOFError:
            sys.exit(0)
        if kind is not Kind.ASK:
            sys.exit(3)
        allow_cpu(DECODE_SECONDS)
        try:
            _answer(link, json.loads(payload))
        except (EOFError, BrokenPipeError, ConnectionError):
            sys.exit(0)
        except Exception as error:  # noqa: BLE001  any failure of one object is an answer, not the end
            send_message(link, Kind.ERROR, _error(error))


if __name__ == "__main__":
    assert DECODE_HEAD_BYTES_MAX < DECODE_MEMORY_BYTES
    serve()
