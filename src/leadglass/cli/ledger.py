"""`leadglass ledger`: read the record of everything that happened, and prove that nobody changed it."""

from __future__ import annotations

import click

from leadglass.cli.place import opened
from leadglass.cli.voice import Voice, counted, iso, moment, verb


@click.group("ledger", short_help="Read and check the record of everything that happened.")
def command() -> None:
    """Read the record of everything that happened, and prove that nobody changed it."""


@verb("list", example="leadglass ledger list --limit 20")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 100_000), help="Newest entries shown.")
@click.pass_obj
def list_entries(voice: Voice, site: str | None, limit: int) -> None:
    """List the newest entries."""
    with opened(site) as hub:
        lines = hub.catalogue.ledger(limit=limit)
    if voice.is_json:
        voice.json(
            {
                "entries": [
                    {
                        "seq": line.seq,
                        "at": iso(line.at_us),
                        "kind": line.kind,
                        "actor": line.actor,
                        "object": None if line.subject is None else line.subject.hex(),
                        "outcome": line.outcome,
                        "detail": dict(line.detail),
                    }
                    for line in lines
                ]
            }
        )
        return
    voice.table(
        ("No.", "When", "What", "Who", "Outcome", "Detail"),
        (
            (
                line.seq,
                moment(line.at_us),
                line.kind,
                line.actor,
                line.outcome,
                ", ".join(f"{key}: {value}" for key, value in line.detail.items()),
            )
            for line in lines
        ),
    )


@verb("verify", example="leadglass ledger verify --site /srv/leadglass")
@click.pass_obj
def verify(voice: Voice, site: str | None) -> None:
    """Check the whole chain; a changed, missing or added entry ends with exit code 1."""
    with opened(site) as hub:
        count = hub.catalogue.verify_ledger()
    if voice.is_json:
        voice.json({"verified": True, "entries": count})
    else:
        voice.say(f"The ledger is whole: {counted(count, 'entry', 'entries')}, none changed, none missing.")


command.add_command(list_entries)
command.add_command(verify)
