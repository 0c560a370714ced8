"""`leadglass inspect`: judge files, folders, zip files and discs; every byte is read in a process without rights.

Needs no site. A line a file as soon as it is judged; the worst verdict is the exit code.
"""

from __future__ import annotations

import sys
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from leadglass.cli.signals import STOPPED, Stop, until_stopped
from leadglass.cli.voice import Voice, counted, shown, size, verb

if TYPE_CHECKING:
    from leadglass.edge.engines_clamd import Clamd
    from leadglass.edge.media_every import Found, Unread
    from leadglass.edge.sandbox import Sandbox
    from leadglass.journeys.inspect import Judged

_QUIET_SECONDS = 2.0
_AHEAD = 4
"""Files read ahead of the one that is told next, for each job."""


@verb(
    "inspect",
    site=False,
    example="leadglass inspect /media/cdrom\nleadglass inspect exam.zip IM0001 --json\n"
    "leadglass inspect incoming/ --jobs 4 --rules rules/ --clamd 127.0.0.1:3310",
)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="Files looked at at once.")
@click.option(
    "--rules", "rules", metavar="PATH", multiple=True, type=click.Path(path_type=Path),
    help="YARA rules besides our own: a file, or a folder of .yar files. May be repeated.",
)  # fmt: skip
@click.option("--clamd", "clamd", metavar="ADDRESS", help="Ask a ClamAV daemon too: HOST:PORT, or its socket's path.")
@click.pass_obj
def command(voice: Voice, paths: tuple[Path, ...], jobs: int, rules: tuple[Path, ...], clamd: str | None) -> None:
    """Judge files, folders, zip files and discs.

    Exit code 0 when all is clean, 1 when anything is suspicious or malicious, 3 when something could not be assessed
    and nothing is worse. --json prints one JSON object a file.
    """
    from leadglass.edge.engines_clamd import parse_address
    from leadglass.edge.media import require_media
    from leadglass.edge.media_every import every_file
    from leadglass.edge.sandbox import Sandbox, own_rules
    from leadglass.journeys.receive import KEEP

    require_media(paths)
    scanner = None if clamd is None else parse_address(clamd)
    pool = Sandbox(KEEP, rules=(own_rules(), *rules))
    told = _Told(voice)
    with until_stopped() as stop:
        try:
            pool.start()
            for judged in _judged(_Desk(pool, scanner), every_file(paths), jobs, stop, told):
                told.tell(judged)
        finally:
            pool.close()
        told.end(is_stopped=stop.is_said)
        click.get_current_context().exit(STOPPED if stop.is_said else told.code)


@dataclass(frozen=True, slots=True)
class _Desk:
    """Where files are judged."""

    pool: Sandbox
    clamd: Clamd | None

    def judge(self, found: Found) -> Judged:
        """Judge one file. A zip file whose members are judged one by one is not held whole as well if it is large."""
        from leadglass.journeys.inspect import judge
        from leadglass.malware.anything import ARCHIVE_BYTES_MAX

        is_large_archive = found.is_archive and found.file.length_bytes > ARCHIVE_BYTES_MAX
        inspector = None if is_large_archive else self.pool.any_file(Path(found.file.components[-1]).suffix)
        scans = () if self.clamd is None else (self.clamd.scan(),)
        return judge(found.file, found.path, inspector, scans=scans, known=found.findings)


def _judged(desk: _Desk, files: Iterable[Found | Unread], jobs: int, stop: Stop, told: _Told) -> Iterator[Judged]:
    """Judge so many files at once, and give them in order; what archives hold is told of the archive too."""
    from leadglass.edge.media_every import Found
    from leadglass.edge.media_sort import Reason

    passed_over = (Reason.LINK, Reason.NOT_A_FILE)
    members: dict[str, list[Judged]] = {}
    waiting: deque[tuple[Found | Unread, Future[Judged]]] = deque()
    with ThreadPoolExecutor(jobs, "inspect") as threads:
        for file in files:
            if stop.is_said:
                break
            if not isinstance(file, Found) and file.skipped.reason in passed_over:
                told.left += 1
                continue
            waiting.append((file, threads.submit(_one, desk, file)))
            if len(waiting) > jobs * _AHEAD:
                yield _placed(*waiting.popleft(), members)
        while waiting and not stop.is_said:
            yield _placed(*waiting.popleft(), members)
        for _, future in waiting:
            future.cancel()


def _one(desk: _Desk, file: Found | Unread) -> Judged:
    from leadglass.edge.media_every import Found
    from leadglass.finding import NotAssessed
    from leadglass.journeys.inspect import Judged

    return (
        desk.judge(file)
        if isinstance(file, Found)
        else Judged(file.path, "", NotAssessed(file.skipped.reason.sentence))
    )


def _placed(file: Found | Unread, future: Future[Judged], members: dict[str, list[Judged]]) -> Judged:
    """Wait for a verdict; remember it for the archive the file is in, or add those of the files that are in it."""
    from leadglass.edge.media_every import Found
    from leadglass.journeys.inspect import told_of_archive, with_members

    judged = future.result()
    if file.archive:
        members.setdefault(file.archive, []).append(judged)
    elif isinstance(file, Found) and file.is_archive:
        told = told_of_archive(members.pop(file.path, []))
        judged = replace(judged, inspection=with_members(judged.inspection, told))
    return judged


class _Told:
    """What was told so far."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._counts: Counter[str] = Counter()
        self._length_bytes = 0
        self._began = time.monotonic()
        self._shows_bar = sys.stderr.isatty() and not voice.is_json
        self._is_bar_shown = False
        self.left = 0
        """Links, devices and pipes, which are not followed or opened."""

    def tell(self, judged: Judged) -> None:
        """Tell one file's verdict."""
        self._counts[judged.verdict.value] += 1
        self._length_bytes += judged.length_bytes
        self._wipe()
        if self._voice.is_json:
            self._voice.json(judged.to_json())
        else:
            self._voice.say(f"{judged.verdict.value:<12}  {shown(judged.path)}  {shown(judged.reason)}".rstrip())
        if self._shows_bar and time.monotonic() - self._began > _QUIET_SECONDS:
            click.echo(f"Inspecting: {self._sum()}", err=True, nl=False)
            self._is_bar_shown = True

    def end(self, *, is_stopped: bool) -> None:
        """Tell the whole, to a person."""
        self._wipe()
        if self._voice.is_json:
            return
        seconds = max(time.monotonic() - self._began, 1e-6)
        self._voice.say(f"{self._sum()}; {seconds:.1f} s.")
        if self.left:
            self._voice.say(f"{counted(self.left, 'link or device', 'links or devices')} not followed.")
        if is_stopped:
            self._voice.say("Stopped: the rest was not looked at.")
        elif self._counts["malicious"] or self._counts["suspicious"]:
            self._voice.say("Next: `leadglass inspect --json` on such a file tells every finding with its place.")

    @property
    def code(self) -> int:
        """Give the exit code."""
        if self._counts["malicious"] or self._counts["suspicious"]:
            return 1
        return 3 if self._counts["not-assessed"] else 0

    def _sum(self) -> str:
        files = f"{counted(self._counts.total(), 'file')}, {size(self._length_bytes)}"
        words = [f"{count} {word}" for word, count in sorted(self._counts.items())]
        return f"{files}: {', '.join(words)}" if words else files

    def _wipe(self) -> None:
        if self._is_bar_shown:
            click.echo("\r\033[K", err=True, nl=False)
            self._is_bar_shown = False
