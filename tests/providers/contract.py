"""A provider's contract: a request and a response as its documentation shows them, told twice.

It was typed from the pages that it names, with invented values, and never reads the entry that it
holds: what both agree on, two people have read there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tests.providers.assertions import Demanded  # noqa: TC001 - msgspec reads annotations

if TYPE_CHECKING:
    from collections.abc import Iterable

CONTRACTS: Final = Path(__file__).with_name("contracts")


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the page shows that must be sent, and so must nothing else.

    Attributes:
        method: Of HTTP.
        url: Whole, but for `query`.
        headers: Those that the page demands.
        form: The body's parameters, where it is a form; a list stands for a repeated one.
        json: The body, where it is JSON.
        query: The parameters, where they are in the address.
        assertion: What ``{assertion}`` stands for in the other fields.
        certificate: Whether nobody is spoken with who shows no certificate.
    """

    method: str
    url: str
    headers: dict[str, str] = {}
    form: dict[str, str | list[str]] | None = None
    json: Any = None
    query: dict[str, str | list[str]] = {}
    assertion: Demanded | None = None
    certificate: bool = False


class Response(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the page shows that comes back.

    Attributes:
        status: Of HTTP.
        headers: Those that the page shows.
        json: The body.
    """

    status: int
    headers: dict[str, str]
    json: Any

    @property
    def body(self) -> bytes:
        """The body as it is sent."""
        return json.dumps(self.json).encode()


class Exchange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One request and its response."""

    request: Request
    response: Response


class Contract(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way to a provider's token, and to the next one.

    Attributes:
        title: What it is.
        credentials: What an account's owner stores; ``{certificate}`` and ``{private_key}`` stand
            for those that the provider has signed.
        exchanges: The first token's, and the one when that is due.
        published: What consumers read after each: access token, ``token_type``, ``expires_in``
            counted from the request, and added fields.
    """

    title: str
    credentials: dict[str, Any]
    exchanges: tuple[Exchange, ...]
    published: tuple[dict[str, Any], ...]

    @property
    def provider(self) -> str:
        """The entry that it holds."""
        return str(self.credentials["provider"])

    @property
    def grant(self) -> str:
        """The grant, as an entry names it."""
        return str(self.credentials.get("grant_type", "login"))

    @property
    def demands_certificate(self) -> bool:
        """Whether its provider speaks with nobody who shows no certificate."""
        return any(exchange.request.certificate for exchange in self.exchanges)

    def __str__(self) -> str:
        """Name it."""
        return f"{self.provider}: {self.title}"


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    documentation: tuple[str, ...]
    contracts: tuple[Contract, ...]


def contracts_of(directory: Path = CONTRACTS) -> list[Contract]:
    """Read all contracts, a file for each provider."""
    files: Iterable[Path] = sorted(directory.glob("*.json"))
    return [
        contract
        for path in files
        for contract in msgspec.json.decode(path.read_bytes(), type=_File).contracts
    ]
