"""The upper layer's state machine as the standard prints it (PS3.8 §9.2.3, Table 9-10).

This file does not know which side we are, nor what an action does: it knows which action an event calls
for in a state, and which state follows. Two next states stand where the action decides (AE-6 and AR-8).
An empty cell is an event that cannot happen there.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum


class State(IntEnum):
    """States of Table 9-10."""

    STA1 = 1
    """Idle."""
    STA2 = 2
    """Transport connection open (awaiting A-ASSOCIATE-RQ)."""
    STA3 = 3
    """Awaiting local A-ASSOCIATE response."""
    STA4 = 4
    """Awaiting transport connection opening to complete."""
    STA5 = 5
    """Awaiting A-ASSOCIATE-AC or A-ASSOCIATE-RJ."""
    STA6 = 6
    """Association established and ready for data transfer."""
    STA7 = 7
    """Awaiting A-RELEASE-RP."""
    STA8 = 8
    """Awaiting local A-RELEASE response."""
    STA9 = 9
    """Release collision, requestor side; awaiting local A-RELEASE response."""
    STA10 = 10
    """Release collision, acceptor side; awaiting A-RELEASE-RP."""
    STA11 = 11
    """Release collision, requestor side; awaiting A-RELEASE-RP."""
    STA12 = 12
    """Release collision, acceptor side; awaiting local A-RELEASE response."""
    STA13 = 13
    """Awaiting transport connection close."""


class Evt(IntEnum):
    """Events of Table 9-10."""

    ASSOCIATE_REQUEST = 1
    TRANSPORT_OPENED = 2
    ASSOCIATE_AC_PDU = 3
    ASSOCIATE_RJ_PDU = 4
    TRANSPORT_ACCEPTED = 5
    ASSOCIATE_RQ_PDU = 6
    ASSOCIATE_ACCEPT = 7
    ASSOCIATE_REJECT = 8
    DATA_REQUEST = 9
    DATA_TF_PDU = 10
    RELEASE_REQUEST = 11
    RELEASE_RQ_PDU = 12
    RELEASE_RP_PDU = 13
    RELEASE_RESPONSE = 14
    ABORT_REQUEST = 15
    ABORT_PDU = 16
    TRANSPORT_CLOSED = 17
    ARTIM_EXPIRED = 18
    INVALID_PDU = 19


class Action(Enum):
    """Actions of Tables 9-6 to 9-9."""

    AE_1 = "AE-1"
    """Issue a transport connect request."""
    AE_2 = "AE-2"
    """Send A-ASSOCIATE-RQ."""
    AE_3 = "AE-3"
    """Issue A-ASSOCIATE confirmation (accept)."""
    AE_4 = "AE-4"
    """Issue A-ASSOCIATE confirmation (reject) and close the transport connection."""
    AE_5 = "AE-5"
    """Issue a transport connection response; start ARTIM."""
    AE_6 = "AE-6"
    """Issue A-ASSOCIATE indication, or send A-ASSOCIATE-RJ where the provider cannot accept."""
    AE_7 = "AE-7"
    """Send A-ASSOCIATE-AC."""
    AE_8 = "AE-8"
    """Send A-ASSOCIATE-RJ and start ARTIM."""
    DT_1 = "DT-1"
    """Send P-DATA-TF."""
    DT_2 = "DT-2"
    """Issue P-DATA indication."""
    AR_1 = "AR-1"
    """Send A-RELEASE-RQ."""
    AR_2 = "AR-2"
    """Issue A-RELEASE indication."""
    AR_3 = "AR-3"
    """Issue A-RELEASE confirmation and close the transport connection."""
    AR_4 = "AR-4"
    """Send A-RELEASE-RP and start ARTIM."""
    AR_5 = "AR-5"
    """Stop ARTIM."""
    AR_6 = "AR-6"
    """Issue P-DATA indication."""
    AR_7 = "AR-7"
    """Send P-DATA-TF."""
    AR_8 = "AR-8"
    """Issue A-RELEASE indication (release collision); the requestor goes to Sta9, the acceptor to Sta10."""
    AR_9 = "AR-9"
    """Send A-RELEASE-RP."""
    AR_10 = "AR-10"
    """Issue A-RELEASE confirmation."""
    AA_1 = "AA-1"
    """Send A-ABORT and start ARTIM."""
    AA_2 = "AA-2"
    """Stop ARTIM and close the transport connection."""
    AA_3 = "AA-3"
    """Issue A-ABORT or A-P-ABORT indication and close the transport connection."""
    AA_4 = "AA-4"
    """Issue A-P-ABORT indication."""
    AA_5 = "AA-5"
    """Stop ARTIM."""
    AA_6 = "AA-6"
    """Ignore the PDU."""
    AA_7 = "AA-7"
    """Send A-ABORT."""
    AA_8 = "AA-8"
    """Send A-ABORT (provider), issue A-P-ABORT indication, start ARTIM."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One cell: the action and the state after it; `other_state` where the action chooses between two."""

    action: Action
    state: State
    other_state: State | None = None


