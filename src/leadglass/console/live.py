"""Server-sent events: a page hears that something changed and asks for its rows again; no data travels here.

One task looks at the catalogue's counts while anybody listens and wakes every listener; streams are counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from leadglass.console.page import page_session
from leadglass.console.services import ConsoleCatalogue
from leadglass.errors import LeadglassError
from leadglass.limits import EVENT_STREAMS_MAX

__all__ = ["Live"]

_LOOK_SECONDS = 1.0
_HEARTBEAT_SECONDS = 15.0


class Live:
    """The stream of changes."""

    def __init__(self, catalogue: ConsoleCatalogue) -> None:
        self._catalogue = catalogue
        self._listeners: set[asyncio.Event] = set()
        self._task: asyncio.Task[None] | None = None

    async def events(self, request: Request) -> Response:
        """Open a stream; 503 when too many pages are open."""
        page_session(request)
        if len(self._listeners) >= EVENT_STREAMS_MAX:
            return Response("Too many live pages are open.", 503, headers={"Retry-After": "30"})
        return StreamingResponse(self._stream(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    async def _stream(self) -> AsyncIterator[str]:
        changed = asyncio.Event()
        self._listeners.add(changed)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch())
        try:
            yield "retry: 5000\n\n"
            while True:
                try:
                    await asyncio.wait_for(changed.wait(), _HEARTBEAT_SECONDS)
                except TimeoutError:
                    yield ": still here\n\n"
                else:
                    changed.clear()
                    yield "event: change\ndata: -\n\n"
        finally:
            self._listeners.discard(changed)

    async def _watch(self) -> None:
        last = None
        while self._listeners:
            try:
                counts = dict(await run_in_threadpool(self._catalogue.counts))
            except LeadglassError:
                counts = {}
            seen = {key: value for key, value in counts.items() if key != "ledger"}
            if last is not None and seen != last:
                for listener in self._listeners:
                    listener.set()
            last = seen
            await asyncio.sleep(_LOOK_SECONDS)
