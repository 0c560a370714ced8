"""The command line: one verb, one file; here only which verbs there are and what an error means for the exit code.

0 fine · 1 findings, or refused · 2 usage or set-up error · 3 could not tell · 130 stopped by Ctrl-C. A verb's module
is imported when the verb is called, so that `leadglass --help` stays quick.
"""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from importlib import import_module
from typing import Final, NoReturn

import click

from leadglass.cli.signals import STOPPED
from leadglass.cli.voice import Voice, shown
from leadglass.errors import LeadglassError, RemoteError, StorageError, UsageError

FINE, FINDINGS, USAGE, COULD_NOT_TELL = 0, 1, 2, 3
READER_LEFT = 128 + 13
"""What a shell shows for a program that SIGPIPE ended, as `head` ends the one before it."""

_VERBS: Final = {
    "init": ("init", "Create a site: keys, certificates, policy, first account."),
    "serve": ("serve", "Run the site: DICOM, DICOMweb and the console."),
    "status": ("status", "Tell what the site holds and what waits."),
    "doctor": ("doctor", "Check the site and say the next step for each problem."),
    "demo": ("demo", "Play a morning in a hospital on this machine."),
    "identity": ("identity", "Show the site's certificates, or renew the server's."),
    "account": ("account", "Add, list or remove the console's people; give a new password."),
    "node": ("node", "Add, list, approve or remove DICOM nodes."),
    "inspect": ("inspect", "Judge files, folders, zip files and discs; needs no site."),
    "disarm": ("disarm", "Write harmless copies of objects, each proved to be the same picture."),
    "import": ("import_media", "Take in a file, folder, zip file or disc."),
    "simulate": ("simulate", "Count the photons a colour CT scanner would count of a phantom."),
    "recon": ("recon", "Make colour pictures of a scan: materials, images, a turntable, in DICOM."),
    "quality": ("quality", "Judge a scan's counts, or how true material maps are."),
    "view": ("view", "Tell where a study is looked at in the console."),
    "find": ("find", "Search studies, series and images."),
    "show": ("show", "Tell the life of a study, series or image."),
    "send": ("send", "Send a study to another node."),
    "export": ("export", "Write a study out as DICOM files."),
    "verify": ("verify", "Prove that every stored byte is what was sealed."),
    "archive": ("archive", "Inspect everything archived again."),
    "watch": ("watch", "Watch a folder for signs of ransomware."),
    "feeds": ("feeds", "Take in rule sets from signed bundles or folders; show, restore or remove them."),
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
            try:
                return super().invoke(ctx)
            except LeadglassError as error:
                voice.error(error)  # may meet a full disk in its turn
                ctx.exit(exit_code(error))
        except KeyboardInterrupt:
            voice.aside("Stopped at once. What was acknowledged is kept; `leadglass status` tells what there is.")
            ctx.exit(STOPPED)
        except OSError as error:
            if not _is_of_output(error):
                self._own_fault(ctx, voice)
            _end_lost_output(ctx, error)
        except click.UsageError as error:  # a shell puts the file names of a disc where words are expected
            raise click.UsageError(shown(error.format_message()), error.ctx) from error
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception:  # noqa: BLE001 -- our own bug; "1" would claim that something was found
            self._own_fault(ctx, voice)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)  # --help and --version are answered here, before any verb
        except OSError as error:
            _end_lost_output(ctx, error)

    @staticmethod
    def _own_fault(ctx: click.Context, voice: Voice) -> NoReturn:
        for line in traceback.format_exc().splitlines():
            voice.aside(line)
        voice.aside("This is a fault of Leadglass itself: please report it with the lines above.")
        ctx.exit(COULD_NOT_TELL)


def _is_of_output(error: OSError) -> bool:
    """Tell whether an error arose while something was printed: every other one arises below the command line."""
    frames = [str(frame.f_globals.get("__name__", "")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    return frames[-1].startswith(("click.", "rich.", "leadglass.cli."))


def _end_lost_output(ctx: click.Context, error: OSError) -> NoReturn:
    """Say once why the output ends, unless its reader chose to leave; let nothing more be written to it."""
    is_left = isinstance(error, BrokenPipeError)
    with suppress(OSError, ValueError):
        if not is_left:
            click.echo(f"Error: The output cannot be written: {error.strerror}.", err=True)
            click.echo("Next:  Free space where it goes, then run the command again.", err=True)
        # Python flushes once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    ctx.exit(READER_LEFT if is_left else USAGE)


@click.command(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="leadglass", message="%(prog)s %(version)s")
def main() -> None:
    """Leadglass: a DICOM gateway and an encrypted archive.

    \b
    Start here:
      leadglass demo              see it work, on this machine, with real images
      leadglass init SITE         make a site of your own
      leadglass serve             run the site in this folder

    Exit codes: 0 fine, 1 findings or refused, 2 usage or set-up error, 3 could not tell, 130 stopped by Ctrl-C.
    """
