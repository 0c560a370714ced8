"""Where the peer programs are, which versions they have, and which ports are free."""

from __future__ import annotations

import os
import platform
import re
import shutil
import socket
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[3]
"""The checkout."""
SHARED_DATA = ROOT.parent / "shared" / "data"
UNPACKED = Path(os.environ.get("LEADGLASS_PEERS", str(ROOT / ".peers"))) / "bin"
SYSTEM = "/usr/bin:/usr/sbin:/bin:/usr/local/bin"
"""Not the caller's PATH: a virtual environment may hold pynetdicom's programs of the same names."""


@cache
def find(program: str) -> Path | None:
    """Give the program's path, the newer unpacked one first; None where it is not installed."""
    unpacked = UNPACKED / program
    if unpacked.exists():
        return unpacked
    found = shutil.which(program, path=SYSTEM)
    return Path(found) if found else None


def path_of(program: str) -> str:
    """Give the program's path or say how to get it."""
    found = find(program)
    if found is None:
        raise FileNotFoundError(f"{program} is not installed: run tools/install_peers.sh")
    return str(found)


@cache
def version(program: str) -> str:
    """Give the version a program prints of itself."""
    text = subprocess.run([path_of(program), "--version"], capture_output=True, text=True, timeout=30).stdout
    number = re.search(r"\d+\.\d+(\.\d+)*", text.splitlines()[0])
    return number.group() if number else "unknown"


def free_port() -> int:
    """Give a loopback port nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def machine() -> str:
    """Describe this machine in one line, for tables."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = re.findall(r"^model name\s*:\s*(.+)$", info.read_text(), re.M)
        model = names[0] if names else model
    memory = ""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        memory = f", {int(meminfo.read_text().split()[1]) / 2**20:.0f} GiB memory"
    return f"{os.cpu_count()} cores of {model}{memory}, Linux {platform.release()}, Python {platform.python_version()}"
