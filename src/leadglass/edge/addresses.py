"""The addresses behind a host name, looked up once, when a person names it; nobody at the door is looked up."""

from __future__ import annotations

import ipaddress
import socket

from leadglass.errors import UsageError


def addresses_of(host: str) -> tuple[str, ...]:
    """Give the addresses of a host; an address is its own. Raises UsageError for a name that has none."""
    try:
        return (str(ipaddress.ip_address(host)),)
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise UsageError(
            f"{host} is a name without an address here, so where it calls from is not known.",
            hint="Check the name, or say with --address where it calls from.",
        ) from None
    return tuple(dict.fromkeys(str(address[0]).partition("%")[0] for *_, address in found))
