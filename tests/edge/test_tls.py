"""Handshakes on loopback: who gets in, and every way of not getting in told apart."""

from __future__ import annotations

import hashlib
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from leadglass.edge.certificates import Credentials, create_authority, issue
from leadglass.edge.tls import (
    TlsFiles,
    client_context,
    handshake_failure_code,
    handshake_failure_sentence,
    server_context,
    web_context,
)
from leadglass.errors import ConfigurationError

NOW = datetime.now(UTC)
PASSWORD = b"correct horse"
ASSOCIATE_RQ = bytes.fromhex("0100000000cd00010000") + b"LEADGLASS       CT1             " + bytes(160)
DCMTK = Path("/usr/bin/echoscu")


@dataclass(frozen=True, slots=True)
class House:
    """A site, a node of it, and impostors."""

    folder: Path
    site: TlsFiles
    node: TlsFiles
    stranger: TlsFiles
    expired: TlsFiles
    early: TlsFiles
    other_authority: Path


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    folder = tmp_path_factory.mktemp("tls")
    authority = create_authority("Site", PASSWORD, now=NOW)
    other = create_authority("Site", PASSWORD, now=NOW)

    def write(name: str, made: Credentials, trusted: Credentials = authority) -> TlsFiles:
        files = TlsFiles(folder / f"{name}-ca.pem", folder / f"{name}.pem", folder / f"{name}.key")
        files.authority.write_bytes(trusted.certificate)
        files.certificate.write_bytes(made.certificate)
        files.key.write_bytes(made.key)
        return files

    def node(name: str, by: Credentials = authority, now: datetime = NOW) -> Credentials:
        return issue(by, PASSWORD, name, now=now, names=["localhost", "127.0.0.1"])

    site = issue(authority, PASSWORD, "HUB", now=NOW, names=["localhost", "127.0.0.1"], key_password=PASSWORD)
    return House(
        folder,
        write("site", site),
        write("node", node("CT1")),
        write("stranger", node("CT1", by=other)),
        write("expired", node("CT1", now=NOW - timedelta(days=900))),
        write("early", node("CT1", now=NOW + timedelta(days=9))),
        write("other", other).certificate,
    )


Served = tuple[OSError | None, ssl.SSLSocket | None]


