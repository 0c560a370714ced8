"""Speak DICOM without a socket: bytes in, events and bytes out (PS3.5, PS3.7, PS3.8, PS3.10)."""
