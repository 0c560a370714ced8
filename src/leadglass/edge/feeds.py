"""The feeds a site has taken in: each version in a folder of its own, one in force, the one before it kept.

```
feeds/NAME/state.json           which version is in force, and which was before
feeds/NAME/VERSION-DIGEST/      manifest.toml, manifest.sig, record.json (who, when, how many rules), files/
```

A version is written beside the others and comes into force by renaming one small file, so that a power cut leaves the
old or the new one. Names were checked with the manifest; a file is read from the folder only where the manifest
names it. One process at a time changes anything.
"""

from __future__ import annotations

import fcntl
import json
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from leadglass.edge.certificates import write_private
from leadglass.edge.feeds_source import Feed
from leadglass.errors import ConfigurationError, IntegrityError, LeadglassError, NotFound, Refused
from leadglass.gateway.feed import MANIFEST, MANIFEST_BYTES_MAX, SIGNATURE, FeedKind, Manifest, parse_manifest

FILES: Final = "files"
_STATE: Final = "state.json"
_RECORD: Final = "record.json"
_NEW: Final = ".new-"
_SMALL_BYTES_MAX: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class Installed:
    """One version of a feed on the disk. `sha256` is its manifest's, which covers every file."""

    manifest: Manifest
    folder: Path
    sha256: str
    signer: str
    imported_us: int
    imported_by: str
    rules: int

    @property
    def content(self) -> Path:
        """Give the folder of its files."""
        return self.folder / FILES

    def faults(self) -> list[str]:
        """Name the files that are missing, added, or not what the manifest says."""
        found = []
        for file in self.manifest.files:
            try:
                is_same = file.is_of((self.content / file.path).read_bytes())
            except OSError:
                is_same = False
            found += [] if is_same else [file.path]
        known = {file.path for file in self.manifest.files}
        there = {path.relative_to(self.content).as_posix() for path in self.content.rglob("*") if not path.is_dir()}
        return found + sorted(there - known)


@dataclass(frozen=True, slots=True)
class State:
    """What `state.json` says: the folders of the version in force and of the one before, empty where there is none."""

    kind: FeedKind
    current: str
    previous: str


@dataclass(frozen=True, slots=True)
class Standing:
    """A feed of the site: what is in force, and what was before it."""

    name: str
    current: Installed
    previous: Installed | None


