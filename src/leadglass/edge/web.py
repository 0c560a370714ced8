"""The web door: uvicorn over TLS in a thread of its own, for the console and DICOMweb."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from leadglass.errors import UsageError

REQUESTS_AT_ONCE_MAX = 256
KEEP_ALIVE_SECONDS = 15


class WebServer:
    """An HTTPS server on one address; `port` is the one really listened on."""

    def __init__(self, app: ASGIApp, host: str, port: int, tls: Callable[[], ssl.SSLContext]) -> None:
        try:
            self._socket = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        except OSError as error:
            raise UsageError(
                f"The web port {port} on {host} cannot be opened: {error.strerror}.",
                hint="Choose another [web] port in leadglass.toml, or stop what uses it.",
            ) from error
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            limit_concurrency=REQUESTS_AT_ONCE_MAX,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=3,
            h11_max_incomplete_event_size=64 << 10,
            lifespan="off",
            ssl_context_factory=lambda _config, _default: tls(),
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))

    def stop(self) -> None:
        """Finish what is being answered, for a short time, and close."""
        self._server.should_exit = True
        self._thread.join(5)
        self._socket.close()
