"""The site's authority issues what other programs accept, and what a certificate says is read without trust."""

from __future__ import annotations

import ipaddress
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key, pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store

from leadglass.edge.certificates import (
    Credentials,
    create_authority,
    describe,
    fingerprint,
    is_issued_by,
    issue,
    to_pem,
    to_pkcs12,
    write_private,
)
from leadglass.errors import UsageError

NOW = datetime.now(UTC)
PASSWORD = b"correct horse"


@pytest.fixture(scope="module")
def authority() -> Credentials:
    return create_authority("Hôpital Saint-Luc", PASSWORD, now=NOW)


@pytest.fixture(scope="module")
def node(authority: Credentials) -> Credentials:
    return issue(
        authority, PASSWORD, "CT1", now=NOW, names=["ct1.local", "127.0.0.1", "::1", "hôpital.fr", "ct1.local"]
    )


def test_the_authority_may_sign_end_certificates_and_nothing_else(authority: Credentials) -> None:
    certificate = x509.load_pem_x509_certificate(authority.certificate)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert constraints.critical and constraints.value.ca and constraints.value.path_length == 0
    assert usage.critical and usage.value.key_cert_sign and not usage.value.digital_signature
    assert timedelta(days=3650) <= certificate.not_valid_after_utc - NOW <= timedelta(days=3653)


def test_the_authoritys_key_opens_with_its_password_alone(authority: Credentials) -> None:
    assert b"ENCRYPTED" in authority.key
    assert load_pem_private_key(authority.key, PASSWORD)
    for wrong in (None, b"wrong"):
        with pytest.raises((ValueError, TypeError)):
            load_pem_private_key(authority.key, wrong)
    with pytest.raises(UsageError, match="does not open"):
        issue(authority, b"wrong", "CT1", now=NOW)


def test_a_node_certificate_serves_both_ends_for_two_years(node: Credentials, authority: Credentials) -> None:
    described = describe(node.certificate)
    assert (described.common_name, described.issuer) == ("CT1", "Hôpital Saint-Luc authority")
    assert described.names == ("ct1.local", "xn--hpital-ixa.fr", "127.0.0.1", "::1")
    assert not described.is_authority and described.key == "EC 256"
    assert described.is_valid_at(NOW) and described.is_valid_at(NOW - timedelta(minutes=59))
    assert described.is_valid_at(NOW + timedelta(days=729)) and not described.is_valid_at(NOW + timedelta(days=731))
    usage = x509.load_pem_x509_certificate(node.certificate).extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert set(usage.value) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert is_issued_by(node.certificate, authority.certificate)
    assert load_pem_private_key(node.key, None)


def test_a_strict_verifier_accepts_both_ends(node: Credentials, authority: Credentials) -> None:
    leaf = x509.load_pem_x509_certificate(node.certificate)
    builder = PolicyBuilder().store(Store([x509.load_pem_x509_certificate(authority.certificate)])).time(NOW)
    builder.build_server_verifier(x509.IPAddress(ipaddress.ip_address("127.0.0.1"))).verify(leaf, [])
    builder.build_client_verifier().verify(leaf, [])


def test_openssl_verifies_what_is_issued(node: Credentials, authority: Credentials, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    (tmp_path / "node.pem").write_bytes(node.certificate)
    for purpose in ("sslclient", "sslserver"):
        command = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", "ca.pem", "node.pem"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_another_authority_of_the_same_name_did_not_issue_it(node: Credentials) -> None:
    other = create_authority("Hôpital Saint-Luc", PASSWORD, now=NOW)
    assert not is_issued_by(node.certificate, other.certificate)
    assert not is_issued_by(other.certificate, node.certificate)


def test_the_fingerprint_is_that_of_openssl_in_either_form(node: Credentials, tmp_path: Path) -> None:
    der = x509.load_pem_x509_certificate(node.certificate).public_bytes(Encoding.DER)
    (tmp_path / "node.der").write_bytes(der)
    command = ["openssl", "x509", "-inform", "DER", "-in", "node.der", "-noout", "-fingerprint", "-sha256"]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    expected = told.strip().partition("=")[2].replace(":", "").lower()
    assert fingerprint(node.certificate) == fingerprint(der) == describe(der).fingerprint == expected
    assert to_pem(der).strip() == to_pem(node.certificate).strip() == node.certificate.strip()


def test_certificates_of_others_are_described_too() -> None:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Maker")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .sign(key, SHA256())
    )
    described = describe(b"Bag Attributes\n" + made.public_bytes(Encoding.PEM))
    assert (described.common_name, described.names, described.is_authority) == ("O=Maker", (), False)
    assert described.key == "RSA 2048"


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"nonsense",
        b"\x30\x03\x02\x01\x01",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\nMIIB",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    ],
)
def test_what_is_no_certificate_is_an_error_with_a_next_step(damaged: bytes) -> None:
    with pytest.raises(UsageError) as caught:
        describe(damaged)
    assert "PEM" in caught.value.hint


@pytest.mark.parametrize("name", ["a b", "-x", "a_b", "http://x", "é" * 70])
def test_what_is_no_host_does_not_enter_a_certificate(authority: Credentials, name: str) -> None:
    with pytest.raises(UsageError):
        issue(authority, PASSWORD, "CT1", now=NOW, names=[name])


@pytest.mark.parametrize("name", ["", "A" * 65])
def test_what_is_no_common_name_does_not_enter_a_certificate(authority: Credentials, name: str) -> None:
    with pytest.raises(UsageError):
        issue(authority, PASSWORD, name, now=NOW)


def test_pkcs12_holds_key_certificate_and_authority(node: Credentials, authority: Credentials) -> None:
    packed = to_pkcs12(node, authority.certificate, b"pw", name="CT1")
    loaded = pkcs12.load_pkcs12(packed, b"pw")
    assert loaded.cert is not None and loaded.key is not None
    assert loaded.cert.certificate.public_bytes(Encoding.PEM) == node.certificate
    assert [one.certificate.public_bytes(Encoding.PEM) for one in loaded.additional_certs] == [authority.certificate]


def test_private_files_are_their_owners_alone_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key"
    write_private(path, b"one")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(UsageError, match="already there"):
        write_private(path, b"two")
    assert path.read_bytes() == b"one"


def test_credentials_do_not_print_their_key(node: Credentials) -> None:
    assert "PRIVATE" not in repr(node) and fingerprint(node.certificate) in repr(node)
