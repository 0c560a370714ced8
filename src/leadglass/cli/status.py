"""`leadglass status`: what the site holds, what waits, and who may talk to it."""

from __future__ import annotations

import click

from leadglass.cli.place import opened
from leadglass.cli.voice import Voice, size, verb


@verb("status", example="leadglass status --site /srv/leadglass")
@click.pass_obj
def command(voice: Voice, site: str | None) -> None:
    """Tell what the site holds and what waits."""
    with opened(site) as hub:
        counts = dict(hub.catalogue.counts())
        nodes = hub.catalogue.nodes()
        free_bytes = hub.blobs.free_bytes()
        name, problem = hub.site.config.name, hub.policy.problem
    approved = sum(node.state.value == "approved" for node in nodes)
    pending = len(nodes) - approved
    if voice.is_json:
        voice.json(
            {
                "name": name,
                "counts": counts,
                "nodes": {"approved": approved, "pending": pending},
                "free_bytes": free_bytes,
                "policy_problem": problem,
            }
        )
        return
    rows = [(key, count) for key, count in sorted(counts.items())]
    rows += [("nodes approved", approved), ("nodes waiting for approval", pending)]
    voice.table(("What", "How many"), [*rows, ("free space beyond the reserve", size(free_bytes))], title=name)
    if counts.get("held"):
        voice.say("Held objects wait for a decision: leadglass quarantine list")
    if pending:
        voice.say("Nodes wait for approval: leadglass node list")
