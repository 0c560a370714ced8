"""Settle what was acknowledged: once the catalogue's commits are durable, staged objects get their place.

Until then an object is read where it was staged. A power cut before that leaves it there, synced and complete,
and `recover` brings its row back from the object itself. A second copy of an object that has no place yet is kept
until it has one: the first copy may still fail to reach the disk, and the second was acknowledged too.
"""

from __future__ import annotations

from collections import deque
from typing import TypeVar

from leadglass.journeys.ports import Admission, Blobs, Catalogue, Duplicate, Staging

T = TypeVar("T")

_Copy = tuple[Staging, Admission, bytes]
"""A synced copy, how it asked to be admitted, and the object it is a copy of."""


class Settling:
    """The objects that wait for their place. Thread-safe."""

    def __init__(self, catalogue: Catalogue, blobs: Blobs) -> None:
        self._catalogue = catalogue
        self._blobs = blobs
        self._waiting: deque[Staging] = deque()
        self._copies: deque[_Copy] = deque()

    def add(self, staging: Staging) -> None:
        """Take an object whose admission was committed."""
        self._waiting.append(staging)

    def add_copy(self, staging: Staging, admission: Admission, object_id: bytes) -> None:
        """Take a synced copy of an object that is already in the catalogue; it goes when the object has its place."""
        if self._blobs.is_placed(object_id):
            staging.discard()
        else:
            self._copies.append((staging, admission, object_id))

    def settle(self) -> int:
        """Make the commits so far durable and promote their objects; gives how many were dealt with.

        What could not be dealt with (a full disk) is kept for the next time.
        """
        waiting, copies = _taken(self._waiting), _taken(self._copies)
        count = 0
        try:
            self._catalogue.flush()  # after the taking: what is admitted from now on waits for the next time
            while waiting:
                waiting[-1].promote()
                waiting.pop()
                count += 1
            for _ in range(len(copies)):
                count += self._settle_copy(*copies[-1])
                copies.pop()
        finally:
            self._waiting.extend(waiting)
            self._copies.extend(copies)
        return count

    def _settle_copy(self, staging: Staging, admission: Admission, object_id: bytes) -> bool:
        if self._blobs.is_placed(object_id):
            staging.discard()
            return True
        if self._catalogue.has_object(object_id):
            self._copies.append((staging, admission, object_id))
            return False
        result = self._catalogue.admit(admission)  # the first copy was withdrawn: this one is the object now
        if isinstance(result, Duplicate):
            self.add_copy(staging, admission, result.object_id)
        else:
            self.add(staging)
        return True


def _taken(queue: deque[T]) -> list[T]:
    taken: list[T] = []
    while queue:
        try:
            taken.append(queue.popleft())
        except IndexError:
            break  # another thread took the last one
    return taken
