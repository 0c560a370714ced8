"""A study arrives at another site, or stays in the queue with the reason."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from tests.cli.conftest import CT_INSTANCE, CT_STUDY, Verb, run

from leadglass.cli.enrolment import put
from leadglass.cli.place import opened
from leadglass.gateway.node import Node, NodeState
from leadglass.journeys.deliver import Forwarder


def test_send_reaches_another_site(leadglass: Verb, site: Path, tmp_path: Path) -> None:
    """Two sites that trust each other's certificates: what one sends, the other archives."""
    other = tmp_path / "other"
    assert run("init", other, "--tls-port", "0", "--web-port", "off", "--ae", "OTHER").code == 0
    assert (
        run(
            "node", "add", "LEADGLASS", "--host", "127.0.0.1", "--certificate", site / "tls/server.pem", "--site", other
        ).code
        == 0
    )
    with opened(str(other)) as hub:
        running = hub.start()
        try:
            where = ("--host", "127.0.0.1", "--port", str(running.tls_port))
            assert leadglass("node", "add", "OTHER", *where, "--certificate", other / "tls/server.pem").code == 0
            told = leadglass("send", CT_STUDY, "OTHER", "--json")
        finally:
            running.stop()
        assert told.json == {"study": CT_STUDY, "node": "OTHER", "sent": 1}
        assert told.code == 0
        assert hub.catalogue.instance(CT_INSTANCE).source == "LEADGLASS"
    (one,) = leadglass("show", CT_STUDY, "--json").json["objects"]
    assert one["life"][-1]["kind"] == "object-sent"
    assert one["waiting"] == []


def test_what_does_not_arrive_waits_with_the_reason(leadglass: Verb) -> None:
    leadglass("node", "add", "GONE", "--host", "127.0.0.1", "--port", "1", "--plaintext", "--address", "127.0.0.1")
    told = leadglass("send", CT_STUDY, "GONE")
    assert told.code == 3
    assert "0 of 1 object arrived at GONE" in told.err
    (one,) = leadglass("show", CT_STUDY, "--json").json["objects"]
    assert [(wait["node"], wait["attempts"]) for wait in one["waiting"]] == [("GONE", 1)]


def test_later_only_queues(leadglass: Verb) -> None:
    leadglass("node", "add", "GONE", "--host", "127.0.0.1", "--port", "1", "--plaintext", "--address", "127.0.0.1")
    assert leadglass("send", CT_STUDY, "GONE", "--later", "--json").json["queued"] == 1


def test_unknown_nodes_and_studies(leadglass: Verb) -> None:
    assert leadglass("send", CT_STUDY, "NOBODY").code == 1
    leadglass("node", "add", "GONE", "--host", "127.0.0.1", "--port", "1", "--plaintext", "--address", "127.0.0.1")
    assert leadglass("send", "1.2.3", "GONE").code == 1


def test_the_same_send_again_queues_nothing_twice(leadglass: Verb) -> None:
    leadglass("node", "add", "GONE", "--host", "127.0.0.1", "--port", "1", "--plaintext")
    assert "1 object waits in the queue" in leadglass("send", CT_STUDY, "GONE", "--later").out
    told = leadglass("send", CT_STUDY, "GONE", "--later")
    assert told.code == 0
    assert "1 object was already queued" in told.out
    told = leadglass("send", CT_STUDY, "GONE")
    assert told.code == 3
    assert "already queued" in told.err
    (one,) = leadglass("show", CT_STUDY, "--json").json["objects"]
    assert [(wait["node"], wait["attempts"]) for wait in one["waiting"]] == [("GONE", 1)]


@pytest.mark.parametrize("where", [("--address", "127.0.0.1"), ("--host", "127.0.0.1")])
def test_a_node_that_listens_nowhere_is_told_at_once(leadglass: Verb, where: tuple[str, str]) -> None:
    leadglass("node", "add", "DEAF", *where, "--plaintext")
    told = leadglass("send", CT_STUDY, "DEAF")
    assert told.code == 2
    assert "--port" in told.err
    (one,) = leadglass("show", CT_STUDY, "--json").json["objects"]
    assert one["waiting"] == []


def test_a_node_that_waits_for_approval_is_sent_nothing(leadglass: Verb, site: Path) -> None:
    with opened(str(site)) as hub:
        put(hub, Node("CT9", NodeState.PENDING, "127.0.0.1", 1, fingerprint="bb" * 32), "test")
    told = leadglass("send", CT_STUDY, "CT9")
    assert told.code == 2
    assert "leadglass node approve CT9" in told.err


def test_ctrl_c_tells_what_arrived_and_leaves_the_rest_queued(leadglass: Verb, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Forwarder, **_: object) -> int:
        signal.raise_signal(signal.SIGINT)
        return 0

    leadglass("node", "add", "GONE", "--host", "127.0.0.1", "--port", "1", "--plaintext")
    monkeypatch.setattr(Forwarder, "deliver_due", interrupted)
    told = leadglass("send", CT_STUDY, "GONE")
    assert told.code == 130
    assert "0 of 1 object arrived, the rest is queued" in told.out
    (one,) = leadglass("show", CT_STUDY, "--json").json["objects"]
    assert len(one["waiting"]) == 1
