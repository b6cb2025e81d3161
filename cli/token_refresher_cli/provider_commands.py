"""The command that lists the providers and explains one. It needs no AWS account."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from token_refresher.oauth.providers import ProviderError
from token_refresher_cli import options, screen
from token_refresher_cli.catalogue import all_listed, listed

if TYPE_CHECKING:
    from token_refresher_cli.catalogue import Listed


def _provider(name: str | None) -> str | None:
    """Refuse a name that is none, as any argument that cannot be used is."""
    try:
        return name if name is None else listed(name).name
    except ProviderError as error:
        problem = str(error)
    raise typer.BadParameter(problem)


def providers(
    name: Annotated[
        str | None, typer.Argument(help="Explain this one.", callback=_provider)
    ] = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """List the providers that credentials can name, or explain one. It needs no AWS account."""
    found = all_listed() if name is None else [listed(name)]
    if as_json:
        screen.show_json({"providers": [_to_json(one) for one in found]})
    elif name is None:
        _list(found)
    else:
        _explain(found[0])


def _to_json(one: Listed) -> dict[str, Any]:
    return {
        "name": one.name,
        "entry": msgspec.to_builtins(one.entry),
        "grants": [
            {
                "grant_type": grant.name,
                "address": grant.address,
                "authentication": grant.authentication,
                "lives_too_short": grant.lives_too_short,
                "signs": grant.signs,
                "credentials": grant.example,
            }
            for grant in one.grants
        ],
    }


def _list(found: list[Listed]) -> None:
    screen.show(screen.providers_table(found))
    short = [one.name for one in found if any(grant.lives_too_short for grant in one.grants)]
    screen.show(f"{len(found)} providers; token-refresher providers NAME explains one.")
    screen.show(f"Live too short, unless they are made to last: {', '.join(short)}")


def _explain(one: Listed) -> None:
    entry = one.entry
    screen.show(f"{one.name}: {entry.title}")
    screen.show("\n".join(f"{name}: {url}" for name, url in one.addresses))
    screen.show("")
    screen.show(screen.facts_table(one.facts))
    screen.show("")
    screen.show(screen.grants_table(one.grants))
    for grant in one.grants:
        screen.show(f"\nCredentials for {grant.name}:")
        screen.show_verbatim(json.dumps(grant.example, indent=2))
        if grant.signing:
            screen.show(grant.signing)
    screen.show("\nDocumentation:")
    screen.show("\n".join(entry.documentation))
