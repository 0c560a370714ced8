"""An address is its own; a name is looked up once; a name without an address is told."""

from __future__ import annotations

import pytest

from leadglass.edge.addresses import addresses_of
from leadglass.errors import UsageError


def test_addresses() -> None:
    assert addresses_of("10.1.2.3") == ("10.1.2.3",)
    assert addresses_of("2001:DB8::7") == ("2001:db8::7",)
    assert set(addresses_of("localhost")) <= {"127.0.0.1", "::1"}


@pytest.mark.parametrize("name", ["no-such-host.invalid", "a..b", "x" * 300])
def test_a_name_without_an_address(name: str) -> None:
    with pytest.raises(UsageError) as told:
        addresses_of(name)
    assert "--address" in told.value.hint
