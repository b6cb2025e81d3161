"""Which table each generated block holds, and what the documents would be with them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from tools import modules
from tools.docs import (
    architecture,
    codes,
    command_line,
    costs,
    failures,
    infrastructure,
    program,
    providers,
    scenarios,
    smoke,
)
from tools.docs.blocks import DocumentError, block_names, rewritten

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tools.docs.blocks import Block

ROOT: Final = Path(__file__).resolve().parents[2]

TABLES: Final[Mapping[str, Callable[[], Block]]] = {
    "needs": program.needs,
    "holds": program.holds,
    "credentials": program.credentials,
    "assertion": program.assertion,
    "dialect": program.dialect,
    "publish": program.publish,
    "events": program.events,
    "event-kinds": program.event_kinds,
    "event-fields": program.event_fields,
    "metrics": program.metrics,
    "reasons": program.reasons,
    "outcomes": program.outcomes,
    "cautions": program.cautions,
    "classes": program.classes,
    "paces": program.paces,
    "tags": program.tags,
    "errors": program.errors_table,
    "codes-without-failure": program.without_failure,
    "codes-by-class": codes.by_class,
    "codes-of-credentials": codes.of_credentials,
    "codes-of-the-token-endpoint": codes.of_the_token_endpoint,
    "codes-of-oauth": codes.of_oauth,
    "codes-of-secrets-manager": codes.of_secrets_manager,
    "codes-of-signing": codes.of_signing,
    "parameters": infrastructure.parameters,
    "parameters-of-monitoring": infrastructure.parameters_of_monitoring,
    "parameters-of-an-account": infrastructure.parameters_of_an_account,
    "permissions": infrastructure.permissions,
    "alarms": infrastructure.alarms,
    "first-looks": infrastructure.first_looks,
    "failures": failures.failures,
    "costs": costs.costs,
    "costs-besides": costs.costs_besides,
    "costs-in-all": costs.in_all,
    "costs-of-signing": costs.costs_of_signing,
    "modules": architecture.modules,
    "stages": architecture.stages,
    "providers": providers.overview,
    "providers-short-lived": providers.short_lived,
    "providers-one-by-one": providers.one_by_one,
    "sdk-refresh": scenarios.sdk_refresh,
    "smoke-moto": smoke.moto,
    "moto-differences": smoke.moto_differences,
    **command_line.OPTIONS,
}


def changes() -> dict[Path, str]:
    """Tell the text of each document, module and construct that is not up to date.

    Raises:
        DocumentError: A table stands nowhere, or a block needs a person.
    """
    paths = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    before = {path: path.read_text(encoding="utf-8") for path in paths}
    shown = [name for text in before.values() for name in block_names(text)]
    if nowhere := sorted(TABLES.keys() - set(shown)):
        msg = f"no document shows {nowhere}"
        raise DocumentError(msg)
    after = {path: rewritten(text, TABLES) for path, text in before.items()} | modules.generated()
    return {path: text for path, text in after.items() if text != before.get(path, text_of(path))}


def text_of(path: Path) -> str:
    """Read a file; one that is not there yet is empty."""
    return path.read_text(encoding="utf-8") if path.exists() else ""
