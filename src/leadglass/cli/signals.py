"""Stopping in order: Ctrl-C and SIGTERM end a wait, so that a service ends what it is doing and closes its doors."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Final

STOPPED: Final = 130
"""The exit code of work that Ctrl-C ended: 128 and the number of SIGINT, as shells expect."""


class Stop:
    """Waited for by one thread, said by any and by a signal handler.

    A `threading.Event` will not do: a handler that sets it while the main thread has just begun to wait wants the
    lock its own thread holds, and stands still for ever. `SimpleQueue.put` may be entered again.
    """

    def __init__(self) -> None:
        self._said: SimpleQueue[None] = SimpleQueue()
        self.is_said = False

    def say(self) -> None:
        """End the wait, now or when it begins."""
        self.is_said = True
        self._said.put(None)

    def wait(self, seconds: float | None = None) -> None:
        """Return when it is said, or after so many seconds."""
        with suppress(Empty):
            self._said.get(timeout=seconds)


@contextmanager
def until_stopped() -> Iterator[Stop]:
    """Give what SIGINT or SIGTERM say; a second Ctrl-C ends the process at once."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # signals belong to the main thread; whoever runs us elsewhere says it
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_said and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.say()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
