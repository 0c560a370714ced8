"""Fuzz the upper layer: whatever arrives, the engine answers with events, and how it was split changes nothing.

Invariant. For any bytes, on either side of an association: `receive_bytes` raises nothing; feeding them
whole, byte by byte, or in pieces gives the same events (adjacent data fragments joined), the same state and
the same bytes to send; `pdu.decode` and `dimse.decode_command` give a value whose encoding decodes to the
same value, or raise PeerError.

    python fuzz/fuzz_pdu.py --runs 100000 --seed 1     deterministic mutations of the seeds
    python fuzz/fuzz_pdu.py --atheris [libFuzzer options]     coverage-guided
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
from collections.abc import Iterator
from enum import Enum

from leadglass.dicom import dimse, pdu
from leadglass.dicom.association import (
    AssociateRequested,
    Association,
    CommandReceived,
    DataFragment,
    Event,
    PeerFault,
    WireLimits,
)
from leadglass.dicom.items import RawItem
from leadglass.dicom.states import State
from leadglass.dicom.user_information import (
    CommonExtendedNegotiation,
    ExtendedNegotiation,
    OperationsWindow,
    RoleSelection,
    UserIdentityAccept,
    UserIdentityRequest,
    UserIdentityType,
    UserInformation,
)
from leadglass.dicom.values import UID, AETitle
from leadglass.errors import PeerError


class Side(Enum):
    """Which end of the association hears the input; RELEASING is a requestor that has asked for release."""

    ACCEPTOR = 0
    REQUESTOR = 1
    RELEASING = 2


CT_IMAGE = UID("1.2.840.10008.5.1.4.1.1.2")
STUDY_ROOT_FIND = UID("1.2.840.10008.5.1.4.1.2.2.1")
VERIFICATION = UID("1.2.840.10008.1.1")
IMPLICIT = UID("1.2.840.10008.1.2")
EXPLICIT = UID("1.2.840.10008.1.2.1")

LIMITS = WireLimits(pdu_length_max=4096, control_length_max=8192, command_length_max=512, slim_run_max=8)
"""Small, so that mutations reach them."""

REQUEST = pdu.AssociateRequest(
    AETitle("LEADGLASS"),
    AETitle("CT01"),
    (
        pdu.ProposedContext(1, VERIFICATION, (IMPLICIT,)),
        pdu.ProposedContext(3, CT_IMAGE, (EXPLICIT, IMPLICIT)),
        pdu.ProposedContext(5, STUDY_ROOT_FIND, (IMPLICIT,)),
    ),
    UserInformation(
        maximum_length=16384,
        implementation_class_uid=UID("1.2.3.4"),
        implementation_version_name="FUZZ_1",
        operations_window=OperationsWindow(4, 1),
        role_selections=(RoleSelection(CT_IMAGE, True, True),),
        extended_negotiations=(ExtendedNegotiation(CT_IMAGE, b"\x01\x00"),),
        common_extended_negotiations=(CommonExtendedNegotiation(CT_IMAGE, UID("1.2.840.10008.4.2"), (UID("1.2"),)),),
        user_identity=UserIdentityRequest(UserIdentityType.USERNAME_PASSCODE, b"user", b"secret", True),
        unknown_items=(RawItem(0x5F, b"??"),),
    ),
)
ACCEPT = pdu.AssociateAccept(
    (
        pdu.AnsweredContext(1, pdu.ContextResult.ACCEPTANCE, IMPLICIT),
        pdu.AnsweredContext(3, pdu.ContextResult.ACCEPTANCE, EXPLICIT),
        pdu.AnsweredContext(5, pdu.ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED),
    ),
    UserInformation(
        role_selections=(RoleSelection(CT_IMAGE, True, False),), user_identity=UserIdentityAccept(b"welcome")
    ),
)


def answer(request: pdu.AssociateRequest) -> pdu.AssociateAccept:
    """Accept every proposed context in its first transfer syntax."""
    contexts = (
        pdu.AnsweredContext(context.context_id, pdu.ContextResult.ACCEPTANCE, context.transfer_syntaxes[0])
        for context in request.contexts
    )
    return pdu.AssociateAccept(tuple(contexts))


def _message(context_id: int, command: dimse.Command, *data: bytes) -> list[pdu.PresentationDataValue]:
    head = pdu.PresentationDataValue(context_id, True, True, dimse.encode(command))
    last = len(data) - 1
    return [head, *(pdu.PresentationDataValue(context_id, False, i == last, piece) for i, piece in enumerate(data))]


def _transfer(*values: pdu.PresentationDataValue) -> bytes:
    return pdu.encode(pdu.DataTransfer(values))


def seeds() -> list[tuple[Side, bytes]]:
    """Give valid conversations as one side receives them: (side, bytes)."""
    rq, ac = pdu.encode(REQUEST), pdu.encode(ACCEPT)
    end, reply = pdu.encode(pdu.ReleaseRequest()), pdu.encode(pdu.ReleaseReply())
    echo = _message(1, dimse.CEchoRQ(1, VERIFICATION))
    store = _message(3, dimse.CStoreRQ(2, CT_IMAGE, "1.2.3"), b"a" * 70, b"", b"b" * 30)
    find = _message(5, dimse.CFindRQ(3, STUDY_ROOT_FIND), b"query")
    cancel = _message(5, dimse.CCancelRQ(3))
    command = store[0].data
    split = [
        pdu.PresentationDataValue(3, True, False, command[:20]),
        pdu.PresentationDataValue(3, True, True, command[20:]),
        *store[1:],
    ]
    echoed = _message(1, dimse.CEchoRSP(1, VERIFICATION, 0))
    stored = _message(3, dimse.CStoreRSP(2, CT_IMAGE, "1.2.3", 0xA700, error_comment="full"))
    asked = _message(3, dimse.CStoreRQ(9, CT_IMAGE, "1.2.4", move_originator_ae_title="X"), b"z" * 100)
    return [
        (Side.ACCEPTOR, rq + b"".join(_transfer(value) for value in echo + store) + end),
        (Side.ACCEPTOR, rq + _transfer(*echo, *store) + _transfer() + _transfer(*find, *cancel) + end),
        (Side.ACCEPTOR, rq + b"".join(_transfer(value) for value in split) + end),
        (Side.ACCEPTOR, rq + pdu.encode(pdu.Abort(0, 0))),
        (Side.REQUESTOR, ac + _transfer(*echoed) + _transfer(*stored) + _transfer(*asked) + end),
        (Side.RELEASING, ac + _transfer(*echoed, *stored) + reply),
        (Side.RELEASING, ac + end),
        (Side.REQUESTOR, pdu.encode(pdu.AssociateReject(1, 1, 7))),
    ]


def pieces(data: bytes, cuts: list[int]) -> Iterator[tuple[int, bytes]]:
    """Cut at the given places; give each piece with its offset."""
    for start, end in itertools.pairwise(sorted({0, *cuts, len(data)})):
        yield start, data[start:end]


def listen(side: Side, data: bytes, cuts: list[int]) -> tuple[list[tuple[object, ...]], int, bytes]:
    """Feed a new engine and give its joined events, its state and what it wants to send.

    We act behind the first PDU (accept the association, or release it), so the input is also cut there.
    """
    engine = Association(is_requestor=side is not Side.ACCEPTOR, limits=LIMITS)
    if side is not Side.ACCEPTOR:
        engine.request(REQUEST)
    first = min(len(data), 6 + int.from_bytes(data[2:6], "big"))
    events: list[Event] = []
    for start, piece in pieces(data, [*cuts, first]):
        if start == first and side is Side.RELEASING and engine.state is State.STA6:
            engine.release()
        heard = engine.receive_bytes(piece)
        events += heard
        for event in heard:
            if isinstance(event, AssociateRequested):
                engine.accept(answer(event.request))
    state = engine.state
    events += engine.receive_eof()
    return joined(events), state, engine.data_to_send()


def joined(events: list[Event]) -> list[tuple[object, ...]]:
    """Make events comparable: adjacent fragments of a data set joined, faults by code."""
    result: list[tuple[object, ...]] = []
    open_data: tuple[int, bytearray] | None = None
    for event in events:
        if isinstance(event, DataFragment):
            if open_data is None:
                open_data = event.context_id, bytearray()
            assert open_data[0] == event.context_id
            open_data[1].extend(event.data)
            if event.is_last:
                result.append(("data", event.context_id, bytes(open_data[1])))
                open_data = None
            continue
        if open_data is not None:
            result.append(("part", open_data[0], bytes(open_data[1])))
            open_data = None
        if isinstance(event, PeerFault):
            result.append(("fault", event.error.code, event.error.clause))
        else:
            result.append((event,))
    return result


def check(side: Side, data: bytes, cuts: list[int]) -> str:
    """Prove the invariant for one input; give the outcome: "ok" or the fault's code."""
    whole = listen(side, data, [])
    assert whole == listen(side, data, cuts), "pieces"
    assert whole == listen(side, data, list(range(1, len(data)))), "byte by byte"
    for event in whole[0]:
        if isinstance(event[0], CommandReceived):
            _check_command(event[0].data)
    _check_pdu(data)
    fault = next((event for event in whole[0] if event[0] == "fault"), None)
    return "ok" if fault is None else str(fault[1])


