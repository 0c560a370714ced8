"""`leadglass account`: who may log in to the console and DICOMweb, and as what.

A running console sees each change at once: the file of accounts is read again when it changed. Each change is in the
ledger before it is made. A one-time password is printed once and kept nowhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from leadglass.cli.place import opened, operator
from leadglass.cli.voice import Voice, verb

if TYPE_CHECKING:
    from leadglass.audit import AuditKind
    from leadglass.edge.accounts import AccountFile
    from leadglass.wiring import Hub

_NAME = click.argument("name", metavar="NAME")
_ROLES = click.Choice(["admin", "reader"])
_STAYS = "Who is logged in under it stays so until the session ends; a restart of `leadglass serve` ends it now."


@click.group("account", short_help="Add, list or remove the console's people; give a new password.")
def command() -> None:
    """Add, list or remove the people who may log in, and give a new password for a lost one."""


@verb("list", example="leadglass account list")
@click.pass_obj
def list_accounts(voice: Voice, site: str | None) -> None:
    """List the accounts with their roles."""
    with opened(site) as hub:
        accounts = _accounts(hub).accounts()
    if voice.is_json:
        rows = [{"name": one.name, "role": one.role.value, "must_change": one.must_change} for one in accounts]
        voice.json({"accounts": rows})
    elif not accounts:
        voice.say("There are no accounts. Next: `leadglass account add NAME --role admin`.")
    else:
        voice.table(
            ("Name", "Role", "Password"),
            ((one.name, one.role.value, "one-time, not changed yet" if one.must_change else "own") for one in accounts),
        )


@verb("add", example="leadglass account add ada\nleadglass account add grace --role admin")
@_NAME
@click.option("--role", type=_ROLES, default="reader", show_default=True, help="A reader looks; an admin decides too.")
@click.pass_obj
def add(voice: Voice, site: str | None, name: str, role: str) -> None:
    """Make an account and print its one-time password."""
    from leadglass.audit import AuditKind
    from leadglass.edge.accounts import Role

    with opened(site) as hub:
        record = _record(hub, AuditKind.ACCOUNT_ADDED, "added", {"account": name, "role": role})
        password = _accounts(hub).create(name, Role(role), record=record)
    _tell_password(voice, name, role, password)


@verb("password", example="leadglass account password admin")
@_NAME
@click.pass_obj
def password(voice: Voice, site: str | None, name: str) -> None:
    """Give an account a new one-time password, for a lost one; its tokens end."""
    from leadglass.audit import AuditKind

    with opened(site) as hub:
        store = _accounts(hub)
        record = _record(hub, AuditKind.PASSWORD_CHANGED, "one-time password", {"account": name})
        fresh = store.reset(name, record=record)
        role = next(one.role.value for one in store.accounts() if one.name == name)
    _tell_password(voice, name, role, fresh)
    if not voice.is_json:
        voice.say(_STAYS)


@verb("role", example="leadglass account role ada admin")
@_NAME
@click.argument("role", type=_ROLES)
@click.pass_obj
def role(voice: Voice, site: str | None, name: str, role: str) -> None:
    """Make an account a reader, who looks, or an admin, who decides too."""
    from leadglass.audit import AuditKind
    from leadglass.edge.accounts import Role

    with opened(site) as hub:
        record = _record(hub, AuditKind.ACCOUNT_CHANGED, "role", {"account": name, "role": role})
        _accounts(hub).set_role(name, Role(role), record=record)
    if voice.is_json:
        voice.json({"name": name, "role": role})
    else:
        voice.say(f"{name} is now {'an admin' if role == 'admin' else 'a reader'}, from the next log-in on.")
        voice.say(_STAYS)


@verb("remove", example="leadglass account remove ada")
@_NAME
@click.pass_obj
def remove(voice: Voice, site: str | None, name: str) -> None:
    """Take an account away. What it did stays in the ledger."""
    from leadglass.audit import AuditKind

    with opened(site) as hub:
        record = _record(hub, AuditKind.ACCOUNT_REMOVED, "removed", {"account": name})
        _accounts(hub).remove(name, record=record)
    if voice.is_json:
        voice.json({"removed": name})
    else:
        voice.say(f"{name} can log in no more.")
        voice.say(_STAYS)


def _accounts(hub: Hub) -> AccountFile:
    from leadglass.edge.accounts import AccountFile

    return AccountFile(hub.site.accounts_path)


def _record(hub: Hub, kind: AuditKind, outcome: str, detail: dict[str, str | int]) -> Callable[[], None]:
    """Give what puts a change into the ledger, called when it is certain and not yet made."""
    from leadglass.audit import AuditEvent

    return lambda: hub.catalogue.record(AuditEvent(kind, hub.clock.now_us(), operator(), None, outcome, detail))


def _tell_password(voice: Voice, name: str, role: str, fresh: str) -> None:
    if voice.is_json:
        voice.json({"name": name, "role": role, "one_time_password": fresh})
    else:
        voice.say(f"Log in: {name} / {fresh}   (one-time password, {role})")
        voice.say("It is shown this once; the console asks for one of their own at the first log-in.")


for _verb in (list_accounts, add, password, role, remove):
    command.add_command(_verb)
