"""The sender: a modality with its own certificate, storing over mutual TLS like any other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from leadglass.cli.morning.objects import Sample
from leadglass.dicom.dimse import CStoreRQ, CStoreRSP, encode
from leadglass.dicom.pdu import ProposedContext
from leadglass.dicom.values import UID
from leadglass.errors import RemoteError
from leadglass.gateway.node import Node
from leadglass.journeys.send import Connect, next_command, release, request_association

_FRAGMENT_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Modality:
    """A scanner that knows where to send."""

    ae_title: str
    hub: Node
    connect: Connect

    def store(self, samples: Sequence[Sample]) -> Iterator[tuple[Sample, int]]:
        """Send objects on one association, each after the last was answered; give each with its status."""
        pairs = list(dict.fromkeys((sample.sop_class_uid, sample.transfer_syntax_uid) for sample in samples))
        contexts = [
            ProposedContext(2 * index + 1, UID(sop_class), (UID(syntax),))
            for index, (sop_class, syntax) in enumerate(pairs)
        ]
        wire = self.connect(self.hub)
        try:
            request_association(wire, calling=self.ae_title, called=self.hub.name, contexts=contexts)
            for number, sample in enumerate(samples):
                context_id = 2 * pairs.index((sample.sop_class_uid, sample.transfer_syntax_uid)) + 1
                if context_id not in wire.engine.contexts:
                    raise RemoteError(f"The hub does not take {sample.name}.")
                command = CStoreRQ(number % 0xFFFF + 1, UID(sample.sop_class_uid), sample.sop_instance_uid)
                wire.send(wire.engine.send_command(context_id, encode(command)))
                data = memoryview(sample.dataset)
                for at in range(0, len(data), _FRAGMENT_BYTES):
                    piece = data[at : at + _FRAGMENT_BYTES]
                    is_last = at + len(piece) == len(data)
                    wire.send(wire.engine.send_data(context_id, piece, is_last=is_last))
                _, answer = next_command(wire)
                if not isinstance(answer, CStoreRSP):
                    raise RemoteError("The hub answered a store with something else.")
                yield sample, answer.status
            release(wire)
        finally:
            wire.close()
