"""One text file, `leadglass.toml`, becomes one frozen `SiteConfig`, checked whole; nothing is read or written here.

An unknown key, a wrong type or a value out of bounds is a `ConfigurationError` that names the key and the next
step: a misspelt limit must never fall back to a default in silence. There is no other switch in the house, and no
environment variable. Paths stay text and are taken from the site's folder by `edge/site.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from leadglass import limits
from leadglass.errors import ConfigurationError
from leadglass.table import OFF, Table, parse_toml, size_text

Language = Literal["fr", "en"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the listener a site may move; each default is the constant of the same name in `limits.py`."""

    associations_max: int = limits.ASSOCIATIONS_MAX
    associations_per_node_max: int = limits.ASSOCIATIONS_PER_NODE_MAX
    associations_per_address_max: int = limits.ASSOCIATIONS_PER_ADDRESS_MAX
    artim_seconds: float = limits.ARTIM_SECONDS
    idle_seconds: float = limits.IDLE_SECONDS
    rate_bytes_per_second_min: int = limits.RATE_BYTES_PER_SECOND_MIN
    rate_window_seconds: float = limits.RATE_WINDOW_SECONDS
    object_bytes_max: int = limits.OBJECT_BYTES_MAX


@dataclass(frozen=True, slots=True)
class DicomConfig:
    """The DICOM doors. A port of None is a closed door, 0 asks the system for a free port."""

    ae_title: str = "LEADGLASS"
    ae_title_aliases: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    tls_port: int | None = 2762
    plain_port: int | None = None
    limits: Limits = Limits()

    @property
    def ae_titles(self) -> frozenset[str]:
        """Give every AE title the site answers to."""
        return frozenset((self.ae_title, *self.ae_title_aliases))


@dataclass(frozen=True, slots=True)
class WebConfig:
    """The console and DICOMweb, over TLS with the site's server certificate. A port of None is a closed door."""

    host: str = "127.0.0.1"
    port: int | None = 8443


@dataclass(frozen=True, slots=True)
class StorageConfig:
    """Where sealed objects and rows lie: a path inside the site's folder, or a URL."""

    blobs: str = "objects"
    database: str = "catalogue.db"
    disk_reserve_bytes: int = limits.DISK_RESERVE_BYTES

    @property
    def blobs_is_url(self) -> bool:
        """Tell whether the objects lie behind an obstore URL."""
        return "://" in self.blobs

    @property
    def database_is_url(self) -> bool:
        """Tell whether the rows lie behind an SQLAlchemy URL."""
        return "://" in self.database


@dataclass(frozen=True, slots=True)
class KeysConfig:
    """Where the passphrase that opens the site's keys is read from."""

    passphrase_file: str = "secrets/passphrase"  # noqa: S105 -- a path, not a passphrase


@dataclass(frozen=True, slots=True)
class InspectionConfig:
    """Engines beside the hub's own: YARA rules by path, and a ClamAV daemon ("" is none)."""

    rules: tuple[str, ...] = ()
    clamd: str = ""


@dataclass(frozen=True, slots=True)
class SiteConfig:
    """Everything `leadglass.toml` may say."""

    name: str = "Leadglass"
    language: Language = "en"
    dicom: DicomConfig = DicomConfig()
    web: WebConfig = WebConfig()
    storage: StorageConfig = StorageConfig()
    keys: KeysConfig = KeysConfig()
    inspection: InspectionConfig = InspectionConfig()


def parse_site(text: str) -> SiteConfig:
    """Read the text of `leadglass.toml`. Raises ConfigurationError naming the key and the next step."""
    root = parse_toml(text, file="leadglass.toml")
    site = root.table("site")
    language = site.choice("language", "en", ("fr", "en"))
    config = SiteConfig(
        name=site.text("name", "Leadglass", longest=100),
        language="fr" if language == "fr" else "en",
        dicom=_dicom(root.table("dicom")),
        web=_web(root.table("web")),
        storage=_storage(root.table("storage")),
        keys=_keys(root.table("keys")),
        inspection=_inspection(root.table("inspection")),
    )
    site.finish()
    root.finish()
    _check_ports(config)
    return config


def _check_ports(config: SiteConfig) -> None:
    """Raise ConfigurationError where the console's door has the port of a DICOM door on the same address."""
    dicom, web = config.dicom, config.web
    hosts = {dicom.host, web.host}
    meets = len(hosts) == 1 or hosts & {"0.0.0.0", "::"}  # noqa: S104 -- compared, not bound
    if web.port and meets and web.port in (dicom.tls_port, dicom.plain_port):
        name = "tls_port" if web.port == dicom.tls_port else "plain_port"
        raise ConfigurationError(
            f"[web] port and [dicom] {name} are both {web.port}.", hint="Give each door a port of its own, or off."
        )


def render_default(
    *,
    name: str = "Leadglass",
    language: Language = "en",
    ae_title: str = "LEADGLASS",
    host: str = "127.0.0.1",
    tls_port: int | None = 2762,
    plain_port: int | None = None,
    web_port: int | None = 8443,
) -> str:
    """Write a commented `leadglass.toml` that `parse_site` reads back; a bad value is a ConfigurationError."""
    text = _TEMPLATE.format(
        name=_quoted(name),
        language=_quoted(language),
        ae_title=_quoted(ae_title),
        host=_quoted(host),
        tls_port=_port_text(tls_port),
        plain_port=_port_text(plain_port),
        web_port=_port_text(web_port),
        passphrase_file=_quoted(KeysConfig().passphrase_file),
        limits=Limits(),
        object_size=size_text(limits.OBJECT_BYTES_MAX),
        reserve_size=size_text(limits.DISK_RESERVE_BYTES),
    )
    parse_site(text)
    return text


