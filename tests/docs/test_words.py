"""One word for each concept, and plain ones: those that once stopped strangers stay out."""

from __future__ import annotations

import re
import subprocess
from typing import Final

import pytest

from tools.templates import ROOT

# What is written instead is in the glossary, or says itself.
UNWANTED: Final = {
    "fix": r"mend(s|ed|ing)?",
    "mass expiry": r"(thundering )?herds?",
    "again, replace": r"anew",
    "more often": r"oftener",
    "action required": r"some(one|body)[ _](must|has to|have to|needs to) act",
    "transient": r"try[ _]later",
    "invalid response": r"unusable[ _]answers?",
    "rate limited, minimum interval": r"write[ _-]floors?",
    "primary grant": r"own[ _]grants?",
    "unavoidable": r"nobody[ _]can[ _]win|unwinnable",
    "goes off": r"alarms? (that )?rings?|alarms? (is|are) ringing|alarms? rang",
    "external version": r"foreign (version|token|secret)s?|versions? (that (is|are) )?not[ _]ours",
    # But what a JSON Web Token says are its claims (RFC 7519).
    "lease": r"claim(ed|ing)|claims? (on|to) ",
    "initial refresh token": r"(issue|the|a|new|first|spent)[ _]seeds?",
    "response (of a refresh)": r"(lost|journaled|unpublished|token) answers?",
    "failure, refusals, lease": (
        r"token-refresher:(error|failures|failed-at|retry-at|released|dead|refused(?!-))"
    ),
    "refresh_token_unanswered, refresh_token_spent": r"refresh_token_lost|RefreshTokenLostError",
    "function fails": r"function errs",
    "expires_in, refresh_before": r"ttl|leeway",
    "token_endpoint_auth_method": r"auth[ _]type",
    "token_endpoint": r"auth(entication|orization)?[ _]url",
}
# Where such a word is another program's: the file, and a part of the line.
ALLOWED: Final = (
    ("docs/consumers/agent.md", "`ttl_seconds` of its configuration"),
    ("docs/consumers/cdk_app.py", "secrets_manager_ttl="),
    ("docs/consumers/lambda_extension.md", "`SECRETS_MANAGER_TTL`"),
    ("docs/providers.md", "ACCESS_TOKEN_TTL says more"),
    ("docs/providers.md", "shopware.api.access_token_ttl"),
    ("functions/token_refresher/oauth/providers.json", "ACCESS_TOKEN_TTL says more"),
    ("functions/token_refresher/oauth/providers.json", "shopware.api.access_token_ttl"),
    ("tests/servers/oidc_provider.mjs", "ttl: {"),
)
# History is told in the words of its day; hashes and other people's files have none.
LEFT_OUT: Final = re.compile(r"CHANGELOG\.md|LICENSE|requirements/.*|.*package-lock\.json|.*\.svg")
FILES: Final = [
    name
    for name in subprocess.run(
        ["git", "ls-files"],  # noqa: S607 - whoever has this checkout has git
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    if not LEFT_OUT.fullmatch(name) and (ROOT / name) != ROOT / "tests/docs/test_words.py"
]


@pytest.mark.parametrize("instead", UNWANTED)
def test_a_word_that_stops_strangers_is_nowhere(instead: str) -> None:
    # Not by \b, to which an underscore is a letter.
    pattern = re.compile(rf"(?<![A-Za-z])({UNWANTED[instead]})(?![A-Za-z])", re.IGNORECASE)
    found = [
        f"{name}:{number}: {line.strip()}"
        for name in FILES
        for number, line in enumerate((ROOT / name).read_text("utf-8").splitlines(), 1)
        if pattern.search(line) and not any(name == path and part in line for path, part in ALLOWED)
    ]
    assert found == []


def test_few_lines_are_let_through_and_each_is_there() -> None:
    assert len(ALLOWED) <= 20
    for path, part in ALLOWED:
        assert part in (ROOT / path).read_text("utf-8")
