"""`leadglass find`: search the archive with the same matching as C-FIND (PS3.4 C.2.2.2)."""

from __future__ import annotations

import re
from datetime import datetime
from itertools import islice

import click

from leadglass.cli.place import opened
from leadglass.cli.voice import Voice, counted, verb
from leadglass.errors import UsageError

_PATIENT, _PATIENT_ID, _STUDY, _ACCESSION = 0x00100010, 0x00100020, 0x0020000D, 0x00080050
_DATE, _MODALITIES, _MODALITY, _DESCRIPTION = 0x00080020, 0x00080061, 0x00080060, 0x00081030
_SERIES, _SERIES_NUMBER, _SERIES_DESCRIPTION, _SERIES_COUNT = 0x0020000E, 0x00200011, 0x0008103E, 0x00201209
_SOP, _NUMBER, _SOP_CLASS, _STUDY_COUNT = 0x00080018, 0x00200013, 0x00080016, 0x00201208

_COLUMNS: dict[str, tuple[tuple[str, str, int], ...]] = {
    "study": (
        ("Patient", "patient", _PATIENT),
        ("Patient ID", "patient_id", _PATIENT_ID),
        ("Date", "date", _DATE),
        ("Modalities", "modalities", _MODALITIES),
        ("Description", "description", _DESCRIPTION),
        ("Accession", "accession", _ACCESSION),
        ("Images", "instances", _STUDY_COUNT),
        ("Study Instance UID", "study_instance_uid", _STUDY),
    ),
    "series": (
        ("Number", "number", _SERIES_NUMBER),
        ("Modality", "modality", _MODALITY),
        ("Description", "description", _SERIES_DESCRIPTION),
        ("Images", "instances", _SERIES_COUNT),
        ("Series Instance UID", "series_instance_uid", _SERIES),
        ("Study Instance UID", "study_instance_uid", _STUDY),
    ),
    "image": (
        ("Number", "number", _NUMBER),
        ("SOP Class UID", "sop_class_uid", _SOP_CLASS),
        ("SOP Instance UID", "sop_instance_uid", _SOP),
        ("Series Instance UID", "series_instance_uid", _SERIES),
        ("Study Instance UID", "study_instance_uid", _STUDY),
    ),
}
_DASHED_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})")


@verb(
    "find",
    example="""\
leadglass find --patient 'MARTIN*' --date 2026-01-01..2026-03-31
leadglass find --level series --study 1.2.840.113619.2.1
leadglass find --modality CT --json""",
)
@click.option("--patient", help="Patient's name; * and ? are wildcards.")
@click.option("--id", "patient_id", help="Patient ID.")
@click.option("--study", help="Study Instance UID.")
@click.option("--series", help="Series Instance UID.")
@click.option("--accession", help="Accession number.")
@click.option("--date", help="Study date: 20260131, 2026-01-31, or a range 2026-01-01..2026-01-31.")
@click.option("--modality", help="CT, MR, …; several joined by commas.")
@click.option("--level", type=click.Choice(list(_COLUMNS)), default="study", show_default=True)
@click.option("--limit", default=200, show_default=True, type=click.IntRange(1, 1_000_000), help="Matches shown.")
@click.pass_obj
def command(voice: Voice, /, site: str | None, level: str, limit: int, **keys: str | None) -> None:
    """Search studies, series and images. Wildcards and ranges match as in C-FIND."""
    from leadglass.archive.query import Query

    columns = _COLUMNS[level]
    wanted = {tag: "" for _, _, tag in columns} | _matching(level, keys)
    with opened(site) as hub:
        found = list(islice(hub.archive.find(Query(level.upper(), wanted)), limit + 1))
    is_cut, found = len(found) > limit, found[:limit]
    if voice.is_json:
        rows = [{name: match.get(tag, "") for _, name, tag in columns} for match in found]
        voice.json({"level": level, "matches": rows, "complete": not is_cut})
    elif not found:
        voice.say("Nothing matches.")
    else:
        titles = [title for title, _, _ in columns]
        voice.table(titles, ([match.get(tag, "") for _, _, tag in columns] for match in found))
        if is_cut:
            voice.aside(
                f"Only the first {counted(limit, 'match is', 'matches are')} shown; narrow the search or raise --limit."
            )


def _matching(level: str, keys: dict[str, str | None]) -> dict[int, str]:
    tags = {
        "patient": _PATIENT,
        "patient_id": _PATIENT_ID,
        "study": _STUDY,
        "series": _SERIES,
        "accession": _ACCESSION,
        "date": _DATE,
        "modality": _MODALITIES if level == "study" else _MODALITY,
    }
    matching = {tags[name]: value for name, value in keys.items() if value}
    if date := keys["date"]:
        matching[_DATE] = _range(date)
    for name in ("study", "series"):
        if value := keys[name]:
            matching[tags[name]] = _uids(f"--{name}", value)
    if modality := keys["modality"]:
        matching[tags["modality"]] = _codes(modality)
    return matching


def _range(text: str) -> str:
    """Read a date or a range of dates into the form of C-FIND (PS3.4 C.2.2.2.5). Raises UsageError."""
    first, is_range, last = _DASHED_DATE.sub(r"\1\2\3", text.strip()).partition("..")
    if not is_range:
        first, is_range, last = first.partition("-")
    ends = [_day(end.strip(), text) for end in (first, last) if end.strip()]
    if not ends or (not is_range and len(ends) != 1):
        raise _no_date(text)
    if len(ends) == 2 and ends[0] > ends[1]:
        raise UsageError(f"--date {text} ends before it begins.", hint="Write the earlier day first.")
    return f"{first.strip()}-{last.strip()}" if is_range else ends[0]


def _day(day: str, text: str) -> str:
    try:
        if re.fullmatch(r"[0-9]{8}", day) is None:
            raise ValueError
        datetime.strptime(day, "%Y%m%d")
    except ValueError:
        raise _no_date(text) from None
    return day


def _no_date(text: str) -> UsageError:
    hint = "Write 20260131 or 2026-01-31; a range as 2026-01-01..2026-01-31, 2026-01-01.. or ..2026-01-31."
    return UsageError(f"--date cannot be {text}: that is no day, and no range of days.", hint=hint)


def _uids(option: str, text: str) -> str:
    """Read one UID, or several joined by commas. Raises UsageError."""
    uids = [uid.strip() for uid in re.split(r"[,\\]", text)]
    for uid in uids:
        if len(uid) > 64 or re.fullmatch(r"[0-9]+(\.[0-9]+)*", uid) is None:
            hint = "A UID is digits and dots, at most 64 of them; `leadglass find` prints those of studies."
            raise UsageError(f"{option} cannot be {uid or 'empty'}: that is no UID.", hint=hint)
    return "\\".join(uids)


def _codes(text: str) -> str:
    """Read modalities joined by commas; a code string has no small letters (PS3.5 §6.2). Raises UsageError."""
    codes = [code.strip().upper() for code in re.split(r"[,\\]", text)]
    for code in codes:
        if re.fullmatch(r"[A-Z0-9_ *?]{1,16}", code) is None:
            raise UsageError(f"--modality cannot be {code or 'empty'}.", hint="Write CT, MR, …; several as CT,MR.")
    return "\\".join(codes)
