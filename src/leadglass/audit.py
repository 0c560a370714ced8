"""What can be evidence: who did what to which object, when, and how it ended.

An audit event is not a log line: no record, no action. Details are sealed before they are stored; nothing
here decides what may be seen by whom.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class AuditKind(StrEnum):
    """What happened. Values are stable: they are stored, exported and searched."""

    HUB_STARTED = "hub-started"
    HUB_STOPPED = "hub-stopped"
    HUB_RECOVERED = "hub-recovered"
    ASSOCIATION_ACCEPTED = "association-accepted"
    ASSOCIATION_REFUSED = "association-refused"
    ASSOCIATION_ABORTED = "association-aborted"
    OBJECT_RECEIVED = "object-received"
    OBJECT_HELD = "object-held"
    OBJECT_REJECTED = "object-rejected"
    OBJECT_ABORTED = "object-aborted"
    OBJECT_REFUSED_FULL = "object-refused-full"
    OBJECT_DUPLICATE = "object-duplicate"
    OBJECT_CONFLICT = "object-conflict"
    OBJECT_SENT = "object-sent"
    SEND_REQUESTED = "send-requested"
    SEND_FAILED = "send-failed"
    QUERY = "query"
    RETRIEVED = "retrieved"
    STORAGE_COMMITMENT = "storage-commitment"
    NODE_ADDED = "node-added"
    NODE_APPROVED = "node-approved"
    NODE_REMOVED = "node-removed"
    NODE_PENDING = "node-pending"
    QUARANTINE_RELEASED = "quarantine-released"
    QUARANTINE_DISCARDED = "quarantine-discarded"
    IMPORTED = "imported"
    EXPORTED = "exported"
    VERIFIED = "verified"
    OBJECT_DISARMED = "object-disarmed"
    OBJECT_INSPECTED = "object-inspected"
    ARCHIVE_INSPECTED = "archive-inspected"
    FOLDER_WATCHED = "folder-watched"
    LOGIN = "login"
    LOGIN_FAILED = "login-failed"
    LOGOUT = "logout"
    PASSWORD_CHANGED = "password-changed"  # noqa: S105 -- the name of an event
    TOKEN_ISSUED = "token-issued"  # noqa: S105 -- the name of an event
    ACCOUNT_ADDED = "account-added"
    ACCOUNT_CHANGED = "account-changed"
    ACCOUNT_REMOVED = "account-removed"
    IDENTITY_RENEWED = "identity-renewed"
    STUDY_VIEWED = "study-viewed"
    POLICY_CHANGED = "policy-changed"
    FEED_IMPORTED = "feed-imported"
    FEED_REFUSED = "feed-refused"
    FEED_RESTORED = "feed-restored"
    FEED_REMOVED = "feed-removed"
    SITE_CREATED = "site-created"


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One event. `subject` is the object id it is about; `at_us` is microseconds since 1970 UTC."""

    kind: AuditKind
    at_us: int
    actor: str
    subject: bytes | None
    outcome: str
    detail: Mapping[str, str | int] = field(default_factory=dict)
