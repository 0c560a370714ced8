"""A feed: data that a site takes in as a whole (YARA rules, advisories), its manifest, and who signed that.

A bundle is a zip file of `manifest.toml`, `manifest.sig` and exactly the files the manifest names. The signature is
Ed25519 over the manifest's bytes, and the manifest holds the length and SHA-256 of every file, so one signature covers
all of it. Which keys count is written in the site's policy; a key inside a bundle proves nothing by itself.
`docs/spec/feeds.md` is the specification.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from leadglass.errors import ConfigurationError, IntegrityError, Refused
from leadglass.limits import FEED_BYTES_MAX, FEED_FILE_BYTES_MAX, FEED_FILES_MAX
from leadglass.table import Table, parse_toml

MANIFEST: Final = "manifest.toml"
SIGNATURE: Final = "manifest.sig"
FORMAT: Final = 1
MANIFEST_BYTES_MAX: Final = 8 << 20
SIGNATURE_BYTES_MAX: Final = 1_024

_SIGNED: Final = b"leadglass feed 1\n"
"""Stands before the manifest in what is signed, so that a signature over anything else is none over a feed."""

_KEY: Final = re.compile(r"ed25519:([A-Za-z0-9+/]{43}=)")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_PART: Final = re.compile(r"[\w+@,=()&~' .-]{1,120}")
_DEPTH_MAX: Final = 12
_HEXADECIMAL: Final = re.compile(r"[0-9a-f]{64}")


class FeedKind(StrEnum):
    """What a feed holds."""

    YARA = "yara"
    ADVISORIES = "advisories"


@dataclass(frozen=True, slots=True)
class FeedFile:
    """One file of a feed, by its path inside it."""

    path: str
    length_bytes: int
    sha256: str

    @classmethod
    def of(cls, path: str, content: bytes) -> FeedFile:
        """Describe a file."""
        return cls(path, len(content), sha256(content).hexdigest())

    def is_of(self, content: bytes) -> bool:
        """Tell whether these bytes are the file."""
        return len(content) == self.length_bytes and sha256(content).hexdigest() == self.sha256


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a feed says of itself; `made_on` is the day its content is of, `version` how its maker calls it."""

    kind: FeedKind
    name: str
    version: str
    made_on: date
    licence: str
    origin: str
    files: tuple[FeedFile, ...]

    def to_bytes(self) -> bytes:
        """Write `manifest.toml`."""
        head = [
            f"format = {FORMAT}",
            f"kind = {_quoted(self.kind.value)}",
            f"name = {_quoted(self.name)}",
            f"version = {_quoted(self.version)}",
            f"made_on = {self.made_on.isoformat()}",
            f"licence = {_quoted(self.licence)}",
            f"origin = {_quoted(self.origin)}",
        ]
        for file in self.files:
            head += ["", "[[file]]", f"path = {_quoted(file.path)}", f"length = {file.length_bytes}",
                     f"sha256 = {_quoted(file.sha256)}"]  # fmt: skip
        return ("\n".join(head) + "\n").encode()


def parse_manifest(untrusted: bytes) -> Manifest:
    """Read a manifest. Raises ConfigurationError naming the key."""
    try:
        text = untrusted.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigurationError(f"{MANIFEST} is not UTF-8 text.", hint="Ask for the bundle again.") from None
    root = parse_toml(text, file=MANIFEST)
    if root.value("format") != FORMAT:
        raise root.error("format", f"is not {FORMAT}", "This bundle is for another version of Leadglass.")
    manifest = Manifest(
        kind=FeedKind(root.choice("kind", None, [kind.value for kind in FeedKind])),
        name=checked_name(root, root.text("name")),
        version=checked_version(root, root.text("version")),
        made_on=_day(root, "made_on"),
        licence=root.text("licence", longest=100),
        origin=root.text("origin", longest=400),
        files=tuple(_file(table) for table in root.tables("file")),
    )
    root.finish()
    _check_files(root, manifest.files)
    return manifest


