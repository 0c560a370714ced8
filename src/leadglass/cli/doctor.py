"""`leadglass doctor`: look the site over, and say the next step for each problem."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from leadglass.cli import COULD_NOT_TELL, FINDINGS, FINE, USAGE, exit_code
from leadglass.cli.place import load
from leadglass.cli.voice import Voice, verb
from leadglass.errors import ConfigurationError, LeadglassError

if TYPE_CHECKING:
    from leadglass.edge.health import Check
    from leadglass.edge.site import Site


@verb("doctor", example="leadglass doctor\nleadglass doctor --json --site /srv/leadglass")
@click.pass_obj
def command(voice: Voice, site: str | None) -> None:
    """Check the site.

    Exit code 0: nothing to do; 1: see the lines marked warn or fail; 2: the set-up is wrong, so the site cannot be
    served; 3: could not tell.
    """
    from leadglass.edge.health import State, worst

    found = _found(load(site))
    if voice.is_json:
        voice.json(
            {
                "state": worst(found.checks).value,
                "checks": [
                    {"name": c.name, "state": c.state.value, "detail": c.detail, "next_step": c.step}
                    for c in found.checks
                ],
            }
        )
    else:
        voice.table(("Check", "State", "What was seen"), ((c.name, c.state.value, c.detail) for c in found.checks))
        for check in found.checks:
            if check.step:
                voice.say(f"Next, {check.name}: {check.step}")
    codes = {State.OK: FINE, State.WARN: FINDINGS, State.FAIL: FINDINGS, State.UNKNOWN: COULD_NOT_TELL}
    click.get_current_context().exit(codes[worst(found.checks)] if found.code is None else found.code)


@dataclass(frozen=True, slots=True)
class _Found:
    """What was seen; `code` is set where the site cannot be served as it is."""

    checks: list[Check]
    code: int | None = None


def _found(site: Site) -> _Found:
    """Open the keys first: without them nothing else can be told."""
    from leadglass.edge.accounts import require_accounts
    from leadglass.edge.health import Check, State
    from leadglass.wiring import Hub

    try:
        hub = Hub.open(site)
    except LeadglassError as error:
        step = error.hint or "Restore the site's folder from the last back-up."
        return _Found([Check("keys", State.FAIL, f"The site does not open: {error.message}", step)], exit_code(error))
    with hub:
        faults = []
        needs = [("identity", hub.identity.require), ("accounts", lambda: require_accounts(site.accounts_path))]
        for name, require in needs:
            try:
                require()
            except ConfigurationError as error:
                faults.append(Check(name, State.FAIL, error.message, error.hint))
        checks = [Check("keys", State.OK, "They open."), *faults, *hub.checks(verifies_ledger=True)]
    return _Found(checks, USAGE if faults else None)
