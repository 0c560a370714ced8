"""`leadglass feeds`: rule sets come in from a signed bundle or a folder, are tried first, and can be taken back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from leadglass.cli.place import load, opened, operator
from leadglass.cli.voice import Voice, counted, moment, verb
from leadglass.errors import IntegrityError, Refused, UsageError

if TYPE_CHECKING:
    from leadglass.audit import AuditKind
    from leadglass.edge.feeds import Installed, Standing
    from leadglass.edge.feeds_source import Feed
    from leadglass.wiring import Hub

_NEXT = (
    "Next: `leadglass archive inspect` looks at everything archived with them; a running `leadglass serve` takes them "
    "up when it is restarted."
)
_OLD_DAYS = 90


@click.group("feeds", short_help="Take in, list, restore or remove rule sets.")
def command() -> None:
    """Take in YARA rule sets as signed bundles or folders. Nothing is fetched: files are brought here by a person."""


_name = click.option("--name", metavar="NAME", default="", help="What the feed is called: small letters and hyphens.")
_version = click.option("--version", "version_", metavar="TEXT", default="", help="Default: the day it is of.")
_licence = click.option("--licence", metavar="TEXT", default="", help="Default: as its LICENSE file says.")
_origin = click.option("--origin", metavar="TEXT", default="", help="Where it comes from: a project, a commit.")
_made_on = click.option(
    "--made-on", metavar="DAY", type=click.DateTime(["%Y-%m-%d"]), help="Default: that of the newest file."
)


@verb(
    "import",
    example="leadglass feeds import rules-2026-03.zip\n"
    "leadglass feeds import yara-rules/ --unsigned --name reversinglabs --licence MIT",
)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--unsigned", is_flag=True, help="Take in what nobody signed: you answer for where it comes from.")
@click.option("--older", is_flag=True, help="Take in what is older than what is in force.")
@_name
@_version
@_licence
@_origin
@_made_on
@click.pass_obj
def import_(
    voice: Voice, site: str | None, path: Path, unsigned: bool, older: bool, name: str, version_: str, licence: str,
    origin: str, made_on: datetime | None,
) -> None:  # fmt: skip
    """Take in a signed bundle, or with --unsigned a folder, zip file or .yar file.

    Signature, files and rules are checked first, the rules in a process without files and network; where anything is
    wrong, nothing changes. What was in force before is kept for `feeds restore`.
    """
    from leadglass.audit import AuditKind
    from leadglass.edge.feeds_source import Described, is_bundle, read_bundle, read_unsigned

    said = Described(name, version_, licence, origin, None if made_on is None else made_on.date())
    with opened(site) as hub:
        try:
            if is_bundle(path):
                if said != Described():
                    raise UsageError(
                        "A bundle says itself what it is.", hint="Leave --name, --licence and the like out."
                    )
                feed = read_bundle(path, hub.policy().feed_keys)
            elif not unsigned:
                raise Refused(
                    f"{path.name} is not a signed bundle, and nothing shows who made it.",
                    hint="Say --unsigned if you know where it comes from.",
                )
            else:
                feed = read_unsigned(path, said)
            made = _taken_in(hub, feed, accepts_older=older)
        except (Refused, IntegrityError) as error:
            outcome = "altered" if isinstance(error, IntegrityError) else "refused"
            _record(hub, AuditKind.FEED_REFUSED, outcome, {"file": path.name})
            raise
    if voice.is_json:
        voice.json({"feed": _json(made)})
        return
    manifest = made.manifest
    voice.say(f"In force: {manifest.name} {manifest.version}, {counted(made.rules, 'rule')}, of {manifest.made_on}.")
    voice.say(f"  licence  {manifest.licence}")
    voice.say(f"  signed   {made.signer or 'by nobody: you said --unsigned'}")
    voice.say(f"  sha256   {made.sha256}")
    voice.say(_NEXT)


def _taken_in(hub: Hub, feed: Feed, *, accepts_older: bool) -> Installed:
    """Try a feed beside everything else the site has, record it, and put it in force."""
    from leadglass.audit import AuditKind
    from leadglass.edge.feeds_trial import try_rules
    from leadglass.gateway.feed import FeedKind

    manifest, store = feed.manifest, hub.site.feeds
    if manifest.kind is not FeedKind.YARA:
        hint = "A later version of Leadglass reads them."
        raise Refused(f"Nothing here reads a feed of {manifest.kind.value} yet.", hint=hint)
    with store.staged(feed, at_us=hub.clock.now_us(), actor=operator(), accepts_older=accepts_older) as staged:
        rules = try_rules(staged.content, _others(hub, manifest.name))
        detail: dict[str, str | int] = {
            "feed": manifest.name, "version": manifest.version, "rules": rules, "licence": manifest.licence,
            "signed-by": feed.signer or "nobody", "sha256": staged.sha256,
        }  # fmt: skip
        _record(hub, AuditKind.FEED_IMPORTED, "imported", detail)
        return staged.put_in_force(rules)


def _others(hub: Hub, name: str) -> tuple[Path, ...]:
    """Give every rule the site inspects with, but those of one feed."""
    from leadglass.edge.sandbox import own_rules

    site = hub.site
    named = (site.folder / path for path in site.config.inspection.rules)
    return (own_rules(), *named, *site.feeds.others(name))


def _record(hub: Hub, kind: AuditKind, outcome: str, detail: dict[str, str | int]) -> None:
    from leadglass.audit import AuditEvent

    hub.catalogue.record(AuditEvent(kind, hub.clock.now_us(), operator(), None, outcome, detail))


@verb("list", example="leadglass feeds list")
@click.pass_obj
def list_(voice: Voice, site: str | None) -> None:
    """List the feeds in force."""
    every = load(site).feeds.every()
    if voice.is_json:
        voice.json({"feeds": [_json(one.current) for one in every]})
        return
    if not every:
        voice.say("No feed was taken in; inspection uses the rules that come with Leadglass.")
        return
    rows = [
        (one.name, one.current.manifest.version, _age(one.current), one.current.rules, one.current.manifest.licence,
         "yes" if one.current.signer else "no")
        for one in every
    ]  # fmt: skip
    voice.table(("Feed", "Version", "Age", "Rules", "Licence", "Signed"), rows)


@verb("status", example="leadglass feeds status\nleadglass feeds status reversinglabs --json")
@click.argument("name", required=False)
@click.pass_obj
def status(voice: Voice, site: str | None, name: str | None) -> None:
    """Tell what each feed is, how old, who brought it, and whether its files are unchanged (else exit code 1)."""
    store = load(site).feeds
    every = [store.standing(name)] if name else store.every()
    faults = {one.name: one.current.faults() for one in every}
    if voice.is_json:
        voice.json({"feeds": [_json(one.current) | _more(one, faults[one.name]) for one in every]})
    else:
        for one in every:
            _tell(voice, one, faults[one.name])
        if not every:
            voice.say("No feed was taken in.")
    if any(faults.values()):
        click.get_current_context().exit(1)


@verb("restore", example="leadglass feeds restore reversinglabs")
@click.argument("name")
@click.pass_obj
def restore(voice: Voice, site: str | None, name: str) -> None:
    """Put the version before in force again; that in force now is kept in its turn."""
    from leadglass.audit import AuditKind
    from leadglass.edge.feeds_trial import try_rules

    with opened(site) as hub:

        def accept(old: Installed) -> None:
            try_rules(old.content, _others(hub, name))
            _record(hub, AuditKind.FEED_RESTORED, "restored", {"feed": name, "version": old.manifest.version})

        made = hub.site.feeds.restore(name, accept)
    if voice.is_json:
        voice.json({"feed": _json(made)})
        return
    voice.say(f"In force: {name} {made.manifest.version}, {counted(made.rules, 'rule')}, of {made.manifest.made_on}.")
    voice.say(_NEXT)


@verb("remove", example="leadglass feeds remove reversinglabs")
@click.argument("name")
@click.pass_obj
def remove(voice: Voice, site: str | None, name: str) -> None:
    """Take a feed out of force and delete its files, the version before included."""
    from leadglass.audit import AuditKind

    with opened(site) as hub:

        def accept(old: Installed | None) -> None:
            version = "unreadable" if old is None else old.manifest.version
            _record(hub, AuditKind.FEED_REMOVED, "removed", {"feed": name, "version": version})

        hub.site.feeds.remove(name, accept)
    if voice.is_json:
        voice.json({"removed": name})
        return
    voice.say(f"Removed: {name}. A running `leadglass serve` uses it until it is restarted.")


@verb("pack", site=False, example="leadglass feeds pack yara-rules/ --key feed.key --to rules.zip --name house-rules")
@click.argument("path", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--key", "key_file", metavar="FILE", required=True, type=click.Path(path_type=Path), help="Private key.")
@click.option("--to", "target", metavar="ZIP", required=True, type=click.Path(path_type=Path), help="A new file.")
@click.option("--kind", type=click.Choice(["yara", "advisories"]), default="yara", show_default=True)
@_name
@_version
@_licence
@_origin
@_made_on
@click.pass_obj
def pack(
    voice: Voice, path: Path, key_file: Path, target: Path, kind: str, name: str, version_: str, licence: str,
    origin: str, made_on: datetime | None,
) -> None:  # fmt: skip
    """Make a signed bundle of a folder, to be carried to sites that trust the key."""
    from leadglass.edge.feeds_source import Described, read_key, read_unsigned
    from leadglass.edge.feeds_source import pack as write
    from leadglass.gateway.feed import FeedKind

    key = read_key(key_file)
    day = None if made_on is None else made_on.date()
    feed = read_unsigned(path, Described(name, version_, licence, origin, day, FeedKind(kind)))
    public = write(feed, key, target)
    manifest = feed.manifest
    if voice.is_json:
        voice.json({"bundle": str(target), "name": manifest.name, "version": manifest.version, "key": public,
                    "files": len(manifest.files)})  # fmt: skip
        return
    voice.say(
        f"{target}: {manifest.name} {manifest.version}, {counted(len(manifest.files), 'file')}, {manifest.licence}."
    )
    _say_key(voice, public)


@verb("key", site=False, example="leadglass feeds key feed.key")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@click.pass_obj
def key(voice: Voice, path: Path) -> None:
    """Make a key that signs bundles. Keep it off the sites that trust it."""
    from leadglass.edge.feeds_source import make_key

    public = make_key(path)
    if voice.is_json:
        voice.json({"file": str(path), "key": public})
        return
    voice.say(f"{path}: a private key, readable by you alone.")
    _say_key(voice, public)


def _say_key(voice: Voice, public: str) -> None:
    voice.say("A site that shall take in what it signs needs these lines in policy.toml:")
    voice.say()
    voice.say("[feeds]")
    voice.say(f'trusted = ["{public}"]')


def _days(one: Installed) -> int:
    return (datetime.now(UTC).date() - one.manifest.made_on).days


def _age(one: Installed) -> str:
    return counted(_days(one), "day")


def _tell(voice: Voice, one: Standing, faults: list[str]) -> None:
    current, manifest = one.current, one.current.manifest
    voice.say(f"{one.name}: {manifest.version}, {counted(current.rules, 'rule')} ({manifest.kind.value})")
    old = "   Next: look for a newer one" if _days(current) > _OLD_DAYS else ""
    voice.say(f"  made on   {manifest.made_on}, {_age(current)} ago{old}")
    voice.say(f"  licence   {manifest.licence}")
    voice.say(f"  origin    {manifest.origin}")
    voice.say(f"  signed    {current.signer or 'by nobody'}")
    voice.say(f"  imported  {moment(current.imported_us)} by {current.imported_by}")
    voice.say(f"  sha256    {current.sha256}")
    before = one.previous
    voice.say(f"  before    {before.manifest.version if before else 'none'}")
    for file in faults[:20]:
        voice.say(f"  CHANGED ON THE DISK: {file}")


def _json(one: Installed) -> dict[str, object]:
    manifest = one.manifest
    return {
        "name": manifest.name,
        "kind": manifest.kind.value,
        "version": manifest.version,
        "made_on": manifest.made_on.isoformat(),
        "age_days": _days(one),
        "licence": manifest.licence,
        "origin": manifest.origin,
        "files": len(manifest.files),
        "rules": one.rules,
        "sha256": one.sha256,
        "signed_by": one.signer or None,
        "imported_by": one.imported_by,
    }


def _more(one: Standing, faults: list[str]) -> dict[str, object]:
    return {"previous": one.previous.manifest.version if one.previous else None, "changed_files": faults}


for _verb in (import_, list_, status, restore, remove, pack, key):
    command.add_command(_verb)
