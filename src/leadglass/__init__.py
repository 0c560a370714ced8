"""Leadglass: a secured imaging chain. You see through it, and it shields you."""

__version__ = "0.1.0"
