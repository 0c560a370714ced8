"""Storage commitment (PS3.4 annex J): say which objects this archive answers for, once they are durable.

The request is recorded before it is acknowledged and answered by N-EVENT-REPORT on an association of our
own, tried again until the requester takes it; a requester without an address gets it on its own association.
"""

from __future__ import annotations

from dataclasses import dataclass

from leadglass.audit import AuditEvent, AuditKind
from leadglass.dicom.dataset import Element, decode, encode
from leadglass.dicom.dimse import NActionRQ, NActionRSP, NEventReportRQ, NEventReportRSP
from leadglass.dicom.dimse import encode as encode_command
from leadglass.dicom.pdu import ProposedContext
from leadglass.dicom.status import Status
from leadglass.dicom.syntaxes import EXPLICIT_LITTLE, IMPLICIT_LITTLE, TransferSyntax, transfer_syntax
from leadglass.dicom.user_information import RoleSelection
from leadglass.dicom.values import UID
from leadglass.errors import LeadglassError, NotFound, PeerError, RemoteError
from leadglass.gateway.negotiation import STORAGE_COMMITMENT
from leadglass.gateway.node import Node, NodeState, Permission
from leadglass.journeys.desk import Desk
from leadglass.journeys.ports import Clock, Commitment, Wire
from leadglass.journeys.retrieve import Archive
from leadglass.journeys.send import Connect, next_command, release, request_association

_TRANSACTION_UID = 0x00081195
_REFERENCED = 0x00081199
_FAILED = 0x00081198
_CLASS, _INSTANCE, _REASON = 0x00081150, 0x00081155, 0x00081197
WELL_KNOWN_INSTANCE = "1.2.840.10008.1.20.1.1"
_REQUEST, _SUCCESS_EVENT, _FAILURES_EVENT = 1, 1, 2
FIRST_WAIT_SECONDS = 5
ATTEMPTS_MAX = 30
