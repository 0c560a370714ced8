"""A check that cannot run says so; what `leadglass doctor` sees of a real site is in tests/cli/test_doctor.py."""

from __future__ import annotations

import socket
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from leadglass.cli.place import opened
from leadglass.config import DicomConfig
from leadglass.edge import health
from leadglass.edge.confine import Confinement
from leadglass.edge.health import Check, SiteUnderReview, State, examine, worst
from leadglass.errors import StorageError
from leadglass.wiring import create_site


class At:
    """A clock that stands."""

    def __init__(self, moment: datetime) -> None:
        self._moment = moment

    def now_us(self) -> int:
        return int(self._moment.timestamp() * 1e6)


@pytest.fixture
def review(tmp_path: Path):  # type: ignore[no-untyped-def]
    site = create_site(tmp_path / "site", tls_port=0, web_port=None).site
    with opened(str(site.folder)) as hub:
        yield SiteUnderReview(
            folder=site.folder,
            config=site.config,
            policy=hub.policy(),
            catalogue=hub.catalogue,
            blobs=hub.blobs,
            clock=hub.clock,
            certificates=(site.tls_files.authority, site.tls_files.certificate),
            secrets=(site.passphrase_path,),
        )


def seen(review: SiteUnderReview) -> dict[str, Check]:
    return {check.name: check for check in examine(review)}


def test_the_worst_state_is_the_state_of_the_whole() -> None:
    def whole(*states: State) -> State:
        return worst([Check("x", state, "") for state in states])

    assert whole() is State.OK
    assert whole(State.OK, State.WARN) is State.WARN
    assert whole(State.WARN, State.UNKNOWN) is State.UNKNOWN
    assert whole(State.UNKNOWN, State.FAIL, State.OK) is State.FAIL


@pytest.mark.parametrize(
    ("after", "state"),
    [
        (timedelta(days=-2), State.FAIL),
        (timedelta(), State.OK),
        (timedelta(days=710), State.WARN),
        (timedelta(days=740), State.FAIL),
    ],
)
def test_certificates_run_out(review: SiteUnderReview, after: timedelta, state: State) -> None:
    assert seen(replace(review, clock=At(datetime.now(UTC) + after)))["certificates"].state is state


@pytest.mark.parametrize(("free", "state"), [(-1, State.FAIL), (1 << 30, State.WARN), (1 << 40, State.OK)])
def test_space(review: SiteUnderReview, monkeypatch: pytest.MonkeyPatch, free: int, state: State) -> None:
    monkeypatch.setattr(type(review.blobs), "free_bytes", lambda _: free)
    assert seen(review)["disk"].state is state


def test_a_check_that_cannot_run_is_unknown_and_the_others_run(
    review: SiteUnderReview, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> int:
        raise StorageError("The disk failed.", hint="Look at it.")

    monkeypatch.setattr(type(review.blobs), "free_bytes", broken)
    checks = seen(review)
    assert (checks["disk"].state, checks["disk"].detail) == (State.UNKNOWN, "The disk failed.")
    assert checks["ledger"].state is State.OK


def test_a_taken_port_is_told_apart_from_a_running_hub(review: SiteUnderReview) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody answers, nobody else may open it
        port = taken.getsockname()[1]
        config = replace(review.config, dicom=DicomConfig(tls_port=port))
        assert seen(replace(review, config=config))["doors"].state is State.FAIL
    with socket.create_server(("127.0.0.1", port)):
        assert seen(replace(review, config=config))["doors"].state is State.OK
    assert seen(replace(review, config=config))["doors"].state is State.WARN


def test_the_ledger_may_be_left_out(review: SiteUnderReview) -> None:
    assert "ledger" not in seen(replace(review, verifies_ledger=False))


@pytest.mark.parametrize(
    ("held", "state", "words"),
    [
        (Confinement(True, True, True, True, True), State.OK, "without files, network"),
        (Confinement(True, False, True, True, True), State.WARN, "without these protections: no files."),
        (Confinement(), State.FAIL, "does not run here"),
    ],
)
def test_what_the_kernel_does_not_protect_is_told(
    review: SiteUnderReview, monkeypatch: pytest.MonkeyPatch, held: Confinement, state: State, words: str
) -> None:
    monkeypatch.setattr(health, "prove", lambda: held)
    check = seen(review)["sandbox"]
    assert check.state is state and words in check.detail
    assert bool(check.step) == (state is not State.OK)
