"""The settings file: what it says is what the site does, and whatever it cannot say is an error that names the key."""

from __future__ import annotations

import re

import pytest

from leadglass.config import (
    DicomConfig,
    InspectionConfig,
    Limits,
    SiteConfig,
    StorageConfig,
    WebConfig,
    parse_site,
    render_default,
)
from leadglass.errors import ConfigurationError


def test_an_empty_file_gives_the_defaults() -> None:
    assert parse_site("") == SiteConfig()
    assert parse_site("").dicom.plain_port is None


def test_the_default_file_reads_back_as_the_defaults() -> None:
    assert parse_site(render_default()) == SiteConfig()


def test_every_commented_default_is_the_true_default() -> None:
    uncommented = re.sub(r"^# (?=\w+ = )", "", render_default(), flags=re.MULTILINE)
    assert uncommented.count("\nidle_seconds") == 1
    config = parse_site(uncommented)
    assert config.dicom.limits == Limits()
    assert config.storage == StorageConfig()
    assert config.dicom.ae_titles == {"LEADGLASS", "OLDPACS"}


def test_what_init_is_told_reaches_the_config() -> None:
    text = render_default(
        name='Hôpital "Saint\\Luc"',
        language="fr",
        ae_title="HUB",
        host="0.0.0.0",
        tls_port=0,
        plain_port=104,
        web_port=None,
    )
    config = parse_site(text)
    assert (config.name, config.language) == ('Hôpital "Saint\\Luc"', "fr")
    assert config.dicom == DicomConfig(ae_title="HUB", host="0.0.0.0", tls_port=0, plain_port=104)
    assert config.web == WebConfig(host="0.0.0.0", port=None)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("tls_port = 11112", 11112),
        ("tls_port = 0", 0),
        ("tls_port = false", None),
        ('tls_port = "off"', None),
        ("", 2762),
    ],
)
def test_a_port_may_be_given_free_or_off(line: str, expected: int | None) -> None:
    assert parse_site(f"[dicom]\n{line}").dicom.tls_port == expected


@pytest.mark.parametrize(
    ("written", "expected"), [("1048576", 1 << 20), ('"1 MiB"', 1 << 20), ('"2GiB"', 2 << 30), ('"4194304 B"', 4 << 20)]
)
def test_a_size_may_carry_a_unit(written: str, expected: int) -> None:
    assert parse_site(f"[dicom.limits]\nobject_bytes_max = {written}").dicom.limits.object_bytes_max == expected


def test_engines_beside_ours_are_off_until_named() -> None:
    assert parse_site("").inspection == InspectionConfig((), "")
    assert parse_site('[inspection]\nclamd = "off"').inspection.clamd == ""
    text = '[inspection]\nrules = ["rules", "/srv/more.yar"]\nclamd = "/run/clamav/clamd.ctl"'
    assert parse_site(text).inspection == InspectionConfig(("rules", "/srv/more.yar"), "/run/clamav/clamd.ctl")


def test_urls_are_told_from_folders() -> None:
    storage = parse_site('[storage]\nblobs = "s3://bucket/x"\ndatabase = "postgresql+psycopg://db/leadglass"').storage
    assert storage.blobs_is_url and storage.database_is_url
    assert not StorageConfig().blobs_is_url and not StorageConfig().database_is_url


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ("[site]\nnam = 'x'", "site.nam", "Did you mean name?"),
        ("[dicom]\nzzz = 1", "dicom.zzz", "ae_title"),
        ("[dicomm]", "dicomm", "Did you mean dicom?"),
        ("[dicom.limits]\nidle_second = 5", "dicom.limits.idle_second", "Did you mean idle_seconds?"),
        ("dicom = 1", "dicom", "[dicom]"),
        ("[site]\nlanguage = 'de'", "site.language", '"fr" or "en"'),
        ("[site]\nname = 3", "site.name", "name ="),
        ("[site]\nname = ' '", "site.name", "name ="),
        ('[site]\nname = "a\\u0007"', "site.name", "name ="),
        ("[dicom]\nae_title = 'SEVENTEEN_LETTERS'", "dicom.ae_title", "1 to 16"),
        ("[dicom]\nae_title = 'A\\B'", "dicom.ae_title", "backslash"),
        ("[dicom]\nae_title_aliases = ['é']", "dicom.ae_title_aliases", "ASCII"),
        ("[dicom]\nae_title_aliases = ['A', 'A']", "dicom.ae_title_aliases", "repeated"),
        ("[dicom]\nae_title_aliases = 'A'", "dicom.ae_title_aliases", "["),
        ("[dicom]\nhost = 'a b'", "dicom.host", "127.0.0.1"),
        ("[dicom]\ntls_port = true", "dicom.tls_port", "off"),
        ("[dicom]\ntls_port = 65536", "dicom.tls_port", "off"),
        ("[dicom]\ntls_port = '2762'", "dicom.tls_port", "off"),
        ("[dicom]\ntls_port = 104\nplain_port = 104", "dicom.plain_port", "its own"),
        ("[dicom]\ntls_port = 104\n[web]\nport = 104", "[dicom] tls_port", "its own"),
        ('[dicom]\nhost = "0.0.0.0"\nplain_port = 104\n[web]\nport = 104', "[dicom] plain_port", "its own"),
        ("[web]\nport = -1", "web.port", "off"),
        ("[dicom.limits]\nassociations_max = 0", "dicom.limits.associations_max", "associations_max = 64"),
        ("[dicom.limits]\nassociations_max = 2.5", "dicom.limits.associations_max", "associations_max = 64"),
        ("[dicom.limits]\nassociations_max = true", "dicom.limits.associations_max", "associations_max = 64"),
        ("[dicom.limits]\nartim_seconds = 0", "dicom.limits.artim_seconds", "artim_seconds = 10"),
        ("[dicom.limits]\nartim_seconds = nan", "dicom.limits.artim_seconds", "artim_seconds = 10"),
        ("[dicom.limits]\nobject_bytes_max = '8 GB'", "dicom.limits.object_bytes_max", '"8 GiB"'),
        ("[dicom.limits]\nobject_bytes_max = 1", "dicom.limits.object_bytes_max", '"8 GiB"'),
        ("[storage]\ndisk_reserve_bytes = -1", "storage.disk_reserve_bytes", '"256 MiB"'),
        ("[inspection]\nrule = []", "inspection.rule", "Did you mean rules?"),
        ("[keys]\npassphrase_file = ''", "keys.passphrase_file", "passphrase_file ="),
        ("[keys]\npassphrase = 'secret'", "keys.passphrase", "Did you mean passphrase_file?"),
    ],
)
def test_what_cannot_be_said_names_the_key_and_the_next_step(text: str, key: str, hint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_site(text)
    assert f" {key} " in caught.value.message
    assert hint in caught.value.hint


def test_broken_toml_names_the_file_and_the_line() -> None:
    with pytest.raises(ConfigurationError, match=r"leadglass\.toml is not valid TOML: .*line 2"):
        parse_site("[site]\nname = ?\n")


def test_a_default_file_cannot_be_written_from_bad_values() -> None:
    with pytest.raises(ConfigurationError, match="ae_title"):
        render_default(ae_title="A\\B")


def test_doors_on_different_addresses_may_share_a_port() -> None:
    text = '[dicom]\nhost = "10.0.0.1"\ntls_port = 8443\n[web]\nhost = "10.0.0.2"'
    assert parse_site(text).web.port == parse_site(text).dicom.tls_port
    assert parse_site("[dicom]\ntls_port = 0\n[web]\nport = 0").web.port == 0
