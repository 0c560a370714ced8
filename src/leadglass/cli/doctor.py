"""`leadglass doctor`: look the site over; each problem comes with its next step."""

from __future__ import annotations

import click

from leadglass.cli.place import opened
from leadglass.cli.voice import Voice, verb


@verb("doctor", example="leadglass doctor --site /srv/leadglass")
@click.pass_context
def command(ctx: click.Context, site: str | None) -> None:
    """Check the site. Exit code 1 when something needs doing, 3 when something could not be looked at."""
    from leadglass.edge.health import State, worst

    voice = ctx.ensure_object(Voice)
    with opened(site) as hub:
        checks = hub.checks(verifies_ledger=True)
    if voice.is_json:
        listed = [{"name": c.name, "state": c.state.value, "detail": c.detail, "next_step": c.step} for c in checks]
        voice.json({"state": worst(checks).value, "checks": listed})
    else:
        voice.table(
            ("Check", "State", "What was found", "Next step"),
            ((c.name, c.state.value, c.detail, c.step) for c in checks),
        )
    ctx.exit({State.OK: 0, State.WARN: 1, State.FAIL: 1, State.UNKNOWN: 3}[worst(checks)])
