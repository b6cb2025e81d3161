"""What docs/providers.md shows as credentials is what the program takes."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from token_refresher.health import shortest_lifetime
from token_refresher.oauth.providers import names
from token_refresher.parsing import parse_credentials
from token_refresher.settings import Settings
from token_refresher_cli.catalogue import CONSUMERS_CACHE

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


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        ("README.md", r"tokens that live less than (\d+) minutes \((\d+) where refresh tokens"),
        ("docs/providers.md", r"keep a token for five minutes need five more: (\d+) and (\d+),"),
        ("docs/reference.md", r"keep a token for five minutes need five more: (\d+) and (\d+)\."),
        ("docs/migrating.md", r"one that lives (\d+) minutes, (\d+) with refresh tokens"),
    ],
)
def test_every_page_tells_the_same_lifetimes_for_consumers_with_a_cache(
    page: str, sentence: str
) -> None:
    schedule = Settings().schedule
    needed = [
        shortest_lifetime(uses_refresh_tokens=uses, schedule=schedule) + CONSUMERS_CACHE
        for uses in (False, True)
    ]
    [told] = re.findall(sentence, (ROOT / page).read_text("utf-8"))
    assert [timedelta(minutes=int(minutes)) for minutes in told] == needed


def test_the_readme_tells_how_many_there_are() -> None:
    [told] = re.findall(r"\[(\d+) providers\]", (ROOT / "README.md").read_text("utf-8"))
    assert int(told) == len(names())
