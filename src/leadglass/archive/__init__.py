"""Keep objects so that only readers can read: sealed objects, their keys, the catalogue and the ledger."""
