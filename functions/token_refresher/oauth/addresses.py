"""Which addresses are global: those of the Internet, and of no network behind it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

# RFC 4291 section 2.4: what is given out of IPv6 so far. All else is local, reserved or a way to
# write an IPv4 address, whatever Python's own tables say of it.
_GIVEN_OUT: Final = IPv6Network("2000::/3")
# RFC 6052 section 2.1: a translator sends it to the IPv4 address in its last four bytes.
_TRANSLATED: Final = IPv6Network("64:ff9b::/96")
# RFC 6890: for protocols; the tables of Python before 3.13 have parts of it only.
_PROTOCOLS: Final = IPv4Network("192.0.0.0/24")


def is_global(text: str) -> bool:
    """Whether an address is one of the Internet's, also where it stands within another one.

    An address that holds another is global where that one is: mapped (RFC 4291 section 2.5.5.2),
    translated (RFC 6052) or of 6to4 (RFC 3056).
    """
    address: IPv4Address | IPv6Address = ip_address(text)
    if isinstance(address, IPv6Address):
        if address in _TRANSLATED:
            return _is_global(IPv4Address(address.packed[-4:]))
        within = address.ipv4_mapped or address.sixtofour
        if within is not None:
            return _is_global(within)
        return address in _GIVEN_OUT and address.is_global
    return _is_global(address)


def _is_global(address: IPv4Address) -> bool:
    return address.is_global and not address.is_multicast and address not in _PROTOCOLS
