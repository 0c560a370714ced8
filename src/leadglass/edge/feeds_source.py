"""Where a feed comes from: a signed bundle, or a folder, zip file or rule file that nobody signed; and packing one.

Everything is read into memory within the bounds of `limits.py` and checked there; nothing is written by this file but
a bundle. Names inside a zip file are paths of the feed, below one folder, or the whole of it is refused.
"""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from leadglass.edge.certificates import write_private
from leadglass.edge.media_zip import measure_directory, overlap
from leadglass.errors import IntegrityError, Refused, UsageError
from leadglass.gateway.feed import (
    MANIFEST,
    MANIFEST_BYTES_MAX,
    SIGNATURE,
    SIGNATURE_BYTES_MAX,
    FeedFile,
    FeedKind,
    Manifest,
    is_safe_path,
    parse_manifest,
    public_key_text,
    sign,
    signer_of,
)
from leadglass.limits import FEED_BYTES_MAX, FEED_FILE_BYTES_MAX, FEED_FILES_MAX

_SUFFIXES: Final = {
    FeedKind.YARA: (".yar", ".yara"),
    FeedKind.ADVISORIES: (".json", ".csv", ".toml"),
}
_PAPERS: Final = ("license", "licence", "copying", "notice", "readme", "authors")
"""Files beside the content that say whose it is."""

_KNOWN_LICENCES: Final = (
    ("MIT License", "MIT"),
    ("Permission is hereby granted, free of charge", "MIT"),
    ("Apache License", "Apache-2.0"),
    ("Detection Rule License", "DRL"),
    ("GNU AFFERO GENERAL PUBLIC LICENSE", "AGPL"),
    ("GNU GENERAL PUBLIC LICENSE", "GPL"),
    ("Redistribution and use in source and binary forms", "BSD"),
    ("Mozilla Public License", "MPL"),
    ("Creative Commons", "Creative Commons"),
)
_UNREADABLE: Final = (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError, ValueError)
_AGAIN: Final = "Nothing was changed. Ask for the bundle again."


@dataclass(frozen=True, slots=True)
class Described:
    """What a person says of a feed that does not say it itself; empty is found out, as far as it can be."""

    name: str = ""
    version: str = ""
    licence: str = ""
    origin: str = ""
    made_on: date | None = None
    kind: FeedKind = FeedKind.YARA


@dataclass(frozen=True, slots=True)
class Feed:
    """A feed in memory, every file as its manifest says. `signer` is empty where nobody signed it."""

    manifest: Manifest
    manifest_bytes: bytes
    signature: bytes
    signer: str
    contents: Mapping[str, bytes]


def read_bundle(path: Path, trusted: Collection[str]) -> Feed:
    """Read a signed bundle. Raises Refused, IntegrityError or UsageError; then nothing of it counts."""
    with _opened(path) as archive:
        members = {member.filename: member for member in archive.infolist()}
        if len(members) != len(archive.infolist()):
            raise IntegrityError("The bundle has two members of one name.", hint=_AGAIN)
        manifest_bytes = _member(archive, members.get(MANIFEST), MANIFEST_BYTES_MAX, MANIFEST)
        signature = _member(archive, members.get(SIGNATURE), SIGNATURE_BYTES_MAX, SIGNATURE)
        signer = signer_of(manifest_bytes, signature, trusted)
        manifest = parse_manifest(manifest_bytes)
        wanted = {file.path for file in manifest.files} | {MANIFEST, SIGNATURE}
        if wanted != members.keys():
            raise IntegrityError("The bundle's members are not those its manifest names.", hint=_AGAIN)
        contents = {}
        for file in manifest.files:
            content = _member(archive, members[file.path], file.length_bytes, file.path)
            if not file.is_of(content):
                raise IntegrityError(f"{file.path} is not what the bundle's manifest says.", hint=_AGAIN)
            contents[file.path] = content
    return Feed(manifest, manifest_bytes, signature, signer, contents)


