"""How the environments are made: by uv, which trusts whom the system trusts."""

from __future__ import annotations

import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

from local.stack import Stack
from tools import templates

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from pathlib import Path

    from local.authority import Authority


@contextmanager
def index(context: ssl.SSLContext) -> Iterator[tuple[str, list[str]]]:
    """A package index that has nothing, with the paths that it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401
            """Say nothing."""

    class Server(HTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
            """Say nothing: a client that trusts no one hangs up."""

    with Server(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"https://localhost:{server.server_port}/index/", asked
        finally:
            server.shutdown()
            thread.join()


def ask(url: str, probe: Path, **environment: str) -> str:
    """Ask an index for a package with the uv of the Makefile, and return what it printed."""
    probe.write_text("probe:\n\t@$(UV) pip install --no-cache --python .venv no-such-package\n")
    shell = {
        name: value
        for name, value in Stack.clean_environment().items()
        if not name.startswith(("PIP_", "SSL_", "UV_"))
    }
    done = subprocess.run(  # noqa: S603
        ["make", "-f", "Makefile", "-f", str(probe), "probe"],  # noqa: S607
        cwd=templates.ROOT,
        env={**shell, "UV_DEFAULT_INDEX": url, "NO_PROXY": "localhost", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    return done.stdout + done.stderr


def test_an_index_is_reached_whose_authority_the_system_is_told_to_trust_and_no_other(
    authority: Authority, tmp_path: Path
) -> None:
    with index(authority.server_context("localhost")) as (url, asked):
        refused = ask(url, tmp_path / "probe.mk", UV_HTTP_RETRIES="0")
        assert (asked, "UnknownIssuer" in refused) == ([], True), refused
        said = ask(url, tmp_path / "probe.mk", SSL_CERT_FILE=str(authority.certificate_file))
    assert asked == ["/index/no-such-package/"], said


def test_every_uv_that_make_runs_trusts_whom_the_system_trusts() -> None:
    printed = templates.run(
        *("make", "--always-make", "--dry-run", "pins", "artifact", "release", "bench"),
        ".venv-audit/.ready",
    ).stdout.replace("\\\n", " ")
    commands = [line for line in printed.splitlines() if "UV_PYTHON_DOWNLOADS=never" in line]
    assert len(commands) >= 5
    for command in commands:
        told = command.count('UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-true}"')
        assert told == command.count("UV_PYTHON_DOWNLOADS=never")
