"""What one 2 GiB multi-frame object costs in memory: received, then one frame read back.

    python -m benches.memory [--gibibytes 2] [--servers leadglass,orthanc-sync]

The sender streams from a file, over mutual TLS. Peak resident memory above idle, the server's children included.
"""

from __future__ import annotations

import argparse
import ssl
import struct
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.peers.harness import objects, programs
from tests.peers.harness.fast_sender import split_file
from tests.peers.harness.process import MemoryWatch
from tests.peers.harness.servers import Live
from tests.peers.harness.wire import EXPLICIT, MULTI_FRAME, data_pdus, store_request

from benches.receive import KINDS

FRAME = 512 * 512 * 2
STUDY = 700


def pieces(gibibytes: float) -> Iterator[bytes]:
    """Give the data set of a large multi-frame object, its header as real as the others'."""
    small = bytes(split_file(objects.multi_frame_objects(1, mebibytes=1, study=STUDY)[0])[3])
    at = small.rindex(b"\xe0\x7f\x10\x00OW")
    frames = int(gibibytes * (1 << 30)) // FRAME
    head = small[:at]
    where = head.index(b"\x28\x00\x08\x00IS")
    length = int.from_bytes(head[where + 6 : where + 8], "little")
    number = str(frames).encode()
    number += b" " * (len(number) % 2)
    head = head[:where] + b"\x28\x00\x08\x00IS" + struct.pack("<H", len(number)) + number + head[where + 8 + length :]
    yield head + b"\xe0\x7f\x10\x00OW\0\0" + struct.pack("<I", frames * FRAME)
    frame = small[at + 12 : at + 12 + FRAME]
    for _ in range(frames):
        yield frame


def send(live: Live, gibibytes: float) -> tuple[float, int]:
    """Stream the object; gives seconds and bytes."""
    uid = f"{objects.UID_ROOT}.{STUDY}.1.1"
    client = live.associate([(1, MULTI_FRAME, [EXPLICIT])], timeout=1800)
    began = time.perf_counter()
    client.send(data_pdus(1, store_request(1, MULTI_FRAME, uid), is_command=True))
    total = 0
    for piece in pieces(gibibytes):
        client.send(data_pdus(1, piece, is_command=False, is_last=False))
        total += len(piece)
    client.send(data_pdus(1, b"", is_command=False))
    status = client.read_status()
    taken = time.perf_counter() - began
    client.release()
    if status != 0:
        raise RuntimeError(f"{live.name} answered {status:04X}\n{live.running.tail()}")
    return taken, total


def read_frame(live: Live, frame: int) -> float:
    """Read one frame from the middle; gives the seconds."""
    study = f"{objects.UID_ROOT}.{STUDY}"
    if live.credentials is not None and live.name == "Leadglass":
        url = (f"https://127.0.0.1:{live.http_port}/dicom-web/studies/{study}/series/{study}.4/instances/{study}.1.1"
               f"/frames/{frame}")  # fmt: skip
        context: ssl.SSLContext | None = ssl.create_default_context(cafile=str(live.credentials.authority))
        request = urllib.request.Request(url, headers={
            "Accept": 'multipart/related; type="application/octet-stream"', "Authorization": f"Bearer {live.token}",
        })  # fmt: skip
    else:
        base = f"http://127.0.0.1:{live.http_port}"
        with urllib.request.urlopen(f"{base}/instances") as answer:
            instance = answer.read().decode().split('"')[1]
        context = None
        request = urllib.request.Request(f"{base}/instances/{instance}/frames/{frame - 1}/raw")
    began = time.perf_counter()
    with urllib.request.urlopen(request, context=context, timeout=600) as answer:
        body = answer.read()
    if len(body) < FRAME:
        raise RuntimeError(f"{live.name} gave {len(body)} bytes of a frame")
    return time.perf_counter() - began


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--gibibytes", type=float, default=1.999, help="explicit lengths end at 4 GiB, Orthanc's at 2")
    parser.add_argument("--servers", default="leadglass,orthanc-sync")
    options = parser.parse_args()
    print(f"{programs.machine()}; one object of {options.gibibytes:.2f} GiB over TLS\n")
    print("| server | above idle while receiving | MB/s | above idle while one frame is read | frame |")
    print("|---|---|---|---|---|")
    for name in options.servers.split(","):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            with KINDS[name](Path(folder) / "server", tls=True) as live:
                live.associate().release()
                with MemoryWatch(live.running.pid) as receiving:
                    seconds, total = send(live, options.gibibytes)
                with MemoryWatch(live.running.pid) as reading:
                    frame_seconds = read_frame(live, total // FRAME // 2)
            idle = receiving.before
            print(
                f"| {live.name} {live.version} | +{receiving.growth / 1e6:.0f} MB | {total / seconds / 1e6:.0f} | "
                f"+{max(0, reading.peak - idle) / 1e6:.0f} MB | {frame_seconds * 1000:.0f} ms |",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
