"""`leadglass init`: make a site and say what a person must know once."""

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


_PORT = Port()


@verb("init", site=False, example='leadglass init my-site\nleadglass init /srv/leadglass --name "St. Anne" --ae STANNE')
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--name", default="Leadglass", show_default=True, help="What the console calls the site.")
@click.option("--ae", "ae_title", default="LEADGLASS", show_default=True, help="AE title that modalities call.")
@click.option("--language", type=click.Choice(["en", "fr"]), default="en", show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Listen here; 0.0.0.0 is every network.")
@click.option("--tls-port", type=_PORT, default=2762, show_default=True, help="DICOM over mutual TLS.")
@click.option("--web-port", type=_PORT, default=8443, show_default=True, help="Console and DICOMweb.")
@click.option(
    "--plain-port", type=_PORT, default=_OFF, show_default=True, help="DICOM without TLS; shown as a finding."
)
@click.pass_obj
def command(
    voice: Voice,
    folder: Path,
    name: str,
    ae_title: str,
    language: str,
    host: str,
    tls_port: int | None,
    web_port: int | None,
    plain_port: int | None,
) -> None:
    """Make a site in DIR: keys, certificates, policy and the first account. Asks nothing."""
    from leadglass.wiring import create_site

    created = create_site(
        folder,
        name=name,
        language=language,
        ae_title=ae_title,
        host=host,
        tls_port=tls_port,
        plain_port=plain_port,
        web_port=web_port,
    )
    site = created.site
    url = f"https://localhost:{web_port}/" if web_port else None
    if voice.is_json:
        voice.json(
            {
                "site": str(site.folder.resolve()),
                "url": url,
                "account": created.account,
                "one_time_password": created.one_time_password,
                "passphrase_file": str(site.passphrase_path.resolve()),
                "authority": str(site.tls_files.authority.resolve()),
            }
        )
        return
    voice.say(f"The site is made in {folder}.")
    voice.say()
    voice.say(f"Console:    {url or ('closed' if web_port is None else '`leadglass serve` prints its address')}")
    voice.say(f"Log in:     {created.account} / {created.one_time_password}   (one-time password)")
    voice.say(f"Passphrase: {site.passphrase_path}")
    voice.say("            Copy it to another place now: without it nobody can ever read the archive again.")
    voice.say(f"Authority:  {site.tls_files.authority}   (import it into the browser to be spared its warning)")
    voice.say()
    voice.say(f"Next:       leadglass serve --site {folder}")
    if host == "127.0.0.1":
        voice.say("            It listens on this machine alone; [dicom] and [web] host in leadglass.toml open it.")
