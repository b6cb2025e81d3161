"""What Secrets Manager takes of names, version ids, values and tags, and refuses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from local.secrets_manager.refusals import malformed, wrong_parameter

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_BYTES = 65_536
MOST_TAGS = 50
NAME = re.compile(r"[A-Za-z0-9/_+=.@-]{1,512}")
VERSION_ID_LENGTHS = range(32, 65)
TAG_KEY = re.compile(r"[\w +=.:/@-]{1,128}")
TAG_VALUE = re.compile(r"[\w +=.:/@-]{0,256}")


def check_name(name: str) -> None:
    """Refuse a name that no secret can have."""
    if not NAME.fullmatch(name):
        raise malformed("A secret's name has 1 to 512 letters, digits and /_+=.@-")


def check_version_id(version_id: str) -> None:
    """Refuse an id that no version can have."""
    if len(version_id) not in VERSION_ID_LENGTHS:
        raise malformed("ClientRequestToken has 32 to 64 characters.")


def check_value(content: bytes) -> None:
    """Refuse a value that is too long."""
    if len(content) > MOST_BYTES:
        raise malformed(f"A value has at most {MOST_BYTES} bytes.")


def checked_tags(tags: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    """Return the tags that a secret is to have, or refuse them."""
    checked = list(tags)
    for tag in checked:
        if not TAG_KEY.fullmatch(tag["Key"]) or not TAG_VALUE.fullmatch(tag["Value"]):
            raise malformed(
                f"The tag {tag['Key']!r} has characters or a length that are not allowed."
            )
    if len(checked) > MOST_TAGS:
        # TagResource's reference names no quota among its errors.
        raise wrong_parameter(f"A secret has at most {MOST_TAGS} tags.")
    return checked
