"""A local AWS to deploy to by hand: ``make cloud``. It runs until it is interrupted.

It prints what to paste into another shell: there the commands of the README reach this AWS, and
a server that knows one account.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import threading

from local.stack import LocalAws, Stack

ACCOUNT = "dealer-17"


def main() -> int:
    """Run it, and say how to use it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, help="the AWS emulator's; a free one by default")
    with LocalAws(port=parser.parse_args().port) as aws:
        stack = Stack(aws, {"ScheduleMinutes": "1"})
        stack.register(ACCOUNT, partners={"partner-name": "secret-code"})
        credentials = {
            "token_endpoint": aws.server.token_endpoint,
            "grant_type": "partner",
            "client_id": ACCOUNT,
            "client_secret": f"secret-of-{ACCOUNT}",
            "partner_code": "partner-name",
            "partner_secret": "secret-code",
        }
        lines = [
            "# A local AWS that enforces IAM, until it is interrupted. Paste into another shell:",
            *(f"export {name}={shlex.quote(value)}" for name, value in stack.settings().items()),
            "# So token-refresher takes the settings of the function, once it is deployed. Only",
            "# the function trusts the server's certificate: token-refresher refresh --remote.",
            f"export TOKEN_REFRESHER_STACK={stack.name}",
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


if __name__ == "__main__":
    sys.exit(main())
