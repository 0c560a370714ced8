"""`leadglass view`: where a study is looked at in the console, for a UID or a folder that `leadglass recon` made."""

from __future__ import annotations

from pathlib import Path

import click

from leadglass.cli.place import opened
from leadglass.cli.selection import study_records
from leadglass.cli.voice import Voice, verb
from leadglass.errors import NotFound, UsageError

_HEAD_BYTES = 1 << 20


@verb(
    "view",
    example="""\
leadglass view 2.25.56916750650051392162045942193643928737 --site my-site
leadglass view hand --browser --site my-site""",
)
@click.argument("study", metavar="STUDY_UID|DIR")
@click.option("--browser", "is_opening", is_flag=True, help="Open it in the browser, beside printing it.")
@click.pass_obj
def command(voice: Voice, site: str | None, study: str, is_opening: bool) -> None:
    """Print the address of a study's page, with its pictures, in the console of the site.

    A folder's study must be in the archive: `leadglass import DIR` takes it in.
    """
    folder = Path(study)
    uid = _of_folder(folder) if folder.is_dir() else study
    with opened(site) as hub:
        try:
            study_records(hub, uid)
        except NotFound as error:
            hint = f"`leadglass import {study}` takes it in." if folder.is_dir() else error.hint
            raise NotFound(error.message, hint=hint) from error
        web = hub.site.config.web
    if web.port is None:
        raise UsageError("The site has no console.", hint="Set port in [web] of leadglass.toml.")
    url = f"https://{'localhost' if web.host in ('127.0.0.1', '0.0.0.0', '::') else web.host}:{web.port}/studies/{uid}"  # noqa: S104 -- compared, not bound
    if voice.is_json:
        voice.json({"study": uid, "url": url})
    else:
        voice.say(url)
        voice.aside("`leadglass serve` must be running there.")
    if is_opening:
        click.launch(url)


def _of_folder(folder: Path) -> str:
    """Read the Study Instance UID of the first DICOM file of a folder."""
    from leadglass.dicom.part10 import Part10Reader
    from leadglass.errors import PeerError

    tag = 0x0020000D
    for path in sorted(folder.glob("*.dcm")):
        reader = Part10Reader(keep=frozenset({tag}))
        try:
            with path.open("rb") as file:
                reader.feed(file.read(_HEAD_BYTES))
        except PeerError:
            continue
        if tag in reader.values:
            return reader.values[tag].rstrip(b"\0 ").decode("ascii", "replace")
    raise UsageError(f"{folder} holds no DICOM file.", hint="Name a folder that `leadglass recon` made, or a UID.")