def accept_once(context: ssl.SSLContext, call: Callable[[tuple[str, int]], None]) -> Served:
    """Let a client call a real loopback port once; gives the server's error, or its closed socket."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)
        thread = threading.Thread(target=call, args=(listening.getsockname(),))
        thread.start()
        accepted, _ = listening.accept()
        accepted.settimeout(10)
        try:
            secured = context.wrap_socket(accepted, server_side=True)
        except OSError as error:
            return error, None
        else:
            secured.sendall(b"hello")
            secured.close()
            return None, secured
        finally:
            accepted.close()
            thread.join(20)


def serve_once(context: ssl.SSLContext, call: Callable[[socket.socket], None]) -> Served:
    """Serve a client that is a function of its connected socket."""

    def client(address: tuple[str, int]) -> None:
        with socket.create_connection(address, timeout=10) as stream:
            call(stream)

    return accept_once(context, client)


def calling(context: ssl.SSLContext, seen: list[object] | None = None) -> Callable[[socket.socket], None]:
    """Give a client that makes a handshake, reads, and notes the error it meets."""

    def call(stream: socket.socket) -> None:
        try:
            with context.wrap_socket(stream, server_hostname="localhost") as secured:
                answer = secured.recv(16)
                if seen is not None:
                    seen.append((answer, secured.version(), secured.cipher(), secured.session_reused))
        except OSError as error:
            if seen is not None:
                seen.append(error)

    return call


def saying(text: bytes) -> Callable[[socket.socket], None]:
    """Give a client that does not speak TLS."""

    def call(stream: socket.socket) -> None:
        with suppress(OSError):  # the door may have closed already
            stream.sendall(text)
            stream.shutdown(socket.SHUT_WR)

    return call


def bare_client(files: TlsFiles) -> ssl.SSLContext:
    """Give a client without a certificate."""
    context = ssl.create_default_context(cafile=str(files.authority))
    context.check_hostname = False
    return context


def restricted(context: ssl.SSLContext, *, version: ssl.TLSVersion, ciphers: str = "") -> ssl.SSLContext:
    context.minimum_version = context.maximum_version = version
    if ciphers:
        context.set_ciphers(ciphers)
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_node_with_a_certificate_of_the_site_gets_in(house: House, version: ssl.TLSVersion) -> None:
    seen: list[object] = []
    client = restricted(client_context(house.node, check_hostname=True), version=version)
    error, served = serve_once(server_context(house.site, PASSWORD), calling(client, seen))
    assert error is None and served is not None
    ((answer, spoken, cipher, _),) = seen  # type: ignore[misc]
    assert answer == b"hello" and spoken == version.name.replace("TLSv1_", "TLSv1.")
    assert cipher[0] in ("TLS_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("who", "code"),
    [
        ("nobody", "no-certificate"),
        ("stranger", "wrong-certificate"),
        ("expired", "expired"),
        ("early", "expired"),
    ],
)
def test_every_certificate_that_will_not_do_has_its_own_code(
    house: House, version: ssl.TLSVersion, who: str, code: str
) -> None:
    if who == "nobody":
        client = bare_client(house.node)
    else:
        files: TlsFiles = getattr(house, who)
        client = client_context(replace(files, authority=house.site.authority))
    error, _ = serve_once(server_context(house.site, PASSWORD), calling(restricted(client, version=version)))
    assert error is not None
    assert handshake_failure_code(error) == code
    assert handshake_failure_sentence(error).endswith(".")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (ASSOCIATE_RQ, "protocol"),
        (b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n", "protocol"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "protocol"),
        (b"", "protocol"),
        (b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03", "protocol"),
        (bytes(64), "protocol"),
    ],
)
def test_what_is_not_tls_is_told_from_bad_tls(house: House, text: bytes, code: str) -> None:
    error, _ = serve_once(server_context(house.site, PASSWORD), saying(text))
    assert error is not None
    assert handshake_failure_code(error) == code


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_old_versions_of_tls_are_refused_as_such(house: House, version: str) -> None:
    def call(address: tuple[str, int]) -> None:
        node, (host, port) = house.node, address
        command = ["openssl", "s_client", version, "-cipher", "DEFAULT@SECLEVEL=0", "-connect", f"{host}:{port}"]
        command += ["-cert", str(node.certificate), "-key", str(node.key)]
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=20)

    error, _ = accept_once(server_context(house.site, PASSWORD), call)
    assert error is not None
    assert handshake_failure_code(error) == "tls-version"


def test_every_context_begins_at_tls_1_2_even_where_openssl_would_allow_less(house: House) -> None:
    for make in (server_context, client_context, web_context):
        context = make(house.site, PASSWORD)
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
        assert {cipher["protocol"] for cipher in context.get_ciphers()} == {"TLSv1.2", "TLSv1.3"}


@pytest.mark.parametrize("ciphers", ["AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA"])
def test_ciphers_without_forward_secrecy_or_aead_are_refused(house: House, ciphers: str) -> None:
    client = restricted(client_context(house.node), version=ssl.TLSVersion.TLSv1_2, ciphers=ciphers)
    error, _ = serve_once(server_context(house.site, PASSWORD), calling(client))
    assert error is not None
    assert handshake_failure_code(error) == "tls-version"


def test_a_silent_caller_runs_out_of_time(house: House) -> None:
    near, far = socket.socketpair()
    with near, far:
        near.settimeout(0.05)
        with pytest.raises(OSError) as caught:
            server_context(house.site, PASSWORD).wrap_socket(near, server_side=True)
    assert handshake_failure_code(caught.value) == "artim"


def test_a_reset_is_a_broken_protocol() -> None:
    assert handshake_failure_code(ConnectionResetError()) == "protocol"


def test_another_authority_may_be_trusted_whole(house: House) -> None:
    files = replace(house.site, trusted=(house.other_authority,))
    client = client_context(replace(house.stranger, authority=house.site.authority))
    error, served = serve_once(server_context(files, PASSWORD), calling(client))
    assert error is None and served is not None


def test_one_certificate_of_another_authority_may_be_trusted_alone(house: House) -> None:
    files = replace(house.site, trusted=(house.stranger.certificate,))
    client = client_context(replace(house.stranger, authority=house.site.authority))
    error, served = serve_once(server_context(files, PASSWORD), calling(client))
    assert error is None and served is not None


def test_the_door_sees_the_certificate_that_is_pinned(house: House) -> None:
    shown: list[bytes | None] = []
    context = server_context(house.site, PASSWORD)
    near, far = socket.socketpair()
    thread = threading.Thread(target=calling(client_context(house.node)), args=(far,))
    thread.start()
    with near, context.wrap_socket(near, server_side=True) as secured:
        shown.append(secured.getpeercert(binary_form=True))
    thread.join(10)
    der = ssl.PEM_cert_to_DER_cert(house.node.certificate.read_text())
    assert shown[0] is not None
    assert hashlib.sha256(shown[0]).hexdigest() == hashlib.sha256(der).hexdigest()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_session_is_ever_resumed(house: House, version: ssl.TLSVersion) -> None:
    server, client = server_context(house.site, PASSWORD), client_context(house.node)
    restricted(client, version=version)
    tickets: list[bool] = []
    session: list[ssl.SSLSession | None] = [None]

    def call(stream: socket.socket) -> None:
        with client.wrap_socket(stream, session=session[0]) as secured:
            secured.recv(16)
            tickets.append(secured.session_reused or (secured.session is not None and secured.session.has_ticket))
            session[0] = secured.session

    for _ in range(2):
        error, _served = serve_once(server, call)
        assert error is None
    assert tickets == [False, False]


def test_a_client_refuses_a_hub_of_another_authority(house: House) -> None:
    seen: list[object] = []
    other = server_context(replace(house.stranger, authority=house.site.authority))
    error, _ = serve_once(other, calling(client_context(house.node), seen))
    assert isinstance(seen[0], ssl.SSLCertVerificationError)
    assert error is not None and handshake_failure_code(error) == "protocol"


def test_the_web_door_asks_for_no_certificate(house: House) -> None:
    seen: list[object] = []
    error, served = serve_once(web_context(house.site, PASSWORD), calling(bare_client(house.node), seen))
    assert error is None and served is not None
    assert seen[0][0] == b"hello"  # type: ignore[index]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"certificate": Path("/absent/server.pem")}, "server.pem cannot be read"),
        ({"key": Path("/absent/server.key")}, "server.key cannot be read"),
        ({"authority": Path("/absent/ca.pem")}, "ca.pem cannot be read"),
        ({"key": "node.key"}, "are not a certificate and its key"),
        ({"trusted": "node.key"}, "node.key is not a certificate in PEM text"),
    ],
)
def test_a_wrong_file_is_named_with_the_next_step(house: House, change: dict[str, object], message: str) -> None:
    real = {name: house.folder / value if isinstance(value, str) else value for name, value in change.items()}
    if "trusted" in real:
        real["trusted"] = (real["trusted"],)
    with pytest.raises(ConfigurationError, match=message) as caught:
        server_context(replace(house.site, **real), PASSWORD)  # type: ignore[arg-type]
    assert caught.value.hint


@pytest.mark.parametrize("password", [None, b"wrong"])
def test_a_key_under_another_password_is_an_error_and_never_a_question(house: House, password: bytes | None) -> None:
    with pytest.raises(ConfigurationError, match="are not a certificate and its key"):
        server_context(house.site, password)


@pytest.mark.peer
@pytest.mark.skipif(not DCMTK.exists(), reason="DCMTK is not installed")
@pytest.mark.parametrize("profile", ["+py", "+px", "+pz", None])
def test_dcmtk_connects_under_its_bcp_195_profiles(house: House, profile: str | None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        node = house.node
        command = [shutil.which("echoscu", path="/usr/bin") or "echoscu", "+tls", str(node.key), str(node.certificate)]
        command += ["+cf", str(node.authority), *([profile] if profile else []), "127.0.0.1", str(port)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as running:
            listening.settimeout(10)
            accepted, _ = listening.accept()
            accepted.settimeout(10)
            with server_context(house.site, PASSWORD).wrap_socket(accepted, server_side=True) as secured:
                assert secured.recv(1) == b"\x01"  # A-ASSOCIATE-RQ
            running.wait(10)
