"""Inspections in other processes: a pool of confined workers, each seeing one object at a time.

A worker that crashes, falls silent, wants more than it may have or answers what cannot be true gives `NotAssessed`,
which fails closed by policy; it is killed and replaced. A worker is retired after an object that was not clean, and
after `SANDBOX_OBJECTS_MAX` in any case. Thread-safe; one inspection belongs to one thread.
"""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

from leadglass import limits
from leadglass.dicom.frame_digests import FrameDigests
from leadglass.dicom.part10 import FileMeta, HeadReader
from leadglass.dicom.structure import DatasetError, DatasetLimit, Structure
from leadglass.dicom.visitor import Buffer
from leadglass.edge.sandbox_wire import (
    PIECE_BYTES_MAX,
    SETUP_BYTES_MAX,
    Answer,
    Kind,
    read_answer,
    receive_message,
    send_message,
)
from leadglass.errors import LeadglassError, LimitExceeded, UsageError
from leadglass.finding import Inspection, NotAssessed, Severity

__all__ = ["COPIES", "INSPECTIONS", "RemoteInspector", "Sandbox", "SandboxError", "Worker", "own_rules"]

COMMAND = (sys.executable, "-I", "-m", "leadglass.edge.sandbox_worker")

INSPECTIONS, COPIES = b"F", b"C"
"""What a worker is for (`sandbox_worker.py`, `sandbox_copying.py`)."""

_START_SECONDS = 60.0
"""A nursery that compiles seven thousand rules takes about ten."""

_POLL_EVERY_BYTES = 1 << 20
_SILENT = "The inspection took longer than it may."
_ENDED = "The inspection ended before its answer."
_UNTRUE = "The inspection gave an answer that cannot be true."
_FULL = "As many inspections as there may be are under way."


def own_rules() -> Path:
    """Give the folder of the rules that come with the product."""
    return Path(str(files("leadglass") / "content/signatures"))


class SandboxError(LeadglassError):
    """No inspection worker could be made."""


class Worker:
    """One process of the nursery, by its number and its socket."""

    def __init__(self, link: socket.socket, number: int, errand: bytes) -> None:
        self.link = link
        self.errand = errand
        self.number = number
        self.objects = 0
        self.said = select.poll()
        self.said.register(link, select.POLLIN)


class _Nursery:
    """The process that forks workers."""

    def __init__(self, command: Sequence[str], setup: Mapping[str, object]) -> None:
        ours, theirs = socket.socketpair()
        self._lock = threading.RLock()
        self._control = ours
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 -- our own interpreter and module
                command,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                close_fds=True,
                cwd="/",
                env={"LC_ALL": "C.UTF-8"},
            )
        ours.settimeout(_START_SECONDS)
        try:
            send_message(ours, Kind.BEGIN, json.dumps(setup).encode())
            _, payload = receive_message(ours, bytearray(PIECE_BYTES_MAX), SETUP_BYTES_MAX)
            ready = json.loads(bytes(payload))
        except (OSError, EOFError, ValueError) as error:
            self.close()
            raise SandboxError(
                "The inspection process does not start.", hint="`leadglass doctor` looks why."
            ) from error
        if "error" in ready:
            self.close()
            raise UsageError(str(ready["error"]), hint=str(ready.get("hint", "")))
        self.rules = int(ready.get("rules", 0))

    def bear(self, errand: bytes) -> Worker:
        """Make a worker. Raises SandboxError."""
        ours, theirs = socket.socketpair()
        try:
            with theirs, self._lock:
                for end in (ours, theirs):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PIECE_BYTES_MAX)
                socket.send_fds(self._control, [errand], [theirs.fileno()])
                number = self._control.recv(8, socket.MSG_WAITALL)
            if len(number) != 8:
                raise EOFError
        except (OSError, EOFError) as error:
            ours.close()
            raise SandboxError("The inspection process has ended.") from error
        ours.settimeout(limits.SANDBOX_SECONDS)
        return Worker(ours, int.from_bytes(number, "big"), errand)

    def kill(self, worker: Worker) -> None:
        """End a worker, whatever it is doing."""
        worker.link.close()
        with self._lock, suppress(OSError):
            self._control.sendall(b"K" + worker.number.to_bytes(8, "big"))

    def close(self) -> None:
        """End it and every worker."""
        self._control.close()
        self._process.kill()
        self._process.wait()