def _dicom(table: Table) -> DicomConfig:
    default = DicomConfig()
    config = DicomConfig(
        ae_title=table.ae_title("ae_title", default.ae_title),
        ae_title_aliases=tuple(
            table.checked_ae_title("ae_title_aliases", alias) for alias in table.texts("ae_title_aliases")
        ),
        host=table.host("host", default.host),
        tls_port=table.port("tls_port", default.tls_port),
        plain_port=table.port("plain_port", default.plain_port),
        limits=_limits(table.table("limits")),
    )
    if config.tls_port is not None and config.tls_port == config.plain_port != 0:
        raise table.error("plain_port", "is the same as tls_port", "Give the plain listener a port of its own, or off.")
    table.finish()
    return config


def _limits(table: Table) -> Limits:
    default = Limits()
    config = Limits(
        associations_max=table.whole("associations_max", default.associations_max, low=1, high=4096),
        associations_per_node_max=table.whole(
            "associations_per_node_max", default.associations_per_node_max, low=1, high=4096
        ),
        associations_per_address_max=table.whole(
            "associations_per_address_max", default.associations_per_address_max, low=1, high=4096
        ),
        artim_seconds=table.seconds("artim_seconds", default.artim_seconds, low=0.1, high=300),
        idle_seconds=table.seconds("idle_seconds", default.idle_seconds, low=0.1, high=3600),
        rate_bytes_per_second_min=table.whole(
            "rate_bytes_per_second_min", default.rate_bytes_per_second_min, low=1, high=1 << 30
        ),
        rate_window_seconds=table.seconds("rate_window_seconds", default.rate_window_seconds, low=0.1, high=600),
        object_bytes_max=table.size("object_bytes_max", default.object_bytes_max, low=1 << 20, high=1 << 40),
    )
    table.finish()
    return config


def _web(table: Table) -> WebConfig:
    default = WebConfig()
    config = WebConfig(host=table.host("host", default.host), port=table.port("port", default.port))
    table.finish()
    return config


def _storage(table: Table) -> StorageConfig:
    default = StorageConfig()
    config = StorageConfig(
        blobs=table.text("blobs", default.blobs),
        database=table.text("database", default.database),
        disk_reserve_bytes=table.size("disk_reserve_bytes", default.disk_reserve_bytes, low=0, high=1 << 50),
    )
    table.finish()
    return config


def _keys(table: Table) -> KeysConfig:
    config = KeysConfig(passphrase_file=table.text("passphrase_file", KeysConfig().passphrase_file))
    table.finish()
    return config


def _inspection(table: Table) -> InspectionConfig:
    clamd = table.text("clamd", "off")
    config = InspectionConfig(rules=tuple(table.texts("rules")), clamd="" if clamd == OFF else clamd)
    table.finish()
    return config


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _port_text(port: int | None) -> str:
    return f'"{OFF}"' if port is None else str(port)


_TEMPLATE: Final = """\
# The settings of this Leadglass site. Leadglass reads this file once, at start: restart it after a change.
# Unknown keys are errors. A line such as "# key = value" shows a default. Paths are taken from this folder.

[site]
name = {name}
# The console's first language: "fr" or "en".
language = {language}

[dicom]
# What modalities call this hub.
ae_title = {ae_title}
# Further titles it answers to, for instance while it replaces another archive.
# ae_title_aliases = ["OLDPACS"]
# "127.0.0.1": this machine alone; "0.0.0.0": every network it is on.
host = {host}
# DICOM over mutual TLS (PS3.15 B.12). A port, 0 for any free one, or "off".
tls_port = {tls_port}
# DICOM without TLS: anybody on the network can read and alter it. Off unless a node cannot do better.
plain_port = {plain_port}

[dicom.limits]
# At once: in all, for one node, from one address.
# associations_max = {limits.associations_max}
# associations_per_node_max = {limits.associations_per_node_max}
# associations_per_address_max = {limits.associations_per_address_max}
# From the connection to a complete association request; then without a byte or a question.
# artim_seconds = {limits.artim_seconds:g}
# idle_seconds = {limits.idle_seconds:g}
# Inside a message, a sender slower than this over this window is refused.
# rate_bytes_per_second_min = {limits.rate_bytes_per_second_min}
# rate_window_seconds = {limits.rate_window_seconds:g}
# object_bytes_max = "{object_size}"

[web]
# The console and DICOMweb, over TLS with tls/server.pem.
host = {host}
port = {web_port}

[storage]
# A folder, or s3://..., az://..., gs://...
blobs = "objects"
# A file, or postgresql+psycopg://...
database = "catalogue.db"
# Below this free space senders are refused (status A700).
# disk_reserve_bytes = "{reserve_size}"

[inspection]
# YARA rules beside the hub's own, files or folders of .yar files. Every object then takes a little longer.
# rules = []
# A ClamAV daemon to ask as well: "127.0.0.1:3310" or the path of its socket. What it cannot answer is held.
# clamd = "off"

[keys]
# Opens every key of the site: keep a copy somewhere else.
passphrase_file = {passphrase_file}
"""
