"""A site's folder: made whole or not at all, its owner's alone, and opened with every problem named."""

from __future__ import annotations

import resource
import socket
import ssl
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from leadglass.config import parse_site, render_default
from leadglass.edge.certificates import create_authority, describe, fingerprint, is_issued_by, issue
from leadglass.edge.site import Identity, Site
from leadglass.edge.tls import TlsFiles, client_context, server_context
from leadglass.errors import ConfigurationError, UsageError

NOW = datetime.now(UTC)
PASSWORD = b"derived from the root key"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site.create(tmp_path / "site", render_default(name="Saint-Luc", ae_title="HUB"))


@pytest.fixture
def identity(site: Site) -> Identity:
    return Identity.create(site, PASSWORD, now=NOW, names=["hub.saint-luc.fr"])


def test_what_is_made_opens_again(site: Site) -> None:
    opened = Site.open(site.folder)
    assert opened == site
    assert opened.config == parse_site(render_default(name="Saint-Luc", ae_title="HUB"))
    assert [route.name for route in opened.policy().routes] == ["Everything"]


def test_everything_is_its_owners_alone(site: Site, identity: Identity) -> None:
    paths = [site.folder, *site.folder.rglob("*")]
    assert len(paths) == 13
    for path in paths:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_no_private_key_lies_open_in_the_folder(site: Site, identity: Identity) -> None:
    keys = [path for path in site.folder.rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()]
    assert sorted(path.name for path in keys) == ["ca.key", "server.key"]
    assert all(b"ENCRYPTED PRIVATE KEY" in path.read_bytes() for path in keys)


def test_the_layout_is_where_the_settings_say(tmp_path: Path) -> None:
    settings = (
        '[storage]\nblobs = "deep/objects"\ndatabase = "c.db"\n[keys]\npassphrase_file = "/run/secrets/leadglass"'
    )
    site = Site(tmp_path, parse_site(settings))
    assert site.objects_path == tmp_path / "deep/objects"
    assert site.database_url == f"sqlite:///{tmp_path / 'c.db'}"
    assert site.passphrase_path == Path("/run/secrets/leadglass")
    remote = Site(tmp_path, parse_site('[storage]\ndatabase = "postgresql+psycopg://db/leadglass"'))
    assert remote.database_url == "postgresql+psycopg://db/leadglass"


def test_an_empty_folder_will_do_and_so_will_a_fresh_volume(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    tmp_path.chmod(0o755)
    assert Site.create(tmp_path, render_default()).policy().routes
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").write_text("mine")
    with pytest.raises(UsageError) as caught:
        Site.create(tmp_path, render_default())
    assert "empty" in caught.value.message and "does not exist yet" in caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.doc"]


def test_a_file_in_the_folders_place_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "site").write_text("mine")
    with pytest.raises(UsageError, match="not an empty folder"):
        Site.create(tmp_path / "site", render_default())
    assert (tmp_path / "site").read_text() == "mine"


@pytest.mark.parametrize("existed", [True, False])
def test_what_fails_half_way_leaves_nothing(tmp_path: Path, existed: bool) -> None:
    folder = tmp_path / "site"
    if existed:
        folder.mkdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))  # folders can be made, files cannot be written
    try:
        with pytest.raises(UsageError, match="File too large"):
            Site.create(folder, render_default())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert folder.exists() is existed
    assert not existed or not list(folder.iterdir())


def test_wrong_settings_make_no_site(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        Site.create(tmp_path / "site", "[dicom]\nae_titel = 'X'")
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        (b"\xff\xfe[site]", "not UTF-8"),
        (b"#" * (1 << 20) + b"\n", "larger than"),
        (b"[site]\nnam = 'x'", "site.nam is not a setting"),
    ],
)
def test_settings_that_cannot_be_read_are_named(site: Site, content: bytes | None, message: str) -> None:
    path = site.folder / "leadglass.toml"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=message) as caught:
        Site.open(site.folder)
    assert caught.value.hint


def test_a_missing_policy_is_no_open_door(site: Site) -> None:
    (site.folder / "policy.toml").unlink()
    with pytest.raises(ConfigurationError, match=r"policy\.toml cannot be read"):
        site.policy()


def test_the_server_certificate_names_every_way_to_the_hub(site: Site, identity: Identity) -> None:
    described = describe(site.certificate_path.read_bytes())
    assert described.common_name == "HUB"
    assert {"localhost", "127.0.0.1", "::1", "hub.saint-luc.fr"} <= set(described.names)
    assert is_issued_by(site.certificate_path.read_bytes(), (site.folder / "tls/ca.pem").read_bytes())


