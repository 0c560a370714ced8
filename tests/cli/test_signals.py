"""A signal at the worst moment still stops the service."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

_AT_THE_WORST_MOMENT = """
import os, signal, sys
from leadglass.cli.signals import until_stopped

with until_stopped() as stopped:
    def strike(frame, event, argument):
        # Each line of `wait`, and of whatever it calls, is the moment the signal comes.
        os.kill(os.getpid(), signal.SIGTERM)
        return strike
    sys.settrace(strike)
    stopped.wait()
    sys.settrace(None)
print("stopped")
"""


def test_a_signal_while_the_wait_begins_is_not_lost() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _AT_THE_WORST_MOMENT], capture_output=True, text=True, timeout=20, env=os.environ
    )
    assert done.stdout == "stopped\n", done.stderr


def test_a_second_interrupt_ends_at_once() -> None:
    code = """
import os, signal
from leadglass.cli.signals import until_stopped
with until_stopped() as stopped:
    os.kill(os.getpid(), signal.SIGINT)
    stopped.wait()
    os.kill(os.getpid(), signal.SIGINT)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
    assert done.returncode == -signal.SIGINT or "KeyboardInterrupt" in done.stderr
