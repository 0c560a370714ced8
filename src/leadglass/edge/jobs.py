"""Work that goes on beside the doors: one thread for each job, woken by the clock or by news, stopped in order."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from leadglass.errors import LeadglassError

_log = logging.getLogger(__name__)


class Job:
    """Call `work` again and again: at once while it does something, else after `pause_seconds` or when woken."""

    def __init__(self, name: str, work: Callable[[Callable[[], bool]], int], *, pause_seconds: float) -> None:
        self._work = work
        self._pause_seconds = pause_seconds
        self._news = threading.Event()
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Look now instead of after the pause."""
        self._news.set()

    def stop(self, *, patience_seconds: float = 10.0) -> None:
        """Ask the work to end and wait for it."""
        self._is_stopping.set()
        self._news.set()
        self._thread.join(patience_seconds)

    def _run(self) -> None:
        while not self._is_stopping.is_set():
            try:
                has_done_something = self._work(self._is_stopping.is_set) > 0
            except LeadglassError as error:
                _log.warning("%s: %s", self._thread.name, error.message)
                has_done_something = False
            except Exception:  # noqa: BLE001 - a job must outlive one bad turn
                _log.exception("%s failed", self._thread.name)
                has_done_something = False
            if not has_done_something:
                self._news.wait(self._pause_seconds)
                self._news.clear()
