"""What consumers get: the standard JSON, fields added to it, or a form of the account's own.

Pure: a token and what was kept of its response in, the text of the secret's version out. No path,
no template and no server that echoes publishes a refresh token, a client secret or a password.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import unquote, unquote_plus

import msgspec

from token_refresher.oauth.dialect import PATH, find, names_refresh_token, overlaps
from token_refresher.oauth.errors import TokenResponseError
from token_refresher.oauth.hidden import Hidden
from token_refresher.ports import LONGEST_VALUE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from token_refresher.model import PublishedToken

Value: TypeAlias = str | int | float | bool

# In bytes, of one text out of a response.
_LONGEST_TEXT: Final = 2_048
_MOST_FIELDS: Final = 16
# Of 64 KiB each: a few thousand would take the memory of all accounts.
_MOST_VARIABLES: Final = 64
# A shorter secret would be found in many a text that does not tell it.
_SHORTEST_CONTAINED: Final = 8
# From here on a float may be another integer than the one that was sent; and no JSON that is
# kept holds integers of more than 64 bits.
_FLOATS_END: Final = 2**53
_INTEGERS_END: Final = 2**63

_STANDARD: Final = ("access_token", "token_type", "scope", "issued_at", "expires_at")
_RESPONSE: Final = "response."
# A lifetime would be false the moment it is read.
_NEVER_ADDED: Final = frozenset({*_STANDARD, "expires_in"})
_VARIABLE: Final = re.compile(r"\{([^{}]*)\}")
_PLAIN_WORD: Final = re.compile(r"\w{1,40}", re.ASCII)
_SECRET_NAMES: Final = ("clientsecret", "password")


class Publish(
    Hidden,
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
):
    """What an account's consumers get instead of the standard JSON; exactly one of both.

    Attributes:
        fields: Paths into the token response; what is there is added to the standard JSON, under
            the path's last part.
        as_: ``as`` in JSON. A text, or an object of texts, with ``{access_token}``,
            ``{token_type}``, ``{scope}``, ``{issued_at}``, ``{expires_at}`` and
            ``{response.PATH}``; a variable that is all of an object's text keeps its type.
    """

    fields: tuple[str, ...] = ()
    as_: str | dict[str, str] | None = msgspec.field(default=None, name="as")

    def __post_init__(self) -> None:
        """Check paths and templates, which must name nothing that is not for consumers.

        Raises:
            ValueError: It names the field, never a value; msgspec turns it into its own error.
        """
        if bool(self.fields) == (self.as_ is not None):
            raise ValueError("`publish` takes exactly one of `fields` and `as`")
        entries = self._entries()
        for field, _, pieces in entries:
            _require_template(field, pieces)
        if not self.fields and not any("access_token" in pieces[1::2] for _, _, pieces in entries):
            raise ValueError("`publish.as` must hold {access_token}")
        if max(len(entries), len(self.paths)) > _MOST_FIELDS:
            msg = f"`publish` takes at most {_MOST_FIELDS} fields"
            raise ValueError(msg)
        if sum(len(pieces) // 2 for _, _, pieces in entries) > _MOST_VARIABLES:
            msg = f"`publish.as` takes at most {_MOST_VARIABLES} variables"
            raise ValueError(msg)
        names = [name.lower() for _, name, _ in entries]
        if self.fields and (_NEVER_ADDED.intersection(names) or len({*names}) < len(names)):
            msg = (
                "`publish.fields` must end in names of their own, each another one, and none of "
                f"{', '.join(sorted(_NEVER_ADDED))}: other names can be given in `publish.as`"
            )
            raise ValueError(msg)

    def _entries(self) -> list[tuple[str, str, list[str]]]:
        """The parts of what is published: field of the credentials, name, template.

        A template's literals are at even places, its variables at odd ones.
        """
        if isinstance(self.as_, str):
            return [("publish.as", "", _VARIABLE.split(self.as_))]
        if self.as_ is not None:
            return [
                (_field_of(name), name, _VARIABLE.split(template))
                for name, template in self.as_.items()
            ]
        return [
            (f"publish.fields[{index}]", path.rpartition(".")[2], ["", _RESPONSE + path, ""])
            for index, path in enumerate(self.fields)
        ]

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths into the token response, each once, in their order."""
        variables = chain.from_iterable(pieces[1::2] for _, _, pieces in self._entries())
        paths = (each.removeprefix(_RESPONSE) for each in variables if each not in _STANDARD)
        return tuple(dict.fromkeys(paths))

    def require_apart_from(self, refresh_token_paths: Iterable[str]) -> None:
        """Refuse paths at, above or below those where refresh tokens are.

        Raises:
            ValueError: It names the field.
        """
        for secret_path in refresh_token_paths:
            if any(overlaps(path, secret_path) for path in self.paths):
                field = "fields" if self.fields else "as"
                msg = f"`publish.{field}` must not publish what is where the refresh token is"
                raise ValueError(msg)

    def values_of(self, content: object) -> dict[str, Value]:
        """Take from a parsed response what is to be kept for `render`, by its path.

        What cannot be published is left out, so that nothing keeps a response from being
        journaled.
        """
        found = ((path, _publishable(find(content, path))) for path in self.paths)
        return {path: value for path, value in found if value is not None}

    def render(
        self, token: PublishedToken, values: Mapping[str, Value], *, secrets: Collection[str]
    ) -> str:
        """Write the text of the secret's version; the same input always gives the same text.

        Args:
            token: What is published in the standard form.
            values: As `values_of` took them from the token's response.
            secrets: Texts that must not be published, whatever the server sends.

        Raises:
            TokenResponseError: A value is absent or no scalar, a secret would be told, or the
                text is longer than a secret; names the field, never a value.
        """
        standard = _standard(token)
        known = {**standard, **{_RESPONSE + path: value for path, value in values.items()}}
        filled = {}
        for field, name, pieces in self._entries():
            # The name may be what must not be told.
            _require_no_secret(field.removesuffix(f".{name}"), name, secrets)
            filled[name] = _fill(field, pieces, known, secrets)
        if isinstance(self.as_, str):
            return _bounded(_written(filled[""]))
        if self.as_ is not None:
            return _bounded(_written(filled))
        return _with_standard(standard, filled, secrets)


