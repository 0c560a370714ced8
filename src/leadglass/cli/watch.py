"""`leadglass watch`: read a folder outside the archive again and again, and tell what looks like ransomware at work."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from leadglass.cli.place import opened, operator
from leadglass.cli.signals import STOPPED, Stop, until_stopped
from leadglass.cli.voice import Json, Voice, counted, iso, shown, size, verb
from leadglass.errors import StorageError, UsageError

if TYPE_CHECKING:
    from leadglass.edge.watched import Memory, WatchedFolder
    from leadglass.journeys.watch import Known, Pass, Watcher

_SHOWN_MAX = 20
"""Signs shown one by one; an encrypted archive has as many as it has files."""


@verb("watch", example="leadglass watch /mnt/ct-export --every 60\nleadglass watch /mnt/old-pacs --once --json")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--once", is_flag=True, help="Read it through once, then end.")
@click.option("--every", type=click.IntRange(1, 86_400), default=60, show_default=True, metavar="SECONDS",
              help="Pause between two passes.")  # fmt: skip
@click.option("--accept", is_flag=True, help="Take the folder as it is now: forget what it was, and its signs.")
@click.pass_obj
def command(voice: Voice, site: str | None, folder: Path, once: bool, every: int, accept: bool) -> None:
    """Watch a folder outside the archive for signs of ransomware: an export share, an old PACS's store.

    The first pass learns what the files are; later ones tell what they became. Nothing is written there. Exit code 1
    when there are signs, 3 when something could not be read and nothing is worse. --json prints one object a pass.
    """
    from leadglass.edge.watched import Memory, WatchedFolder
    from leadglass.journeys.watch import Watcher

    watched = WatchedFolder(folder)
    with opened(site) as hub, until_stopped() as stop:
        memory = Memory(hub.site.folder, watched.token, hub.catalogue)
        watcher = Watcher(hub.sandbox, hub.clock, hub.catalogue, operator(), str(folder))
        round_ = _Round(voice, watched, memory, watcher, stop, is_once=once)
        if accept:
            round_.accept()
        code = round_.go()
        while not once and not stop.is_said:
            stop.wait(every)
            if not stop.is_said:
                code = max(code, round_.go(), key=(0, 3, 1).index)
    click.get_current_context().exit(STOPPED if once and stop.is_said else code)


@dataclass(slots=True)
class _Round:
    """Passes over one folder."""

    voice: Voice
    folder: WatchedFolder
    memory: Memory
    watcher: Watcher
    stop: Stop
    is_once: bool
    is_accepting: bool = False

    def accept(self) -> None:
        """Let the next pass take everything as it is."""
        self.is_accepting = True

    def go(self) -> int:
        """Read the folder through, tell what was seen and keep it; gives the exit code of that alone."""
        try:
            self.folder.require()
            known = self._known()
            done, now = self.watcher.watch(self.folder.files(), known, is_stopping=lambda: self.stop.is_said)
        except (StorageError, UsageError) as error:
            if self.is_once:
                raise
            self.voice.error(error)  # a share that is away comes back
            return 3
        done.unread += self.folder.skipped
        if self.is_accepting:
            now = replace(now, files={name: replace(state, sign="") for name, state in now.files.items()})
            done.signs.clear()
            done.standing = 0
        if done.is_first or done.signs or self.is_once:
            self.watcher.record(done, is_whole=not self.stop.is_said)
        if not self.stop.is_said:
            self.is_accepting = False
            self._keep(now)
        self._tell(done, now.at_us)
        return 1 if done.is_alarm or done.standing else 3 if done.unread else 0

    def _known(self) -> Known:
        from leadglass.journeys.watch import Known

        kept = None if self.is_accepting else self.memory.read()
        return Known() if kept is None else Known(kept.files, kept.rewritten, kept.gone, kept.at_us)

    def _keep(self, now: Known) -> None:
        from leadglass.edge.watched import Kept

        self.memory.write(Kept(now.files, now.rewritten, now.gone, now.at_us))

    def _tell(self, done: Pass, at_us: int) -> None:
        if self.voice.is_json:
            self.voice.json(_json(done, self.watcher.label, at_us))
            return
        is_quiet = not (done.new or done.changed or done.gone or done.signs or done.unread)
        if is_quiet and not done.is_first and not self.is_once:
            return
        voice, label = self.voice, shown(self.watcher.label)
        voice.say(
            f"{label}: {counted(done.files, 'file')}, {counted(done.objects, 'object')}; "
            f"{done.new} new, {done.changed} changed, {done.gone} gone; {size(done.length_bytes)} read."
        )
        if done.unread:
            voice.say(f"{counted(done.unread, 'file or folder', 'files or folders')} could not be read.")
        if done.signs:
            rows = [(sign.name, sign.finding.severity.name.lower(), sign.finding.claim) for sign in done.signs]
            voice.table(("File", "Severity", "Sign"), sorted(rows, key=lambda row: bool(row[0]))[:_SHOWN_MAX])
            if len(rows) > _SHOWN_MAX:
                voice.say(f"… and {len(rows) - _SHOWN_MAX} more; --json tells them all.")
        if done.is_alarm:
            voice.say(f"ALARM: signs of ransomware in {label}.")
            voice.say("Next: cut off whatever writes there, touch no file, and call who answers for security.")
        elif done.standing:
            voice.say(f"Signs of earlier passes stand against {counted(done.standing, 'file')}.")
            voice.say("Next: restore them, or take the folder as it is with --accept.")
        elif done.is_first:
            voice.say("This was the first look: from now on it is seen what becomes of these files.")


def _json(done: Pass, label: str, at_us: int) -> Json:
    return {
        "folder": label,
        "at": iso(at_us),
        "first": done.is_first,
        "files": done.files,
        "objects": done.objects,
        "new": done.new,
        "changed": done.changed,
        "gone": done.gone,
        "waiting": done.waiting,
        "unread": done.unread,
        "length_bytes": done.length_bytes,
        "alarm": done.is_alarm,
        "standing": done.standing,
        "findings": [{"path": sign.name or None, **sign.finding.to_json()} for sign in done.signs],
    }
