"""Photon counts become colour volumes: geometry, physics, reconstruction, materials, colour."""
