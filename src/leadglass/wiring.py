"""Plug the edge into the journeys: a site's folder becomes a `Hub`, a hub becomes a running server.

The one place that knows all. `Hub.open` joins keys, catalogue and objects without opening a socket, so a
command line verb can work beside a running server; `Hub.start` opens the doors.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType

from starlette.types import ASGIApp

from leadglass.audit import AuditEvent, AuditKind
from leadglass.config import render_default
from leadglass.dicom.association import WireLimits
from leadglass.edge import health, keystore
from leadglass.edge.accounts import AccountFile, Role, require_accounts
from leadglass.edge.blobs import open_blobs
from leadglass.edge.clock import SystemClock, system_random
from leadglass.edge.database import SqlCatalogue
from leadglass.edge.decoder import Decoder
from leadglass.edge.engines_clamd import parse_address
from leadglass.edge.health import SiteUnderReview, examine
from leadglass.edge.jobs import Job
from leadglass.edge.keystore import Root
from leadglass.edge.listener import Listener, ListenerLimits
from leadglass.edge.policy_file import PolicyFile
from leadglass.edge.sandbox import Sandbox, own_rules
from leadglass.edge.sandbox_copier import confined_disarmer
from leadglass.edge.sender import Sender
from leadglass.edge.site import Claim, Identity, Site
from leadglass.edge.web import WebServer
from leadglass.errors import LeadglassError
from leadglass.journeys.commit import Committer
from leadglass.journeys.deliver import Forwarder
from leadglass.journeys.desk import Desk
from leadglass.journeys.inspect import Beside
from leadglass.journeys.inspection_ports import Inspectors
from leadglass.journeys.ports import Caller, Timeouts, Wire
from leadglass.journeys.quarantine import Quarantine
from leadglass.journeys.receive import KEEP, Receiver
from leadglass.journeys.recover import Recovered, recover
from leadglass.journeys.retrieve import Archive, OpenedObject
from leadglass.journeys.serve import serve_association
from leadglass.journeys.settle import Settling
from leadglass.malware.disarm import Disarmer

FIRST_ACCOUNT = "admin"
JOB_PAUSE_SECONDS = 1.0
SETTLE_PAUSE_SECONDS = 0.25
HEAD_PAUSE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Created:
    """A new site: what a person needs to know once."""

    site: Site
    account: str
    one_time_password: str


def create_site(
    folder: Path,
    *,
    name: str = "Leadglass",
    language: str = "en",
    ae_title: str = "LEADGLASS",
    host: str = "127.0.0.1",
    tls_port: int | None = 2762,
    plain_port: int | None = None,
    web_port: int | None = 8443,
) -> Created:
    """Make a site: folder, passphrase, keys, certificates, policy, first account. Raises UsageError."""
    settings = render_default(
        name=name,
        language="fr" if language == "fr" else "en",
        ae_title=ae_title,
        host=host,
        tls_port=tls_port,
        plain_port=plain_port,
        web_port=web_port,
    )
    site = Site.create(folder, settings)
    root = keystore.create(site.folder / "secrets", site.passphrase_path, system_random)
    Identity.create(site, root.password, now=datetime.now(UTC))
    password = AccountFile(site.accounts_path).create(FIRST_ACCOUNT, Role.ADMIN)
    with Hub(site, root, is_new=True) as hub:
        event = AuditEvent(AuditKind.SITE_CREATED, hub.clock.now_us(), "init", None, "created", {"name": name})
        hub.catalogue.record(event)
    return Created(site, FIRST_ACCOUNT, password)


class Hub:
    """Everything of one site, joined. Use as a context manager."""

    def __init__(self, site: Site, root: Root, *, is_new: bool = False) -> None:
        config = site.config
        self.site = site
        self.clock = SystemClock()
        self.random = system_random
        self.identity = Identity(site, root.password)
        self.catalogue = SqlCatalogue(
            site.database_url, root.key, clock=self.clock, random=system_random, is_new=is_new
        )
        if not is_new and not config.storage.blobs_is_url:
            site.require_objects()
        self.blobs = open_blobs(
            config.storage.blobs, site.folder, site.staging_path, reserve_bytes=config.storage.disk_reserve_bytes
        )
        self.policy = PolicyFile(site)
        self.settling = Settling(self.catalogue, self.blobs)
        self.archive = Archive(self.catalogue, self.blobs)
        bounds = config.dicom.limits
        own = site.rule_paths  # the few that come with Leadglass find what detectors find, and hold the object for it
        self.sandbox = Sandbox(KEEP, rules=(own_rules(), *own), spares_data_sets=not own)
        self.receiver = Receiver(
            self.catalogue,
            self.blobs,
            self.clock,
            self.random,
            self.policy,
            self.settling,
            bounds.object_bytes_max,
            self._scanned(self.sandbox),
        )
        self.quarantine = Quarantine(self.archive, self.clock, self.random, self.settling, self.policy)
        self.timeouts = Timeouts(
            bounds.artim_seconds,
            bounds.idle_seconds,
            bounds.rate_window_seconds,
            bounds.rate_bytes_per_second_min,
        )
        self.wire_limits = WireLimits()
        sender = Sender(self.identity.client_context, wire_limits=self.wire_limits, timeouts=self.timeouts)
        self.connect = sender.connect
        ae_title = config.dicom.ae_title
        self.forwarder = Forwarder(self.archive, self.connect, self.rewrite, self.clock, ae_title)
        self.committer = Committer(self.archive, self.connect, self.clock, ae_title)

    def _scanned(self, inspectors: Inspectors) -> Inspectors:
        clamd = self.site.config.inspection.clamd
        return Beside(inspectors, parse_address(clamd).scan) if clamd else inspectors

    @classmethod
    def open(cls, site: Site, *, root: Root | None = None) -> Hub:
        """Open keys, catalogue and objects; no sockets. Raises ConfigurationError or StorageError."""
        return cls(site, root or keystore.open_root(site.folder / "secrets", site.passphrase_path))

    def __enter__(self) -> Hub:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close what was opened; again is harmless."""
        decoder: Decoder | None = self.__dict__.pop("decoder", None)
        if decoder is not None:
            decoder.close()
        self.sandbox.close()
        with suppress(LeadglassError):
            self.settling.settle()
        self.blobs.close()
        with suppress(LeadglassError):
            self.catalogue.close()

    @cached_property
    def decoder(self) -> Decoder:
        """The codec workers, started when first needed."""
        return Decoder()

    def rewrite(self, source: OpenedObject, syntax: str) -> Iterator[bytes]:
        """Give the data set of an object in another transfer syntax."""
        return self.decoder.rewrite(source, syntax, part10=False)

    def disarmer(self) -> Disarmer:
        """Make what gives harmless copies, under the allow-list that comes with Leadglass."""
        return confined_disarmer(self.sandbox, takes_only_held=True)

    def start_inspection(self) -> None:
        """Start what inspects, and compile the site's rules: a bad one is told before anything comes in.

        Raises UsageError, SandboxError where no inspection can start, and IntegrityError where a feed's file is not
        what was taken in.
        """
        self.site.feeds.require_whole()
        self.sandbox.start()

    def recover(self) -> Recovered:
        """Settle what a crash left in staging. Only the serving process may do it, before it serves."""
        return recover(self.catalogue, self.blobs, self.clock, self.policy)

    def checks(self, *, verifies_ledger: bool = False) -> list[health.Check]:
        """Look the site over."""
        site = self.site
        review = SiteUnderReview(
            folder=site.folder,
            config=site.config,
            policy=self.policy(),
            catalogue=self.catalogue,
            blobs=self.blobs,
            clock=self.clock,
            certificates=(site.tls_files.authority, site.tls_files.certificate),
            secrets=(site.passphrase_path, site.authority_key_path, site.tls_files.key),
            verifies_ledger=verifies_ledger,
        )
        return list(examine(review))

    @cached_property
    def desk(self) -> Desk:
        """What an association needs."""
        dicom = self.site.config.dicom
        return Desk(
            ae_title=dicom.ae_title,
            ae_titles=dicom.ae_titles,
            catalogue=self.catalogue,
            archive=self.archive,
            receiver=self.receiver,
            clock=self.clock,
            connect=self.connect,
            rewrite=self.rewrite,
        )

    def start(self, app: App | None = None) -> Running:
        """Open the doors and begin the work beside them; `app` answers at the web door, which stays closed without.

        Raises UsageError when a port is taken or the site is served already, ConfigurationError when it lacks a file.
        """
        return Running(self, app)


