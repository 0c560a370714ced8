"""One family of errors, split by who can fix it.

Every error says what happened and, in `hint`, what to do next. The command line turns the class into
an exit code, the wire into a status or an abort; nobody parses the text.
"""

from __future__ import annotations


class LeadglassError(Exception):
    """Base of every error this product raises on purpose."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class PeerError(LeadglassError):
    """The other side broke the standard or a limit; `clause` names the rule, `code` is stable for machines."""

    def __init__(self, message: str, *, code: str, clause: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.clause = clause


class LimitExceeded(PeerError):
    """The other side asked for more than `limits.py` allows; the connection should end now."""


class UsageError(LeadglassError):
    """The person at the keyboard can fix it: a wrong path, option or setting (exit code 2)."""


class ConfigurationError(UsageError):
    """The site's configuration or policy does not hold together (exit code 2)."""


class Refused(LeadglassError):
    """Policy says no (exit code 1)."""


class Cancelled(LeadglassError):
    """A person stopped a long computation before its end; nothing of it was kept (exit code 1)."""


class NotFound(LeadglassError):
    """What was asked for is not here (exit code 1)."""


class IntegrityError(LeadglassError):
    """Stored bytes are not what was sealed: truncated, altered, spliced, or under another key."""


class StorageError(LeadglassError):
    """The disk, database or blob store failed; nothing may be acknowledged."""


class StorageFull(StorageError):
    """No space is left (DICOM status A700)."""


class RemoteError(LeadglassError):
    """A peer we called did not do what we asked: unreachable, refused, or answered with a failure status."""
