"""Sealed rows of patients, studies and series, opened; the bytes of what was opened lately are kept.

A sealed record begins with a random nonce, so its first bytes name this very version of it: what another
process changed is never taken from memory.
"""

from __future__ import annotations

from sqlalchemy import Row

from leadglass.archive.catalogue import decode_attributes
from leadglass.archive.keys import RECORD_NONCE_BYTES, KeyState
from leadglass.archive.levels import Level
from leadglass.edge.database_filing import place_of, place_of_series
from leadglass.edge.database_vault import Recent, Vault
from leadglass.errors import NotFound

ROWS_OPEN_MAX = 65_536
"""About 600 bytes each: 20,000 studies of as many patients fit, in less than 40 MB."""


class Opener:
    """Open the upper levels of a row."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._known: Recent[bytes, bytes] = Recent(ROWS_OPEN_MAX)

    def attributes(self, row: Row[tuple[object, ...]], at: Level) -> dict[int, str]:
        """Give what patient, study and series of a row tell, down to a level (the image's own are not here).

        Raises NotFound where the patient was erased, IntegrityError where a record was altered or moved.
        """
        if row.key_state == KeyState.ERASED:
            raise NotFound("The patient was erased.")
        attributes = self._read(row, place_of("patient", row.patient_id), row.patient_sealed)
        if at is not Level.PATIENT:
            attributes |= self._read(row, place_of("study", row.study_id), row.study_sealed)
        if at in (Level.SERIES, Level.IMAGE):
            attributes |= self._read(row, place_of_series(row.study_id, row.series_token), row.series_sealed)
        return attributes

    def _read(self, row: Row[tuple[object, ...]], place: bytes, sealed: bytes | None) -> dict[int, str]:
        if sealed is None:
            return {}
        name = place + sealed[:RECORD_NONCE_BYTES]
        plain = self._known.get(name)
        if plain is None:
            plain = self._vault.patient_of(row).record.open(place, sealed)
            self._known.put(name, plain)
        return decode_attributes(plain)