App = Callable[[Hub, int | None, int | None], ASGIApp]
"""Makes the web application of a hub; told the ports of the mutual TLS door and of the plain one."""


class Running:
    """A hub with open doors."""

    def __init__(self, hub: Hub, app: App | None) -> None:
        self._hub = hub
        dicom, web = hub.site.config.dicom, hub.site.config.web
        self._listeners: list[Listener] = []
        hub.identity.require()
        hub.start_inspection()
        if app is not None and web.port is not None:
            require_accounts(hub.site.accounts_path)
        self._claim = Claim(hub.site)
        try:
            self._tls = None if dicom.tls_port is None else self._listen(dicom.tls_port, is_tls=True)
            self._plain = None if dicom.plain_port is None else self._listen(dicom.plain_port, is_tls=False)
            self._web = None if app is None or web.port is None else self._open_web(app, web.host, web.port)
            # Behind doors that are taken and not yet answered: another hub of this site would have failed above.
            self.recovered = hub.recover()
        except BaseException:
            for listener in self._listeners:
                listener.close()
            self._claim.release()
            raise
        self._jobs = [
            Job("deliver", lambda is_stopping: hub.forwarder.deliver_due(is_stopping=is_stopping),
                pause_seconds=JOB_PAUSE_SECONDS),
            Job("commit", lambda _: hub.committer.report_due(), pause_seconds=JOB_PAUSE_SECONDS),
            Job("settle", lambda _: hub.settling.settle(), pause_seconds=SETTLE_PAUSE_SECONDS),
            Job("ledger-head", self._sign_head, pause_seconds=HEAD_PAUSE_SECONDS),
        ]  # fmt: skip
        ports = {"tls": self.tls_port or 0, "plain": self.plain_port or 0, "web": self.web_port or 0}
        hub.catalogue.record(AuditEvent(AuditKind.HUB_STARTED, hub.clock.now_us(), "hub", None, "started", ports))
        gc.collect()
        gc.freeze()  # what is loaded now stays; collections on the hot path need not look at it
        for listener in self._listeners:
            listener.start()
        for job in self._jobs:
            job.start()
        if self._web is not None:
            self._web.start()

    @property
    def tls_port(self) -> int | None:
        """Give the port of the mutual TLS door, None when it is closed."""
        return None if self._tls is None else self._tls.port

    @property
    def plain_port(self) -> int | None:
        """Give the port of the plaintext door, None when it is closed."""
        return None if self._plain is None else self._plain.port

    @property
    def web_port(self) -> int | None:
        """Give the port of the console, None when it is closed."""
        return None if self._web is None else self._web.port

    def stop(self) -> None:
        """Close the doors in order: no new work, what is at work ends, then everything."""
        for listener in self._listeners:
            listener.close()
        if self._web is not None:
            self._web.stop()
        for job in self._jobs:
            job.stop()
        hub = self._hub
        with suppress(LeadglassError):
            hub.catalogue.record(AuditEvent(AuditKind.HUB_STOPPED, hub.clock.now_us(), "hub", None, "stopped", {}))
        self._claim.release()

    def _sign_head(self, _is_stopping: object) -> int:
        self._hub.catalogue.sign_ledger()
        self._hub.catalogue.checkpoint()
        return 0

    def _listen(self, port: int, *, is_tls: bool) -> Listener:
        hub, dicom = self._hub, self._hub.site.config.dicom
        desk = hub.desk

        def serve(wire: Wire, caller: Caller) -> None:
            serve_association(desk, wire, caller)

        listener = Listener(
            dicom.host,
            port,
            serve=serve,
            turned_away=desk.turned_away,
            tls=hub.identity.server_context if is_tls else None,
            limits=ListenerLimits(
                dicom.limits.associations_max,
                dicom.limits.associations_per_address_max,
                dicom.limits.associations_per_node_max,
            ),
            wire_limits=hub.wire_limits,
            timeouts=hub.timeouts,
        )
        self._listeners.append(listener)
        return listener

    def _open_web(self, app: App, host: str, port: int) -> WebServer:
        return WebServer(app(self._hub, self.tls_port, self.plain_port), host, port, self._hub.identity.web_context)
