"""`leadglass demo`: a site in a temporary folder, a morning played on it, one table, and the console to look around."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from leadglass.cli.signals import until_stopped
from leadglass.cli.voice import Voice, verb

if TYPE_CHECKING:
    from leadglass.cli.morning.play import HeldObject, Step
    from leadglass.cli.morning.words import Words
    from leadglass.wiring import Created


_TABLE_WIDTH = 120


@verb("demo", site=False, example="leadglass demo\nleadglass demo --once\nleadglass demo --language fr")
@click.option("--once", is_flag=True, help="End after the table instead of serving the console.")
@click.option("--port-base", type=click.IntRange(1024, 65_000), help="First of the ports used. Default: any free ones.")
@click.option("--language", type=click.Choice(["en", "fr"]), default="en", show_default=True)
@click.pass_obj
def command(voice: Voice, once: bool, port_base: int | None, language: str) -> None:
    """Play a morning in a hospital on this machine. Exit code 1 when anything was not as promised."""
    from leadglass.cli.morning.play import Morning, viewer_token
    from leadglass.cli.morning.words import told, words
    from leadglass.console.wired import console_of
    from leadglass.wiring import Hub, create_site

    texts = words(language)
    with tempfile.TemporaryDirectory(prefix="leadglass-demo-") as folder, until_stopped() as stopped:
        created = create_site(
            Path(folder) / "site",
            name=told(texts, "site", {}),
            language=language,
            tls_port=0 if port_base is None else port_base,
            web_port=0 if port_base is None else port_base + 1,
        )
        token = viewer_token(created.site.folder / "secrets/accounts.json")
        with Hub.open(created.site) as hub:
            running = hub.start(console_of)
            try:
                morning = Morning(hub, running, Path(folder) / "parties", token)
                with voice.progress(told(texts, "playing", {}), morning.length) as advance:
                    steps = list(morning.play(advance))
                url = f"https://localhost:{running.web_port}/"
                is_fine = all(step.is_as_promised for step in steps)
                if voice.is_json:
                    console = None if once else _console(url, created)
                    voice.json(_json(steps, morning.held, console))
                else:
                    _tell(voice, texts, steps, morning.held)
                    if not once:  # the site of `--once` is gone when this is read
                        voice.say(told(texts, "console", {"url": url}))
                        if morning.colour_study:
                            voice.say(told(texts, "hand", {"url": f"{url}studies/{morning.colour_study}"}))
                        numbers = {"account": created.account, "password": created.one_time_password}
                        voice.say(told(texts, "password", numbers))
                    voice.say(told(texts, "failed" if not is_fine else "stop" if not once else "fine", {}))
                    sys.stdout.flush()
                if not once:
                    stopped.wait()
            finally:
                running.stop()
    if not is_fine:
        click.get_current_context().exit(1)


def _tell(voice: Voice, texts: Words, steps: list[Step], held: list[HeldObject]) -> None:
    from leadglass.cli.morning.words import told

    rows = []
    for step in steps:
        verdict = told(texts, "yes" if step.is_as_promised else "no", {})
        rows.append((told(texts, step.name, {}), told(texts, f"{step.name}.told", step.numbers), verdict))
        if step.name == "held":
            rows.extend(("", f"{one.source}: {one.reason}", "") for one in held)
        rows.extend(("", str(problem), "") for problem in step.problems)
    voice.table(texts["columns"], rows, title=told(texts, "title", {}), width=_TABLE_WIDTH)


def _console(url: str, created: Created) -> dict[str, str]:
    return {"url": url, "account": created.account, "one_time_password": created.one_time_password}


def _json(steps: list[Step], held: list[HeldObject], console: dict[str, str] | None) -> dict[str, object]:
    return {
        "as_promised": all(step.is_as_promised for step in steps),
        "steps": [
            {"step": s.name, "as_promised": s.is_as_promised, "problems": list(s.problems), **s.numbers} for s in steps
        ],
        "held": [{"source": one.source, "reason": one.reason} for one in held],
        "console": console,
    }
