"""A morning in a hospital, played on one machine: who takes part (`modality`, `archive`, `viewer`), what they send
(`objects`), what happens in which order (`play`), and how it is told (`words`).

The other parties are small on purpose and go through the real doors: TLS, DICOM and HTTPS on loopback.
"""
