"""A small pool of codec workers and what one may ask of them; every answer comes from another process.

A worker that crashes, falls silent or says something it may not is killed and replaced: an error of that request
alone. The worker sees ranges of one opened object and nothing else. Thread-safe; calls block.
"""

from __future__ import annotations

import json
import os
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from leadglass.edge.codec_wire import MESSAGE_BYTES_MAX, NEED, Kind, receive_message, send_message
from leadglass.errors import LeadglassError, PeerError
from leadglass.limits import DECODE_SECONDS, FRAME_BYTES_MAX

__all__ = ["Decoded", "Decoder", "DecoderError", "RangeSource", "Rendition"]

Info = Mapping[str, object]


class DecoderError(LeadglassError):
    """A codec worker ended or fell silent while it worked on an object."""


class RangeSource(Protocol):
    """An opened object: its length and any range of it. `frames` tells each frame's ranges, or is empty."""

    @property
    def length(self) -> int: ...
    @property
    def frames(self) -> Sequence[Sequence[tuple[int, int]]]: ...
    def read(self, offset: int, length: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Decoded:
    """Bytes with what the worker says of them."""

    info: Info
    data: bytes


@dataclass(frozen=True, slots=True)
class Rendition:
    """What a rendered picture shall be. `window` is centre, width, function; `viewport` as PS3.18 §8.3.5.1.3."""

    media_type: str = "image/jpeg"
    quality: int = 90
    window: tuple[float, float, str] | None = None
    viewport: tuple[int, ...] = ()


class _Worker:
    """One process and its socket."""

    def __init__(self, limit_s: float) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-m", "leadglass.edge.codec_worker"],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                close_fds=True,
                cwd="/",
                env={"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"},
            )
        self.link = ours
        self.link.settimeout(limit_s)
        self._is_ready = False

    def ready(self) -> None:
        """Wait until the worker has loaded its codecs."""
        if not self._is_ready:
            receive_message(self.link)
            self._is_ready = True

    def kill(self) -> None:
        self.link.close()
        self._process.kill()
        self._process.wait()


