"""The processes that touch hostile objects: `python -m leadglass.edge.sandbox_worker`, one socket on descriptor 0.

The process started is the nursery: it loads the engine and compiles the rules once, sees no object, and forks a worker
for each socket it is passed. A worker gives up files, network, other processes and executable memory before its first
byte, inspects one object after another and answers with findings. Whoever holds the other end kills and replaces it
on any doubt.
"""

from __future__ import annotations

import encodings
import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import struct
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from leadglass import limits
from leadglass.dicom.part10 import encode_file_meta
from leadglass.dicom.syntaxes import EXPLICIT_LITTLE, transfer_syntax
from leadglass.edge.confine import allow_cpu, confine_worker
from leadglass.edge.engines_yara import RuleEngine, RuleScan, compile_rules
from leadglass.edge.sandbox_wire import (
    FINDINGS_MAX,
    PIECE_BYTES_MAX,
    SETUP_BYTES_MAX,
    Answer,
    Kind,
    receive_message,
    send_message,
    write_answer,
)
from leadglass.errors import LeadglassError
from leadglass.finding import Assessed, Finding, Inspection, NotAssessed
from leadglass.malware.anatomy import FileInspector, Inspector, Memory
from leadglass.malware.anything import AnyFileInspector

_ALLOW_EVERY_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Engine:
    """What the nursery has loaded."""

    keep: frozenset[int]
    rules: RuleEngine | None = None
    memory: Memory = field(default_factory=Memory)


class _Task:
    """One object under inspection in a worker."""

    def __init__(self, engine: Engine, ask: dict[str, object]) -> None:
        self.fed_bytes = 0
        self._keep = engine.keep
        self._allowed_until = _ALLOW_EVERY_BYTES
        self._scan = None if engine.rules is None or ask.get("spared") else RuleScan(engine.rules)
        self._failed = ""
        self._inspector: Inspector | FileInspector | AnyFileInspector = _inspector(engine, ask)
        allow_cpu(limits.SANDBOX_SECONDS)

    def feed(self, piece: memoryview) -> None:
        """Inspect a piece; what a detector does wrong ends this inspection and nothing else."""
        self.fed_bytes += len(piece)
        if self.fed_bytes > self._allowed_until:
            self._allowed_until += _ALLOW_EVERY_BYTES
            allow_cpu(limits.SANDBOX_SECONDS)
        if self._failed:
            return
        try:
            self._inspector.feed(piece)
            if self._scan is not None:
                self._scan.feed(piece)
        except Exception as error:  # noqa: BLE001 -- any failure of a detector is an answer
            self._failed = _failure(error)

    def answer(self) -> Answer:
        """Close the inspection."""
        allow_cpu(limits.SANDBOX_SECONDS + self.fed_bytes / limits.SANDBOX_BYTES_PER_SECOND_MIN)
        inspector = self._inspector
        if not self._failed:
            try:
                inspection = _with(inspector.finish(), () if self._scan is None else self._scan.finish())
                frames = None if isinstance(inspector, AnyFileInspector) else inspector.frame_digests
                return Answer(inspection, self._kept(), inspector.structure, inspector.limit_exceeded, frames)
            except Exception as error:  # noqa: BLE001 -- any failure of a detector is an answer
                self._failed = _failure(error)
        return Answer(NotAssessed(self._failed), self._kept(), None, inspector.limit_exceeded)

    def _kept(self) -> dict[int, bytes]:
        """Give what was asked for; detectors may have had more kept for themselves."""
        return {tag: value for tag, value in self._inspector.values.items() if tag in self._keep}

    @property
    def has_reached_limit(self) -> bool:
        """Tell whether the object should not go on."""
        return self._inspector.limit_exceeded is not None


def _inspector(engine: Engine, ask: dict[str, object]) -> Inspector | FileInspector | AnyFileInspector:
    what, offset = ask.get("what"), ask.get("dataset_offset")
    if what == "data-set" and isinstance(offset, int):
        return Inspector(
            transfer_syntax(str(ask.get("syntax"))),
            dataset_offset=offset,
            keep=engine.keep,
            hashes_frames=True,
            memory=engine.memory,
        )
    if what == "file":
        return FileInspector(keep=engine.keep, hashes_frames=True, memory=engine.memory)
    return AnyFileInspector(keep=engine.keep, name=str(ask.get("name", "")), memory=engine.memory)


def _with(inspection: Inspection, more: Sequence[Finding]) -> Inspection:
    """Add what the rules found; of more findings than anybody reads, the gravest are kept."""
    findings = (*inspection.findings, *more)
    if len(findings) > FINDINGS_MAX:
        findings = tuple(sorted(findings, key=lambda finding: -finding.severity)[:FINDINGS_MAX])
    return NotAssessed(inspection.reason, findings) if isinstance(inspection, NotAssessed) else Assessed(findings)


