"""A site is a folder: its two text files, its secrets, its certificates, and where its objects lie.

```
leadglass.toml   settings            policy.toml   the written policy
secrets/         passphrase and its parameters, encrypted private keys
tls/             ca.pem, server.pem, trusted/*.pem: certificates the site trusts beside its own authority
feeds/           rules taken in with `leadglass feeds import`
objects/ staging/ catalogue.db log/
```

Everything is created readable by its owner alone. Private keys are encrypted under `keystore.Root.password`, which
is derived from the root key: the passphrase itself would be hardened less by PEM files than by Argon2id.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Final

from leadglass.config import SiteConfig, parse_site
from leadglass.edge import certificates
from leadglass.edge.certificates import CertificateDescription, Credentials, write_private
from leadglass.edge.feeds import FeedStore
from leadglass.edge.tls import TlsFiles, client_context, server_context, web_context
from leadglass.errors import ConfigurationError, UsageError
from leadglass.gateway.policy import Policy, parse_policy

SETTINGS: Final = "leadglass.toml"
POLICY: Final = "policy.toml"
FOLDERS: Final = ("secrets", "tls", "tls/trusted", "objects", "staging", "log")

_MakeContext = Callable[[TlsFiles, bytes | None], ssl.SSLContext]
_Stamp = tuple[tuple[str, ...], tuple[tuple[int, int], ...]]

_TEXT_BYTES_MAX: Final = 1 << 20
_NOT_CONTENT: Final = frozenset({"lost+found"})
"""What an empty volume of its own already holds."""


@dataclass(frozen=True, slots=True)
class Site:
    """An existing site: its folder and its settings."""

    folder: Path
    config: SiteConfig

    @classmethod
    def open(cls, folder: Path) -> Site:
        """Read the settings of a site; raises ConfigurationError."""
        return cls(folder, parse_site(_read_text(folder / SETTINGS)))

    @classmethod
    def create(cls, folder: Path, settings: str) -> Site:
        """Make a site from the text of its settings, with the default policy.

        Its keys are made next (`keystore.create`), then its certificates (`Identity.create`). Refuses a folder that
        holds anything; whatever goes wrong, nothing half-made stays.
        """
        config = parse_site(settings)
        existed = folder.is_dir()
        if folder.exists() and (not existed or {path.name for path in folder.iterdir()} - _NOT_CONTENT):
            hint = "Name a folder that does not exist yet, or an empty one."
            raise UsageError(f"{folder} is not an empty folder; a new site needs one.", hint=hint)
        site = cls(folder, config)
        try:
            site._fill(settings)
        except OSError as error:
            site._clear(keep_folder=existed)
            hint = "Choose a folder on a disk that this user may write to."
            raise UsageError(f"The site cannot be made in {folder}: {error.strerror}.", hint=hint) from error
        except BaseException:
            site._clear(keep_folder=existed)
            raise
        return site

    def policy(self) -> Policy:
        """Read the written policy; raises ConfigurationError."""
        return parse_policy(_read_text(self.folder / POLICY))

    @property
    def passphrase_path(self) -> Path:
        """Give the file that holds the passphrase; it may lie outside the site's folder."""
        return self.folder / self.config.keys.passphrase_file

    @property
    def objects_path(self) -> Path:
        """Give the folder of sealed objects (where no URL is set)."""
        return self.folder / self.config.storage.blobs

    def require_objects(self) -> None:
        """Raise ConfigurationError where the folder of sealed objects is not there: nothing may go to a wrong disk."""
        if not self.objects_path.is_dir():
            raise ConfigurationError(
                f"The folder of sealed objects {self.objects_path} is missing.",
                hint="Is its disk mounted? For a new disk, make the empty folder yourself.",
            )

    @property
    def rule_paths(self) -> tuple[Path, ...]:
        """Give the YARA rules the site names, and those of its feeds."""
        named = (self.folder / path for path in self.config.inspection.rules)
        return (*named, *self.feeds.rule_paths())

    @property
    def feeds(self) -> FeedStore:
        """Give the feeds the site has taken in."""
        return FeedStore(self.folder / "feeds")

    @property
    def staging_path(self) -> Path:
        """Give the folder of objects that are still arriving."""
        return self.folder / "staging"

    @property
    def database_url(self) -> str:
        """Give the SQLAlchemy URL of the catalogue."""
        database = self.config.storage.database
        return database if self.config.storage.database_is_url else f"sqlite:///{(self.folder / database).resolve()}"

    @property
    def tls_files(self) -> TlsFiles:
        """Give the files of the site's identity, and what it trusts now."""
        return TlsFiles(
            authority=self.folder / "tls/ca.pem",
            certificate=self.certificate_path,
            key=self.folder / "secrets/server.key",
            trusted=tuple(sorted(self.trusted_path.glob("*.pem"))),
        )

    @property
    def accounts_path(self) -> Path:
        """Give the file of the console's people."""
        return self.folder / "secrets/accounts.json"

    @property
    def certificate_path(self) -> Path:
        """Give the site's server certificate."""
        return self.folder / "tls/server.pem"

    @property
    def trusted_path(self) -> Path:
        """Give the folder of certificates the site trusts beside its own authority."""
        return self.folder / "tls/trusted"

    @property
    def authority_key_path(self) -> Path:
        """Give the encrypted private key of the site's authority."""
        return self.folder / "secrets/ca.key"

    def _fill(self, settings: str) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        for name in FOLDERS:
            (self.folder / name).mkdir(mode=0o700)
        default = files("leadglass").joinpath("content/policies/default.toml").read_text(encoding="utf-8")
        write_private(self.folder / POLICY, default.encode())
        # Last: a folder without its settings is no site yet.
        write_private(self.folder / SETTINGS, settings.encode())

    def _clear(self, *, keep_folder: bool) -> None:
        if not keep_folder:
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        for path in self.folder.iterdir():
            if path.name in _NOT_CONTENT:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


