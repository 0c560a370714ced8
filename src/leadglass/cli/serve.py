"""`leadglass serve`: run the site until it is told to stop."""

from __future__ import annotations

import logging
import sys

import click

from leadglass.cli.place import opened
from leadglass.cli.signals import until_stopped
from leadglass.cli.voice import Voice, verb


@verb("serve", example="leadglass serve --site /srv/leadglass\nleadglass serve --json")
@click.pass_obj
def command(voice: Voice, site: str | None) -> None:
    """Run the site: DICOM, DICOMweb and the console. Ctrl-C or SIGTERM stops it cleanly."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    with until_stopped() as stopped, opened(site) as hub:
        running = hub.start()
        try:
            config = hub.site.config
            if voice.is_json:
                voice.json(
                    {
                        "site": str(hub.site.folder),
                        "ae_title": config.dicom.ae_title,
                        "host": config.dicom.host,
                        "tls_port": running.tls_port,
                        "plain_port": running.plain_port,
                        "web_port": running.web_port,
                    }
                )
            else:
                voice.say(f"{config.name} is open.")
                if running.tls_port is not None:
                    voice.say(f"DICOM over TLS: {config.dicom.ae_title} at {config.dicom.host}:{running.tls_port}")
                if running.plain_port is not None:
                    voice.say(f"DICOM without TLS: {config.dicom.host}:{running.plain_port} — readable by anybody")
                if running.web_port is not None:
                    voice.say(f"Console: https://localhost:{running.web_port}/")
                voice.say("Ctrl-C stops it.")
            sys.stdout.flush()
            stopped.wait()
        finally:
            running.stop()
    if not voice.is_json:
        voice.say("Stopped.")
