"""Decide what may pass: written policy in, Forward, Hold or Reject out."""
