"""Every contact with the world: sockets, files, clocks, threads, processes. One file a door; nothing here decides."""