def render(token: PublishedToken, *, secrets: Collection[str]) -> str:
    """Write the standard JSON.

    Raises:
        TokenResponseError: As for `Publish.render`.
    """
    return _with_standard(_standard(token), {}, secrets)


def _standard(token: PublishedToken) -> dict[str, Value]:
    fields: dict[str, Value] = msgspec.to_builtins(token)
    return fields


def _with_standard(
    standard: dict[str, Value], added: dict[str, Value], secrets: Collection[str]
) -> str:
    for name, value in standard.items():
        _require_no_secret(name, value, secrets)
    return _bounded(_written(standard | added))


def _written(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _bounded(text: str) -> str:
    if len(text.encode()) > LONGEST_VALUE:
        msg = f"what is published is longer than the {LONGEST_VALUE:,} bytes of a secret"
        raise TokenResponseError(msg, code="token_too_long")
    return text


def _field_of(name: str) -> str:
    return f"publish.as.{name}" if _PLAIN_WORD.fullmatch(name) else "publish.as"


def _require_template(field: str, pieces: list[str]) -> None:
    if any("{" in literal or "}" in literal for literal in pieces[::2]):
        msg = f"`{field}` has a brace that belongs to no variable"
        raise ValueError(msg)
    for variable in pieces[1::2]:
        if variable in _STANDARD:
            continue
        path = variable.removeprefix(_RESPONSE)
        if path == variable or not re.match(PATH, path):
            where = "of at most six keys with dots between them"
            msg = (
                f"`{field}` must be a path into the token response {where}"
                if field.startswith("publish.fields")
                else f"`{field}` has a variable that is none of {', '.join(_STANDARD)} and "
                f"response.PATH, a path into the token response {where}"
            )
            raise ValueError(msg)
        names = [re.sub(r"[^a-z]", "", part.lower()) for part in path.split(".")]
        if names_refresh_token(path) or any(name.endswith(_SECRET_NAMES) for name in names):
            msg = f"`{field}` must not publish a refresh token, client secret or password"
            raise ValueError(msg)


def _publishable(value: object) -> Value | None:
    """What may be published of a response; None for what may not, as for what is absent."""
    if isinstance(value, str):
        # No line break, which could add a line of its own to a text; nor half a character.
        is_taken = value.isprintable() and len(value.encode()) <= _LONGEST_TEXT
        return value if is_taken else None
    if isinstance(value, float):
        if not abs(value) < _FLOATS_END:
            return None
        # Responses are parsed with all numbers as floats.
        return int(value) if value.is_integer() else value
    if isinstance(value, int) and abs(value) < _INTEGERS_END:
        return value
    return None


def _fill(
    field: str, pieces: list[str], known: Mapping[str, Value], secrets: Collection[str]
) -> Value:
    """Put values into a template; one that is nothing but a variable keeps its type."""
    filled: list[Value] = [*pieces]
    for index in range(1, len(pieces), 2):
        variable = pieces[index]
        value = known.get(variable)
        if value is None or (isinstance(value, str) and not value.isprintable()):
            msg = (
                f"`{field}` wants what the token response does not have: a text of one line and "
                f"at most {_LONGEST_TEXT:,} bytes, a number or a boolean"
            )
            raise TokenResponseError(msg)
        _require_no_secret(variable if variable in _STANDARD else field, value, secrets)
        filled[index] = value
    if pieces[::2] == ["", ""]:
        return filled[1]
    text = "".join(map(_written, filled))
    _require_no_secret(field, text, secrets)
    return text


def tells_secret(value: Value, secrets: Collection[str]) -> bool:
    """Whether a value tells a secret, also as a form encodes it."""
    text = _written(value)
    decoded = (text, unquote(text), unquote_plus(text))
    return any(
        secret in decoded
        or (len(secret) >= _SHORTEST_CONTAINED and any(secret in each for each in decoded))
        for secret in filter(None, secrets)
    )


def _require_no_secret(field: str, value: Value, secrets: Collection[str]) -> None:
    if tells_secret(value, secrets):
        msg = (
            f"`{field}` would publish a client secret, password or refresh token: either the "
            "token endpoint sends it back, or `publish` itself holds it"
        )
        raise TokenResponseError(msg, code="secret_in_response")