def test_a_hub_open_to_every_network_does_not_claim_their_address(tmp_path: Path) -> None:
    site = Site.create(tmp_path / "site", render_default(host="0.0.0.0"))
    Identity.create(site, PASSWORD, now=NOW)
    assert "0.0.0.0" not in describe(site.certificate_path.read_bytes()).names


def shakes_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> bool:
    """Tell whether a handshake over a socket pair ends well at both sides."""
    near, far = socket.socketpair()

    def call() -> None:
        try:
            with client.wrap_socket(far, server_hostname="localhost") as secured:
                secured.recv(1)
        except OSError:
            far.close()

    thread = threading.Thread(target=call)
    thread.start()
    try:
        with near, server.wrap_socket(near, server_side=True) as secured:
            secured.send(b"1")
            return True
    except OSError:
        return False
    finally:
        thread.join(10)


def node_files(folder: Path) -> TlsFiles:
    return TlsFiles(folder / "ca.pem", folder / "node.pem", folder / "node.key")


def test_an_enrolled_node_gets_in_both_ways(site: Site, identity: Identity, tmp_path: Path) -> None:
    described = identity.enrol("CT1", tmp_path / "for-ct1", now=NOW, names=["localhost"])
    node = node_files(tmp_path / "for-ct1")
    assert sorted(path.name for path in (tmp_path / "for-ct1").iterdir()) == ["ca.pem", "node.key", "node.pem"]
    assert stat.S_IMODE(node.key.stat().st_mode) == 0o600
    assert described.fingerprint == fingerprint(node.certificate.read_bytes()) and described.common_name == "CT1"
    assert shakes_hands(identity.server_context(), client_context(node, check_hostname=True))
    assert shakes_hands(server_context(node), identity.client_context())


def test_enrolling_overwrites_nothing(identity: Identity, tmp_path: Path) -> None:
    identity.enrol("CT1", tmp_path / "out", now=NOW)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(UsageError, match="already there"):
        identity.enrol("CT2", tmp_path / "out", now=NOW)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    (tmp_path / "old").mkdir()
    (tmp_path / "old/ca.pem").write_text("mine")
    with pytest.raises(UsageError, match="already there"):
        identity.enrol("CT2", tmp_path / "old", now=NOW)
    assert [path.name for path in (tmp_path / "old").iterdir()] == ["ca.pem"]
    with pytest.raises(UsageError, match="cannot be made"):
        identity.enrol("CT2", tmp_path / "out" / "node.key", now=NOW)


def test_a_wrong_password_issues_nothing_and_opens_no_door(site: Site, identity: Identity, tmp_path: Path) -> None:
    wrong = Identity(site, b"wrong")
    with pytest.raises(UsageError, match="does not open"):
        wrong.enrol("CT1", tmp_path / "out", now=NOW)
    with pytest.raises(ConfigurationError):
        wrong.server_context()
    assert not (tmp_path / "out").exists()


def test_a_missing_authority_is_named(site: Site, identity: Identity, tmp_path: Path) -> None:
    site.authority_key_path.unlink()
    with pytest.raises(ConfigurationError, match=r"ca\.key cannot be read"):
        identity.enrol("CT1", tmp_path / "out", now=NOW)


def test_trust_given_and_taken_counts_from_the_next_connection(site: Site, identity: Identity, tmp_path: Path) -> None:
    maker = create_authority("Maker", b"pw", now=NOW)
    made = issue(maker, b"pw", "MR1", now=NOW)
    files = TlsFiles(site.folder / "tls/ca.pem", tmp_path / "mr.pem", tmp_path / "mr.key")
    files.certificate.write_bytes(made.certificate)
    files.key.write_bytes(made.key)
    assert not shakes_hands(identity.server_context(), client_context(files))
    described = identity.trust(made.certificate)
    assert described.common_name == "MR1"
    assert identity.trust(made.certificate) == described
    assert shakes_hands(identity.server_context(), client_context(files))
    (site.trusted_path / f"{described.fingerprint}.pem").unlink()
    assert not shakes_hands(identity.server_context(), client_context(files))


def test_what_is_no_certificate_is_not_trusted(site: Site, identity: Identity) -> None:
    with pytest.raises(UsageError):
        identity.trust(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert not list(site.trusted_path.iterdir())


def test_contexts_are_made_once_and_again_after_renewal(site: Site, identity: Identity) -> None:
    first = identity.server_context()
    assert identity.server_context() is first
    assert identity.client_context() is not first and identity.web_context() is not first
    before = fingerprint(site.certificate_path.read_bytes())
    renewed = identity.renew(now=NOW + timedelta(days=600))
    assert renewed.fingerprint != before and renewed.not_after > NOW + timedelta(days=1300)
    assert identity.server_context() is not first
    assert sorted(path.name for path in site.certificate_path.parent.iterdir()) == ["ca.pem", "server.pem", "trusted"]