def checked_name(root: Table, name: str) -> str:
    """Give back a name that may stand for a feed, and for its folder."""
    if _NAME.fullmatch(name) is None:
        raise root.error("name", f'cannot be "{name}"', "Small letters, digits and hyphens, at most 40.")
    return name


def checked_version(root: Table, version: str) -> str:
    """Give back a version that may be part of a folder's name."""
    if _VERSION.fullmatch(version) is None:
        raise root.error("version", f'cannot be "{version}"', 'Write it as "2026-03-01" or "1.4.2".')
    return version


def is_safe_path(path: str) -> bool:
    """Tell whether a path stays below the folder it is unpacked into, on any system."""
    parts = path.split("/")
    return len(path) <= 400 and len(parts) <= _DEPTH_MAX and all(
        _PART.fullmatch(part) is not None and part.strip(" .") and part[-1] not in " ." for part in parts
    )  # fmt: skip


def public_key_text(key: Ed25519PublicKey) -> str:
    """Write a public key as the policy names it."""
    return "ed25519:" + base64.b64encode(key.public_bytes_raw()).decode()


def is_key(text: str) -> bool:
    """Tell whether text is a public key as the policy names it."""
    return _KEY.fullmatch(text) is not None


def sign(manifest: bytes, key: Ed25519PrivateKey) -> bytes:
    """Write `manifest.sig`: the public key, and its signature over the manifest."""
    signature = base64.b64encode(key.sign(_SIGNED + manifest)).decode()
    return f"{public_key_text(key.public_key())} {signature}\n".encode()


def signer_of(manifest: bytes, untrusted_signature: bytes, trusted: Collection[str]) -> str:
    """Give the trusted key that signed a manifest. Raises Refused for another key, IntegrityError for other bytes."""
    key, _, signature = untrusted_signature.decode("ascii", "replace").strip().partition(" ")
    if not is_key(key):
        raise IntegrityError(f"{SIGNATURE} holds no signature.", hint="Ask for the bundle again.")
    if key not in trusted:
        raise Refused(
            f"The bundle is signed with {key}, which this site's policy does not trust.",
            hint="Compare the key with its owner, then add it to trusted under [feeds] in policy.toml.",
        )
    try:
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key.removeprefix("ed25519:")))
        public.verify(base64.b64decode(signature, validate=True), _SIGNED + manifest)
    except (InvalidSignature, binascii.Error, ValueError):
        raise IntegrityError(
            "The signature of the bundle is not one over its manifest: it was altered.",
            hint="Ask its owner for the bundle again, by another way.",
        ) from None
    return key


def _file(table: Table) -> FeedFile:
    path, digest = table.text("path"), table.text("sha256")
    if not is_safe_path(path):
        raise table.error("path", "leads out of the bundle, or is no plain path", "Nothing of this bundle is used.")
    if _HEXADECIMAL.fullmatch(digest) is None:
        raise table.error("sha256", "is no SHA-256", "Write 64 hexadecimal digits.")
    file = FeedFile(path, table.whole("length", 0, low=0, high=FEED_FILE_BYTES_MAX), digest)
    table.finish()
    return file


def _check_files(root: Table, files: tuple[FeedFile, ...]) -> None:
    """Refuse none, too many, and two that one file system takes for the same."""
    folded = {file.path.casefold() for file in files}
    if not files or len(files) > FEED_FILES_MAX:
        raise root.error("file", f"must name 1 to {FEED_FILES_MAX} files", "Nothing of this bundle is used.")
    parents = {path[:at] for path in folded for at, letter in enumerate(path) if letter == "/"}
    if len(folded) != len(files) or folded & ({MANIFEST, SIGNATURE} | parents):
        raise root.error("file", "names a file twice, or a file and a folder alike", "Nothing of this bundle is used.")
    if sum(file.length_bytes for file in files) > FEED_BYTES_MAX:
        raise root.error("file", f"is more than {FEED_BYTES_MAX >> 20} MiB in all", "Split the feed.")


def _day(table: Table, key: str) -> date:
    value = table.value(key)
    if not isinstance(value, date) or isinstance(value, datetime):
        raise table.error(key, "must be a day", f"Write {key} = 2026-03-01, without quotes.")
    return value


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
