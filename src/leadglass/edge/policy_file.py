"""The policy as it stands on disk now: read again when the file changes, the last good one while it is broken."""

from __future__ import annotations

import os
import threading

from leadglass.edge.site import POLICY, Site
from leadglass.errors import ConfigurationError
from leadglass.gateway.policy import Policy


class PolicyFile:
    """Call it for the policy in force. Thread-safe."""

    def __init__(self, site: Site) -> None:
        """Read it once; raises ConfigurationError when it is broken from the start."""
        self._site = site
        self._path = str(site.folder / POLICY)
        self._lock = threading.Lock()
        self._stamp = self._read_stamp()
        self._policy = site.policy()
        self.problem = ""
        """Why the file on disk is not in force, empty while it is."""

    def __call__(self) -> Policy:
        """Give the policy in force."""
        stamp = self._read_stamp()
        with self._lock:
            if stamp != self._stamp:
                self._stamp = stamp
                try:
                    self._policy, self.problem = self._site.policy(), ""
                except ConfigurationError as error:
                    self.problem = error.message
            return self._policy

    def _read_stamp(self) -> tuple[int, int]:
        try:
            status = os.stat(self._path)
        except OSError:
            return 0, 0
        return status.st_mtime_ns, status.st_size
