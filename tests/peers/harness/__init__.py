"""Peers to test against: real DICOM programs on loopback, one shape for all, always stopped.

Written without Leadglass's own engine, so that a mistake there cannot hide here.
"""
