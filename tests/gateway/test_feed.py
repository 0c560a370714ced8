"""A manifest is read whole or not at all, and a signature is one key's over one manifest."""

from __future__ import annotations

import base64
from datetime import date

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from leadglass.errors import ConfigurationError, IntegrityError, LeadglassError, Refused
from leadglass.gateway.feed import (
    FeedFile,
    FeedKind,
    Manifest,
    is_safe_path,
    parse_manifest,
    public_key_text,
    sign,
    signer_of,
)
from leadglass.gateway.policy import parse_policy

FILES = (FeedFile.of("a/b.yar", b"x"), FeedFile.of("c.yar", b""))
MADE = Manifest(FeedKind.YARA, "rules", "1.2", date(2026, 3, 1), 'MIT "as is"', "a\\b", FILES)
TEXT = MADE.to_bytes()
KEY, OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32)), Ed25519PrivateKey.from_private_bytes(b"\1" * 32)
TRUSTED = frozenset({public_key_text(KEY.public_key())})


def test_what_is_written_is_read_back() -> None:
    assert parse_manifest(TEXT) == MADE


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"format = 1", b"format = 2"),
        (b'"yara"', b'"programs"'),
        (b'name = "rules"', b'name = "../rules"'),
        (b'version = "1.2"', b'version = "a/b"'),
        (b"2026-03-01", b'"2026-03-01"'),
        (b"a/b.yar", b"../b.yar"),
        (b"a/b.yar", b"C.YAR"),
        (b"a/b.yar", b"manifest.toml"),
        (b"a/b.yar", b"c.yar/b.yar"),
        (b"length = 1", b"length = 99999999999"),
        (b'sha256 = "2d7', b'sha256 = "XX7'),
        (b"format = 1", b"format = 1\nurl = 'x'"),
        (TEXT[TEXT.index(b"\n[[") :], b""),
        (b"MIT", b"\xff"),
    ],
)
def test_a_manifest_with_anything_wrong_is_refused(old: bytes, new: bytes) -> None:
    assert old in TEXT
    with pytest.raises(ConfigurationError):
        parse_manifest(TEXT.replace(old, new, 1))


@given(st.binary(max_size=300))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    for text in (data, TEXT[: len(data)] + data):
        try:
            parse_manifest(text)
        except LeadglassError:
            continue


@pytest.mark.parametrize("path", ["a", "a/b.yar", "Rules (new)/x+y.yara", "é/b", ".a/b"])
def test_plain_paths_are_safe(path: str) -> None:
    assert is_safe_path(path)


@pytest.mark.parametrize(
    "path",
    ["", "/a", "a//b", "../a", "a/..", "a/./b", "a\\b", "C:/a", "a\0", "a ", "a.", "a/b./c", "...", "x\n", "a/" * 12],
)  # fmt: skip
def test_other_paths_are_not(path: str) -> None:
    assert not is_safe_path(path)


def test_a_signature_is_of_a_trusted_key() -> None:
    assert signer_of(TEXT, sign(TEXT, KEY), TRUSTED) in TRUSTED
    with pytest.raises(Refused, match="does not trust"):
        signer_of(TEXT, sign(TEXT, OTHER), TRUSTED)
    with pytest.raises(Refused):
        signer_of(TEXT, sign(TEXT, KEY), frozenset())


def test_a_signature_is_over_this_manifest() -> None:
    signature = sign(TEXT, KEY)
    claimed = sign(TEXT, OTHER).replace(public_key_text(OTHER.public_key()).encode(), next(iter(TRUSTED)).encode())
    for manifest, text in (
        (TEXT + b"\n", signature),
        (TEXT, claimed),
        (TEXT, signature[:-9]),
        (TEXT, b"\xff"),
        (TEXT, b""),
    ):
        with pytest.raises(IntegrityError):
            signer_of(manifest, text, TRUSTED)
    bare = KEY.sign(TEXT)  # over the manifest alone: a signature made for another purpose
    with pytest.raises(IntegrityError):
        signer_of(TEXT, signature.split()[0] + b" " + base64.b64encode(bare), TRUSTED)


def test_the_policy_names_the_keys() -> None:
    route = '[[route]]\nname = "All"\nfrom = "*"\n'
    (key,) = TRUSTED
    assert parse_policy(route).feed_keys == frozenset()
    assert parse_policy(route + f'[feeds]\ntrusted = ["{key}"]\n').feed_keys == TRUSTED
    for wrong in ('trusted = ["ed25519:abc"]', "trusted = 1", "trust = []", f'trusted = ["{key[8:]}"]'):
        with pytest.raises(ConfigurationError):
            parse_policy(route + f"[feeds]\n{wrong}\n")
