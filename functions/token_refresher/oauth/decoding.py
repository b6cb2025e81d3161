"""Makes structs of JSON, from any number of threads.

msgspec learns a struct's types when the first one is made, and gives a thread that asks meanwhile
what it has learned so far: the interpreter then crashes, with all accounts of the sweep. So one
thread at a time; nothing is lost, since the interpreter runs one at a time anyway.
"""

from __future__ import annotations

import threading
from typing import Final, TypeVar

import msgspec

_Form = TypeVar("_Form")

# A struct may decode another one while it is made.
_one_at_a_time: Final = threading.RLock()


def decoded(text: str | bytes | msgspec.Raw, form: type[_Form]) -> _Form:
    """Make a struct of a JSON text.

    Raises:
        msgspec.DecodeError: It is no JSON, or not of this form.
        UnicodeError: It is no text.
        RecursionError: It is nested too deeply.
    """
    with _one_at_a_time:
        return msgspec.json.decode(text, type=form)


def converted(content: object, form: type[_Form]) -> _Form:
    """Make a struct of what was decoded already; texts may stand for numbers.

    Raises:
        msgspec.ValidationError: It is not of this form.
        RecursionError: It is nested too deeply.
    """
    with _one_at_a_time:
        return msgspec.convert(content, form, strict=False)