class Sandbox:
    """The pool. The nursery starts with the first inspection; `close` ends every process."""

    def __init__(
        self,
        keep: Iterable[int],
        *,
        rules: Sequence[Path] = (),
        command: Sequence[str] = COMMAND,
        seconds: float = limits.SANDBOX_SECONDS,
        spares_data_sets: bool = False,
    ) -> None:
        """Inspect with rule sets by path, keeping some values for the catalogue; data sets may be spared the rules."""
        self.keep, self.seconds, self._spares_data_sets = frozenset(keep), seconds, spares_data_sets
        self._setup = {"keep": sorted(self.keep), "rules": [str(path.resolve()) for path in rules]}
        self._command = tuple(command)
        self._lock = threading.RLock()  # an inspector that is forgotten gives its worker back wherever that happens
        self._nursery: _Nursery | None = None
        self._idle: list[Worker] = []
        self._busy = 0
        self._is_closed = False

    def start(self) -> int:
        """Start the nursery and a worker; gives how many rules there are. Raises UsageError for a bad one."""
        with self._lock:
            nursery = self._nursed()
            if not self._idle:
                self._idle.append(nursery.bear(INSPECTIONS))
            return nursery.rules

    def close(self) -> None:
        """End every process; what is under way is not assessed."""
        with self._lock:
            self._is_closed = True
            nursery, self._nursery = self._nursery, None
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.link.close()
        if nursery is not None:
            nursery.close()

    def file(self) -> RemoteInspector:
        """Begin a Part 10 file."""
        return RemoteInspector(self, {"what": "file"}, HeadReader())

    def data_set(self, transfer_syntax_uid: str, dataset_offset: int) -> RemoteInspector:
        """Begin a bare data set, as C-STORE carries it."""
        ask: dict[str, object] = {"what": "data-set", "syntax": transfer_syntax_uid, "dataset_offset": dataset_offset}
        return RemoteInspector(self, ask | {"spared": self._spares_data_sets}, None)

    def any_file(self, name: str = "") -> RemoteInspector:
        """Begin a file of any kind; `name` is the suffix of its name, with the dot."""
        return RemoteInspector(self, {"what": "any", "name": name[:16]}, None)

    def take(self, errand: bytes = INSPECTIONS) -> Worker:
        """Take a worker out of the pool. Raises SandboxError."""
        with self._lock:
            if self._busy >= limits.SANDBOX_WORKERS_MAX:
                raise SandboxError(_FULL)
            self._busy += 1
            for worker in reversed(self._idle):
                if worker.errand == errand:
                    self._idle.remove(worker)
                    return worker
        try:
            return self._born(errand)
        except BaseException:
            with self._lock:
                self._busy -= 1
            raise

    def give(self, worker: Worker, *, is_whole: bool) -> None:
        """Give a worker back, or have it killed."""
        worker.objects += 1
        with self._lock:
            self._busy -= 1
            nursery = self._nursery
            is_kept = (
                is_whole
                and not self._is_closed
                and worker.objects < limits.SANDBOX_OBJECTS_MAX
                and len(self._idle) < limits.SANDBOX_IDLE_MAX
            )
            if is_kept:
                self._idle.append(worker)
                return
        if nursery is None:
            worker.link.close()
        else:
            nursery.kill(worker)

    def _born(self, errand: bytes) -> Worker:
        with self._lock:
            nursery = self._nursed()
        try:
            return nursery.bear(errand)
        except SandboxError:
            with self._lock:
                if self._nursery is nursery:  # it ended: one more try with a new one
                    self._nursery = None
                    nursery.close()
                nursery = self._nursed()
            return nursery.bear(errand)

    def _nursed(self) -> _Nursery:
        if self._is_closed:
            raise SandboxError("The inspection pool is closed.")
        if self._nursery is None:
            self._nursery = _Nursery(self._command, self._setup)
        return self._nursery


