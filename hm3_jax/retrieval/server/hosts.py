"""The names that a server answers to.

A page of another site can lead its own name to this machine once it is loaded (DNS
rebinding), and would then read what the server says as if it were its own. Such
requests carry that name in their Host header.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Sequence

_HEADER = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^][:@/?#\\\s]+))(?::\d*)?")
_EVERY_ADDRESS = ("", "0.0.0.0", "::")


@dataclasses.dataclass(frozen=True, slots=True)
class Hosts:
    """Which Host headers are answered; localhost and its addresses always are.

    Attributes:
        names: Further names and addresses, in lower case; "*" stands for all.
        addresses: Whether every IP address is one: nobody can lead it elsewhere.
    """

    names: frozenset[str] = frozenset()
    addresses: bool = False

    @classmethod
    def of(cls, host: str, others: Sequence[str] = ()) -> Hosts:
        """Those of a server that listens on `host`, and others.

        Raises:
            ValueError: If one of the others is no name or address.
        """
        for name in others:
            if name != "*" and _name_in(name) != name.lower():
                raise ValueError(
                    "--allowed_hosts: expected names or addresses without scheme and "
                    f"port, found {name!r}"
                )
        names = frozenset(name.lower() for name in (host, *others))
        return cls(names, addresses=host in _EVERY_ADDRESS)

    def allow(self, header: str) -> bool:
        """Whether a request with this Host header is answered."""
        name = _name_in(header)
        if name is None:
            return False
        if name == "localhost" or not self.names.isdisjoint((name, "*")):
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return self.addresses or address.is_loopback


def _name_in(header: str) -> str | None:
    """The name or address in a Host header, without brackets; None if malformed."""
    match = _HEADER.fullmatch(header)
    if match is None:
        return None
    return (match[1] or match[2]).lower().removesuffix(".")
