"""An account's credentials as people give them: the fields of one JSON object.

It is read from a file's content or from what is stored, joined with another, looked into and
changed part by part, and validated. What a grant has to do with a field is not known here.
"""

from __future__ import annotations

import json
import re
from copy import deepcopy
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from token_refresher.credentials import SECRET_NAME
from token_refresher.json_text import given_twice, trouble_with
from token_refresher.parsing import FIELD_NAMES, as_object, parse_credentials

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from token_refresher.credentials import Credentials

# A field, and within an object the keys that lead to a part of it.
Slot: TypeAlias = tuple[str, ...]

# They are never taken from the command line, which a shell keeps in its history.
SECRET_FIELDS: Final = frozenset(
    {
        *("assertion", "client_secret", "partner_secret", "password", "private_key"),
        "refresh_token",
    }
)
# One of them says where an account is.
PLACES: Final = frozenset({"provider", "token_endpoint"})
# They are put together part by part.
_OBJECTS: Final = frozenset(
    {
        *("assertion", "dialect", "extra_parameters", "grant_parameters", "provider_parameters"),
        "request_headers",
    }
)
# Names that sound like a secret and hold none.
_NO_SECRET: Final = re.compile(r"(name|_id|_type|_type_hint)\Z", re.IGNORECASE)
_CLAIMS: Final = "claims."


class FormError(Exception):
    """The form cannot be filled in; the message names fields, never a value."""


def is_secret(name: str) -> bool:
    """Whether a parameter or a header of this name holds what nobody may see."""
    return SECRET_NAME.search(name) is not None and _NO_SECRET.search(name) is None


def read_object(content: str | bytes, *, name: str = "what was read") -> dict[str, Any]:
    """Read fields from a file's content.

    Args:
        content: Text, or the bytes of one.
        name: The file's, for messages.

    Raises:
        FormError: It is not one JSON object, or gives a field twice; it tells where, and nothing
            of it is repeated.
    """
    text = content if isinstance(content, str) else _text_of(content, name)
    # Editors of Windows begin a file with a byte-order mark.
    text = text.removeprefix("\ufeff")
    try:
        fields = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        place, kind = trouble_with(text)
        at = f"{name}, {place}" if place else name
        raise FormError(f"in {at}: {kind}; one JSON object is what is taken")
    if twice := given_twice(text):
        raise FormError(f"in {name}: one object gives {' and '.join(twice)} twice")
    return fields


def _text_of(content: bytes, name: str) -> str:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in content[:4]:
        raise FormError(f"in {name}: UTF-16; save it as UTF-8")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
    raise FormError(f"in {name}, line {line}: no UTF-8; save it as such")


def to_credentials(fields: Mapping[str, Any]) -> tuple[Credentials, str]:
    """Validate fields that are all there.

    Returns:
        The credentials, and the text to store.

    Raises:
        CredentialsError: It names the field and what to do, never a value.
    """
    text = json.dumps(fields, ensure_ascii=False)
    return parse_credentials(text), text


def joined(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Put fields over earlier ones: another place in the old one's, objects part by part."""
    fields = {name: as_object(name, value) for name, value in before.items()}
    after = {name: as_object(name, value) for name, value in after.items()}
    if PLACES & after.keys() and any(before.get(name) != after.get(name) for name in PLACES):
        if PLACES & before.keys():
            fields.pop("provider_parameters", None)
        for name in PLACES:
            fields.pop(name, None)
    for name, value in after.items():
        earlier = fields.get(name)
        if name in _OBJECTS and isinstance(earlier, dict) and isinstance(value, dict):
            fields[name] = _merged(earlier, value)
        else:
            fields[name] = value
    return fields


def _merged(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Put an object's parts over earlier ones; the claims of an assertion one by one, too."""
    claims = [each.get("claims") for each in (before, after)]
    both = [each for each in claims if isinstance(each, dict)]
    merged = {**before, **after}
    return merged if len(both) < len(claims) else {**merged, "claims": {**both[0], **both[1]}}


def slot_of(text: str) -> Slot:
    """Read the name of a field, or of a part of one such as ``extra_parameters.audience``.

    Raises:
        FormError: There is no such field; with the nearest.
    """
    name, _, part = text.partition(".")
    if name not in FIELD_NAMES or (part and name not in {*_OBJECTS, "publish"}):
        near = get_close_matches(name, FIELD_NAMES, n=1, cutoff=0.6)
        meant = f": did you mean {near[0]}?" if near and name not in FIELD_NAMES else ""
        raise FormError(f"--unset takes a field, or a part of an object of one{meant}")
    if name == "assertion" and part.startswith(_CLAIMS):
        return (name, "claims", part.removeprefix(_CLAIMS))
    return (name, part) if part else (name,)


def without(fields: Mapping[str, Any], slots: Collection[Slot]) -> dict[str, Any]:
    """Leave out fields, and parts of objects; an object that nothing is left of, too."""
    left = deepcopy(dict(fields))
    for slot in slots:
        _drop(left, slot)
    return left


def _drop(fields: dict[str, Any], slot: Slot) -> None:
    name, *part = slot
    held = fields.get(name)
    if part and isinstance(held, dict):
        _drop(held, tuple(part))
    if not part or not held:
        fields.pop(name, None)


def leaves(slot: Slot, value: object) -> Iterator[tuple[Slot, object]]:
    """Yield all that is no object within a value, and is not null, with the slot of each."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from leaves((*slot, name), each)
    elif value is not None:
        yield slot, value


def held_at(fields: Mapping[str, Any], slot: Slot) -> Any:  # noqa: ANN401 - any of JSON
    """Return what a slot holds; None where it holds null, or there is no such part."""
    held: Any = fields
    for name in slot:
        held = held.get(name) if isinstance(held, dict) else None
    return held


def with_value(fields: Mapping[str, Any], slot: Slot, value: Any) -> dict[str, Any]:  # noqa: ANN401
    """Change a field, or a part of one; the field whole is what is returned."""
    name, *rest = slot
    if not rest:
        return {name: value}
    held = fields.get(name)
    inner = held if isinstance(held, dict) else {}
    return {name: {**inner, **with_value(inner, tuple(rest), value)}}
