"""From what a person types to a query of the archive, and to the objects it selects."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from leadglass.errors import NotFound, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from leadglass.journeys.ports import ObjectRecord
    from leadglass.wiring import Hub

STUDY_UID, SERIES_UID, SOP_UID = 0x0020000D, 0x0020000E, 0x00080018
_UID = re.compile(r"[0-9.]{1,64}")
_OBJECT_ID = re.compile(r"[0-9a-f]{32}")
PAGE = 500


def study_records(hub: Hub, study_uid: str) -> list[ObjectRecord]:
    """Give the archived objects of a study; raises NotFound, or UsageError for what is no UID."""
    found = _at(hub, "STUDY", STUDY_UID, _checked(study_uid))
    if not found:
        raise NotFound(f"There is no study {study_uid}.", hint="`leadglass find` lists what there is.")
    return found


def named_records(hub: Hub, name: str) -> list[ObjectRecord]:
    """Give the objects that a study, series or SOP Instance UID, or an object id, names; raises NotFound."""
    if _OBJECT_ID.fullmatch(name) and "." not in name:
        return [hub.catalogue.object(bytes.fromhex(name))]
    uid = _checked(name)
    for level, tag in (("STUDY", STUDY_UID), ("SERIES", SERIES_UID), ("IMAGE", SOP_UID)):
        if found := _at(hub, level, tag, uid):
            return found
    raise NotFound(
        f"Nothing here is called {name}.",
        hint="`leadglass find` lists studies, `leadglass quarantine list` what is held.",
    )


def every_study(hub: Hub) -> Iterator[str]:
    """Give the UID of every study, page by page."""
    offset = 0
    while page := hub.catalogue.studies(limit=PAGE, offset=offset):
        for line in page:
            yield line.study_instance_uid
        offset += len(page)


def every_record(hub: Hub) -> Iterator[ObjectRecord]:
    """Give every archived object, study by study; last those of no study (palettes, protocols), or under no UID.

    What a sender wrote in the place of a study's UID may be a wildcard or a list: it is never searched for.
    """
    from leadglass.archive.query import Query

    for study in every_study(hub):
        if _UID.fullmatch(study):
            yield from _at(hub, "STUDY", STUDY_UID, study)
    for image in hub.archive.find(Query("IMAGE", {STUDY_UID: "", SOP_UID: ""})):
        if not _UID.fullmatch(image[STUDY_UID]):
            yield hub.catalogue.instance(image[SOP_UID])


def _at(hub: Hub, level: str, tag: int, uid: str) -> list[ObjectRecord]:
    from leadglass.archive.query import Query

    return hub.archive.instances(Query(level, {tag: uid}))


def _checked(untrusted_uid: str) -> str:
    if _UID.fullmatch(untrusted_uid) is None:
        raise UsageError(
            f"{untrusted_uid} is neither a UID nor an object id.", hint="`leadglass find` prints the UIDs of studies."
        )
    return untrusted_uid
