"""The HTTP status of each error of the house: who can fix it."""

from __future__ import annotations

import logging

from leadglass.edge.decoder import DecoderError
from leadglass.errors import LeadglassError, LimitExceeded, NotFound, PeerError, Refused, StorageFull

__all__ = ["log_failure", "status_of"]

_LOG = logging.getLogger(__name__)


def status_of(error: LeadglassError) -> int:
    """Give the HTTP status that says who can fix it."""
    match error:
        case LimitExceeded():
            return 413
        case PeerError():
            return 406 if error.code == "pixel-data" else 400
        case NotFound():
            return 404
        case Refused():
            return 403
        case StorageFull():
            return 507
        case _:
            return 500


def log_failure(error: LeadglassError, status: int) -> None:
    """Write an error of our own to the log; what somebody else can fix is told to them alone."""
    if status == 500 and not isinstance(error, DecoderError):
        _LOG.error("%s: %s", type(error).__name__, error.message)