class FeedStore:
    """The folder of a site's feeds; it need not exist."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def every(self) -> list[Standing]:
        """Give every feed, by name. Raises ConfigurationError for one that cannot be read."""
        return [self.standing(name) for name in self._names()]

    def standing(self, name: str) -> Standing:
        """Give one feed. Raises NotFound, or ConfigurationError where it cannot be read."""
        state = self._state(name)
        previous = self._installed(name, state.previous) if state.previous else None
        return Standing(name, self._installed(name, state.current), previous)

    def rule_paths(self) -> tuple[Path, ...]:
        """Give the folders of the YARA rules in force; of a feed that is broken one that is not there.

        So a site with a broken feed can be opened and mended, and does not inspect without its rules in silence.
        """
        return self.others("")

    def require_whole(self) -> None:
        """Raise IntegrityError where a file in force is not what was taken in."""
        for one in self.every():
            if faults := one.current.faults():
                raise IntegrityError(
                    f"{faults[0]} of the feed {one.name} is not what was taken in.",
                    hint=f"Somebody changed it on the disk: `leadglass feeds restore {one.name}`, or import it again.",
                )

    @contextmanager
    def staged(self, feed: Feed, *, at_us: int, actor: str, accepts_older: bool = False) -> Iterator[Staged]:
        """Write a version beside the others; it is gone after the block unless it was put in force."""
        with self._alone():
            name = feed.manifest.name
            digest = sha256(feed.manifest_bytes).hexdigest()
            self._check(name, feed.manifest, digest, accepts_older=accepts_older)
            beside = self._folder / f"{_NEW}{secrets.token_hex(8)}"
            try:
                _write(beside, feed)
                yield Staged(self, beside, feed, digest, at_us, actor)
            finally:
                shutil.rmtree(beside, ignore_errors=True)

    def others(self, name: str) -> tuple[Path, ...]:
        """Give the rules in force of every feed but one."""
        found = []
        for other in self._names():
            try:
                state = self._state(other)
            except ConfigurationError:
                state = State(FeedKind.YARA, "unreadable", "")
            if other != name and state.kind is FeedKind.YARA:
                found.append(self._folder / other / state.current / FILES)
        return tuple(found)

    def restore(self, name: str, accept: Callable[[Installed], None]) -> Installed:
        """Put the version before in force again; `accept` is asked first and may raise."""
        with self._alone():
            standing = self.standing(name)
            if standing.previous is None:
                raise NotFound(f"There is no earlier version of {name}.", hint="Import one.")
            if faults := standing.previous.faults():
                raise IntegrityError(f"{faults[0]} of the version before was changed.", hint="Import it again.")
            accept(standing.previous)
            kind = standing.previous.manifest.kind
            self._point(name, State(kind, standing.previous.folder.name, standing.current.folder.name))
            return standing.previous

    def remove(self, name: str, accept: Callable[[Installed | None], None]) -> Installed | None:
        """Take a feed out of force and off the disk; `accept` is asked first and may raise. None: it was broken."""
        with self._alone():
            try:
                current = self.standing(name).current
            except ConfigurationError:
                current = None
            accept(current)
            (self._folder / name / _STATE).unlink()
            shutil.rmtree(self._folder / name, ignore_errors=True)
            return current

    def put(self, staged: Staged, rules: int) -> Installed:
        """Put a staged version in force; the one in force until now is kept, older ones go."""
        feed, manifest = staged.feed, staged.feed.manifest
        record = {"signer": feed.signer, "at_us": staged.at_us, "by": staged.actor, "rules": rules}
        write_private(staged.folder / _RECORD, json.dumps(record).encode())
        home = self._folder / manifest.name
        home.mkdir(mode=0o700, exist_ok=True)
        version = f"{manifest.version}-{staged.sha256[:16]}"
        try:
            before = self._state(manifest.name).current
        except NotFound:
            before = ""
        shutil.rmtree(home / version, ignore_errors=True)  # the one before that, taken in again
        staged.folder.rename(home / version)
        self._point(manifest.name, State(manifest.kind, version, before))
        for path in home.iterdir():
            if path.is_dir() and path.name not in (version, before):
                shutil.rmtree(path, ignore_errors=True)
        return self._installed(manifest.name, version)

    # --- inside ---------------------------------------------------------------------------------------------

    def _check(self, name: str, manifest: Manifest, digest: str, *, accepts_older: bool) -> None:
        try:
            current = self.standing(name).current
        except NotFound:
            return
        if current.manifest.kind is not manifest.kind:
            raise Refused(f"{name} is a feed of {current.manifest.kind.value} here.", hint="Give it another name.")
        if current.sha256 == digest:
            raise Refused(f"{name} {manifest.version} is in force already.", hint="Nothing was changed.")
        if manifest.made_on < current.manifest.made_on and not accepts_older:
            raise Refused(
                f"{name} of {manifest.made_on} is older than that in force, of {current.manifest.made_on}.",
                hint="An old bundle hides what was learnt since. Say --older if it is wanted.",
            )

    def _names(self) -> list[str]:
        if not self._folder.is_dir():
            return []
        return sorted(path.parent.name for path in self._folder.glob(f"*/{_STATE}"))

    def _state(self, name: str) -> State:
        path = self._folder / name / _STATE
        if "/" in name or not path.is_file():
            raise NotFound(f"There is no feed {name}.", hint="`leadglass feeds list` names those there are.")
        said = _json(path)
        try:
            return State(FeedKind(str(said["kind"])), str(said["current"]), str(said["previous"]))
        except (KeyError, ValueError):
            raise _broken(name) from None

    def _point(self, name: str, state: State) -> None:
        path = self._folder / name / _STATE
        beside = path.with_name(f".{_STATE}.{secrets.token_hex(4)}")
        write_private(beside, json.dumps(asdict(state)).encode())
        beside.replace(path)

    def _installed(self, name: str, version: str) -> Installed:
        folder = self._folder / name / version
        try:
            with (folder / MANIFEST).open("rb") as file:
                text = file.read(MANIFEST_BYTES_MAX)
            record = _json(folder / _RECORD)
            return Installed(
                parse_manifest(text), folder, sha256(text).hexdigest(), str(record["signer"]),
                int(str(record["at_us"])), str(record["by"]), int(str(record["rules"])),
            )  # fmt: skip
        except (OSError, KeyError, ValueError, LeadglassError):
            raise _broken(name) from None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            with (self._folder / ".lock").open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                for left in self._folder.glob(f"{_NEW}*"):  # of an import that a power cut ended
                    shutil.rmtree(left, ignore_errors=True)
                yield
        except OSError as error:
            raise ConfigurationError(
                f"{self._folder} cannot be written: {error.strerror}.", hint="Check its disk and permissions."
            ) from error


@dataclass(frozen=True, slots=True)
class Staged:
    """A version written and not yet in force."""

    store: FeedStore
    folder: Path
    feed: Feed
    sha256: str
    at_us: int
    actor: str

    @property
    def content(self) -> Path:
        """Give the folder of its files."""
        return self.folder / FILES

    def put_in_force(self, rules: int) -> Installed:
        """Put it in force. What was to be recorded is recorded by now."""
        return self.store.put(self, rules)


def _broken(name: str) -> ConfigurationError:
    hint = f"`leadglass feeds remove {name}`, then import it again."
    return ConfigurationError(f"The feed {name} cannot be read.", hint=hint)


def _write(folder: Path, feed: Feed) -> None:
    folder.mkdir(mode=0o700)
    write_private(folder / MANIFEST, feed.manifest_bytes)
    if feed.signature:
        write_private(folder / SIGNATURE, feed.signature)
    for name, content in feed.contents.items():
        path = folder / FILES / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, content)


def _json(path: Path) -> dict[str, object]:
    try:
        with path.open("rb") as file:
            said = json.loads(file.read(_SMALL_BYTES_MAX))
    except (OSError, ValueError):
        said = None
    if not isinstance(said, dict):
        raise ConfigurationError(f"{path} cannot be read.", hint="Restore the site's folder from a back-up.")
    return said
