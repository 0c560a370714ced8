"""`leadglass status`: what the site holds and what waits, in a few lines."""

from __future__ import annotations

import click

from leadglass.cli.place import opened
from leadglass.cli.voice import Voice, iso, moment, size, verb


@verb("status", example="leadglass status\nleadglass status --json --site /srv/leadglass")
@click.pass_obj
def command(voice: Voice, site: str | None) -> None:
    """Tell what the site holds and what waits for a person."""
    from leadglass.gateway.node import NodeState

    with opened(site) as hub:
        counts = dict(hub.catalogue.counts())
        nodes = hub.catalogue.nodes()
        newest = next(iter(hub.catalogue.studies(limit=1)), None)
        free = hub.blobs.free_bytes()
        config, folder, problem = hub.site.config, hub.site.folder, hub.policy.problem
    pending = sorted(node.name for node in nodes if node.state is NodeState.PENDING)
    newest_us = None if newest is None else newest.received_at_us
    if voice.is_json:
        voice.json(
            {
                "site": str(folder),
                "name": config.name,
                "ae_title": config.dicom.ae_title,
                "counts": counts,
                "nodes": {"approved": len(nodes) - len(pending), "pending": len(pending)},
                "free_bytes": free,
                "newest_arrival": iso(newest_us),
                "policy_problem": problem,
            }
        )
        return
    voice.say(f"{config.name} ({config.dicom.ae_title}) in {folder}")
    rows = [(name.capitalize(), number) for name, number in counts.items()]
    rows += [("Nodes approved", len(nodes) - len(pending)), ("Nodes pending", len(pending))]
    voice.table(("What", "Number"), rows)
    voice.say(f"Newest arrival: {moment(newest_us) or 'none yet'}; free beyond the reserve: {size(max(0, free))}.")
    if problem:
        voice.say(f"policy.toml on the disk is not in force: {problem}")
    if pending:
        wait = "waits" if len(pending) == 1 else "wait"
        voice.say(f"Next: `leadglass node list`; {', '.join(pending[:5])} {wait} for approval.")
    if counts.get("held") or counts.get("conflict"):
        voice.say("Next: `leadglass quarantine list` shows what is held.")