class Decoder:
    """The pool. `close` ends its processes; a closed decoder answers no more."""

    def __init__(self, processes: int = 2, *, limit_s: float = DECODE_SECONDS) -> None:
        """Start the processes; they load their codecs while the caller goes on."""
        self._limit_s = limit_s
        self._idle: queue.LifoQueue[_Worker] = queue.LifoQueue()
        self._lock = threading.Lock()
        self._all: set[_Worker] = set()
        self._is_closed = False
        for _ in range(processes):
            self._idle.put(self._started())

    def _started(self) -> _Worker:
        worker = _Worker(self._limit_s)
        with self._lock:
            self._all.add(worker)
        return worker

    def close(self) -> None:
        """End every worker."""
        self._is_closed = True
        with self._lock:
            workers, self._all = self._all, set()
        for worker in workers:
            worker.kill()

    def metadata(self, source: RangeSource, bulk_uri: str) -> bytes:
        """Give the DICOM JSON model of an object (PS3.18 Annex F) as UTF-8 JSON."""
        return self._whole(source, "metadata", bulk_uri=bulk_uri).data

    def describe(self, source: RangeSource) -> Info:
        """Give rows, columns, frames, samples, bits_allocated, photometric, syntax, encapsulated."""
        return self._whole(source, "describe").info

    def frame(self, source: RangeSource, number: int) -> Decoded:
        """Give one frame as native little-endian pixel data, colour by pixel."""
        return self._whole(source, "frame", number=number)

    def code_stream(self, source: RangeSource, number: int) -> bytes:
        """Give one encapsulated frame as stored."""
        return self._whole(source, "code-stream", number=number).data

    def pixels(self, source: RangeSource, number: int) -> Decoded:
        """Give what the viewer draws: grey values with transform and window, or RGB."""
        return self._whole(source, "pixels", number=number)

    def render(self, source: RangeSource, number: int, wish: Rendition) -> bytes:
        """Give one frame as PNG or JPEG."""
        window = list(wish.window) if wish.window else None
        viewport = list(wish.viewport) if wish.viewport else None
        return self._whole(
            source,
            "render",
            number=number,
            media_type=wish.media_type,
            quality=wish.quality,
            window=window,
            viewport=viewport,
        ).data

    def bulk(self, source: RangeSource, path: str) -> Iterator[bytes]:
        """Stream the value of one element; pixel data comes native."""
        return self._chunks(source, {"operation": "bulk", "path": path})

    def rewrite(self, source: RangeSource, syntax: str, *, part10: bool = True) -> Iterator[bytes]:
        """Stream the object in a native little-endian transfer syntax, as a Part 10 file or its data set alone.

        The first chunk is there before the iterator is given, so an object that cannot be rewritten fails here.
        """
        return self._chunks(source, {"operation": "rewrite", "syntax": syntax, "part10": part10})

    def _whole(self, source: RangeSource, operation: str, **parameters: object) -> Decoded:
        exchange = self._exchange(source, {"operation": operation, **parameters}, FRAME_BYTES_MAX)
        info = json.loads(next(exchange))
        return Decoded(info, b"".join(exchange))

    def _chunks(self, source: RangeSource, ask: dict[str, object]) -> Iterator[bytes]:
        exchange = self._exchange(source, ask, None)
        next(exchange)
        return exchange

    def _exchange(self, source: RangeSource, ask: dict[str, object], result_bytes_max: int | None) -> Iterator[bytes]:
        """Give the answer's INFO, then its chunks. The worker goes back whole, or is killed and replaced."""
        if self._is_closed:
            raise DecoderError("The decoder is closed.")
        worker, is_whole = self._idle.get(), False
        try:
            worker.ready()
            ask |= {"length": source.length, "frames": _known(source, ask.get("number"))}
            send_message(worker.link, Kind.ASK, _bounded(ask))
            yield from _answers(worker.link, source, result_bytes_max)
            is_whole = True
        except PeerError:
            is_whole = True
            raise
        except (OSError, EOFError, ValueError) as error:
            raise DecoderError(
                "The picture could not be made: the codec ended or took too long.",
                hint="The object is kept as it is; only this request failed.",
            ) from error
        finally:
            self._return(worker, is_whole)

    def _return(self, worker: _Worker, is_whole: bool) -> None:
        if is_whole and not self._is_closed:
            self._idle.put(worker)
            return
        with self._lock:
            self._all.discard(worker)
        worker.kill()
        if not self._is_closed:
            self._idle.put(self._started())


def _bounded(ask: dict[str, object]) -> bytes:
    """Write the request; a frame table too long for one message is left for the worker to find."""
    text = json.dumps(ask).encode()
    return text if len(text) <= MESSAGE_BYTES_MAX else json.dumps(ask | {"frames": {}}).encode()


def _known(source: RangeSource, number: object) -> dict[int, list[list[int]]]:
    """Tell where the one frame asked for lies, or all of them where no frame is named."""
    table = source.frames
    if isinstance(number, int):
        return {number: [list(part) for part in table[number - 1]]} if 1 <= number <= len(table) else {}
    return {at: [list(part) for part in frame] for at, frame in enumerate(table, 1)}


def _answers(link: socket.socket, source: RangeSource, result_bytes_max: int | None) -> Iterator[bytes]:
    total = 0
    while True:
        kind, payload = receive_message(link)
        if kind is Kind.NEED:
            offset, length = NEED.unpack(payload)
            send_message(link, Kind.DATA, source.read(offset, min(length, MESSAGE_BYTES_MAX)))
        elif kind is Kind.INFO:
            yield payload
        elif kind is Kind.CHUNK:
            total += len(payload)
            if result_bytes_max is not None and total > result_bytes_max:
                raise ValueError("result too long")
            yield payload
        elif kind is Kind.DONE:
            return
        elif kind is Kind.ERROR:
            error = json.loads(payload)
            raise PeerError(
                str(error.get("message", ""))[:300], code="pixel-data", clause=str(error.get("clause", ""))[:60]
            )
        else:
            raise ValueError("unexpected message")


def processes_here() -> int:
    """Give a fair number of workers for this machine."""
    return max(1, min(4, os.cpu_count() or 1))
