"""The settings: environment variables, read once, here and nowhere else.

The standard ones (``AWS_*``, ``POWERTOOLS_*``, ``SSL_CERT_FILE``) are read by the
libraries they belong to; only the service's name, the Region and whether tracing is on are
asked here.
"""

from __future__ import annotations

import os
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from token_refresher.errors import SettingsError
from token_refresher.oauth.allowed_hosts import host_patterns

if TYPE_CHECKING:
    from collections.abc import Mapping

# The schedule's longest period is 15 minutes: two ticks must fit before a
# consumer's cache, let alone the token, runs out.
_SHORTEST_REFRESH_BEFORE: Final = 1800
_LONGEST_REFRESH_BEFORE: Final = 7 * 24 * 3600
_LONGEST_SCHEDULE: Final = 15
_MOST_WORKERS: Final = 64
# http to the proxy: what goes through it is TLS with the token endpoint. No password, since
# whoever may describe the function reads its environment.
_PROXY: Final = r"http://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?:(?P<port>[1-9][0-9]{0,4})"
_LAST_PORT: Final = 65535
# As strict as the strictest of CloudFormation, IAM, Secrets Manager and KMS; without what parts
# one tag from another. Read where there are tags alone.
_TAG: Final = (
    r"(?!token-refresher:)(?! |[Aa][Ww][Ss]:)[A-Za-z0-9 +._:/@-]{1,128}(?<! )"
    r"=(?! |[Aa][Ww][Ss]:)[A-Za-z0-9 +._:/@-]{1,256}(?<! )"
)
_MOST_TAGS: Final = 8
_REGION: Final = "[a-z]{2,}(-[a-z]+)+-[0-9]+"
_PREFIX: Final = re.compile(r"[A-Za-z0-9_+=.@-]+(/[A-Za-z0-9_+=.@-]+)*")


class Settings(msgspec.Struct, frozen=True):
    """What a deployment decides.

    Attributes:
        secret_prefix: Accounts are the secrets under ``{secret_prefix}/credentials/``.
        refresh_before: How long before its expiry a token is due.
        schedule: The time between two sweeps, which the deployment's schedule has.
        allowed_token_hosts: ``host``, ``host:port``, ``*.example.com`` or ``*``; credentials go
            nowhere else, but to providers whose address leaves no host free.
        token_endpoint_proxy: ``http://host:port``, which token endpoints are reached through.
        additional_ca_certificates: Whom to believe besides the public authorities; PEM, or as
            `oauth.certificates` takes it.
        uses_refresh_tokens: False takes the permission to write the credentials path away.
        token_secret_kms_key_id: For token secrets that the function creates; empty for
            the AWS managed key.
        resource_tags: Keys and values of the tags that what is created gets.
        replica_regions: Where token secrets are copied to; never the function's own.
        max_workers: How many accounts are refreshed at once.
        per_account_metrics: Adds the dimension ``account``, which CloudWatch bills for.
        puts_events: Whether changes of state are told on the event bus.
        service: Tells the metrics, logs and traces of one stack from those of another.
        region: The AWS Region, for the commands that messages name; empty where none is told.
        tracing: Whether X-Ray's Tracer is constructed.
    """

    secret_prefix: str = "oauth"  # noqa: S105 - a name
    refresh_before: timedelta = timedelta(seconds=5400)
    schedule: timedelta = timedelta(minutes=5)
    allowed_token_hosts: tuple[str, ...] = ()
    token_endpoint_proxy: str | None = None
    additional_ca_certificates: str = ""
    uses_refresh_tokens: bool = True
    token_secret_kms_key_id: str = ""
    resource_tags: tuple[tuple[str, str], ...] = ()
    replica_regions: tuple[str, ...] = ()
    max_workers: int = 16
    per_account_metrics: bool = False
    puts_events: bool = False
    service: str = "token-refresher"
    region: str = ""
    tracing: bool = False

    @property
    def where(self) -> dict[str, str | None]:
        """The options that lead a command of the command line to this deployment."""
        return {"--region": self.region or None, "--stack": self.service}


