"""The certificates of the site are shown with dates and fingerprints, and the server's is renewed in place."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import Verb, run

from leadglass.cli.place import opened
from leadglass.edge import certificates


def test_show_tells_dates_and_fingerprints(leadglass: Verb, site: Path) -> None:
    told = leadglass("identity", "show", "--json")
    assert told.code == 0
    assert [one["what"] for one in told.json["certificates"]] == ["authority", "server"]
    server = certificates.describe((site / "tls/server.pem").read_bytes())
    assert told.json["certificates"][1]["fingerprint"] == server.fingerprint
    for word in (server.fingerprint, f"{server.not_after:%Y-%m-%d}", "days left", "localhost"):
        assert word in leadglass("identity", "show").out


def test_renew_makes_another_certificate_with_the_same_names(leadglass: Verb, site: Path) -> None:
    leadglass("identity", "renew", "--name", "pacs.example.org")
    first = certificates.describe((site / "tls/server.pem").read_bytes())
    told = leadglass("identity", "renew")
    assert told.code == 0
    second = certificates.describe((site / "tls/server.pem").read_bytes())
    assert second.fingerprint != first.fingerprint
    assert "pacs.example.org" in second.names
    assert second.fingerprint in told.out
    assert "restart `leadglass serve`" in told.out
    assert certificates.is_issued_by((site / "tls/server.pem").read_bytes(), (site / "tls/ca.pem").read_bytes())
    entry = leadglass("ledger", "list", "--limit", "1", "--json").json["entries"][0]
    assert (entry["kind"], entry["detail"]) == ("identity-renewed", {"old": first.fingerprint})


@pytest.mark.parametrize("name", ["tls/server.pem", "secrets/server.key"])
def test_renew_mends_a_site_that_lost_its_certificate(leadglass: Verb, site: Path, name: str) -> None:
    (site / name).unlink()
    assert leadglass("identity", "renew").code == 0
    with opened(str(site)) as hub:
        hub.identity.require()


def test_a_lost_authority_is_a_set_up_error(leadglass: Verb, site: Path) -> None:
    (site / "tls/ca.pem").unlink()
    for verb in ("show", "renew"):
        told = leadglass("identity", verb)
        assert told.code == 2
        assert "back-up" in told.err
    assert run("identity", "show", "--site", site / "nowhere").code == 2
