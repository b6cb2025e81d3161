"""Every scenario holds; and each of its expectations would fail if it were another."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.scenarios.runner import ScenarioError, judge, run, watch
from tests.scenarios.scenario import parse, stories
from token_refresher.errors import FailureClass
from token_refresher.outcomes import Caution, Outcome
from token_refresher.policy import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.scenarios.scenario import Object

STORIES = [story for _, story in stories()]
EACH = pytest.mark.parametrize(
    "story", [pytest.param(story, id=story.get("scenario", "")) for story in STORIES]
)


@EACH
def test_scenario(story: Object) -> None:
    run(parse(story))


@EACH
def test_flipping_any_one_expectation_makes_the_scenario_fail(story: Object) -> None:
    # What happens does not depend on what is expected, so once is enough.
    came = list(watch(parse(story)))
    for where, flipped in _flipped(story):
        try:
            judge(parse(flipped), came)
        except ScenarioError:
            continue
        pytest.fail(f"nothing noticed that {where} was flipped")


def _flipped(story: Object) -> Iterator[tuple[str, Object]]:
    """Give the scenario once with each of its expected leaves made into something else."""
    # A story is read again where it is changed, which takes a tenth of copying it.
    text = msgspec.json.encode(story)
    for number, step in enumerate(story["steps"]):
        for path in _leaves(step.get("expect", {}), ()):
            for flip in (_other, _without) if path else ():
                changed = msgspec.json.decode(text)
                holder: Any = changed["steps"][number]["expect"]
                for key in path[:-1]:
                    holder = holder[key]
                if flip(holder, path[-1], path[-2:-1]):
                    yield f"step {number + 1}, {path} ({flip.__name__})", changed


def _leaves(node: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from _leaves(value, (*path, key))
    elif isinstance(node, list) and node:
        for index, value in enumerate(node):
            yield from _leaves(value, (*path, index))
    else:
        yield path


def _other(holder: Any, key: Any, _: tuple[Any, ...]) -> bool:  # noqa: ANN401
    """Put another value of the same kind in a leaf's place."""
    match holder[key]:
        case bool() as truth:
            holder[key] = not truth
        case int() as number:
            holder[key] = number + 1
        case str() as text:
            holder[key] = _other_text(text)
        case None:
            # An account without a token, a journal or an error; another would be one with it.
            empty = {"token": {"access_token": ""}, "journal": {"refresh_token": ""}}
            later = {"next_attempt": "PT1S"}
            holder[key] = empty.get(key, later.get(key, "other"))
        case []:
            others: dict[Any, Any] = {
                "requests": {"grant_type": "password"},
                "leases": {"number": 1},
                "events": {"account": "other", "kind": "other"},
            }
            holder[key] = [others.get(key, "other")]
        case {}:
            holder[key] = {"other": 1 if key in {"calls", "redeemed"} else "other"}
        case _:
            return False
    return True


def _other_text(text: str) -> str:
    try:
        return (datetime.fromisoformat(text) + timedelta(seconds=1)).isoformat()
    except ValueError:
        pass
    try:
        duration = msgspec.convert(text, timedelta)
    except msgspec.ValidationError:
        return f"{text} or other"
    return msgspec.to_builtins(duration + timedelta(seconds=1))  # type: ignore[no-any-return]


# What is compared as a whole: there, one entry less is as wrong as another value.
_WHOLE = frozenset({"tags", "calls", "redeemed", "json", "parameters", "headers", "response"})


def _without(holder: Any, key: Any, parent: tuple[Any, ...]) -> bool:  # noqa: ANN401
    """Take an element out of a list, or an entry out of an object that is compared as a whole."""
    if isinstance(holder, list) or not _WHOLE.isdisjoint(parent):
        del holder[key]
        return True
    return False


def test_every_file_is_a_list_of_scenarios_and_no_two_have_one_name() -> None:
    names = [story["scenario"] for story in STORIES]

    assert len(set(names)) == len(names) >= 40


def test_each_of_the_24_scenarios_of_the_sdks_specification_is_retold_once_and_in_order() -> None:
    told = [story["specification"]["number"] for story in STORIES if "specification" in story]

    assert told == list(range(1, 25))


@pytest.mark.parametrize("words", [Reason, Outcome, Caution, FailureClass])
def test_every_word_that_the_program_says_is_expected_somewhere(words: Any) -> None:  # noqa: ANN401
    said = "\n".join(_texts([step.get("expect") for story in STORIES for step in story["steps"]]))

    assert [word for word in words if word not in said] == []


def _texts(node: Any) -> Iterator[str]:  # noqa: ANN401
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict | list):
        for each in node.values() if isinstance(node, dict) else node:
            yield from _texts(each)
