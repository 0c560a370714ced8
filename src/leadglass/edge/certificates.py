"""The site's own certificate authority, and what a certificate says (X.509, RFC 5280).

ECDSA P-256 throughout: a handshake costs a fraction of RSA's, and every DICOM toolkit of the last ten years reads
it. The authority may sign end certificates only (path length 0). Its private key is always encrypted at rest.
Certificates of other authorities are read here too: a node is bound to its certificate by fingerprint, whoever
issued it. Functions take and give PEM; `write_private` is the one that touches a disk.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
import ssl
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from leadglass.errors import UsageError

AUTHORITY_DAYS: Final = 3653
CERTIFICATE_DAYS: Final = 730
"""Two years: inside the 825 days that browsers grant a private authority."""

_HOST_NAME: Final = re.compile(r"(?:\*\.)?[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")

BACKDATED: Final = timedelta(hours=1)
"""A modality's clock may be behind; a certificate made now must already be valid there."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A certificate and its private key, both PEM. The key does not print."""

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        return f"Credentials({fingerprint(self.certificate)})"


@dataclass(frozen=True, slots=True)
class CertificateDescription:
    """What a certificate says, for people and for a node's record."""

    common_name: str
    issuer: str
    fingerprint: str
    not_before: datetime
    not_after: datetime
    names: tuple[str, ...]
    is_authority: bool
    key: str

    def is_valid_at(self, moment: datetime) -> bool:
        """Tell whether a moment lies in its validity."""
        return self.not_before <= moment <= self.not_after


def create_authority(site_name: str, password: bytes, *, now: datetime) -> Credentials:
    """Make a certificate authority; its key comes encrypted under `password` (PKCS #8)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"{site_name[:40]} authority")
    builder = _builder(name, name, key.public_key(), now, AUTHORITY_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage(is_authority=True), critical=True)
    certificate = builder.sign(key, hashes.SHA256())
    return Credentials(certificate.public_bytes(Encoding.PEM), _key_pem(key, password))


def issue(
    authority: Credentials,
    password: bytes,
    common_name: str,
    *,
    now: datetime,
    names: Iterable[str] = (),
    key_password: bytes | None = None,
) -> Credentials:
    """Make a key and a certificate for a node (or the hub itself), good for both ends of a connection.

    `common_name` is the AE title; `names` are host names and IP addresses it answers at. The key comes
    unencrypted unless `key_password` is given. Raises UsageError when `password` does not open the authority.
    """
    signer = _signer(authority, password)
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(_name(common_name), issuer.subject, key.public_key(), now, CERTIFICATE_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(is_authority=False), critical=True)
    both_ends = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    builder = builder.add_extension(both_ends, critical=False)
    authority_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = builder.add_extension(authority_id, critical=False)
    if alternatives := [_alternative(name) for name in dict.fromkeys(names)]:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    certificate = builder.sign(signer, hashes.SHA256())
    return Credentials(certificate.public_bytes(Encoding.PEM), _key_pem(key, key_password))


def fingerprint(certificate: bytes) -> str:
    """Give the SHA-256 of a certificate (PEM or DER) in lower-case hex. Raises UsageError."""
    return hashlib.sha256(_der(certificate)).hexdigest()


def describe(certificate: bytes) -> CertificateDescription:
    """Read what a certificate (PEM or DER) says. Raises UsageError when it is none."""
    der = _der(certificate)
    try:
        parsed = x509.load_der_x509_certificate(der)
        return CertificateDescription(
            common_name=_common_name(parsed.subject),
            issuer=_common_name(parsed.issuer),
            fingerprint=hashlib.sha256(der).hexdigest(),
            not_before=parsed.not_valid_before_utc,
            not_after=parsed.not_valid_after_utc,
            names=_names(parsed),
            is_authority=_is_authority(parsed),
            key=_key_kind(parsed),
        )
    except (ValueError, x509.DuplicateExtension) as error:
        raise _unreadable(str(error)) from None


def is_issued_by(certificate: bytes, authority: bytes) -> bool:
    """Tell whether an authority's key signed a certificate; both PEM or DER. Raises UsageError."""
    child, parent = (x509.load_der_x509_certificate(_der(one)) for one in (certificate, authority))
    try:
        child.verify_directly_issued_by(parent)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def to_pkcs12(credentials: Credentials, authority: bytes, password: bytes, *, name: str) -> bytes:
    """Pack a node's key, its certificate and the authority into one PKCS #12 file, as many modalities import them."""
    key = load_pem_private_key(credentials.key, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)  # `issue` makes no other
    return pkcs12.serialize_key_and_certificates(
        name.encode(),
        key,
        x509.load_pem_x509_certificate(credentials.certificate),
        [x509.load_pem_x509_certificate(authority)],
        BestAvailableEncryption(password),
    )


