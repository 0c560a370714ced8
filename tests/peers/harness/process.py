"""One program in the background: started, watched, measured and always stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil


class Running:
    """A program with its output in a file. Its process group is ended with it."""

    def __init__(
        self,
        arguments: Sequence[str],
        log: Path,
        *,
        environment: dict[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                list(arguments),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **(environment or {})},
                cwd=folder,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def wait_for_port(self, port: int, seconds: float = 60.0) -> None:
        """Return when something accepts on the port; fail with the log when the program ends first."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not self.is_alive():
                raise RuntimeError(f"{self.process.args} ended:\n{self.tail()}")
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.02)
        raise RuntimeError(f"{self.process.args} does not listen on {port}:\n{self.tail()}")

    def wait_for_line(self, wanted: Callable[[str], bool], seconds: float = 60.0) -> None:
        """Return when a whole line of the program's output is the wanted one."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            lines = self.log.read_text(errors="replace").splitlines(keepends=True)
            if any(wanted(line) for line in lines if line.endswith("\n")):
                return
            if not self.is_alive():
                raise RuntimeError(f"{self.process.args} ended:\n{self.tail()}")
            time.sleep(0.02)
        raise RuntimeError(f"{self.process.args} did not say it is ready:\n{self.tail()}")

    def tail(self, characters: int = 3000) -> str:
        return self.log.read_text(errors="replace")[-characters:] if self.log.exists() else ""

    def kill(self) -> None:
        """SIGKILL the program and what it started, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self, seconds: float = 15.0) -> int:
        """Ask the program to end, then make it; gives its exit status."""
        if self.is_alive():
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        return self.process.wait()


def resident_bytes(pid: int) -> int:
    """Sum the resident memory of a process and its children; pages that several of them share count once."""
    try:
        parent = psutil.Process(pid)
        family = [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    total = 0
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            total += member.memory_full_info().pss
    return total


def idle_bytes(pid: int, *, patience_s: float = 15.0) -> int:
    """Give the resident memory once it stands still: a server may still be loading when it first answers."""
    deadline, last = time.monotonic() + patience_s, resident_bytes(pid)
    while time.monotonic() < deadline:
        time.sleep(1.0)
        now = resident_bytes(pid)
        if abs(now - last) < 1 << 20:
            return now
        last = now
    return last


class MemoryWatch:
    """Samples the resident memory of a program while a block runs: `with MemoryWatch(pid) as watch`."""

    def __init__(self, pid: int, interval_s: float = 0.02) -> None:
        self._pid = pid
        self._interval_s = interval_s
        self._done = threading.Event()
        self.before = idle_bytes(pid)
        self.peak = self.before
        self._thread = threading.Thread(target=self._sample, daemon=True)

    @property
    def growth(self) -> int:
        return max(0, self.peak - self.before)

    def _sample(self) -> None:
        while not self._done.wait(self._interval_s):
            self.peak = max(self.peak, resident_bytes(self._pid))

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.peak = max(self.peak, resident_bytes(self._pid))
        self._done.set()
        self._thread.join()
