"""Values for every parameter, made of what the templates say; a new one has some at once."""

from __future__ import annotations

import re
from random import Random
from typing import TYPE_CHECKING, Any, Final

from hypothesis import Phase, find, settings
from hypothesis import strategies as st

from tools.modules import Kind, Parameter, function, monitoring, without_look_ahead

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPLOYABLES: Final = (function(), monitoring())
# In no pattern, and in no list of values.
NOWHERE: Final = "no such value: ä"


def text_of(parameter: Parameter) -> str:
    """A value that the template takes, and not its default; of several, two."""
    told = parameter.told
    default = str(told.get("Default", ""))
    if parameter.kind is Kind.BOOL:
        return "false" if default == "true" else "true"
    if parameter.values:
        return str(next(each for each in parameter.values if str(each) != default))
    if parameter.kind is Kind.NUMBER:
        return str(told["MinValue"] if str(told["MinValue"]) != default else told["MaxValue"])
    several = parameter.kind in {Kind.LIST, Kind.MAP}

    def is_another(text: str) -> bool:
        parts = text.split(",")
        # Pairs are handed over in the order of their names.
        in_order = parts == sorted(set(parts)) if several else True
        fits = len(text) <= told.get("MaxLength", len(text))
        return text not in {"", default} and fits and in_order and (len(parts) > 1) is several

    return _matching(told["AllowedPattern"], is_another)


def value_of(parameter: Parameter, text: str) -> Any:  # noqa: ANN401 - of the parameter's kind
    """The same, as people give it."""
    match parameter.kind:
        case Kind.BOOL:
            return text == "true"
        case Kind.NUMBER:
            return int(text)
        case Kind.LIST:
            return text.split(",")
        case Kind.MAP:
            return dict(each.split("=", 1) for each in text.split(","))
        case Kind.STRING:
            return text


def refused(parameter: Parameter) -> Iterator[Any]:
    """A value for each of its checks, that fails it."""
    told = parameter.told
    if parameter.values:
        yield -1 if parameter.kind is Kind.NUMBER else NOWHERE
    if pattern := told.get("AllowedPattern"):
        yield _made_of(parameter, NOWHERE)
        forbidden, allowed = without_look_ahead(pattern)
        if forbidden:
            yield _matching(forbidden, lambda text: re.fullmatch(allowed, text) is not None)
    if longest := told.get("MaxLength"):
        yield _made_of(parameter, "a" * (longest + 1))
    if "MinValue" in told:
        yield told["MinValue"] - 1
        yield told["MaxValue"] + 1
        yield told["MinValue"] + 0.5
    if parameter.kind is Kind.MAP:
        # As one text these are two pairs that fit.
        yield {"a": "b,c=d"}


def _made_of(parameter: Parameter, text: str) -> Any:  # noqa: ANN401 - of the parameter's kind
    match parameter.kind:
        case Kind.LIST:
            return [text]
        case Kind.MAP:
            return {"a": text}
        case _:
            return text


def _matching(pattern: str, holds: Any) -> str:  # noqa: ANN401 - a condition
    """A text that matches a pattern, the same each time; simplifying it would take long."""
    plain = settings(max_examples=5000, phases=[Phase.generate])
    printable = st.characters(min_codepoint=0x20, max_codepoint=0x7E)
    texts = st.from_regex(f"(?:{pattern})", fullmatch=True, alphabet=printable)
    return find(texts, holds, settings=plain, random=Random(0))  # noqa: S311 - no secret
