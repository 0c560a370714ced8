"""A sender that is never the bottleneck: PDUs are cut beforehand, one C-STORE is answered before the next.

    python -m tests.peers.harness.fast_sender '{"port": ..., "files": [[...], [...]], ...}'

One list of files per association, each on a thread. Prints one JSON line when all have been answered.
"""

from __future__ import annotations

import contextlib
import json
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from tests.peers.harness.certificates import Credentials
from tests.peers.harness.programs import ROOT
from tests.peers.harness.servers import Live
from tests.peers.harness.wire import EXPLICIT, Client, message_pdus

PIECE = 4 << 20


def split_file(path: Path) -> tuple[str, str, str, memoryview]:
    """Give SOP class, SOP instance, transfer syntax and data set of a file as its meta group says (PS3.10 §7.1)."""
    raw = path.read_bytes()
    at = 132
    length = int(struct.unpack_from("<I", raw, at + 8)[0])
    end = at + 12 + length
    at += 12
    found: dict[int, str] = {}
    while at < end:
        group, number, vr, size = struct.unpack_from("<HH2sH", raw, at)
        at += 8
        if vr in (b"OB", b"UN"):
            size = int(struct.unpack_from("<I", raw, at)[0])
            at += 4
        found[group << 16 | number] = raw[at : at + size].rstrip(b"\0 ").decode("latin-1")
        at += size
    return found[0x00020002], found[0x00020003], found[0x00020010], memoryview(raw)[end:]


def main() -> None:
    plan = json.loads(sys.argv[1])
    tls = None
    if plan["tls"]:
        tls = Credentials(*(Path(part) for part in plan["tls"])).client_context()
    streams = []
    for files in plan["files"]:
        stream = []
        for number, path in enumerate(files, 1):
            sop_class, sop_instance, _, dataset = split_file(Path(path))
            stream.append(
                (sop_class, memoryview(message_pdus(number, 1, sop_class, sop_instance, dataset, plan["pdu_length"])))
            )
        streams.append(stream)
    start = threading.Barrier(len(streams) + 1)
    statuses: list[int] = []
    errors: list[str] = []

    def send(stream: list[tuple[str, memoryview]]) -> None:
        try:
            client = Client("127.0.0.1", plan["port"], tls, 600.0)
            client.associate(plan["calling"], plan["called"], [(1, stream[0][0], [EXPLICIT])])
            start.wait(600)
            for _, message in stream:
                for at in range(0, len(message), PIECE):
                    client.send(message[at : at + PIECE])
                statuses.append(client.read_status())
            client.release()
        except Exception as error:  # noqa: BLE001 - one report for the parent, whatever went wrong
            errors.append(f"{type(error).__name__}: {error}")
            start.abort()

    threads = [threading.Thread(target=send, args=(stream,)) for stream in streams]
    for thread in threads:
        thread.start()
    with contextlib.suppress(threading.BrokenBarrierError):
        start.wait(600)
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    taken = time.perf_counter() - began
    good = sum(status == 0 for status in statuses)
    print(json.dumps({"seconds": taken, "good": good, "bad": len(statuses) - good, "errors": errors}))


def run(live: Live, files: Sequence[Sequence[Path]], pdu_length: int = 131072) -> float:
    """Send to a server from another process; gives the seconds from the first byte to the last answer."""
    tls = None
    if live.credentials:
        tls = [str(live.credentials.key), str(live.credentials.certificate), str(live.credentials.authority)]
    plan = {
        "port": live.port,
        "calling": live.calling,
        "called": live.called,
        "tls": tls,
        "pdu_length": pdu_length,
        "files": [[str(path) for path in stream] for stream in files],
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.peers.harness.fast_sender", json.dumps(plan)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=1800,
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-2000:])
    report = json.loads(done.stdout)
    if report["errors"] or report["bad"]:
        raise RuntimeError(f"{live.name}: {report}\n{live.running.tail()}")
    return float(report["seconds"])


if __name__ == "__main__":
    main()
