"""`leadglass doctor`: look the site over, and say the next step for each problem."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from leadglass.cli.place import load
from leadglass.cli.voice import Voice, verb
from leadglass.errors import LeadglassError

if TYPE_CHECKING:
    from leadglass.edge.health import Check
    from leadglass.edge.site import Site


@verb("doctor", example="leadglass doctor\nleadglass doctor --json --site /srv/leadglass")
@click.pass_obj
def command(voice: Voice, site: str | None) -> None:
    """Check the site. Exit code 0: nothing to do; 1: see the lines marked warn or fail; 3: could not tell."""
    from leadglass.edge.health import State, worst

    checks = _checks(load(site))
    if voice.is_json:
        voice.json(
            {
                "state": worst(checks).value,
                "checks": [
                    {"name": c.name, "state": c.state.value, "detail": c.detail, "next_step": c.step} for c in checks
                ],
            }
        )
    else:
        voice.table(("Check", "State", "What was seen"), ((c.name, c.state.value, c.detail) for c in checks))
        for check in checks:
            if check.step:
                voice.say(f"Next, {check.name}: {check.step}")
    codes = {State.OK: 0, State.WARN: 1, State.FAIL: 1, State.UNKNOWN: 3}
    click.get_current_context().exit(codes[worst(checks)])


def _checks(site: Site) -> list[Check]:
    """Open the keys first: without them nothing else can be told."""
    from leadglass.edge.health import Check, State
    from leadglass.wiring import Hub

    try:
        hub = Hub.open(site)
    except LeadglassError as error:
        step = error.hint or "Restore the site's folder from the last back-up."
        return [Check("keys", State.FAIL, f"The site does not open: {error.message}", step)]
    with hub:
        return [Check("keys", State.OK, "They open."), *hub.checks(verifies_ledger=True)]