def _failure(error: Exception) -> str:
    """Say what failed without the text of the error, which may quote the object."""
    if isinstance(error, MemoryError):
        return "The inspection needed more memory than it may have."
    return f"The inspection failed ({type(error).__name__})."


def work(link: socket.socket, engine: Engine) -> NoReturn:
    """Inspect objects until the owner closes the socket."""
    confine_worker(limits.SANDBOX_MEMORY_BYTES)
    buffer = bytearray(PIECE_BYTES_MAX)
    task: _Task | None = None
    is_told = False
    with suppress(EOFError, OSError):
        while True:
            kind, payload = receive_message(link, buffer, PIECE_BYTES_MAX)
            if kind is Kind.BEGIN:
                task, is_told = _Task(engine, json.loads(bytes(payload))), False
            elif task is None:
                break
            elif kind is Kind.PIECE:
                task.feed(payload)
                if task.has_reached_limit and not is_told:
                    is_told = True
                    send_message(link, Kind.LIMIT)
            else:
                send_message(link, Kind.RESULT, write_answer(task.answer()))
                task = None
    os._exit(0)


def nurse(control: socket.socket) -> NoReturn:
    """Load the engine, then fork a worker for each socket that is passed, until the owner closes the control socket."""
    buffer = bytearray(SETUP_BYTES_MAX)
    _, payload = receive_message(control, buffer, SETUP_BYTES_MAX)
    setup = json.loads(bytes(payload))
    try:
        paths = [Path(path) for path in setup["rules"]]
        engine = Engine(frozenset(setup["keep"]), compile_rules(paths) if paths else None)
    except LeadglassError as error:
        send_message(control, Kind.READY, json.dumps({"error": error.message, "hint": error.hint}).encode())
        os._exit(2)
    _warm(engine)
    gc.collect()
    gc.freeze()  # and stays shared between the workers
    count = 0 if engine.rules is None else engine.rules.count
    send_message(control, Kind.READY, json.dumps({"rules": count}).encode())
    children: set[int] = set()
    with suppress(OSError):
        while True:
            command, descriptors, _, _ = socket.recv_fds(control, 9, 1)
            if not command:
                break
            _bury(children)
            if descriptors:
                children.add(_born(control, descriptors[0], _errand(command[:1], engine)))
            elif command[:1] == b"K" and (child := int.from_bytes(command[1:], "big")) in children:
                os.kill(child, signal.SIGKILL)
    for child in children:
        with suppress(OSError):
            os.kill(child, signal.SIGKILL)
    os._exit(0)


def _warm(engine: Engine) -> None:
    """Inspect an object of ours, so that what is loaded or compiled at first use is there before the first fork."""
    for module in pkgutil.iter_modules(encodings.__path__):
        with suppress(ImportError):  # those of Windows alone
            importlib.import_module(f"encodings.{module.name}")
    head = encode_file_meta(
        sop_class_uid="1.2.840.10008.5.1.4.1.1.7",
        sop_instance_uid="2.25.1",
        transfer_syntax_uid=EXPLICIT_LITTLE.uid,
        implementation_class_uid="2.25.1",
        implementation_version_name="WARM",
    )
    creator = struct.pack("<HH2sH", 0x0009, 0x0010, b"LO", 4) + b"WARM"
    private = struct.pack("<HH2sxxI", 0x0009, 0x1001, b"OB", 8_192) + bytes(8_192)
    pixels = struct.pack("<HH2sxxI", 0x7FE0, 0x0010, b"OW", 8_192) + bytes(8_192)
    for content in (head + creator + private + pixels, b"text"):
        task = _Task(engine, {"what": "any"})
        task.feed(memoryview(content))
        task.answer()


def _errand(command: bytes, engine: Engine) -> Callable[[socket.socket], NoReturn]:
    """Choose what a worker shall do, and load what making copies takes before the first that does."""
    if command == b"F":
        return lambda link: work(link, engine)
    from leadglass.edge import sandbox_copying

    sandbox_copying.warm()
    return sandbox_copying.make_copies


def _born(control: socket.socket, descriptor: int, errand: Callable[[socket.socket], NoReturn]) -> int:
    """Fork one worker for a socket; the parent keeps nothing of it but its number."""
    child = os.fork()
    if not child:
        control.close()
        errand(socket.socket(fileno=descriptor))
    os.close(descriptor)
    control.sendall(child.to_bytes(8, "big"))
    return child


def _bury(children: set[int]) -> None:
    """Take note of the workers that ended; until then the system gives their numbers to nobody else."""
    while children:
        child, _ = os.waitpid(-1, os.WNOHANG)
        if not child:
            return
        children.discard(child)


def main() -> NoReturn:
    """Be the nursery."""
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the owner's to answer
    try:
        nurse(socket.socket(fileno=0))
    except EOFError:
        sys.exit(0)


if __name__ == "__main__":
    main()
