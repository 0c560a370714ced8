"""A catalogue, a store and a receiver in a folder: what the journeys of media, export and verification share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from leadglass.archive.keys import Key
from leadglass.edge.blobs import open_blobs
from leadglass.edge.clock import SystemClock, system_random
from leadglass.edge.database import SqlCatalogue
from leadglass.gateway.policy import Policy, parse_policy
from leadglass.journeys.ports import Blobs
from leadglass.journeys.receive import Receiver
from leadglass.journeys.retrieve import Archive
from leadglass.journeys.settle import Settling

EVERYTHING = '[[route]]\nname = "Everything"\nfrom = "*"\n'


@dataclass
class Shelf:
    """Everything of a site that these journeys ask for, real and in one folder."""

    folder: Path
    catalogue: SqlCatalogue
    blobs: Blobs
    clock: SystemClock
    settling: Settling
    receiver: Receiver
    archive: Archive

    def close(self) -> None:
        self.settling.settle()
        self.blobs.close()
        self.catalogue.close()


def shelf_in(folder: Path, *, policy: str = EVERYTHING, object_bytes_max: int = 1 << 30) -> Shelf:
    """Open a shelf."""
    written: Policy = parse_policy(policy)
    clock = SystemClock()
    catalogue = SqlCatalogue(
        f"sqlite:///{folder / 'catalogue.db'}", Key(bytes(range(32))), clock=clock, random=system_random
    )
    blobs = open_blobs("objects", folder, folder / "staging", reserve_bytes=0)
    settling = Settling(catalogue, blobs)
    receiver = Receiver(catalogue, blobs, clock, system_random, lambda: written, settling, object_bytes_max)
    return Shelf(folder, catalogue, blobs, clock, settling, receiver, Archive(catalogue, blobs))
