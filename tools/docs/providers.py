"""The providers, as the command line tells of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from token_refresher_cli.catalogue import all_listed
from token_refresher_cli.durations import say_duration
from tools.docs.blocks import Table, Text, code

if TYPE_CHECKING:
    from token_refresher_cli.catalogue import Listed

_GRANTS: Final = ("grant", "authentication", "tokens live", "kept alive")


def overview() -> Table:
    """All providers, a row for each."""
    facts = [
        (
            code(one.name),
            one.entry.title,
            ", ".join(code(grant.name) for grant in one.grants),
            ", ".join(dict.fromkeys(code(grant.authentication) for grant in one.grants)),
            one.lifetimes,
            one.refresh_tokens,
        )
        for one in all_listed()
    ]
    head = ("provider", "title", "grants", "authentication", "tokens live", "refresh tokens")
    return Table(head, facts)


def short_lived() -> Table:
    """The grants whose tokens end before the next can be had, and what to set at the provider."""
    facts = []
    for one in all_listed():
        short = [grant for grant in one.grants if grant.lives_too_short]
        if short:
            needed = dict.fromkeys(say_duration(grant.shortest) for grant in short)
            grants = ", ".join(code(grant.name) for grant in short)
            lives = ", ".join(dict.fromkeys(grant.lives for grant in short))
            advice = one.entry.advice or ""
            facts.append((code(one.name), grants, lives, ", ".join(needed), advice))
    return Table(("provider", "grants", "tokens live", "must live", "what to know or set"), facts)


def one_by_one() -> Text:
    """A section for each provider."""
    return Text("".join(map(_section, all_listed())))


def _section(one: Listed) -> str:
    named = [*((name, code(url)) for name, url in one.addresses), *one.facts]
    facts = "".join(f"- {name}: {text}\n" for name, text in named)
    grants = [
        (code(grant.name), code(grant.authentication), grant.lives, grant.kept_alive)
        for grant in one.grants
    ]
    pages = ", ".join(f"<{page}>" for page in one.entry.documentation)
    first, *others = one.grants
    shown = [first, *(grant for grant in others if "assertion" in grant.example)]
    examples = "\n".join(f"```json\n{json.dumps(grant.example)}\n```\n" for grant in shown)
    return (
        f"\n### {one.entry.title}: {code(one.name)}\n\n{facts}- documentation: {pages}\n\n"
        f"{Table(_GRANTS, grants).render('')}\n{examples}"
    )