# fmt: off
_TABLE_9_10 = """
       Sta1    Sta2       Sta3     Sta4    Sta5     Sta6     Sta7         Sta8     Sta9     Sta10     Sta11    Sta12    Sta13
Evt1   AE-1:4  -          -        -       -        -        -            -        -        -         -        -        -
Evt2   -       -          -        AE-2:5  -        -        -            -        -        -         -        -        -
Evt3   -       AA-1:13    AA-8:13  -       AE-3:6   AA-8:13  AA-8:13      AA-8:13  AA-8:13  AA-8:13   AA-8:13  AA-8:13  AA-6:13
Evt4   -       AA-1:13    AA-8:13  -       AE-4:1   AA-8:13  AA-8:13      AA-8:13  AA-8:13  AA-8:13   AA-8:13  AA-8:13  AA-6:13
Evt5   AE-5:2  -          -        -       -        -        -            -        -        -         -        -        -
Evt6   -       AE-6:3/13  AA-8:13  -       AA-8:13  AA-8:13  AA-8:13      AA-8:13  AA-8:13  AA-8:13   AA-8:13  AA-8:13  AA-7:13
Evt7   -       -          AE-7:6   -       -        -        -            -        -        -         -        -        -
Evt8   -       -          AE-8:13  -       -        -        -            -        -        -         -        -        -
Evt9   -       -          -        -       -        DT-1:6   -            AR-7:8   -        -         -        -        -
Evt10  -       AA-1:13    AA-8:13  -       AA-8:13  DT-2:6   AR-6:7       AA-8:13  AA-8:13  AA-8:13   AA-8:13  AA-8:13  AA-6:13
Evt11  -       -          -        -       -        AR-1:7   -            -        -        -         -        -        -
Evt12  -       AA-1:13    AA-8:13  -       AA-8:13  AR-2:8   AR-8:9/10    AA-8:13  AA-8:13  AA-8:13   AA-8:13  AA-8:13  AA-6:13
Evt13  -       AA-1:13    AA-8:13  -       AA-8:13  AA-8:13  AR-3:1       AA-8:13  AA-8:13  AR-10:12  AR-3:1   AA-8:13  AA-6:13
Evt14  -       -          -        -       -        -        -            AR-4:13  AR-9:11  -         -        AR-4:13  -
Evt15  -       -          AA-1:13  AA-2:1  AA-1:13  AA-1:13  AA-1:13      AA-1:13  AA-1:13  AA-1:13   AA-1:13  AA-1:13  -
Evt16  -       AA-2:1     AA-3:1   -       AA-3:1   AA-3:1   AA-3:1       AA-3:1   AA-3:1   AA-3:1    AA-3:1   AA-3:1   AA-2:1
Evt17  -       AA-5:1     AA-4:1   AA-4:1  AA-4:1   AA-4:1   AA-4:1       AA-4:1   AA-4:1   AA-4:1    AA-4:1   AA-4:1   AR-5:1
Evt18  -       AA-2:1     -        -       -        -        -            -        -        -         -        -        AA-2:1
Evt19  -       AA-1:13    AA-8:13  -       AA-8:13  AA-8:13  AA-8:13      AA-8:13  AA-8:13  AA-8:13   AA-8:13  AA-8:13  AA-7:13
"""  # noqa: E501
# fmt: on


def _read_table(text: str) -> dict[tuple[State, Evt], Transition]:
    table: dict[tuple[State, Evt], Transition] = {}
    head, *rows = text.strip().splitlines()
    states = [State(int(name.removeprefix("Sta"))) for name in head.split()]
    for row in rows:
        name, *cells = row.split()
        for state, cell in zip(states, cells, strict=True):
            if cell != "-":
                action, _, following = cell.partition(":")
                first, _, second = following.partition("/")
                transition = Transition(Action(action), State(int(first)), State(int(second)) if second else None)
                table[state, Evt(int(name.removeprefix("Evt")))] = transition
    return table


TABLE = _read_table(_TABLE_9_10)
"""Transitions by (state, event); a missing key is an empty cell."""
