"""The state machine is the standard's: another reading of Table 9-10 agrees in every cell."""

from __future__ import annotations

from pynetdicom.fsm import TRANSITION_TABLE

from leadglass.dicom.states import TABLE, Action, Evt, State

# Next states as pynetdicom's actions return them are not in its table; these are from Tables 9-6 to 9-9.
NEXT_STATES = {
    Action.AE_1: {4}, Action.AE_2: {5}, Action.AE_3: {6}, Action.AE_4: {1}, Action.AE_5: {2},
    Action.AE_6: {3, 13}, Action.AE_7: {6}, Action.AE_8: {13}, Action.DT_1: {6}, Action.DT_2: {6},
    Action.AR_1: {7}, Action.AR_2: {8}, Action.AR_3: {1}, Action.AR_4: {13}, Action.AR_5: {1},
    Action.AR_6: {7}, Action.AR_7: {8}, Action.AR_8: {9, 10}, Action.AR_9: {11}, Action.AR_10: {12},
    Action.AA_1: {13}, Action.AA_2: {1}, Action.AA_3: {1}, Action.AA_4: {1}, Action.AA_5: {1},
    Action.AA_6: {13}, Action.AA_7: {13}, Action.AA_8: {13},
}  # fmt: skip


def test_every_cell_agrees_with_pynetdicom() -> None:
    """Same cells filled, same action in each."""
    ours = {
        (f"Evt{int(event)}", f"Sta{int(state)}"): cell.action.value.replace("-", "_")
        for (state, event), cell in TABLE.items()
    }
    theirs = {key: action.replace("-", "_") for key, action in TRANSITION_TABLE.items()}
    assert ours == theirs


def test_next_states_are_those_of_the_action() -> None:
    """An action leads where Tables 9-6 to 9-9 say, from any state."""
    assert set(NEXT_STATES) == set(Action)
    for cell in TABLE.values():
        reached = {int(cell.state)} | ({int(cell.other_state)} if cell.other_state is not None else set())
        assert reached == NEXT_STATES[cell.action], cell


def test_every_pdu_has_an_answer_once_connected() -> None:
    """A peer can send any PDU, or none, in every state with a connection: no cell is empty."""
    from_peer = {
        Evt.ASSOCIATE_AC_PDU, Evt.ASSOCIATE_RJ_PDU, Evt.ASSOCIATE_RQ_PDU, Evt.DATA_TF_PDU, Evt.RELEASE_RQ_PDU,
        Evt.RELEASE_RP_PDU, Evt.ABORT_PDU, Evt.INVALID_PDU, Evt.TRANSPORT_CLOSED,
    }  # fmt: skip
    for state in set(State) - {State.STA1, State.STA4}:
        assert {event for event in from_peer if (state, event) in TABLE} == from_peer