def to_pem(certificate: bytes) -> bytes:
    """Give a certificate (PEM or DER) as PEM text, alone. Raises UsageError."""
    return ssl.DER_cert_to_PEM_cert(_der(certificate)).encode("ascii")


def write_private(path: Path, secret: bytes) -> None:
    """Write a new file that its owner alone may read, and make it durable. Raises UsageError when it exists."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UsageError(f"{path} is already there.", hint="Choose another folder, or move it away.") from None
    with open(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)  # whatever the umask
        file.write(secret)
        file.flush()
        os.fsync(descriptor)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    begins = now.astimezone(UTC).replace(microsecond=0) - BACKDATED
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )


def _signer(authority: Credentials, password: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(authority.key, password)
    except (ValueError, TypeError):
        hint = "Check the passphrase file that leadglass.toml names under [keys]."
        raise UsageError("The passphrase does not open the site's certificate authority.", hint=hint) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise UsageError("The authority's key is not an elliptic-curve key.", hint="Create the site's authority anew.")
    return key


def _key_pem(key: ec.EllipticCurvePrivateKey, password: bytes | None) -> bytes:
    encryption: KeySerializationEncryption = NoEncryption() if password is None else BestAvailableEncryption(password)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def _name(common_name: str) -> x509.Name:
    try:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    except ValueError:
        hint = "A certificate's common name is 1 to 64 characters."
        raise UsageError(f'"{common_name}" cannot be a name in a certificate.', hint=hint) from None


def _alternative(name: str) -> x509.GeneralName:
    with suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(name))
    with suppress(UnicodeError):
        if _HOST_NAME.fullmatch(host := name.encode("idna").decode("ascii")) is not None:
            return x509.DNSName(host)
    raise UsageError(f'"{name}" is neither a host name nor an address.', hint="Write a host name or an IP address.")


def _der(certificate: bytes) -> bytes:
    """Give the DER form; of several certificates in one PEM text, the first."""
    if certificate[:1] == b"\x30":  # SEQUENCE, as every DER certificate begins
        return certificate
    try:
        begin = certificate.index(b"-----BEGIN CERTIFICATE-----")
        end = certificate.index(b"-----END CERTIFICATE-----", begin) + len(b"-----END CERTIFICATE-----")
        return ssl.PEM_cert_to_DER_cert(certificate[begin:end].decode("ascii"))
    except ValueError as error:
        raise _unreadable(str(error)) from None


def _unreadable(problem: str) -> UsageError:
    hint = "Give a certificate as PEM text (-----BEGIN CERTIFICATE-----) or DER."
    return UsageError(f"That is not a certificate: {problem}.", hint=hint)


def _common_name(name: x509.Name) -> str:
    values = [str(attribute.value) for attribute in name.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return values[0] if values else name.rfc4514_string()


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = extension.get_values_for_type(x509.IPAddress)
    return (*extension.get_values_for_type(x509.DNSName), *(str(address) for address in addresses))


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _key_kind(certificate: x509.Certificate) -> str:
    key = certificate.public_key()
    size = getattr(key, "key_size", None)
    kind = type(key).__name__.removesuffix("PublicKey").lstrip("_")
    return kind if size is None else f"{kind} {size}"
