"""`leadglass serve`: open the doors and keep them open until told to stop."""

from __future__ import annotations

import logging
import sys
from types import TracebackType

import click

from leadglass.cli.place import opened
from leadglass.cli.signals import until_stopped
from leadglass.cli.voice import Voice, counted, shown, verb

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class LogLine(logging.Formatter):
    """A record is one line, and the lines of a traceback are marked: nothing that came from outside looks like one."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Write the line."""
        return shown(super().formatMessage(record))

    def formatException(self, ei: _ExcInfo) -> str:
        """Write the traceback."""
        return "\n".join(f"  | {shown(line)}" for line in super().formatException(ei).splitlines())


@verb("serve", example="leadglass serve --site /srv/leadglass")
@click.pass_obj
def command(voice: Voice, site: str | None) -> None:
    """Run the site: DICOM, DICOMweb and the console. Ctrl-C or SIGTERM end it in order."""
    from leadglass.console.wired import console_of

    handler = logging.StreamHandler()
    handler.setFormatter(LogLine("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    with opened(site) as hub, until_stopped() as stopped:
        running = hub.start(console_of)
        try:
            dicom, web, recovered = hub.site.config.dicom, hub.site.config.web, running.recovered
            if voice.is_json:
                voice.json(
                    {
                        "ae_title": dicom.ae_title,
                        "host": dicom.host,
                        "tls_port": running.tls_port,
                        "plain_port": running.plain_port,
                        "web_port": running.web_port,
                        "recovered": {
                            "promoted": recovered.promoted,
                            "restored": recovered.restored,
                            "removed": recovered.removed,
                        },
                    }
                )
            else:
                if running.tls_port is not None:
                    voice.say(f"DICOM over mutual TLS: {dicom.ae_title} at {dicom.host}:{running.tls_port}")
                if running.plain_port is not None:
                    voice.say(f"DICOM without TLS:     {dicom.ae_title} at {dicom.host}:{running.plain_port}")
                if running.web_port is not None:
                    voice.say(f"Console and DICOMweb:  https://{web.host}:{running.web_port}/")
                if recovered.removed or recovered.promoted or recovered.restored:
                    kept = counted(recovered.promoted + recovered.restored, "acknowledged object")
                    voice.say(f"After the last stop: {kept} put in place, {recovered.removed} unfinished removed.")
                voice.say("Ctrl-C stops.")
            sys.stdout.flush()
            stopped.wait()
        finally:
            running.stop()
