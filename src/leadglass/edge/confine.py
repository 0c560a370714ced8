"""Take rights from the current process that it does not need: files, network, other processes, memory, time.

Landlock and a system-call filter where the kernel has them, resource limits everywhere; none of it needs privilege
and none of it can be undone. What took hold is told, never assumed: `leadglass doctor` proves it in a process of its
own. Linux on x86-64 and ARM64; elsewhere the resource limits alone remain.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import resource
import socket
import struct
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from leadglass import limits
from leadglass.edge.confine_calls import COMPUTING, READING, calls_of

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_SECCOMP_MODE_FILTER = 2
_CLONE_NEWUSER, _CLONE_NEWNET, _CLONE_NEWIPC = 0x10000000, 0x40000000, 0x08000000
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_READ_BENEATH = 1 << 2 | 1 << 3
_SIGKILL = 9

_LOAD, _JUMP_EQUAL, _JUMP_SET, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000
_PROT_EXEC = 4
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a process keeps. `memory_bytes` is its whole address space; `readable` what it may still read."""

    memory_bytes: int
    open_files: int = 64
    cpu_seconds: float = 0.0
    readable: Sequence[str] = ()
    may_load: bool = False
    """Keep what loading a library takes: reading files, threads, executable memory."""
    dies_with_parent: bool = False
    """End when the thread that made this process ends; for a parent that has but one."""


@dataclass(frozen=True, slots=True)
class Confinement:
    """Which measures took hold."""

    no_new_privileges: bool = False
    no_files: bool = False
    """Landlock: nothing but what was allowed can be opened."""
    no_network: bool = False
    calls_filtered: bool = False
    limits: bool = False

    @property
    def is_full(self) -> bool:
        """Tell whether the kernel gave everything that is asked for."""
        return self.no_new_privileges and self.no_network and self.calls_filtered and self.limits

    @property
    def missing(self) -> tuple[str, ...]:
        """Name the measures that did not take hold."""
        return tuple(name.replace("_", " ") for name, held in asdict(self).items() if not held)


def confine(allowance: Allowance) -> Confinement:
    """Give up what is not allowed, as far as the kernel lets us; for ever, and for every child.

    Call it in a process with one thread, when it has loaded and opened what it needs.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if allowance.dies_with_parent:
        libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
    unprivileged = libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    limited = _limit(allowance)
    abi = _landlock(libc, allowance.readable)
    filtered = _filter(libc, READING if allowance.may_load else COMPUTING, forbids_code=not allowance.may_load)
    return Confinement(unprivileged, abi > 0, filtered, filtered, limited)


def confine_worker(memory_bytes: int) -> int:
    """Confine a worker of the sandbox to so much memory beyond what it has; gives the address space it has."""
    base = address_space_bytes()
    held = confine(
        Allowance(
            memory_bytes=base + memory_bytes,
            open_files=8,
            cpu_seconds=limits.SANDBOX_SECONDS,
            dies_with_parent=True,
        )
    )
    if not held.no_network:
        leave_network()
    return base


def leave_network() -> bool:
    """Leave for namespaces without a network, where the kernel lets an ordinary user; children are born there."""
    return bool(ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWIPC) == 0)


def allow_cpu(seconds: float) -> None:
    """Allow so many more seconds of computing; beyond them the kernel ends the process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def allow_memory(address_space: int) -> None:
    """Set the size that the address space of this process may have now, up to what it was confined to."""
    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    soft = address_space if most == resource.RLIM_INFINITY else min(most, address_space)
    resource.setrlimit(resource.RLIMIT_AS, (soft, most))


def address_space_bytes() -> int:
    """Give the size of this process's address space, 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return 0


def _limit(allowance: Allowance) -> bool:
    wanted = [
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_AS, allowance.memory_bytes),
        (resource.RLIMIT_NOFILE, allowance.open_files),
    ]
    if not allowance.may_load:
        wanted.append((resource.RLIMIT_NPROC, 0))
    try:
        for limit, value in wanted:
            hard = resource.getrlimit(limit)[1]
            most = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(limit, (most, most))
        if allowance.cpu_seconds:
            allow_cpu(allowance.cpu_seconds)
    except (OSError, ValueError):
        return False
    return True


def _landlock(libc: ctypes.CDLL, readable: Iterable[str]) -> int:
    """Close the file system but for reading beneath some folders; give Landlock's version, 0 where there is none."""
    abi = int(libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1))
    if abi < 1:
        return 0
    files = (1 << 13) - 1 | (abi >= 2) << 13 | (abi >= 3) << 14 | (abi >= 5) << 15
    attributes = struct.pack("=Q", files)
    if abi >= 4:
        attributes += struct.pack("=Q", 3)
    if abi >= 6:
        attributes += struct.pack("=Q", 3)
    ruleset = int(libc.syscall(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0))
    if ruleset < 0:
        return 0
    try:
        for path in readable:
            try:
                folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except OSError:
                continue
            is_folder = os.path.isdir(path)
            rule = struct.pack("=Qi", _READ_BENEATH if is_folder else 1 << 2, folder)
            libc.syscall(_LANDLOCK_ADD, ruleset, 1, rule, 0)
            os.close(folder)
        return abi if libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0) == 0 else 0
    finally:
        os.close(ruleset)


def _filter(libc: ctypes.CDLL, names: Iterable[str], *, forbids_code: bool) -> bool:
    """Let only these system calls through; every other one fails with EPERM, and one of another ABI ends us."""
    machine = platform.machine()
    architecture, numbers = _ARCHITECTURES.get(machine), calls_of(machine)
    if architecture is None or not numbers:
        return False
    program = [(_LOAD, 0, 0, 4), (_JUMP_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    for name in names:
        if name not in numbers:
            continue
        if forbids_code and name in ("mmap", "mprotect"):
            protection_argument = 16 + 2 * 8
            program += [
                (_JUMP_EQUAL, 0, 4, numbers[name]),
                (_LOAD, 0, 0, protection_argument),
                (_JUMP_SET, 0, 1, _PROT_EXEC),
                (_RETURN, 0, 0, _REFUSE),
                (_RETURN, 0, 0, _ALLOW),
            ]
        else:
            program += [(_JUMP_EQUAL, 0, 1, numbers[name]), (_RETURN, 0, 0, _ALLOW)]
    program.append((_RETURN, 0, 0, _REFUSE))
    code = b"".join(struct.pack("=HBBI", *line) for line in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    head = struct.pack("@HP", len(program), ctypes.addressof(buffer))
    return bool(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.c_char_p(head), 0, 0) == 0)


def prove() -> Confinement:
    """Start a process that confines itself and tries what it may no longer do; tell what truly holds."""
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-m", "leadglass.edge.confine"],
            capture_output=True,
            timeout=20,
            check=False,
            cwd="/",
        )
        told = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return Confinement()
    return Confinement(**{name: told.get(name) is True for name in asdict(Confinement())})


def _tried() -> Confinement:
    """Confine this process, then try a file, a socket and a program."""
    held = confine(Allowance(address_space_bytes() + (256 << 20)))
    return Confinement(
        held.no_new_privileges,
        _fails(lambda: open("/etc/passwd", "rb")),
        _fails(lambda: socket.socket(socket.AF_INET)),
        held.calls_filtered and _fails(lambda: os.fork()),
        held.limits and _fails(lambda: bytearray(512 << 20)),
    )


def _fails(act: object) -> bool:
    assert callable(act)
    try:
        act()
    except (OSError, MemoryError):
        return True
    return False


if __name__ == "__main__":
    print(json.dumps(asdict(_tried())))  # noqa: T201 -- the answer to `prove`
