"""The pages where people decide: held objects, nodes; and where they check: the ledger, the system."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from leadglass.audit import AuditKind
from leadglass.console.door import Door
from leadglass.console.page import Pages, checked_form, page_session, see
from leadglass.dicom.values import AETitle
from leadglass.errors import LeadglassError, NotFound
from leadglass.gateway.node import NodeState, Permission
from leadglass.journeys.ports import LedgerLine, ObjectRecord, ObjectState

__all__ = ["DeskPages"]

_REASON_LENGTH_MIN, _REASON_LENGTH_MAX = 3, 500
_LEDGER_ROWS = 200


class DeskPages:
    """The handlers."""

    def __init__(self, door: Door, pages: Pages) -> None:
        self._door, self._pages = door, pages

    def held(self, request: Request) -> Response:
        """List held and conflicting objects."""
        page_session(request)
        catalogue = self._door.services.catalogue
        objects = [*catalogue.objects(ObjectState.HELD), *catalogue.objects(ObjectState.CONFLICT)]
        return self._pages.render(request, "held.html", {"objects": objects})

    def held_object(self, request: Request) -> Response:
        """Show why one object is held, and ask what shall become of it."""
        page_session(request)
        return self._held_page(request, "")

    def _held_page(self, request: Request, failure: str, status: int = 200) -> Response:
        object_id = _object_id(request)
        catalogue = self._door.services.catalogue
        record = catalogue.object(object_id)
        if record.state is ObjectState.ARCHIVED:
            raise NotFound("The object is not in quarantine.")
        history = catalogue.ledger(subject=object_id, limit=50)
        values: dict[str, object] = {
            "record": record,
            "copy": self._copy_of(history),
            "findings": sorted(record.findings, key=lambda f: -f.severity),
            "history": history,
            "failure": failure,
            "is_releasable": record.state is ObjectState.HELD and bool(record.sop_instance_uid),
            "is_decidable": record.state in (ObjectState.HELD, ObjectState.CONFLICT),
        }
        return self._pages.render(request, "held_object.html", values, status)

    def _copy_of(self, history: Sequence[LedgerLine]) -> ObjectRecord | None:
        """Find the harmless copy that was archived of a held object, where its history names one."""
        for line in history:
            copy = line.detail.get("copy")
            if line.kind == AuditKind.OBJECT_DISARMED and isinstance(copy, str):
                with suppress(LeadglassError):  # erased since, or discarded
                    found = self._door.services.catalogue.object(bytes.fromhex(copy))
                    return found if found.state is ObjectState.ARCHIVED else None
        return None

    async def decide(self, request: Request) -> Response:
        """Release or discard a held object; the reason a person types goes into the ledger."""
        session = page_session(request, admin=True)
        form = await checked_form(request, session)
        reason, action = str(form.get("reason", "")).strip(), str(form.get("action", ""))
        if not _REASON_LENGTH_MIN <= len(reason) <= _REASON_LENGTH_MAX or action not in ("release", "discard"):
            return await run_in_threadpool(self._held_page, request, "held.reason_missing", 422)
        quarantine, actor = self._door.services.quarantine, session.account.name
        act = quarantine.release if action == "release" else quarantine.discard
        await run_in_threadpool(act, _object_id(request), actor, reason)
        return see("/held")

    def nodes(self, request: Request) -> Response:
        """List nodes; those that wait for approval first."""
        page_session(request)
        nodes = sorted(self._door.services.catalogue.nodes(), key=lambda n: (n.state is NodeState.APPROVED, n.name))
        return self._pages.render(request, "nodes.html", {"nodes": nodes, "permissions": list(Permission)})

    async def approve(self, request: Request) -> Response:
        """Approve a node with what it may do and where it listens."""
        session = page_session(request, admin=True)
        form = await checked_form(request, session)
        catalogue, name = self._door.services.catalogue, AETitle.parse(str(form.get("name", "")))
        node = await run_in_threadpool(catalogue.node, name)
        if node is None:
            raise NotFound("There is no node of that name.")
        port = str(form.get("port", ""))
        permissions = frozenset(p for p in Permission if form.get(f"may_{p.value}"))
        approved = replace(
            node,
            state=NodeState.APPROVED,
            permissions=permissions,
            host=str(form.get("host", ""))[:255].strip(),
            port=int(port) if port.isdecimal() and 0 < int(port[:6]) < 65536 else 0,
        )
        detail: dict[str, str | int] = {"node": name, "permissions": " ".join(sorted(p.value for p in permissions))}
        event = self._door.journal.event(AuditKind.NODE_APPROVED, session.account.name, "approved", detail)
        await run_in_threadpool(catalogue.put_node, approved, event)
        return see("/nodes")

    async def remove(self, request: Request) -> Response:
        """Forget a node: it will be a stranger again."""
        session = page_session(request, admin=True)
        form = await checked_form(request, session)
        name = AETitle.parse(str(form.get("name", "")))
        event = self._door.journal.event(AuditKind.NODE_REMOVED, session.account.name, "removed", {"node": name})
        await run_in_threadpool(self._door.services.catalogue.remove_node, name, event)
        return see("/nodes")

    def ledger(self, request: Request) -> Response:
        """Show the end of the ledger."""
        page_session(request, admin=True)
        lines = self._door.services.catalogue.ledger(limit=_LEDGER_ROWS)
        return self._pages.render(request, "ledger.html", {"lines": lines})

    def system(self, request: Request) -> Response:
        """Show what `leadglass doctor` finds, and the counts."""
        page_session(request)
        services = self._door.services
        values: dict[str, object] = {"checks": services.checks(), "counts": services.catalogue.counts()}
        return self._pages.render(request, "system.html", values)


def _object_id(request: Request) -> bytes:
    try:
        object_id = bytes.fromhex(request.path_params["object"])
    except ValueError:
        object_id = b""
    if len(object_id) != 16:
        raise NotFound("There is no such object.")
    return object_id
