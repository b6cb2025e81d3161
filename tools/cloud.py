"""A local AWS to deploy to by hand: ``make cloud``. It runs until it is interrupted.

It prints what to paste into another shell: there the commands of the documents reach this AWS, and
a server that knows the client of the README's quick start and the account of the other documents.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import threading

from local.stack import LocalAws, Stack

ACCOUNT = "dealer-17"
CLIENT_ID = "my-client"


def main() -> int:
    """Run it, and say how to use it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, help="the AWS emulator's; a free one by default")
    with LocalAws(port=parser.parse_args().port) as aws:
        stack = Stack(aws, {"ScheduleMinutes": "1"})
        stack.register(CLIENT_ID)
        stack.register(ACCOUNT, partners={"partner-name": "secret-code"})
        credentials = {
            "token_endpoint": aws.server.token_endpoint,
            "grant_type": "partner",
            "client_id": ACCOUNT,
            "client_secret": f"secret-of-{ACCOUNT}",
            "partner_code": "partner-name",
            "partner_secret": "secret-code",
        }
        api = {
            "TOKEN_HOST": aws.server.host,
            "TOKEN_ENDPOINT": aws.server.token_endpoint,
            "CLIENT_ID": CLIENT_ID,
            "API": aws.server.resource_url,
            "CURL_CA_BUNDLE": aws.certificate_file,
        }
        lines = [
            "# A local AWS that enforces IAM, until it is interrupted. Paste into another shell:",
            *exports(stack.settings()),
            "# So token-refresher takes the settings of the function, once it is deployed. Only",
            "# the function trusts the server's certificate: token-refresher refresh --remote.",
            f"export TOKEN_REFRESHER_STACK={stack.name}",
            f"# An API for the README's quick start; its client secret is secret-of-{CLIENT_ID}",
            *exports(api),
            f"echo {shlex.quote(json.dumps(credentials))} > {ACCOUNT}.json",
            "",
        ]
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return 0
    return 0


def exports(variables: dict[str, str]) -> list[str]:
    """Write the commands that set variables."""
    return [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]


if __name__ == "__main__":
    sys.exit(main())
