"""From attributes a web client names to a query of the archive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from leadglass.archive.query import Level, Query
from leadglass.console.services import ArchiveReader
from leadglass.journeys.ports import Attributes, ObjectRecord

__all__ = ["Level", "Page", "records", "search"]


@dataclass(frozen=True, slots=True)
class Page:
    """Which matches are wanted: so many, after so many."""

    limit: int
    offset: int


def search(
    archive: ArchiveReader, level: Level, keys: Mapping[int, str], included: frozenset[int], page: Page, is_fuzzy: bool
) -> Iterator[Attributes]:
    """Search at a level; `included` attributes come back with each match."""
    asked = {**dict.fromkeys(included, ""), **keys}
    return archive.find(Query(level, asked, limit=page.limit, offset=page.offset, is_fuzzy=is_fuzzy))


def records(archive: ArchiveReader, level: Level, unique: Mapping[int, str]) -> list[ObjectRecord]:
    """List the archived objects of a study or series."""
    return archive.instances(Query(level, dict(unique)))
