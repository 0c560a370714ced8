"""`leadglass identity`: the site's own certificates, what they say and until when, and a new one for the server."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from leadglass.cli.place import load, opened, operator
from leadglass.cli.voice import Json, Voice, verb
from leadglass.errors import ConfigurationError, LeadglassError

if TYPE_CHECKING:
    from pathlib import Path

    from leadglass.edge.certificates import CertificateDescription
    from leadglass.edge.site import Site


@click.group("identity", short_help="Show the site's certificates, or renew the server's.")
def command() -> None:
    """Show the site's certificates with dates and fingerprints, or renew the server's."""


@verb("show", example="leadglass identity show")
@click.pass_obj
def show(voice: Voice, site: str | None) -> None:
    """Show the authority, the server's certificate, and what is trusted beside them. Exit code 1: one has expired."""
    now = datetime.now(UTC)
    described = [(what, path, _described(path)) for what, path in _files(load(site))]
    if voice.is_json:
        voice.json({"certificates": [_json(what, path, one, now) for what, path, one in described]})
    else:
        for what, path, one in described:
            voice.say(f"{what}: {one.common_name}   ({path.name})")
            voice.say(f"  valid        {one.not_before:%Y-%m-%d} to {one.not_after:%Y-%m-%d}, {_left(one, now)}")
            voice.say(f"  fingerprint  {one.fingerprint}")
            if one.names:
                voice.say(f"  answers at   {', '.join(one.names)}")
    if not all(one.is_valid_at(now) for _, _, one in described):
        if not voice.is_json:
            voice.say("Next: `leadglass identity renew` for the server's; ask its owner for a node's.")
        click.get_current_context().exit(1)


@verb("renew", example="leadglass identity renew\nleadglass identity renew --name pacs.example.org")
@click.option("--name", "names", multiple=True, metavar="HOST", help="Host name or address it is good for; repeatable.")
@click.pass_obj
def renew(voice: Voice, site: str | None, names: tuple[str, ...]) -> None:
    """Make the server's key and certificate anew, under the same authority. Names it had are kept."""
    from leadglass.audit import AuditEvent, AuditKind

    now = datetime.now(UTC)
    with opened(site) as hub:
        files = hub.site.tls_files
        authority = _described(files.authority)
        try:
            old: CertificateDescription | None = _described(files.certificate)
        except LeadglassError:
            old = None
        if not authority.is_valid_at(now):
            raise ConfigurationError(
                f"The site's authority is not in date (until {authority.not_after:%Y-%m-%d}); nobody would trust it.",
                hint="Check this machine's clock; else make a new site and add its nodes anew.",
            )
        detail: dict[str, str | int] = {"old": old.fingerprint if old else "missing"}
        hub.catalogue.record(
            AuditEvent(AuditKind.IDENTITY_RENEWED, hub.clock.now_us(), operator(), None, "renewed", detail)
        )
        made = hub.identity.renew(now=now, names=(*(old.names if old else ()), *names))
    if voice.is_json:
        told = _json("server", files.certificate, made, now)
        voice.json({"certificate": told, "old_fingerprint": old and old.fingerprint})
        return
    voice.say(f"New: {files.certificate}, until {made.not_after:%Y-%m-%d}.")
    voice.say(f"  fingerprint  {made.fingerprint}")
    voice.say(f"  answers at   {', '.join(made.names)}")
    voice.say("Nodes that trust the authority (ca.pem) need nothing: it is the same.")
    voice.say("A node that trusts the server's certificate itself needs the new one.")
    voice.say("Next: restart `leadglass serve` for the console; the DICOM door shows it from the next connection on.")


def _files(site: Site) -> list[tuple[str, Path]]:
    files = site.tls_files
    own = [("authority", files.authority), ("server", files.certificate)]
    return own + [("trusted", path) for path in files.trusted]


def _described(path: Path) -> CertificateDescription:
    from leadglass.edge.certificates import describe

    try:
        content = path.read_bytes()
    except OSError as error:
        hint = "`leadglass identity renew` makes the server's anew; restore any other from the last back-up."
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.", hint=hint) from None
    return describe(content)


def _left(one: CertificateDescription, now: datetime) -> str:
    days = (one.not_after - now).days
    return f"{days} days left" if one.is_valid_at(now) else "NOT VALID NOW"


def _json(what: str, path: Path, one: CertificateDescription, now: datetime) -> Json:
    return {
        "what": what,
        "file": str(path),
        "common_name": one.common_name,
        "issuer": one.issuer,
        "fingerprint": one.fingerprint,
        "not_before": one.not_before.isoformat(),
        "not_after": one.not_after.isoformat(),
        "is_valid": one.is_valid_at(now),
        "names": list(one.names),
    }


for _verb in (show, renew):
    command.add_command(_verb)
