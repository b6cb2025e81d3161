"""Where the command begins, also as ``python -m token_refresher_cli``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command, or say what it lacks: the package may be there without its extra."""
    try:
        from token_refresher_cli.app import app  # noqa: PLC0415 - what it needs may be missing
    except ModuleNotFoundError as error:
        if error.name not in {"rich", "typer"}:
            raise
        sys.exit('The command line is an extra. Install it: pip install "token-refresher[cli]"')
    app(prog_name="token-refresher")


if __name__ == "__main__":
    main()