def settings_from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings.

    Args:
        environment: Variables by name; one that is missing or empty has its default.

    Raises:
        SettingsError: It names the variable and what it takes.
    """
    defaults = Settings()
    return Settings(
        secret_prefix=_prefix(environment.get("SECRET_PREFIX") or defaults.secret_prefix),
        refresh_before=timedelta(
            seconds=_number(
                environment,
                "REFRESH_BEFORE_SECONDS",
                default=int(defaults.refresh_before.total_seconds()),
                least=_SHORTEST_REFRESH_BEFORE,
                most=_LONGEST_REFRESH_BEFORE,
            )
        ),
        schedule=timedelta(
            minutes=_number(
                environment,
                "SCHEDULE_MINUTES",
                default=int(defaults.schedule.total_seconds()) // 60,
                least=1,
                most=_LONGEST_SCHEDULE,
            )
        ),
        allowed_token_hosts=_hosts(environment.get("ALLOWED_TOKEN_HOSTS", "")),
        token_endpoint_proxy=_proxy(environment.get("TOKEN_ENDPOINT_PROXY")),
        additional_ca_certificates=_certificates(
            environment.get("ADDITIONAL_CA_CERTIFICATES", "").strip()
        ),
        uses_refresh_tokens=_choice(environment, "REFRESH_TOKENS", ("use", "ignore")) == "use",
        token_secret_kms_key_id=environment.get("TOKEN_SECRET_KMS_KEY_ID", "").strip(),
        replica_regions=_regions(environment),
        resource_tags=_tags(environment.get("RESOURCE_TAGS", "")),
        max_workers=_number(
            environment, "MAX_WORKERS", default=defaults.max_workers, least=1, most=_MOST_WORKERS
        ),
        per_account_metrics=_choice(environment, "PER_ACCOUNT_METRICS", ("false", "true"))
        == "true",
        puts_events=_choice(environment, "EVENTS", ("false", "true")) == "true",
        service=environment.get("POWERTOOLS_SERVICE_NAME") or defaults.service,
        region=environment.get("AWS_REGION", ""),
        tracing=_choice(environment, "POWERTOOLS_TRACE_DISABLED", ("true", "false")) == "false",
    )


def _prefix(value: str) -> str:
    if not _PREFIX.fullmatch(value) or {"credentials", "tokens"} & set(value.split("/")):
        msg = (
            "SECRET_PREFIX takes a path such as oauth or team/oauth, of characters that a "
            "secret's name may have, without a part named credentials or tokens"
        )
        raise SettingsError(msg)
    return value


def _tags(value: str) -> tuple[tuple[str, str], ...]:
    try:
        return tags_of(value)
    except ValueError as error:
        raise SettingsError(f"RESOURCE_TAGS takes {error}") from None


def tags_of(value: str) -> tuple[tuple[str, str], ...]:
    """Read tags such as ``team=payments,cost-center=42``.

    Raises:
        ValueError: It is none; what would be one stands in its text.
    """
    listed = value.split(",") if value else []
    tags = dict(each.split("=", 1) for each in listed if re.fullmatch(_TAG, each))
    # Roles take no two keys that differ by their case alone.
    if len({key.lower() for key in tags}) != len(listed) or len(listed) > _MOST_TAGS:
        msg = (
            "up to eight tags such as team=payments,cost-center=42: each key once, of letters, "
            "digits, blanks and +-._:/@, not beginning with aws: or token-refresher:"
        )
        raise ValueError(msg)
    return tuple(tags.items())


def _regions(environment: Mapping[str, str]) -> tuple[str, ...]:
    value = environment.get("REPLICA_REGIONS", "")
    named = dict.fromkeys(value.split(",") if value else ())
    if not all(re.fullmatch(_REGION, each) for each in named):
        msg = "REPLICA_REGIONS takes Regions such as eu-central-1, separated by commas"
        raise SettingsError(msg)
    # A secret is no copy of itself.
    named.pop(environment.get("AWS_REGION", ""), None)
    return tuple(named)


def _hosts(value: str) -> tuple[str, ...]:
    try:
        return host_patterns(value)
    except ValueError as error:
        raise SettingsError(f"ALLOWED_TOKEN_HOSTS takes {error}") from None


def _proxy(value: str | None) -> str | None:
    if not value:
        return None
    found = re.fullmatch(_PROXY, value)
    if found is None or int(found["port"]) > _LAST_PORT:
        msg = "TOKEN_ENDPOINT_PROXY takes http://host:port, without user, password or path"
        raise SettingsError(msg)
    return value


def _certificates(value: str) -> str:
    if value:
        # Few stacks need it.
        from token_refresher.oauth.certificates import (  # noqa: PLC0415
            CertificatesError,
            authorities_of,
        )

        try:
            authorities_of(value)
        except CertificatesError as error:
            raise SettingsError(f"ADDITIONAL_CA_CERTIFICATES takes {error}") from None
    return value


def _number(
    environment: Mapping[str, str], name: str, *, default: int, least: int, most: int
) -> int:
    value = environment.get(name) or str(default)
    if not re.fullmatch(r"[0-9]{1,9}", value) or not least <= int(value) <= most:
        raise SettingsError(f"{name} takes a whole number from {least} to {most}")
    return int(value)


def _choice(environment: Mapping[str, str], name: str, choices: tuple[str, str]) -> str:
    """Read one of two words; the first is the default."""
    value = (environment.get(name) or choices[0]).lower()
    if value not in choices:
        raise SettingsError(f"{name} takes {choices[0]} or {choices[1]}")
    return value
