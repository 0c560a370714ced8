"""The console joined to a hub: what the web door of a running site answers with."""

from __future__ import annotations

from starlette.applications import Starlette

from leadglass.console.app import create_app
from leadglass.console.services import Check, Services, SiteFacts
from leadglass.edge.accounts import AccountFile
from leadglass.wiring import Hub

__all__ = ["console_of"]


def console_of(hub: Hub, tls_port: int | None, plain_port: int | None) -> Starlette:
    """Make the application of a hub whose DICOM doors are open at these ports."""
    config = hub.site.config
    facts = SiteFacts(
        name=config.name,
        ae_title=config.dicom.ae_title,
        host=config.dicom.host,
        tls_port=tls_port,
        plain_port=plain_port,
        language=config.language,
        folder=str(hub.site.folder),
    )
    return create_app(
        Services(
            archive=hub.archive,
            catalogue=hub.catalogue,
            receiver=hub.receiver,
            quarantine=hub.quarantine,
            accounts=AccountFile(hub.site.folder / "secrets/accounts.json"),
            decoder=hub.decoder,
            clock=hub.clock,
            site=facts,
            checks=lambda: [Check(c.name, c.state.value, c.detail, c.step) for c in hub.checks()],
        )
    )
