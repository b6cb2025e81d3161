"""Sixteen workers that make their first structs at once do not end the interpreter."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import token_refresher

PACKAGE = Path(token_refresher.__file__).parent
# Called once in an invocation, before there are workers.
IN_ONE_THREAD = {"events.py"}
FIRST_STRUCTS = """
import json, sys, threading
from token_refresher.oauth.providers import provider
from token_refresher.parsing import parse_credentials

sys.setswitchinterval(1e-6)
text = json.dumps({
    "grant_type": "client_credentials", "client_id": "c", "client_secret": "s",
    "provider": "hubspot", "dialect": {"expires_in": "lifetime"},
})
begin, made = threading.Barrier(16), []

def first():
    begin.wait()
    made.append(parse_credentials(text).client.dialect.expires_in)

threads = [threading.Thread(target=first) for _ in range(16)]
for each in threads:
    each.start()
for each in threads:
    each.join()
assert made == ["lifetime"] * 16, made
"""


@pytest.mark.parametrize("attempt", range(8))
def test_the_first_structs_may_be_made_by_many_threads_at_once(attempt: int) -> None:
    del attempt  # Four of ten crashed.
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", FIRST_STRUCTS],
        env={"PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_no_struct_is_made_elsewhere() -> None:
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name in IN_ONE_THREAD or path.name == "decoding.py":
            continue
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(call, ast.Call):
                continue
            name = ast.unparse(call.func)
            forms = [ast.unparse(each.value) for each in call.keywords if each.arg == "type"]
            assert name != "msgspec.convert", path
            if name == "msgspec.json.decode":
                assert all(form.startswith("dict[") for form in forms), path