class Claim:
    """The right to serve a site, which one process has at a time; it ends with the process, however that ends."""

    def __init__(self, site: Site) -> None:
        """Take it; raises UsageError when another process serves the site."""
        self._folder = os.open(site.folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._folder)
            raise UsageError(
                f"The site in {site.folder} is served already, by another process.",
                hint="Use that one, or stop it first; every other verb works beside it.",
            ) from None

    def release(self) -> None:
        """Give it back; again is harmless."""
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1


class Identity:
    """The site's authority, certificate and trust, opened with the password of its private keys. Thread-safe.

    Contexts are made once and made again when a file under tls/ changes, so a certificate added to tls/trusted/,
    or a renewed one, counts from the next connection on.
    """

    def __init__(self, site: Site, password: bytes) -> None:
        self._site = site
        self._password = password
        self._lock = threading.Lock()
        self._contexts: dict[str, tuple[_Stamp, ssl.SSLContext]] = {}

    @classmethod
    def create(cls, site: Site, password: bytes, *, now: datetime, names: Iterable[str] = ()) -> Identity:
        """Make a new site's authority and its server certificate, also good for the host names and addresses given."""
        authority = certificates.create_authority(site.config.name, password, now=now)
        write_private(site.authority_key_path, authority.key)
        write_private(site.tls_files.authority, authority.certificate)
        identity = cls(site, password)
        identity.renew(now=now, names=names)
        return identity

    def renew(self, *, now: datetime, names: Iterable[str] = ()) -> CertificateDescription:
        """Make the site's server certificate anew; a running hub shows it from the next connection on."""
        config = self._site.config
        hosts = {config.dicom.host, config.web.host} - {"0.0.0.0", "::"}  # noqa: S104 -- taken out, not bound
        every = ("localhost", "127.0.0.1", "::1", socket.gethostname(), *sorted(hosts), *names)
        made = certificates.issue(
            self._authority(), self._password, config.dicom.ae_title, now=now, names=every, key_password=self._password
        )
        target = self._site.tls_files
        _replace(target.key, made.key)
        _replace(target.certificate, made.certificate)
        return certificates.describe(made.certificate)

    def enrol(self, ae_title: str, folder: Path, *, now: datetime, names: Iterable[str] = ()) -> CertificateDescription:
        """Make a node's key and certificate and write node.pem, node.key and ca.pem into a folder for the device.

        The key is kept nowhere else. The fingerprint given belongs on the node's record. Raises UsageError.
        """
        made = certificates.issue(self._authority(), self._password, ae_title, now=now, names=names)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            hint = "Name another folder for the device's files."
            raise UsageError(f"{folder} cannot be made: {error.strerror}.", hint=hint) from error
        taken = [name for name in ("node.key", "node.pem", "ca.pem") if (folder / name).exists()]
        if taken:
            raise UsageError(f"{folder / taken[0]} is already there.", hint="Name another folder, or move it away.")
        write_private(folder / "node.key", made.key)
        write_private(folder / "node.pem", made.certificate)
        write_private(folder / "ca.pem", self._site.tls_files.authority.read_bytes())
        return certificates.describe(made.certificate)

    def trust(self, certificate: bytes) -> CertificateDescription:
        """Trust a certificate that the site did not issue (another authority, or one node's own): PEM or DER."""
        described = certificates.describe(certificate)
        path = self._site.trusted_path / f"{described.fingerprint}.pem"
        if not path.exists():
            _replace(path, certificates.to_pem(certificate))
        return described

    def require(self) -> None:
        """Raise ConfigurationError naming the file of the identity that is missing or broken, and what to do."""
        files = self._site.tls_files
        backup = "Restore it from the last back-up of the site's folder."
        hints = (
            (files.authority, f"{backup} Nodes trust this very authority: a new one would shut them out."),
            (files.certificate, "`leadglass identity renew` makes a new one."),
            (files.key, "`leadglass identity renew` makes a new one."),
        )
        for path, hint in hints:
            try:
                path.read_bytes()
            except OSError as error:
                raise ConfigurationError(f"{path} cannot be read: {error.strerror}.", hint=hint) from None
        for make in (self.server_context, self.client_context, self.web_context):
            make()

    def server_context(self) -> ssl.SSLContext:
        """Give the context of the DICOM door (mutual TLS)."""
        return self._current("server", server_context)

    def client_context(self) -> ssl.SSLContext:
        """Give the context for calling nodes; the caller compares the fingerprint."""
        return self._current("client", client_context)

    def web_context(self) -> ssl.SSLContext:
        """Give the context of the console and DICOMweb."""
        return self._current("web", web_context)

    def _current(self, kind: str, make: _MakeContext) -> ssl.SSLContext:
        with self._lock:
            stamp = self._stamp()
            made = self._contexts.get(kind)
            if made is None or made[0] != stamp:
                made = stamp, make(self._site.tls_files, self._password)
                self._contexts[kind] = made
            return made[1]

    def _stamp(self) -> _Stamp:
        """Give what changes with the files: they are replaced by renaming. A few system calls for each connection."""
        trusted, certificate = self._site.trusted_path, self._site.certificate_path
        try:
            seen = trusted.stat(), certificate.stat()
            return tuple(sorted(os.listdir(trusted))), tuple((one.st_ino, one.st_mtime_ns) for one in seen)
        except OSError as error:
            hint = "Restore it from the last back-up; for a lost certificate, `leadglass identity renew`."
            raise ConfigurationError(f"{error.filename} cannot be read: {error.strerror}.", hint=hint) from None

    def _authority(self) -> Credentials:
        try:
            return Credentials(self._site.tls_files.authority.read_bytes(), self._site.authority_key_path.read_bytes())
        except OSError as error:
            hint = "Restore it from the last back-up of the site's folder."
            raise ConfigurationError(f"{error.filename} cannot be read: {error.strerror}.", hint=hint) from None


def _replace(path: Path, content: bytes) -> None:
    """Write a file beside its place and rename it there, so that a power cut leaves the old or the new one."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    write_private(beside, content)
    beside.replace(path)


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_TEXT_BYTES_MAX + 1)
    except OSError as error:
        hint = "Name the folder of a site, or make one with `leadglass init`."
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.", hint=hint) from None
    if len(content) > _TEXT_BYTES_MAX:
        raise ConfigurationError(f"{path} is larger than {_TEXT_BYTES_MAX} bytes.", hint="Is it the right file?")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        hint = "Save it as UTF-8 text."
        raise ConfigurationError(f"{path} is not UTF-8 text (byte {error.start}).", hint=hint) from None
