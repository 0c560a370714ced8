"""The DICOM application entities a site knows, and what each may ask."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class NodeState(StrEnum):
    """Whether a node may talk to us."""

    PENDING = "pending"
    APPROVED = "approved"


class Permission(StrEnum):
    """What an approved node may ask of the hub."""

    STORE = "store"
    QUERY = "query"
    RETRIEVE = "retrieve"


@dataclass(frozen=True, slots=True)
class Node:
    """A DICOM application entity the site knows. `name` is its AE title; `fingerprint` is the certificate's
    SHA-256 in lower-case hex, None for a node that has none yet. `addresses` are IP networks it may call from
    (empty = any address, allowed only with TLS). `plaintext` lets it use the plain listener, and is a finding."""

    name: str
    state: NodeState
    host: str = ""
    port: int = 0
    fingerprint: str | None = None
    addresses: tuple[str, ...] = ()
    permissions: frozenset[Permission] = frozenset()
    plaintext: bool = False
    seen_at_us: int | None = None
    note: str = ""
