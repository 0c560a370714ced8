"""`leadglass init`: make a site, and say the three things a person needs next."""

from __future__ import annotations

from pathlib import Path

import click

from leadglass.cli.voice import Voice, verb

_OFF = "off"


class Port(click.ParamType[int | None]):
    """A port, 0 for any free one, or "off"."""

    name = "port"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        """Read the option."""
        if value is None or value == _OFF:
            return None
        if isinstance(value, int) or (isinstance(value, str) and value.isdecimal()):
            number = int(value)
            if number < 65_536:
                return number
        return self.fail(f"{value} is no port: give a number below 65536, or off.", param, ctx)


@verb("init", site=False, example="leadglass init hospital\nleadglass init hospital --language fr --ae HOPITAL")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--name", default="Leadglass", show_default=True, help="Name of the site, on every page.")
@click.option("--ae", default="LEADGLASS", show_default=True, help="AE title the site answers to.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address the doors open on.")
@click.option("--language", type=click.Choice(["en", "fr"]), default="en", show_default=True)
@click.option("--tls-port", type=Port(), default=2762, show_default=True, help="DICOM over mutual TLS.")
@click.option("--plain-port", type=Port(), default=_OFF, show_default=True, help="DICOM without TLS.")
@click.option("--web-port", type=Port(), default=8443, show_default=True, help="Console and DICOMweb.")
@click.pass_obj
def command(
    voice: Voice,
    folder: Path,
    name: str,
    ae: str,
    host: str,
    language: str,
    tls_port: int | None,
    plain_port: int | None,
    web_port: int | None,
) -> None:
    """Make a site in an empty folder: keys, certificates, policy and the first account. Asks nothing."""
    from leadglass.wiring import create_site

    created = create_site(
        folder,
        name=name,
        language=language,
        ae_title=ae,
        host=host,
        tls_port=tls_port,
        plain_port=plain_port,
        web_port=web_port,
    )
    url = None if web_port is None else f"https://{host}:{web_port}/"
    passphrase = created.site.passphrase_path
    if voice.is_json:
        voice.json(
            {
                "site": str(folder),
                "url": url,
                "account": created.account,
                "one_time_password": created.one_time_password,
                "passphrase_file": str(passphrase),
            }
        )
        return
    voice.say(f"The site is ready in {folder}.")
    voice.say(f"Console: {url or 'closed'}   account {created.account}   one-time password {created.one_time_password}")
    voice.say(f"Copy {passphrase} to a safe place: without it nobody can read the archive, you included.")
    voice.say(f"Next: leadglass serve --site {folder}")
