"""Where a command works, and the next command written so that it works there too. Pure."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from token_refresher import fixes

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Target:
    """Where a command works, as its options say; None leaves it to the environment.

    Attributes:
        profile: Of the AWS configuration.
        region: The AWS Region.
        prefix: The path above ``credentials/`` and ``tokens/``.
        stack: A deployed stack, whose settings are taken.
        secret_prefix: What the prefix comes to, once the settings are known.
        aws_region: What the Region comes to: not every AWS tool reads it where boto3 does.
    """

    profile: str | None = None
    region: str | None = None
    prefix: str | None = None
    stack: str | None = None
    secret_prefix: str = ""
    aws_region: str | None = None

    def credentials_id(self, account: str) -> str:
        """Name an account's credentials secret."""
        return f"{self.secret_prefix}/credentials/{account}"

    def token_id(self, account: str) -> str:
        """Name an account's token secret."""
        return f"{self.secret_prefix}/tokens/{account}"

    @property
    def where(self) -> dict[str, str | None]:
        """The options that lead another command here."""
        return {
            "--profile": self.profile,
            "--region": self.region,
            "--prefix": self.prefix,
            "--stack": self.stack,
        }

    def command(self, verb: str, *names: str, flags: Sequence[str] = ()) -> str:
        """Write a command of this program, to be pasted into a shell.

        Args:
            verb: The command.
            names: Accounts.
            flags: Its own options.
        """
        return fixes.command(verb, *names, flags=flags, where=self.where)

    def aws(self, *words: str) -> str:
        """Write a command of the AWS command line, likewise."""
        where = {"--profile": self.profile, "--region": self.region or self.aws_region}
        return shlex.join(["aws", *words, *fixes.words(where)])
