"""What docs/providers.md shows as credentials is what the program takes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from token_refresher.health import shortest_lifetime
from token_refresher.oauth.providers import names
from token_refresher.parsing import parse_credentials
from token_refresher.settings import Settings

ROOT: Final = Path(__file__).resolve().parents[2]
TEXT: Final = (ROOT / "docs" / "providers.md").read_text("utf-8")
EXAMPLES: Final = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_every_example_validates(example: str) -> None:
    assert parse_credentials(example).client.token_endpoint.startswith("https://")


def test_the_lifetimes_that_are_enough_are_the_policys() -> None:
    [(least, with_refresh_tokens)] = re.findall(
        r"has to live (\d+) minutes, or (\d+) where refresh tokens are used", TEXT
    )
    for minutes, uses_refresh_tokens in ((least, False), (with_refresh_tokens, True)):
        shortest = shortest_lifetime(
            uses_refresh_tokens=uses_refresh_tokens, schedule=Settings().schedule
        )
        assert shortest.total_seconds() == int(minutes) * 60


def test_the_readme_tells_how_many_there_are() -> None:
    [told] = re.findall(r"\[(\d+) providers\]", (ROOT / "README.md").read_text("utf-8"))
    assert int(told) == len(names())
