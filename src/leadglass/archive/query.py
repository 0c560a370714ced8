"""What a query asks: level, keys and what to give back (PS3.4 §C.4.1, §C.6).

One `Query` serves C-FIND, C-MOVE, C-GET, QIDO-RS, the console and the command line. Attributes are decoded
text by tag; nothing here touches a database.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from leadglass.archive.levels import KNOWN_AT, UNIQUE_KEYS, Level
from leadglass.archive.matching import Matcher, canonical, matcher_for
from leadglass.dicom.dataset import DataSet, text_of
from leadglass.dicom.dictionary import vr_of
from leadglass.errors import PeerError

__all__ = ["Level", "Query", "Root", "query_from_identifier"]

QUERY_LEVEL = 0x00080052
_CHARACTER_SET, _TIMEZONE, _RETRIEVE_AE, _FILE_SET = 0x00080005, 0x00080201, 0x00080054, 0x00880130
_NOT_KEYS = frozenset({QUERY_LEVEL, _CHARACTER_SET, _TIMEZONE, _RETRIEVE_AE, _FILE_SET})
_PATIENT_ROOT = "1.2.840.10008.5.1.4.1.2.1."


class Root(StrEnum):
    """The information model of a query (PS3.4 §C.6)."""

    PATIENT = "patient"
    STUDY = "study"


@dataclass(frozen=True, slots=True)
class Query:
    """A question to the catalogue. `keys` maps a tag to its matching text, empty meaning "give it back"."""

    level: Level | str
    keys: Mapping[int, str]
    root: Root = Root.STUDY
    limit: int | None = None
    offset: int = 0
    is_fuzzy: bool = False

    @property
    def at(self) -> Level:
        """Give the level."""
        return Level(self.level)

    @property
    def return_tags(self) -> frozenset[int]:
        """Give the tags wanted in each answer, the unique keys down to the level included."""
        return frozenset(self.keys) | frozenset(UNIQUE_KEYS[level] for level in Level.down_to(self.at))

    def matchers(self) -> dict[int, Matcher]:
        """Compile the keys that restrict anything.

        A key the catalogue does not know at this level is no restriction (PS3.4 §C.2.2.1.3).
        """
        compiled = {}
        for tag, text in self.keys.items():
            if tag not in KNOWN_AT[self.at]:
                continue
            matcher = matcher_for(vr_of(tag), text, is_fuzzy=self.is_fuzzy)
            if matcher is not None:
                compiled[tag] = matcher
        return compiled

    def exact(self, tag: int) -> tuple[str, ...]:
        """Give the values of a key that is exact, as tokens are made of them; none where it does not restrict so."""
        text = self.keys.get(tag, "")
        if not text or "*" in text or "?" in text:
            return ()
        return tuple(value for part in text.split("\\") if (value := canonical(part)))


def query_from_identifier(identifier: DataSet, sop_class_uid: str) -> Query:
    """Read the identifier of C-FIND, C-MOVE or C-GET.

    Raises PeerError (code "identifier") for a level the model lacks, a unique key of a higher level that is
    more than one value, or one of a lower level (PS3.4 §C.4.1.2.1). Relational queries, which leave higher
    keys out, are answered.
    """
    root = Root.PATIENT if sop_class_uid.startswith(_PATIENT_ROOT) else Root.STUDY
    untrusted_level = text_of(identifier, QUERY_LEVEL).strip()
    try:
        level = Level(untrusted_level)
    except ValueError:
        raise _unfit("The query level must be PATIENT, STUDY, SERIES or IMAGE.", "PS3.4 §C.4.1.1.2") from None
    if level is Level.PATIENT and root is Root.STUDY:
        raise _unfit("The study root model has no PATIENT level.", "PS3.4 §C.6.2")
    keys: dict[int, str] = {}
    for tag, element in identifier.items():
        if tag in _NOT_KEYS or not tag & 0xFFFF or tag >> 16 & 1:
            continue
        keys[tag] = "" if element.vr == "SQ" else text_of(identifier, tag)
    _check_hierarchy(level, root, keys)
    return Query(level, keys, root)


def _check_hierarchy(level: Level, root: Root, keys: Mapping[int, str]) -> None:
    is_upper = True
    for other in Level:
        text = keys.get(UNIQUE_KEYS[other], "").strip(" \0")
        if other is level:
            is_upper = False
        elif not is_upper and text.strip("*"):
            raise _unfit(f"A query at the {level} level has no unique key of the {other} level.", "PS3.4 §C.4.1.2.1")
        elif is_upper and any(character in text for character in "*?\\"):
            if other is Level.PATIENT and root is Root.STUDY:
                continue  # Patient ID is no unique key of the study root model (PS3.4 §C.6.2.1.2)
            raise _unfit(f"The unique key of the {other} level must be one value.", "PS3.4 §C.4.1.2.1")


def _unfit(message: str, clause: str) -> PeerError:
    return PeerError(message, code="identifier", clause=clause)
