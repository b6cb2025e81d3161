"""Where a command works, and the next command written so that it works there too. Pure.

Options, variables and the configuration file may each name a place, or a part of one. A stack and
a prefix are one place: they are taken together, from the first that names either, so that one
stack's function never meets another stack's accounts.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from token_refresher import fixes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# What a shell may set once for all commands.
VARIABLES: Final = {"prefix": "TOKEN_REFRESHER_PREFIX", "stack": "TOKEN_REFRESHER_STACK"}
# AWS's own, in the order in which AWS's library takes those of a profile.
_PROFILES: Final = ("AWS_DEFAULT_PROFILE", "AWS_PROFILE")
_REGIONS: Final = ("AWS_REGION", "AWS_DEFAULT_REGION")
# Whoever sets them has chosen an identity; a profile that were named would win over it.
_IDENTITIES: Final = ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE")
_ENDPOINT: Final = "AWS_ENDPOINT_URL"
# Of an address, the host and the port; it may hold a user's name and password as well.
_HOST: Final = re.compile(r"\w+://(?:[^/]*@)?([^/?#@]+)")
_LOOPBACK: Final = re.compile(r"((.+\.)?localhost|127(\.\d+){3}|\[::1\])(:\d+)?")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a command works; None leaves it to AWS's own configuration, or to the settings.

    Attributes:
        profile: Of the AWS configuration.
        region: The AWS Region.
        prefix: The path above ``credentials/`` and ``tokens/``.
        stack: A deployed stack, whose settings are taken.
        secret_prefix: What the prefix comes to, once the settings are known.
        aws_region: What the Region comes to, where a profile has it.
        config_file: The configuration file, where any of this comes from it.
        stack_from: What names the stack: an option, a variable or the configuration file.
        endpoint: The host and port of what stands in the place of AWS, if anything does.
    """

    profile: str | None = None
    region: str | None = None
    prefix: str | None = None
    stack: str | None = None
    secret_prefix: str = ""
    aws_region: str | None = None
    config_file: str | None = None
    stack_from: str = ""
    endpoint: str = ""

    @property
    def is_endpoint_local(self) -> bool:
        """Whether what stands in the place of AWS is on this machine."""
        return _LOOPBACK.fullmatch(self.endpoint) is not None

    def credentials_id(self, account: str) -> str:
        """Name an account's credentials secret."""
        return f"{self.secret_prefix}/credentials/{account}"

    def token_id(self, account: str) -> str:
        """Name an account's token secret."""
        return f"{self.secret_prefix}/tokens/{account}"

    def account_of(self, name: str) -> str:
        """Take the account's name out of a secret's; what is none stays what it is."""
        for path in (self.credentials_id(""), self.token_id("")):
            name = name.removeprefix(path) or name
        return name

    @property
    def where(self) -> dict[str, str | None]:
        """The options that lead another command here, whatever a machine names besides."""
        return {
            "--profile": self.profile,
            "--region": self.aws_region or self.region,
            "--prefix": self.prefix or (None if self.stack else self.secret_prefix or None),
            "--stack": self.stack,
        }

    def command(self, verb: str, *names: str, flags: Sequence[str] = ()) -> str:
        """Write a command of this program, to be pasted into a shell, also on another machine.

        So it names the whole place, wherever that came from; without a stack, by the prefix.

        Args:
            verb: The command.
            names: Accounts.
            flags: Its own options.
        """
        return fixes.command(verb, *names, flags=flags, where=self.where)

    def aws(self, *words: str) -> str:
        """Write a command of the AWS command line, likewise."""
        where = {"--profile": self.profile, "--region": self.aws_region or self.region}
        return shlex.join(["aws", *words, *fixes.words(where)])

    def deploy(self, setting: str = "") -> str:
        """Write the command that deploys the stack, in a clone of this project.

        Args:
            setting: One of its parameters with its new value; empty for none.
        """
        region = self.aws_region or self.region
        words = [f"AWS_REGION={region}"] if region else []
        words += [f"STACK={self.stack}", *([f"PARAMETERS={setting}"] if setting else [])]
        return shlex.join(["make", "deploy", *words])


def choose(
    options: Mapping[str, str | None],
    variables: Mapping[str, str],
    file: Mapping[str, str],
    *,
    path: str | None = None,
) -> Target:
    """Put together where a command works: by its options, else the variables, else the file.

    Args:
        options: By name; None where one is not given. A stack that is empty asks for none.
        variables: The environment. One that is empty is as good as not set.
        file: What the configuration file says.
        path: The file's.
    """
    profile = options.get("profile") or None
    if profile is None and not any(variables.get(name) for name in _IDENTITIES):
        profile = _first(variables, _PROFILES) or file.get("profile")
    region = options.get("region") or _first(variables, _REGIONS)
    # A Region beside a profile is that profile's, and of no other AWS account.
    if is_of_file := region is None and file.get("profile", profile) == profile:
        region = file.get("region")
    of_variables = {name: variables.get(of) or None for name, of in VARIABLES.items()}
    *named, of_file = (
        {name: each for name in VARIABLES if (each := source.get(name)) is not None}
        for source in (options, of_variables, file)
    )
    place = next(filter(None, named), of_file)
    sources = dict(zip(("--stack", VARIABLES["stack"]), named, strict=True))
    stack_from = next((name for name, source in sources.items() if source), path or "")
    endpoint = _HOST.match(variables.get(_ENDPOINT, ""))
    used = [
        is_of_file and region,
        profile and profile == file.get("profile"),
        place is of_file and place,
    ]
    return Target(
        profile=profile,
        region=region,
        prefix=place.get("prefix"),
        stack=place.get("stack") or None,
        config_file=path if any(used) else None,
        stack_from=stack_from,
        endpoint=endpoint[1] if endpoint else "",
    )


def _first(variables: Mapping[str, str], names: Sequence[str]) -> str | None:
    return next((value for name in names if (value := variables.get(name))), None)
