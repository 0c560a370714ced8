"""TLS as PS3.15 B.12 asks (BCP 195: RFC 8996, RFC 9325): versions 1.2 and 1.3 alone, forward secrecy, AEAD ciphers.

DICOM doors are mutual: a caller without a certificate that the site trusts does not come past the handshake.
Trust is the site's own authority and every certificate in tls/trusted/, which may be another authority or one
node's own certificate. Names are not checked on DICOM connections, whose peers are bound by fingerprint instead.

Sessions are never resumed (no tickets): each association proves its certificate anew, so that a certificate that
expired or left tls/trusted/ opens nothing, and a caller that leaves without reading does not lose data to a reset
caused by tickets nobody asked for. The price is one P-256 handshake for each association, about a millisecond.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from leadglass.errors import ConfigurationError
from leadglass.gateway.admission import RefusalCode

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:@SECLEVEL=2"
"""For TLS 1.2 (RFC 9325 §4.2); 1.3 has no weak one. Level 2 refuses RSA keys under 2048 bits and SHA-1 signatures."""

_X509_EXPIRED: Final = 10
_X509_NOT_YET_VALID: Final = 9

_VERSION_REASONS: Final = frozenset(
    {
        "UNSUPPORTED_PROTOCOL",
        "VERSION_TOO_LOW",
        "VERSION_TOO_HIGH",
        "NO_PROTOCOLS_AVAILABLE",
        "TLSV1_ALERT_PROTOCOL_VERSION",
        "NO_SHARED_CIPHER",
        "INAPPROPRIATE_FALLBACK",
    }
)
_CERTIFICATE_REASONS: Final = frozenset(
    {"CERTIFICATE_VERIFY_FAILED", "BAD_SIGNATURE", "EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK"}
)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where the parts of the site's identity lie. `trusted` are PEM files beside the site's own authority."""

    authority: Path
    certificate: Path
    key: Path
    trusted: Sequence[Path] = ()


def server_context(files: TlsFiles, password: bytes | None = None) -> ssl.SSLContext:
    """Make the context of the DICOM door: mutual TLS. Raises ConfigurationError naming the file that is wrong."""
    context = _identity(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), files, password)
    context.verify_mode = ssl.CERT_REQUIRED
    _trust(context, files)
    return context


def client_context(files: TlsFiles, password: bytes | None = None, *, check_hostname: bool = False) -> ssl.SSLContext:
    """Make the context for calling a node: its certificate must be trusted, ours is shown.

    Without `check_hostname` the caller of this function compares the node's fingerprint afterwards. Under TLS 1.3 a
    server that refuses our certificate says so after the handshake: the first read raises `ssl.SSLError`.
    """
    context = _identity(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), files, password)
    context.check_hostname = check_hostname
    context.verify_mode = ssl.CERT_REQUIRED
    _trust(context, files)
    return context


def web_context(files: TlsFiles, password: bytes | None = None) -> ssl.SSLContext:
    """Make the context of the console and DICOMweb: people log in, so no client certificate is asked for."""
    context = _identity(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), files, password)
    context.verify_mode = ssl.CERT_NONE
    return context


def handshake_failure_code(error: OSError) -> RefusalCode:
    """Tell why a handshake failed, as the door that refused (`ssl.SSLError` is an OSError)."""
    if isinstance(error, ssl.SSLCertVerificationError):
        dated = error.verify_code in (_X509_EXPIRED, _X509_NOT_YET_VALID)
        return RefusalCode.EXPIRED if dated else RefusalCode.WRONG_CERTIFICATE
    if isinstance(error, ssl.SSLError):
        reason = error.reason or ""
        if reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
            return RefusalCode.NO_CERTIFICATE
        if reason in _VERSION_REASONS:
            return RefusalCode.TLS_VERSION
        if reason in _CERTIFICATE_REASONS:
            return RefusalCode.WRONG_CERTIFICATE
    if isinstance(error, TimeoutError):
        return RefusalCode.ARTIM
    return RefusalCode.PROTOCOL


def handshake_failure_sentence(error: OSError) -> str:
    """Say for a person why a handshake failed; nothing in it comes from the caller."""
    match handshake_failure_code(error):
        case RefusalCode.NO_CERTIFICATE:
            return "The caller showed no certificate; this door is for nodes that have one (leadglass node add)."
        case RefusalCode.WRONG_CERTIFICATE:
            return "The caller's certificate comes from no authority this site trusts, or is not for TLS clients."
        case RefusalCode.EXPIRED:
            return "The caller's certificate is not in date; check its dates, and the caller's clock."
        case RefusalCode.TLS_VERSION:
            return "The caller offers nothing that BCP 195 allows: TLS 1.2 or 1.3 with forward secrecy and AEAD."
        case RefusalCode.ARTIM:
            return "The caller did not complete the TLS handshake in time."
        case _:
            return "The caller did not speak TLS, or broke the handshake off."


def _identity(context: ssl.SSLContext, files: TlsFiles, password: bytes | None) -> ssl.SSLContext:
    """Set what all contexts share, and load the site's own certificate."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.set_ciphers(CIPHERS)
    # Our order: AES-256-GCM first, as TLS 1.3 has it in any case (Python cannot set 1.3's order before 3.15).
    # Measured with AES instructions, AES-128-GCM is 2 % faster and ChaCha20 11 % slower.
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.options |= ssl.OP_NO_TICKET
    if context.protocol is ssl.PROTOCOL_TLS_SERVER:
        context.num_tickets = 0
    _readable(files.certificate)
    _readable(files.key)
    try:
        # Never let OpenSSL ask a person at a terminal: a server has none.
        context.load_cert_chain(files.certificate, files.key, password=password or b"\0")
    except ssl.SSLError as error:
        raise ConfigurationError(
            f"{files.certificate} and {files.key} are not a certificate and its key ({error.reason}).",
            hint="Check that they belong together, and that the passphrase is the one they were made under.",
        ) from None
    return context


def _trust(context: ssl.SSLContext, files: TlsFiles) -> None:
    for path in (files.authority, *files.trusted):
        _readable(path)
        try:
            context.load_verify_locations(path)
        except ssl.SSLError as error:
            raise ConfigurationError(
                f"{path} is not a certificate in PEM text ({error.reason}).",
                hint=f"Convert it with: openssl x509 -in {path.name} -inform DER -out {path.stem}.pem, or remove it.",
            ) from None
    # A node's own certificate in tls/trusted/ is trusted alone, without the authority that issued it.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN


def _readable(path: Path) -> None:
    """Name the file that is missing: OpenSSL's own error does not."""
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        hint = "Restore it from a backup, or create the site anew with `leadglass init`."
        raise ConfigurationError(f"{path} cannot be read ({error.strerror}).", hint=hint) from None
