"""What a confined process may no longer do, tried in processes of their own."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file
from tests.edge.test_decoder import Source

from leadglass.edge.confine import Confinement, prove
from leadglass.edge.confine_calls import COMPUTING, READING, calls_of
from leadglass.edge.decoder import Decoder
from leadglass.edge.sandbox import Sandbox
from leadglass.malware.verdict import Verdict, verdict_of

HEAD = """
import ctypes, os, socket, sys, threading, mmap
from leadglass.edge.confine import *
held = confine(Allowance(address_space_bytes() + (256 << 20){more}))
"""

pytestmark = pytest.mark.skipif(not prove().is_full, reason="this kernel gives no system-call filter")


def tried(what: str, more: str = "") -> str:
    """Confine a process, let it try, and give "done" or the name of the error; its own words else."""
    program = HEAD.format(more=more) + (
        f"try:\n    {what}\n    print('done')\nexcept (OSError, MemoryError, RuntimeError) as error:\n"
        "    print(type(error).__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    return done.stdout.strip() or f"ended with {done.returncode}: {done.stderr[-300:]}"


@pytest.mark.parametrize(
    ("what", "error"),
    {
        "open('/etc/hostname')": "PermissionError",
        "open('/tmp/leadglass-confined', 'w')": "PermissionError",
        "os.listdir('/')": "PermissionError",
        "socket.socket()": "PermissionError",
        "socket.socket(socket.AF_UNIX)": "PermissionError",
        "os.fork()": "PermissionError",
        "os.execv('/bin/true', ['true'])": "PermissionError",
        "os.kill(os.getppid(), 0)": "PermissionError",
        "os.unlink('/tmp/leadglass-confined')": "PermissionError",
        "threading.Thread(target=print).start()": "RuntimeError",
        "bytearray(512 << 20)": "MemoryError",
        "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)": "PermissionError",
    }.items(),
)
def test_what_is_not_allowed_fails(what: str, error: str) -> None:
    assert tried(what) == error


@pytest.mark.parametrize("what", ["bytearray(64 << 20)", "os.getpid()", "os.urandom(8)", "os.write(1, b'')"])
def test_computing_goes_on(what: str) -> None:
    assert tried(what) == "done"


def test_a_process_that_loads_reads_its_folders_and_nothing_else() -> None:
    more = ", readable=('/usr', sys.prefix, sys.base_prefix), may_load=True"
    assert tried("open(os.__file__).read()", more) == "done"
    assert tried("threading.Thread(target=len, args=('',)).start()", more) == "done"
    assert tried("socket.socket()", more) == "PermissionError"
    assert tried("os.execv('/bin/true', ['true'])", more) == "PermissionError"
    if prove().no_files:
        assert tried("open('/etc/hostname')", more) == "PermissionError"


def told_by_the_system(number: int) -> dict[str, str]:
    lines = Path(f"/proc/{number}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_workers_are_confined_while_they_work() -> None:
    """What inspects and what decodes: the system itself says that both have a filter and can gain no privilege."""
    pool, decoder = Sandbox(()), Decoder(1)
    try:
        data = Path(str(get_testdata_file("CT_small.dcm"))).read_bytes()
        inspector = pool.file()
        inspector.feed(data)
        assert verdict_of(inspector.finish()) is Verdict.CLEAN
        looking = pool.file()  # by the same worker, which is confined by now
        decoder.describe(Source(data))
        (worker,) = decoder._all
        for number in (looking._worker.number, worker._process.pid):  # type: ignore[union-attr]  # it is at work
            status = told_by_the_system(number)
            assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")
            assert status["Threads"] == "1" or number != looking._worker.number  # type: ignore[union-attr]
    finally:
        pool.close()
        decoder.close()


def test_what_did_not_take_hold_is_named() -> None:
    assert Confinement().missing == ("no new privileges", "no files", "no network", "calls filtered", "limits")
    assert not Confinement().is_full


def test_every_name_of_a_list_is_known_on_a_machine_we_know() -> None:
    """A misspelt name would be passed over in silence."""
    known = calls_of("x86_64").keys() | calls_of("aarch64").keys()
    assert set(READING) <= known
    assert set(COMPUTING) <= calls_of("x86_64").keys()
    missing_on_arm = set(COMPUTING) - calls_of("aarch64").keys()
    assert missing_on_arm == {"poll"}, "older calls that ARM64 never had"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="compares with this machine's own numbers")
def test_numbers_are_those_of_the_system() -> None:
    import ctypes
    import os

    libc = ctypes.CDLL(None)
    numbers = calls_of("x86_64")
    assert libc.syscall(numbers["getpid"]) == os.getpid()
    assert libc.syscall(numbers["geteuid"]) == os.geteuid()