def _check_pdu(data: bytes) -> None:
    try:
        value = pdu.decode(data[: 6 + int.from_bytes(data[2:6], "big")])
    except PeerError:
        return
    assert pdu.decode(pdu.encode(value)) == value, "PDU round trip"


def _check_command(data: bytes) -> None:
    try:
        command = dimse.decode_command(data)
    except PeerError:
        return
    assert dimse.decode_command(dimse.encode(command)) == command, "command round trip"


def mutate(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    """Damage bytes in one to six ways; half of the time only behind the first PDU, where messages are."""
    result = bytearray(data)
    first = 6 + int.from_bytes(data[2:6], "big") if chance.random() < 0.5 else 0
    for _ in range(chance.randint(1, 6)):
        at = chance.randint(min(first, len(result)), len(result))
        match chance.randrange(8):
            case 0 if at < len(result):
                result[at] ^= 1 << chance.randrange(8)
            case 1 if at < len(result):
                result[at] = chance.choice((0, 1, 2, 3, 4, 0x7F, 0x80, 0xFF, chance.randrange(256)))
            case 2:
                result[at:at] = chance.randbytes(chance.randint(1, 8))
            case 3:
                del result[at : at + chance.randint(1, 16)]
            case 4:
                end = at + chance.randint(1, 80)
                result[at:at] = result[at:end]
            case 5:
                value = chance.choice((0, 1, 2, 5, 6, 0xFF, 0xFFFF, 0xFFFFFFFF, len(result)))
                width = chance.choice((2, 4))
                result[at : at + width] = (value & (1 << 8 * width) - 1).to_bytes(width, "big")
            case 6:
                other = chance.choice(others)
                result[at:] = other[chance.randrange(len(other)) :]
            case _ if chance.random() < 0.2:
                del result[at:]
    return bytes(result)


def run(runs: int, seed: int) -> dict[str, int]:
    """Check mutations of the seeds; count the outcomes. An input that breaks the invariant is printed."""
    chance = random.Random(seed)
    start = seeds()
    for side, data in start:
        assert check(side, data, [len(data) // 2]) == "ok"
    outcomes: dict[str, int] = {}
    for number in range(runs):
        side, data = chance.choice(start)
        data = mutate(data, chance, [other for _, other in start])
        cuts = [chance.randrange(len(data) + 1) for _ in range(chance.randrange(6))]
        try:
            outcome = check(side, data, cuts)
        except BaseException:
            print(f"run {number}: {side} cuts={cuts} data={data.hex()}", file=sys.stderr)
            raise
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    return outcomes


def fuzz_one(data: bytes) -> None:
    """Take one input of atheris: the first byte chooses the side, the second a cut."""
    if len(data) >= 2:
        check(Side(data[0] % 3), data[2:], [min(data[1], len(data) - 2)])


def main() -> None:
    """Run deterministic mutations, or atheris."""
    if "--atheris" in sys.argv:
        import atheris

        sys.argv.remove("--atheris")
        atheris.instrument_all()
        atheris.Setup(sys.argv, fuzz_one)
        atheris.Fuzz()
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    outcomes = run(arguments.runs, arguments.seed)
    for code, count in sorted(outcomes.items(), key=lambda item: -item[1]):
        print(f"{count:8}  {code}")
    print(f"{arguments.runs} runs of seed {arguments.seed}: events or PeerFault, nothing else")


if __name__ == "__main__":
    main()
