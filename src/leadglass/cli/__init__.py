"""The command line: one verb, one file; here only which verbs there are and what an error means for the exit code.

0 fine · 1 findings, or refused · 2 usage or set-up error · 3 could not tell. A verb's module is imported when
the verb is called, so that `leadglass --help` stays quick.
"""

from __future__ import annotations

import sys
import traceback
from importlib import import_module
from typing import Final

import click

from leadglass.cli.voice import Voice
from leadglass.errors import LeadglassError, RemoteError, StorageError, UsageError

FINE, FINDINGS, USAGE, COULD_NOT_TELL = 0, 1, 2, 3

_VERBS: Final = {
    "init": ("init", "Create a site: keys, certificates, policy, first account."),
    "serve": ("serve", "Run the site: DICOM, DICOMweb and the console."),
    "status": ("status", "Tell what the site holds and what waits."),
    "doctor": ("doctor", "Check the site and say the next step for each problem."),
    "demo": ("demo", "Play a morning in a hospital on this machine."),
    "node": ("node", "Add, list, approve or remove DICOM nodes."),
    "import": ("import_media", "Take in a file, folder, zip file or disc."),
    "find": ("find", "Search studies, series and images."),
    "show": ("show", "Tell the life of a study, series or image."),
    "send": ("send", "Send a study to another node."),
    "export": ("export", "Write a study out as DICOM files."),
    "verify": ("verify", "Prove that every stored byte is what was sealed."),
    "quarantine": ("quarantine", "Decide about held objects."),
    "ledger": ("ledger", "Read and check the record of everything that happened."),
}


def exit_code(error: LeadglassError) -> int:
    """Give the exit code of an error's class."""
    match error:
        case UsageError():
            return USAGE
        case StorageError() | RemoteError():
            return COULD_NOT_TELL
        case _:
            return FINDINGS


class _Verbs(click.Group):
    """A group that knows its verbs by name and imports each when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        known = _VERBS.get(cmd_name)
        if known is None:
            return None
        command = import_module(f"leadglass.cli.{known[0]}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name, sentence) for name, (_, sentence) in _VERBS.items()])

    def invoke(self, ctx: click.Context) -> object:
        voice = ctx.ensure_object(Voice)
        try:
            return super().invoke(ctx)
        except LeadglassError as error:
            voice.error(error)
            ctx.exit(exit_code(error))
        except BrokenPipeError:
            sys.stderr.close()  # the reader of our output has left, as `head` does
            ctx.exit(FINE)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception:  # noqa: BLE001 -- our own bug; "1" would claim that something was found
            traceback.print_exc()
            voice.aside("This is a fault of Leadglass itself: please report it with the lines above.")
            ctx.exit(COULD_NOT_TELL)


@click.command(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="leadglass", message="%(prog)s %(version)s")
def main() -> None:
    """Leadglass: a DICOM gateway and an encrypted archive.

    \b
    Start here:
      leadglass demo              see it work, on this machine, with real images
      leadglass init SITE         make a site of your own
      leadglass serve             run the site in this folder

    Exit codes: 0 fine, 1 findings or refused, 2 usage or set-up error, 3 could not tell.
    """
