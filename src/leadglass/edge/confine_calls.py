"""The system calls a confined process keeps, by name, and their numbers on the machines we know.

Two lists: COMPUTING for a process that only computes and talks through a socket it already has, READING for one
that still loads libraries. A name a machine lacks is passed over.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["COMPUTING", "READING", "calls_of"]

_X86_64 = {
    "read": 0, "write": 1, "open": 2, "close": 3, "stat": 4, "fstat": 5, "lstat": 6, "poll": 7, "lseek": 8,
    "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14,
    "rt_sigreturn": 15, "ioctl": 16, "pread64": 17, "readv": 19, "writev": 20, "access": 21, "sched_yield": 24,
    "mremap": 25, "madvise": 28, "dup": 32, "nanosleep": 35, "getpid": 39, "sendto": 44, "recvfrom": 45,
    "sendmsg": 46, "recvmsg": 47, "shutdown": 48, "getsockname": 51, "getsockopt": 55, "clone": 56, "exit": 60,
    "uname": 63, "fcntl": 72, "getcwd": 79, "readlink": 89, "getrlimit": 97, "getrusage": 98, "sysinfo": 99,
    "getuid": 102, "getgid": 104, "geteuid": 107, "getegid": 108, "sigaltstack": 131, "gettid": 186, "futex": 202,
    "sched_getaffinity": 204, "getdents64": 217, "set_tid_address": 218, "restart_syscall": 219,
    "clock_gettime": 228, "clock_getres": 229, "clock_nanosleep": 230, "exit_group": 231, "openat": 257,
    "newfstatat": 262, "readlinkat": 267, "ppoll": 271, "set_robust_list": 273, "prlimit64": 302,
    "getrandom": 318, "statx": 332, "rseq": 334, "clone3": 435, "faccessat2": 439,
}  # fmt: skip

_AARCH64 = {
    "getcwd": 17, "dup": 23, "fcntl": 25, "ioctl": 29, "openat": 56, "close": 57, "getdents64": 61, "lseek": 62,
    "read": 63, "write": 64, "readv": 65, "writev": 66, "pread64": 67, "ppoll": 73, "readlinkat": 78,
    "newfstatat": 79, "fstat": 80, "exit": 93, "exit_group": 94, "set_tid_address": 96, "futex": 98,
    "set_robust_list": 99, "nanosleep": 101, "clock_gettime": 113, "clock_getres": 114, "clock_nanosleep": 115,
    "sched_getaffinity": 123, "sched_yield": 124, "restart_syscall": 128, "sigaltstack": 132, "rt_sigaction": 134,
    "rt_sigprocmask": 135, "rt_sigreturn": 139, "uname": 160, "getrlimit": 163, "getrusage": 165, "getpid": 172,
    "getuid": 174, "geteuid": 175, "getgid": 176, "getegid": 177, "gettid": 178, "sysinfo": 179,
    "getsockname": 204, "sendto": 206, "recvfrom": 207, "getsockopt": 209, "shutdown": 210, "sendmsg": 211,
    "recvmsg": 212, "brk": 214, "munmap": 215, "mremap": 216, "clone": 220, "mmap": 222, "mprotect": 226,
    "madvise": 233, "prlimit64": 261, "getrandom": 278, "statx": 291, "rseq": 293, "clone3": 435,
    "faccessat2": 439,
}  # fmt: skip

COMPUTING = (
    "recvfrom", "sendto", "recvmsg", "sendmsg", "read", "write", "futex", "mmap", "munmap", "mremap", "mprotect",
    "brk", "madvise", "close", "poll", "ppoll", "fcntl", "fstat", "lseek", "shutdown", "clock_gettime",
    "clock_getres", "clock_nanosleep", "nanosleep", "sched_yield", "getrandom", "getpid", "gettid", "getrusage",
    "getrlimit", "prlimit64", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall",
    "exit", "exit_group",
)  # fmt: skip
"""Compute, allocate, talk on an open socket, end."""

READING = (
    *COMPUTING,
    "open", "openat", "stat", "lstat", "newfstatat", "statx", "access", "faccessat2", "readlink", "readlinkat",
    "getcwd", "getdents64", "pread64", "readv", "writev", "dup", "ioctl", "clone", "clone3", "set_robust_list", "rseq",
    "set_tid_address", "sched_getaffinity", "sysinfo", "uname", "getuid", "geteuid", "getgid", "getegid",
    "getsockname", "getsockopt",
)  # fmt: skip
"""The same, and load a library or start a thread."""


def calls_of(machine: str) -> Mapping[str, int]:
    """Give the numbers of the system calls on a machine; none where we do not know it."""
    return {"x86_64": _X86_64, "aarch64": _AARCH64}.get(machine, {})