class RemoteInspector:
    """One object under inspection in a worker; as `malware.anatomy.FileInspector`, but its answers come at the end.

    What must be known while the object passes, where its data set begins, is read here.
    """

    def __init__(self, pool: Sandbox, ask: Mapping[str, object], head: HeadReader | None) -> None:
        self._pool = pool
        self._head = head
        self._meta: FileMeta | None = None
        self._offset = ask.get("dataset_offset")
        self._syntax = str(ask.get("syntax", ""))
        self._fed = 0
        self._polled = 0
        self._failed = ""
        self._answer: Answer | None = None
        self._worker: Worker | None = None
        self.limit_exceeded: LimitExceeded | None = None
        try:
            self._worker = pool.take()
            send_message(self._worker.link, Kind.BEGIN, json.dumps(ask).encode())
        except LeadglassError as error:
            self._fail(error.message)
        except OSError:
            self._fail(_ENDED)

    @property
    def dataset_offset(self) -> int | None:
        """Tell where the data set begins, once known."""
        if self._meta is not None:
            return self._meta.dataset_offset
        return self._offset if isinstance(self._offset, int) else None

    @property
    def transfer_syntax_uid(self) -> str:
        """Give the transfer syntax, empty until known."""
        return self._syntax if self._meta is None else self._meta.transfer_syntax.uid

    @property
    def values(self) -> Mapping[int, bytes]:
        """Give what was kept, once finished."""
        return {} if self._answer is None else self._answer.values

    @property
    def structure(self) -> Structure | None:
        """Give the structure of the data set, None before the end or if it failed."""
        return None if self._answer is None else self._answer.structure

    @property
    def frame_digests(self) -> FrameDigests | None:
        """Give what the frames hash to, once finished."""
        return None if self._answer is None else self._answer.frames

    @property
    def is_done_with_header(self) -> bool:
        """Tell whether `values` are whole."""
        return self._answer is not None

    def feed(self, data: Buffer) -> None:
        """Take the next bytes; never raises, whatever they are."""
        self._fed += len(data)
        if self._head is not None:
            self._read_head(data)
        worker = self._worker
        if worker is None:
            return
        try:
            view = memoryview(data)
            for at in range(0, len(view), PIECE_BYTES_MAX):
                send_message(worker.link, Kind.PIECE, view[at : at + PIECE_BYTES_MAX])
            if self._fed - self._polled >= _POLL_EVERY_BYTES:
                self._polled = self._fed
                self._poll(worker)
        except TimeoutError:
            self._fail(_SILENT)
        except OSError:
            self._fail(_ENDED)

    def finish(self) -> Inspection:
        """Close the inspection and give everything found, or that it could not be told."""
        if self._head is not None:
            with suppress(DatasetError, DatasetLimit):
                self._meta, _ = self._head.finish()
            self._head = None
        if self._worker is not None:
            try:
                self._answer = self._asked(self._worker)
            except TimeoutError:
                self._fail(_SILENT)
            except (EOFError, OSError):
                self._fail(_ENDED)
            except (ValueError, TypeError, LookupError, RecursionError, OverflowError):
                self._fail(_UNTRUE)
        if self._answer is None:
            return NotAssessed(self._failed)
        inspection, self.limit_exceeded = self._answer.inspection, self._answer.limit
        is_clean = isinstance(inspection, NotAssessed) or any(
            finding.severity >= Severity.MEDIUM for finding in inspection.findings
        )
        self._leave(is_whole=not is_clean)
        return inspection

    def close(self) -> None:
        """Give up an object that is not finished; after `finish`, nothing."""
        self._leave(is_whole=False)

    def __del__(self) -> None:
        self._leave(is_whole=False)

    def _asked(self, worker: Worker) -> Answer:
        """Ask for the answer and wait for it, as long as an object of this length may take."""
        seconds = self._pool.seconds + self._fed / limits.SANDBOX_BYTES_PER_SECOND_MIN
        ends = time.monotonic() + seconds
        worker.link.settimeout(seconds)
        send_message(worker.link, Kind.FINISH)
        kind, payload = receive_message(worker.link, bytearray(1 << 16), limits.SANDBOX_RESULT_BYTES_MAX, ends)
        while kind is Kind.LIMIT:
            kind, payload = receive_message(worker.link, bytearray(1 << 16), limits.SANDBOX_RESULT_BYTES_MAX, ends)
        if kind is not Kind.RESULT:
            raise ValueError("not a result")
        worker.link.settimeout(self._pool.seconds)
        return read_answer(payload, fed_bytes=self._fed, keep=self._pool.keep)

    def _poll(self, worker: Worker) -> None:
        """See whether the worker says that the object should not go on: then it gives its reason at once."""
        if worker.said.poll(0):
            self.finish()

    def _read_head(self, data: Buffer) -> None:
        assert self._head is not None
        try:
            found = self._head.feed(data)
        except (DatasetError, DatasetLimit):
            self._head = None
            return
        if found is not None:
            self._meta, self._head = found[0], None

    def _fail(self, reason: str) -> None:
        self._failed = reason
        self._leave(is_whole=False)

    def _leave(self, *, is_whole: bool) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            self._pool.give(worker, is_whole=is_whole)
