"""A local AWS to deploy to by hand: ``make cloud``. It runs until it is interrupted.

What another shell needs to reach it is written into a file that the shell reads with one line: the
commands of the documents then go to this AWS, and to a server that knows the README's client.
"""

from __future__ import annotations

import argparse
import re
import shlex
import signal
import socket
import ssl
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import botocore

from local.authorization_server import RFC_6749
from local.embedded_cloud import ROOT
from local.stack import LocalAws, Stack

if TYPE_CHECKING:
    from collections.abc import Mapping

CLIENT_ID: Final = "my-client"
USER: Final = "dealer@example.com"
VARIABLES: Final = ROOT / "cloud.env"
_ENDPOINT: Final = re.compile(r"AWS_ENDPOINT_URL='?http://(?P<host>[\w.]+):(?P<port>\d+)")
READY: Final = """\
A local AWS is ready. In another terminal, in the clone, in place of the export:

    . {variables}

That terminal then speaks to this AWS, until you close it. The client secret
to type is secret-of-{client}; the password of $TOKEN_USER, for
--grant-type password with refresh tokens, is password-of-{user}

Ctrl-C here ends it. Stacks, secrets and tokens in it are then lost."""
IN_USE: Final = """\
A local AWS runs already, and this leads to it: {variables}
End it by Ctrl-C first, then begin again."""


def main() -> int:
    """Run it, and say how to use it, until it is interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, help="the AWS emulator's; a free one by default")
    parser.add_argument("--variables", type=Path, default=VARIABLES, help="the file to be written")
    told = parser.parse_args()
    if is_in_use(told.variables):
        print(IN_USE.format(variables=told.variables), file=sys.stderr)
        return 1
    with suppress(KeyboardInterrupt):
        run(told.variables, port=told.port)
    return 0


def is_in_use(variables: Path) -> bool:
    """Tell whether what another run has written still leads to an AWS: it may have been killed."""
    try:
        found = _ENDPOINT.search(variables.read_text())
    except FileNotFoundError:
        return False
    if found is None:
        return False
    try:
        socket.create_connection((found["host"], int(found["port"])), timeout=1).close()
    except OSError:
        return False
    return True


def run(variables: Path, *, port: int | None) -> None:
    """Run it as long as the process does.

    Args:
        variables: The file to be written, and removed at the end.
        port: The AWS emulator's; None takes a free one.
    """
    print("== Starting a local AWS; it says when it is ready, and what to do then", flush=True)
    with tempfile.TemporaryDirectory(prefix="cloud-") as directory, LocalAws(port=port) as aws:
        stack = Stack(aws, {"ScheduleMinutes": "1"})
        stack.register(
            CLIENT_ID,
            dialect=replace(RFC_6749, scope="read"),
            users={USER: f"password-of-{USER}"},
            grants=("client_credentials", "password", "refresh_token"),
        )
        bundle = Path(directory) / "authorities.pem"
        bundle.write_bytes(b"\n".join((Path(aws.certificate_file).read_bytes(), *authorities())))
        settings = stack.settings()
        # What names the stack for both, without what makes `make smoke-aws` ask about it.
        del settings["STACK"]
        text = exports(
            {
                **settings,
                "TOKEN_REFRESHER_STACK": stack.name,
                "TOKEN_HOST": aws.server.host,
                "TOKEN_ENDPOINT": aws.server.token_endpoint,
                "CLIENT_ID": CLIENT_ID,
                "TOKEN_USER": USER,
                "API": aws.server.resource_url,
                # For curl, for Python's requests, and for all that uses OpenSSL.
                "CURL_CA_BUNDLE": str(bundle),
                "REQUESTS_CA_BUNDLE": str(bundle),
                "SSL_CERT_FILE": str(bundle),
            }
        )
        try:
            variables.write_text(text)
            shown = f"./{variables.name}" if variables == VARIABLES else str(variables)
            said = READY.format(variables=shlex.quote(shown), client=CLIENT_ID, user=USER)
            print(said, flush=True)
            threading.Event().wait()
        finally:
            # Another cloud may have written its own since.
            with suppress(FileNotFoundError):
                if variables.read_text() == text:
                    variables.unlink()


def exports(variables: Mapping[str, str]) -> str:
    """Write the commands that set variables, for any shell."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())


def authorities() -> list[bytes]:
    """Return the authorities that this machine trusts: a shell needs them besides the local one."""
    here = ssl.get_default_verify_paths()
    files = [Path(here.cafile)] if here.cafile else sorted(Path(here.capath or "").glob("*.0"))
    # Some Pythons find none by themselves.
    files = files or [Path(botocore.__file__).with_name("cacert.pem")]
    return [file.read_bytes() for file in files]


if __name__ == "__main__":
    # As Ctrl-C, also where its terminal is closed: nothing is left over.
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.default_int_handler)
    sys.exit(main())
