"""The sites that need no ``token_endpoint``: presets of the OLX Group motors API.

Source: the API's own page "Oauth2: Generate authorization token".
"""

from __future__ import annotations

from typing import Final

import msgspec


class Site(msgspec.Struct, frozen=True):
    """What a preset stands for.

    Attributes:
        token_endpoint: Without a trailing slash; the servers redirect around it.
        sends_email_as_user_agent: The API wants to see the account's e-mail there.
    """

    token_endpoint: str
    sends_email_as_user_agent: bool


def _motors(host: str) -> Site:
    return Site(f"https://{host}/api/open/oauth/token", sends_email_as_user_agent=True)


SITES: Final = {
    "autovit.ro": _motors("www.autovit.ro"),
    "otomoto.pl": _motors("www.otomoto.pl"),
    "standvirtual.com": _motors("www.standvirtual.com"),
}

# Any other server: reached by its token_endpoint, no rule of its own.
ANY_SERVER: Final = Site("", sends_email_as_user_agent=False)

# Where credentials may be sent unless ALLOWED_TOKEN_HOSTS says otherwise.
DEFAULT_TOKEN_HOSTS: Final = ("www.autovit.ro", "www.otomoto.pl", "www.standvirtual.com")
