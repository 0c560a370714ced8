"""What the product does: read these files and know it. No sockets, files or clocks; the world comes by `ports`."""
