"""A short run of the fuzzer, the same each time; `make fuzz` is the long one."""

from __future__ import annotations

from itertools import islice

import pytest

from tests.fuzz.parsers import PARSERS, SECRET, Parser, Tally, feed, inputs
from token_refresher.errors import CredentialsError

INPUTS = 3_000


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_no_input_raises_anything_but_the_documented_errors_or_tells_its_secret(
    parser: Parser,
) -> None:
    tally = Tally()
    for data in islice(inputs(parser, seed=1), INPUTS):
        feed(parser, data, tally)
    assert tally.crashes == []
    assert tally.leaks == []
    # An input that never gets past the first check would prove nothing.
    assert len(tally.outcomes) > 1


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_the_inputs_are_the_same_each_time_and_others_for_another_number(parser: Parser) -> None:
    def first(seed: int) -> list[bytes]:
        return list(islice(inputs(parser, seed=seed), 50))

    assert first(1) == first(1)
    assert first(1) != first(2)


def test_what_is_wrong_with_a_parser_is_found() -> None:
    def crashes(data: bytes) -> str:
        raise KeyError(data)

    def leaks(data: bytes) -> str:
        raise CredentialsError(f"refused {data!r}")

    seeds = (SECRET.encode(),)
    for read, found in ((crashes, "crashes"), (leaks, "leaks")):
        tally = Tally()
        feed(Parser("made up", read, seeds, (CredentialsError,)), seeds[0], tally)
        assert len(getattr(tally, found)) == 1