def is_bundle(path: Path) -> bool:
    """Tell whether a file is a zip file that calls itself a bundle: it is then held to its signature."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    with _opened(path) as archive:
        return MANIFEST in archive.namelist() or SIGNATURE in archive.namelist()


def read_unsigned(path: Path, said: Described) -> Feed:
    """Read a folder, a zip file or one file, whose maker signed nothing. Raises UsageError."""
    found = dict(_every(path, said.kind))
    suffixes = _SUFFIXES[said.kind]
    if not any(name.lower().endswith(suffixes) for name in found):
        raise UsageError(f"There is no {' or '.join(suffixes)} file in {path}.", hint="Name the folder of the rules.")
    contents = {name: content for name, (content, _) in sorted(found.items())}
    newest = max(day for _, day in found.values())
    made_on = said.made_on or newest
    manifest = Manifest(
        said.kind,
        said.name or _plain(path.resolve().stem),
        said.version or made_on.isoformat(),
        made_on,
        said.licence or _licence(contents),
        said.origin or path.resolve().name,
        tuple(FeedFile.of(name, content) for name, content in contents.items()),
    )
    text = manifest.to_bytes()
    return Feed(parse_manifest(text), text, b"", "", contents)


def pack(feed: Feed, key: Ed25519PrivateKey, target: Path) -> str:
    """Write a bundle and sign it; give the public key. The same feed and key give the same bytes."""
    signature = sign(feed.manifest_bytes, key)
    rows = [(MANIFEST, feed.manifest_bytes), (SIGNATURE, signature), *feed.contents.items()]
    try:
        with target.open("xb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in rows:
                archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror}.", hint="Name a new file.") from None
    return public_key_text(key.public_key())


def make_key(path: Path) -> str:
    """Write a new private key that its owner alone may read; give the public one. Raises UsageError."""
    key = Ed25519PrivateKey.generate()
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        write_private(path, encoded)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.", hint="Name a new file.") from None
    return public_key_text(key.public_key())


def read_key(path: Path) -> Ed25519PrivateKey:
    """Read a private key of `make_key`, or of `openssl genpkey -algorithm ed25519`. Raises UsageError."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", hint="Name the key's file.") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise UsageError(
            f"{path} is no private key without a password.", hint="`leadglass feeds key` makes one."
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{path} is not an Ed25519 key.", hint="`leadglass feeds key` makes one.")
    return key


# --- reading ------------------------------------------------------------------------------------------------


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        measure_directory(path)
        archive = zipfile.ZipFile(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", hint="Check its path.") from None
    except _UNREADABLE:
        raise UsageError(f"{path} cannot be read as a zip file.", hint=_AGAIN) from None
    if overlap(archive.infolist()):
        archive.close()
        raise UsageError(f"Members of {path} share the same bytes, as only a bomb's do.", hint=_AGAIN)
    return archive


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo | None, most: int, name: str) -> bytes:
    """Read one member, and never more of it than it may have."""
    if member is None:
        raise IntegrityError(f"The bundle has no {name}.", hint=_AGAIN)
    if stat.S_ISLNK(member.external_attr >> 16):
        raise IntegrityError(f"{name} is a link; a bundle holds files alone.", hint=_AGAIN)
    try:
        with archive.open(member) as stream:
            content = stream.read(most + 1)
    except (*_UNREADABLE, OSError):
        raise IntegrityError(f"{name} cannot be unpacked.", hint=_AGAIN) from None
    if len(content) > most:
        raise IntegrityError(f"{name} is longer than it may be.", hint=_AGAIN)
    return content


def _every(path: Path, kind: FeedKind) -> Iterator[tuple[str, tuple[bytes, date]]]:
    """Give name, content and day of every file that belongs to a feed of this kind, within bounds."""
    if path.is_dir():
        rows = _folder(path, kind)
    elif path.is_file() and zipfile.is_zipfile(path):
        rows = _zip(path, kind)
    elif path.is_file():
        rows = iter([(path.name, (_file(path), _day(path)))])
    else:
        raise UsageError(f"{path} is not there.", hint="Name a folder, a zip file, a rule file or a signed bundle.")
    count = length = 0
    for name, (content, day) in rows:
        count, length = count + 1, length + len(content)
        if count > FEED_FILES_MAX or length > FEED_BYTES_MAX:
            hint = "Name a folder further down, or take it in as several feeds."
            raise UsageError(f"More than {FEED_FILES_MAX} files, or {FEED_BYTES_MAX >> 20} MiB of them.", hint=hint)
        yield name, (content, day)


def _belongs(name: str, kind: FeedKind) -> bool:
    last = name.rpartition("/")[2].lower()
    is_paper = last.startswith(_PAPERS) and ("." not in last or last.endswith((".md", ".txt")))
    return is_paper or last.endswith(_SUFFIXES[kind])


def _folder(path: Path, kind: FeedKind) -> Iterator[tuple[str, tuple[bytes, date]]]:
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(folder, name)
            inside = file.relative_to(path).as_posix()
            if not _belongs(inside, kind) or file.is_symlink() or not file.is_file():
                continue
            if not is_safe_path(inside):
                raise UsageError(f"{inside} is no plain path.", hint="Rename it.")
            yield inside, (_file(file), _day(file))


def _zip(path: Path, kind: FeedKind) -> Iterator[tuple[str, tuple[bytes, date]]]:
    with _opened(path) as archive:
        for member in archive.infolist():
            if member.is_dir():
                continue
            if member.filename.startswith("/") or ".." in member.filename.replace("\\", "/").split("/"):
                raise Refused("A member of the zip file has a name that climbs out of a folder.", hint=_AGAIN)
            if not _belongs(member.filename, kind):
                continue
            if not is_safe_path(member.filename):
                raise UsageError(f"{member.filename} is no plain path.", hint="Rename it.")
            content = _member(archive, member, FEED_FILE_BYTES_MAX, member.filename)
            year, month, day = member.date_time[:3]
            yield member.filename, (content, date(year, min(max(month, 1), 12), min(max(day, 1), 28)))


def _file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(FEED_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", hint="Check its permissions.") from None
    if len(content) > FEED_FILE_BYTES_MAX:
        raise UsageError(f"{path} is longer than {FEED_FILE_BYTES_MAX >> 20} MiB.", hint="Split it.")
    return content


def _day(path: Path) -> date:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).date()


def _licence(contents: Mapping[str, bytes]) -> str:
    """Tell the licence by the words every copy of it begins with."""
    for name, content in contents.items():
        if name.rpartition("/")[2].lower().startswith(("license", "licence", "copying")):
            text = content[:4_096].decode("utf-8", "replace")
            found = next((short for words, short in _KNOWN_LICENCES if words in text), "")
            return f"{found} ({name})" if found else f"see {name}"
    return "not stated"


def _plain(stem: str) -> str:
    made = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in stem.lower())
    return made.strip("-")[:40].strip("-") or "rules"
