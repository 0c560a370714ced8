"""The DICOM application entities a site knows, and what each may ask."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

RESERVED_NAMES: Final = frozenset({"IMPORT", "CONSOLE"})
"""What records and the policy call the site's own sources (docs/spec/policy.md): no node may pass for one."""

RESERVED_PREFIX: Final = "WEB:"
"""Begins the source of objects posted over DICOMweb, whose account follows."""


def is_reserved(name: str, our_ae_titles: Set[str]) -> bool:
    """Tell whether an AE title names the site itself, or a source of its own, in whatever case."""
    upper = name.upper()
    return name in our_ae_titles or upper in RESERVED_NAMES or upper.startswith(RESERVED_PREFIX)


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
