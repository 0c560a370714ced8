"""The colour CT scanner of the house: it counts photons of a hand that is no person's, and makes a study of the counts.

Nothing is kept ready: counts are simulated from the exact shapes, maps are reconstructed from the counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from leadglass import __version__
from leadglass.cli.morning.objects import Sample, sample_of
from leadglass.edge.clock import system_random
from leadglass.edge.colour_maps import open_colours
from leadglass.edge.phantoms import phantom_text
from leadglass.imaging.phantom_text import parse_phantom
from leadglass.imaging.reconstruction import Recipe, reconstruct
from leadglass.imaging.simulate import simulate
from leadglass.imaging.to_dicom import Examination, acquisition_of
from leadglass.imaging.to_dicom_study import Wanted, study

PATIENT: Final = "Phantom^Hand"
PATIENT_ID: Final = "PHANTOM-HAND"
PARTS: Final = 100
"""How many parts of a bar the scanner's work is."""
TURNTABLE: Final = "turntable"

_COARSER, _SEED = 3, 1895
_WANTED: Final = Wanted((70.0,), frames=24, frame_px=(320, 448))
_COUNTING, _RECONSTRUCTING = 40, 20


@dataclass(frozen=True, slots=True)
class Scanned:
    """What the scanner made: objects to send, and what of each material was found at most, in mg/mL."""

    study_instance_uid: str
    samples: tuple[Sample, ...]
    views: int
    bins: int
    shape: tuple[int, int, int]
    most_mg_ml: dict[str, float]


def scan_hand(advance: Callable[[float], None]) -> Scanned:
    """Count, reconstruct, and make the objects; `advance` moves by `PARTS` in all."""
    phantom, protocol = parse_phantom(phantom_text("hand"))
    quick = protocol.quick(_COARSER)
    views = quick.geometry.views
    moved = _Moved(advance)
    counted = simulate(
        phantom, quick.geometry, quick.tube, quick.sensor, quick.thresholds_kev, seed=_SEED, supersample=1,
        bad_share=quick.bad_share, on_progress=lambda done, total: moved.to(_COUNTING * done / total),
    )  # fmt: skip
    volume = reconstruct(counted, Recipe())
    moved.to(_COUNTING + _RECONSTRUCTING)
    uid = f"2.25.{int.from_bytes(system_random(16), 'big')}"
    examination = Examination(
        uid, datetime.now().astimezone(), PATIENT, PATIENT_ID, description="Colour CT, hand with a ring",
        software=__version__,
    )  # fmt: skip
    rest = PARTS - _COUNTING - _RECONSTRUCTING

    def report(done: int, total: int) -> bool:
        moved.to(PARTS - rest + rest * done / total)
        return True

    made = study(volume, open_colours("bone-iodine-gold"), examination, acquisition_of(counted), _WANTED, report=report)
    samples = tuple(sample_of(one.name, one.content) for one in made)
    most = {name: float(voxels.max()) for name, voxels in volume.items()}
    return Scanned(uid, samples, views, counted.bins, volume.grid.shape, most)


class _Moved:
    """Tell a bar how far, not how much further."""

    def __init__(self, advance: Callable[[float], None]) -> None:
        self._advance, self._at = advance, 0.0

    def to(self, place: float) -> None:
        self._advance(place - self._at)
        self._at = place
