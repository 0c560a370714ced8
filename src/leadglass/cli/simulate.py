"""`leadglass simulate`: count the photons a scanner would count of an object of known truth."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from leadglass.cli.signals import STOPPED, Stop, until_stopped
from leadglass.cli.voice import Json, Voice, counted, size, verb

if TYPE_CHECKING:
    from collections.abc import Callable

    from leadglass.cli.voice import Advance
    from leadglass.imaging.scan import Scan

_QUICK_SUPERSAMPLE, _SUPERSAMPLE = 1, 2
_SEED_MAX = (1 << 63) - 1


class _Stopped(Exception):
    """Ctrl-C was seen between two views."""


@verb(
    "simulate",
    site=False,
    example="""\
leadglass simulate hand --to hand.h5
leadglass simulate calibration --to rods.h5 --seed 7
leadglass simulate mine.toml --to mine.h5 --quick""",
)
@click.argument("phantom")
@click.option("--to", "target", required=True, metavar="FILE", type=click.Path(dir_okay=False, path_type=Path),
              help="The HDF5 file to write.")  # fmt: skip
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0, _SEED_MAX),
              help="What the noise is drawn from; the same seed gives the same counts.")  # fmt: skip
@click.option("--quick", "is_quick", is_flag=True,
              help="A third of the views, columns and rows, and one ray a pixel.")  # fmt: skip
@click.option("--rays", type=click.IntRange(1, 8), metavar="N",
              help=f"Follow N × N rays for each pixel. Default: {_SUPERSAMPLE}.")  # fmt: skip
@click.option("--force", "is_replacing", is_flag=True, help="Replace the file where there is one.")
@click.pass_obj
def command(
    voice: Voice, phantom: str, target: Path, seed: int, is_quick: bool, rays: int | None, is_replacing: bool
) -> None:
    """Simulate a scan of PHANTOM: hand, calibration, thorax, or a TOML file of your own.

    Photons of every energy go through the exact shapes; a photon-counting detector with charge sharing, K escape,
    pile-up and noise counts them. The file says that it was simulated. Ctrl-C leaves nothing behind.
    """
    from leadglass.edge.phantoms import phantom_text
    from leadglass.edge.rawdata import check_target, write_scan
    from leadglass.imaging.phantom_text import parse_phantom
    from leadglass.imaging.simulate import simulate

    check_target(target, is_replacing=is_replacing)
    whole, protocol = parse_phantom(phantom_text(phantom))
    protocol = protocol.quick() if is_quick else protocol
    rays = rays or (_QUICK_SUPERSAMPLE if is_quick else _SUPERSAMPLE)
    begun = time.monotonic()
    with until_stopped() as stop:
        try:
            with voice.progress("Counting", protocol.geometry.views) as advance:
                scan = simulate(
                    whole, protocol.geometry, protocol.tube, protocol.sensor, protocol.thresholds_kev, seed=seed,
                    supersample=rays, bad_share=protocol.bad_share, on_progress=_moving(advance, stop),
                )  # fmt: skip
            with voice.progress("Writing", protocol.geometry.views) as advance:
                write_scan(scan, target, is_replacing=is_replacing, on_progress=_moving(advance, stop))
        except _Stopped:
            voice.aside("Stopped. Nothing was written.")
            click.get_current_context().exit(STOPPED)
    _tell(voice, scan, target, time.monotonic() - begun)


def _moving(advance: Advance, stop: Stop) -> Callable[[int, int], None]:
    """Move the bar to where the work is; end it where a person has said so."""
    at = 0

    def move(done: int, _of: int) -> None:
        nonlocal at
        if stop.is_said:
            raise _Stopped
        advance(done - at)
        at = done

    return move


def _tell(voice: Voice, scan: Scan, target: Path, seconds: float) -> None:
    length = target.stat().st_size
    bins, views, columns, rows = scan.counts.shape
    if voice.is_json:
        told: Json = {
            "file": str(target), "phantom": scan.name, "bytes": length, "bins": bins, "views": views,
            "columns": columns, "rows": rows, "thresholds_kev": list(scan.thresholds_kev),
            "seed": int(scan.made_by["seed"]), "seconds": round(seconds, 2),
        }  # fmt: skip
        voice.json(told)
        return
    voice.say(
        f"{target}: {scan.name}, {counted(views, 'view')} of {columns} × {rows} pixels in {counted(bins, 'energy bin')}"
        f" ({size(length)}), simulated in {seconds:.1f} s."
    )
