"""Senders under which the hub is killed again and again, and the account afterwards: what was promised is there."""

from __future__ import annotations

import os
import random
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import dcmread

from tests.peers.harness import fast_sender, objects, programs
from tests.peers.harness.leadglass import Site
from tests.peers.harness.servers import Live
from tests.peers.harness.wire import CT, EXPLICIT, Refused, message_pdus

STUDY = 1_000_000_000
"""Study and object numbers all have ten digits, so that names can be replaced in ready-made bytes."""


_LOW_NIBBLE = bytes(value & 15 for value in range(256))


def template(kibibytes: int = 8) -> bytes:
    """Give the data set of one CT image of study STUDY, object number STUDY, small or as scanners send them."""
    [path] = objects.ct_objects(1, kibibytes=kibibytes, study=STUDY)
    return bytes(fast_sender.split_file(path)[3])


@dataclass
class Sender:
    """One modality: sends objects of its own study as fast as they are answered; remembers what was promised."""

    number: int
    dataset: bytes
    sent: int = 0
    acknowledged: set[str] = field(default_factory=set)
    refused: dict[int, int] = field(default_factory=dict)

    @property
    def study(self) -> str:
        return f"{objects.UID_ROOT}.{STUDY + self.number}"

    def object_uid(self, number: int) -> str:
        return f"{self.study}.{STUDY + number}"

    def object_bytes(self, number: int) -> bytes:
        """Give the data set of object `number`, its pixels its own."""
        at = self.dataset.rindex(b"\xe0\x7f\x10\x00")
        head = self.dataset[:at].replace(f"{objects.UID_ROOT}.{STUDY}".encode(), self.study.encode())
        old = f"{self.study}.1.1".encode()
        # SOP Instance UID (0008,0018): a new value of another length, so the element is written anew.
        where = head.index(b"\x08\x00\x18\x00UI")
        length = int.from_bytes(head[where + 6 : where + 8], "little")
        assert head[where + 8 :].startswith(old)
        uid = self.object_uid(number).encode()
        uid += b"\0" * (len(uid) % 2)
        element = head[where : where + 6] + len(uid).to_bytes(2, "little") + uid
        head = head[:where] + element + head[where + 8 + length :]
        pixels = bytearray(random.Random(number).randbytes(len(self.dataset) - at - 12))
        pixels[1::2] = pixels[1::2].translate(_LOW_NIBBLE)  # 12 bits stored: the others are zero, as a scanner's are
        return head + self.dataset[at : at + 12] + pixels

    def run(self, live: Live, stop: threading.Event) -> None:
        """Send until told to stop or the server is gone."""
        try:
            client = live.associate([(1, CT, [EXPLICIT])], timeout=20)
        except (Refused, OSError):
            return
        try:
            message = 0
            while not stop.is_set():
                self.sent += 1
                uid = self.object_uid(self.sent)
                message = message % 60000 + 1
                client.send(message_pdus(message, 1, CT, uid, self.object_bytes(self.sent)))
                status = client.read_status()
                if status == 0:
                    self.acknowledged.add(uid)
                else:
                    self.refused[status] = self.refused.get(status, 0) + 1
            client.release()
        except (Refused, OSError):
            pass
        finally:
            client.close()


def senders(count: int = 4) -> list[Sender]:
    """Give senders of small and of medium objects, in turn."""
    small, medium = template(8), template(512)
    return [Sender(number, small if number % 2 else medium) for number in range(1, count + 1)]


@dataclass(frozen=True, slots=True)
class Account:
    """What is there after it all."""

    acknowledged: int
    found: int
    lost: tuple[str, ...]
    altered: tuple[str, ...]
    faults: tuple[str, ...]


def kill_under_load(site: Site, live_of: Live, crowd: list[Sender], moment_seconds: float) -> None:
    """Run the hub, let the senders load it, and SIGKILL it `moment_seconds` after the first answer."""
    site.serve()
    stop = threading.Event()
    threads = [threading.Thread(target=sender.run, args=(live_of, stop)) for sender in crowd]
    before = sum(len(sender.acknowledged) for sender in crowd)
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 20
    while sum(len(sender.acknowledged) for sender in crowd) == before and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(moment_seconds)
    assert site.running is not None
    site.running.kill()
    stop.set()
    for thread in threads:
        thread.join()
    assert "Traceback" not in site.log.read_text(), site.running.tail()


def account(site: Site, live: Live, crowd: list[Sender], folder: Path) -> Account:
    """Fetch every study with DCMTK's getscu from the running hub and hold it against what was sent and promised."""
    lost: list[str] = []
    altered: list[str] = []
    found = 0
    for sender in crowd:
        out = folder / f"study-{sender.number}"
        out.mkdir(parents=True)
        subprocess.run(
            [
                programs.path_of("getscu"),
                "-S",
                "+B",
                "-od",
                str(out),
                *live.dcmtk_arguments(),
                "-k",
                "QueryRetrieveLevel=STUDY",
                "-k",
                f"StudyInstanceUID={sender.study}",
            ],
            check=bool(sender.acknowledged),
            capture_output=True,
            timeout=1200,
            env={**os.environ, "TCP_NODELAY": "1"},  # DCMTK waits 40 ms an object without
        )
        seen = set()
        for path in out.iterdir():
            uid = str(dcmread(path, stop_before_pixels=True, specific_tags=["SOPInstanceUID"]).SOPInstanceUID)
            seen.add(uid)
            number = int(uid.rsplit(".", 1)[1]) - STUDY
            if bytes(fast_sender.split_file(path)[3]) != sender.object_bytes(number):
                altered.append(uid)
        found += len(seen)
        lost += sorted(sender.acknowledged - seen)
    answer = site.answer("verify", "--all", status=None)
    assert isinstance(answer, dict)
    faults = tuple(str(fault) for fault in answer["faults"])
    return Account(sum(len(s.acknowledged) for s in crowd), found, tuple(lost), tuple(altered), faults)
