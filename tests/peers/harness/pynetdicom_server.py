"""A storage provider as pynetdicom's documentation writes it, writing what it received as it received it."""

from __future__ import annotations

import ssl
import sys
from pathlib import Path

from pydicom.uid import AllTransferSyntaxes
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification


def main() -> None:
    port, storage = int(sys.argv[1]), Path(sys.argv[2])
    context = None
    if len(sys.argv) > 3:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=sys.argv[5])
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(sys.argv[4], sys.argv[3])

    def keep(event: evt.Event) -> int:
        name = str(event.request.AffectedSOPInstanceUID)
        (storage / name).write_bytes(event.encoded_dataset())
        return 0

    entity = AE(ae_title="PYNETDICOM")
    entity.maximum_pdu_size = 131072
    entity.supported_contexts = AllStoragePresentationContexts
    for supported in entity.supported_contexts:
        supported.transfer_syntax = list(AllTransferSyntaxes)
    entity.add_supported_context(Verification)
    entity.start_server(("127.0.0.1", port), block=True, evt_handlers=[(evt.EVT_C_STORE, keep)], ssl_context=context)


if __name__ == "__main__":
    main()
