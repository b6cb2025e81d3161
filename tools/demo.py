"""A day of the real program in a few seconds: ``make demo``.

The handler, boto3, the token requests and their TLS are the real ones. Only AWS and the
authorization server are local, and the clock is driven: a tick every five minutes. A consumer
reads each token as any workload would, right before each tick, when a token is at its oldest.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections import Counter
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import boto3
import urllib3
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from local.authority import Authority
from local.authorization_server import (
    OLX_PARTNERS,
    RFC_6749,
    AuthorizationServer,
    RefreshMode,
    unavailable,
)
from local.clock import DrivenClock
from local.consumer import Consumer
from local.embedded_cloud import EmbeddedCloud

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_secretsmanager import SecretsManagerClient

    from token_refresher.handler import Handler

MIDNIGHT: Final = datetime(2026, 11, 24, tzinfo=UTC)
TICK: Final = timedelta(minutes=5)
DAY: Final = timedelta(days=1)

# What happens during the day.
ONBOARDED: Final = MIDNIGHT + timedelta(hours=3)
CORRECTED: Final = MIDNIGHT + timedelta(hours=6, minutes=2)
OUTAGE_BEGINS: Final = MIDNIGHT + timedelta(hours=10, minutes=25)
OUTAGE_ENDS: Final = OUTAGE_BEGINS + timedelta(minutes=30)
KILLED_FROM: Final = MIDNIGHT + timedelta(hours=14)

WRONG: Final = "mistyped-dealer"
REFRESH_ONLY: Final = "crm-consent"
KEPT: Final = "otomoto-dealer"

# Every five minutes from 03:00 to 06:02 would be 37, and lock the dealer out.
MOST_ATTEMPTS: Final = 6


class KilledError(BaseException):
    """The function's environment dies here; nothing below may catch it."""


class Context:
    """What Lambda tells the function of its invocation."""

    aws_request_id = "demo"

    def get_remaining_time_in_millis(self) -> int:
        """As much as the deployed function has when it starts."""
        return 240_000


@dataclass(slots=True)
class Function:
    """The deployed function: invoked once a tick, and made anew after it was killed."""

    clock: DrivenClock
    output: io.StringIO = field(default_factory=io.StringIO)
    calls: Counter[str] = field(default_factory=Counter)
    kills: str = ""
    handler: Handler | None = None

    def install(self) -> None:
        """Watch the AWS calls of every client that the function will make."""
        boto3.setup_default_session()
        session = boto3.DEFAULT_SESSION
        assert session is not None  # noqa: S101 - it was made on the line above
        session.events.register("before-call.secretsmanager", self._on_call)

    def _on_call(self, model: Any, params: dict[str, Any], **_: object) -> None:  # noqa: ANN401
        self.calls[model.name] += 1
        body = json.loads(params["body"])
        if self.kills and model.name == "PutSecretValue" and body["SecretId"] == self.kills:
            self.kills = ""
            raise KilledError

    def invoke(self, event: dict[str, Any]) -> dict[str, Any] | None:
        """Invoke it; None if it was killed."""
        with redirect_stdout(self.output):
            # Imported here: the module reads its environment when it is imported, as in Lambda.
            from token_refresher.handler import wired  # noqa: PLC0415
            from token_refresher.settings import settings_from_environment  # noqa: PLC0415

            if self.handler is None:
                self.handler = wired(settings_from_environment(), clock=self.clock.now)
            try:
                return self.handler(event, Context())
            except KilledError:
                self.handler = None
                return None


@dataclass(slots=True)
class Day:
    """The day: what happens, what is seen of it, what it must come to."""

    clock: DrivenClock
    server: AuthorizationServer
    secrets: SecretsManagerClient
    consumer: Consumer
    function: Function
    accounts: dict[str, str] = field(default_factory=dict)
    published: Counter[str] = field(default_factory=Counter)
    attempts: Counter[str] = field(default_factory=Counter)
    states: dict[str, str] = field(default_factory=dict)
    recovered_at: datetime | None = None
    replayed_without_request: bool = False
    was_killed: bool = False

    def onboard(self, name: str, note: str, **credentials: Any) -> None:  # noqa: ANN401
        """Create an account's credentials secret: all that onboarding takes."""
        self.accounts[name] = note
        self.secrets.create_secret(
            Name=f"olx/credentials/{name}", SecretString=self._json(name, credentials)
        )

    def _json(self, name: str, credentials: dict[str, Any]) -> str:
        client = {"client_id": name, "client_secret": f"secret-of-{name}"}
        return json.dumps({"token_endpoint": self.server.token_endpoint, **client, **credentials})

    def onboard_all(self) -> None:
        """Register a client of every kind at the server, and onboard its account."""
        for name, mode, does in (
            ("autovit-dealer", RefreshMode.ROTATES, "rotates"),
            (KEPT, RefreshMode.KEEPS, "keeps"),
            ("standvirtual-dealer", RefreshMode.OMITS_AND_DELETES, "deletes"),
        ):
            self._register(name, users={"dealer@example.com": "right"}, refresh_mode=mode)
            user = {"username": "dealer@example.com", "password": "right"}
            self.onboard(name, f"password, {does}", grant_type="password", **user)
        partner = {"partner_code": "partner", "partner_secret": "right"}
        for name, mode, does, dialect in (
            ("autovit-partner", RefreshMode.REFUSES, "refuses", None),
            ("olx-partner", RefreshMode.ROTATES, "rotates, sister dialect", OLX_PARTNERS),
        ):
            extra = {"dialect": dialect} if dialect else {}
            self._register(name, partners={"partner": "right"}, refresh_mode=mode, **extra)
            self.onboard(name, f"partner, {does}", grant_type="partner", **partner)
        hours = {"access_token_lifetime": timedelta(hours=3), "dialect": RFC_6749}
        self._register("erp-api", **hours)
        self.onboard("erp-api", "client_credentials, 3 h", grant_type="client_credentials")
        self._register(REFRESH_ONLY, grants=["refresh_token"], **hours)
        seed = self.server.issue_seed(REFRESH_ONLY)
        note = "refresh_token, rotates, 3 h"
        self.onboard(REFRESH_ONLY, note, grant_type="refresh_token", refresh_token=seed)
        self._register(WRONG, users={"dealer@example.com": "right"})

    def _register(self, name: str, **how: Any) -> None:  # noqa: ANN401
        self.server.register_client(name, secret=f"secret-of-{name}", **how)

    def happenings(self) -> Iterator[str]:
        """Let happen what is due at this moment, and say so."""
        now = self.clock.now()
        if now == ONBOARDED:
            user = {"username": "dealer@example.com", "password": "mistyped"}
            self.onboard(WRONG, "password, rotates", grant_type="password", **user)
            yield f"[cyan]{WRONG} is onboarded, its password mistyped[/]"
        if now - TICK < CORRECTED <= now:
            user = {"username": "dealer@example.com", "password": "right"}
            text = self._json(WRONG, {"grant_type": "password", **user})
            self.secrets.put_secret_value(SecretId=f"olx/credentials/{WRONG}", SecretString=text)
            yield f"[cyan]06:02 the password of {WRONG} is corrected[/]"
        if now == OUTAGE_BEGINS:
            self.server.fail(unavailable())
            yield "[cyan]the token endpoint answers 503, just before the 12 h tokens come due[/]"
        if now == OUTAGE_ENDS:
            self.server.recover()
            yield "[cyan]the token endpoint is back[/]"
        if now == KILLED_FROM:
            self.function.kills = f"olx/tokens/{REFRESH_ONLY}"

    def tick(self) -> Iterator[str]:
        """Let the schedule fire, and tell what is not routine."""
        requests = len(self.server.requests)
        summary = self.function.invoke({})
        if summary is None:
            self.was_killed = True
            yield f"[red]the function is killed between journal and publish of {REFRESH_ONLY}[/]"
            return
        by_line: dict[str, list[str]] = {}
        for result in summary["accounts"]:
            name, line = result["account"], self._line(result)
            if result["reason"] == "unpublished response" and result["outcome"] == "published":
                self.replayed_without_request = len(self.server.requests) == requests
            if line != self.states.get(name) and line:
                by_line.setdefault(line, []).append(name)
            self.states[name] = line
        for line, names in by_line.items():
            yield f"{line}: {', '.join(sorted(names))}"

    def _line(self, result: dict[str, Any]) -> str:
        """Word a result; empty where it is routine."""
        name, outcome, reason = result["account"], result["outcome"], result["reason"]
        if outcome == "failed":
            self.attempts[name] += 1
            return f"[yellow]{result['failure_class']}[/] ({result['error']})"
        if outcome == "not attempted":
            return "[yellow]transient[/] (not asked: its host is down)"
        if outcome != "published":
            return self.states.get(name, "") if reason == "backing off" else f"[dim]{reason}[/]"
        self.published[name] += 1
        if name == WRONG and self.recovered_at is None:
            self.recovered_at = self.clock.now()
        if reason == "nearing expiry" and not self.states.get(name, "").startswith("[yellow]"):
            return ""
        return f"[green]published[/] ({reason})"

    def promises(self) -> Iterator[tuple[str, bool]]:
        """Tell what was promised, and whether it held."""
        yield "no consumer's call was rejected, outage included", not self.consumer.rejected.total()
        yield (
            "no rotating refresh token was redeemed twice, no family was revoked",
            not self._redeemed_twice() and self.server.families_revoked == 0,
        )
        next_tick = MIDNIGHT + timedelta(hours=6, minutes=5)
        yield (
            "the wrong password was reported, held back, and healed by the tick after 06:02",
            1 < self.attempts[WRONG] <= MOST_ATTEMPTS and self.recovered_at == next_tick,
        )
        yield (
            "the kill cost nothing: the journaled answer was published without a request",
            self.was_killed and self.replayed_without_request,
        )
        yield "every account ends the day with a live token", all(map(self._is_live, self.accounts))

    def _redeemed_twice(self) -> set[str]:
        """Tell the refresh tokens that were redeemed again, but where the server keeps them."""
        kept = {
            request.fields["refresh_token"]
            for request in self.server.requests
            if request.client_id == KEPT and "refresh_token" in request.fields
        }
        redeemed = self.server.refresh_tokens_redeemed
        return {token for token, times in redeemed.items() if times > 1} - kept

    def _is_live(self, account: str) -> bool:
        value = self.secrets.get_secret_value(SecretId=f"olx/tokens/{account}")
        expires_at: int = json.loads(value["SecretString"])["expires_at"]
        return expires_at > self.clock.now().timestamp()


def main() -> int:
    """Run the day, and return 1 if a promise broke."""
    console = Console(highlight=False, soft_wrap=True)
    started = perf_counter()
    clock = DrivenClock(MIDNIGHT)
    with ExitStack() as stack:
        cloud = stack.enter_context(EmbeddedCloud())
        authority = stack.enter_context(Authority())
        server = stack.enter_context(AuthorizationServer(authority, clock.now))
        os.environ.update(
            cloud.environment(),
            SSL_CERT_FILE=str(authority.certificate_file),
            ALLOWED_TOKEN_HOSTS=server.host,
            SECRET_PREFIX="olx",  # noqa: S106 - a path
        )
        http = urllib3.PoolManager(ssl_context=authority.client_context(), maxsize=1)
        consumer = Consumer(cloud.client(), http, server.resource_url)
        function = Function(clock)
        function.install()
        day = Day(clock, server, cloud.client(), consumer, function)
        day.onboard_all()
        console.print(
            f"[bold]A day of Token Refresher[/]: {len(day.accounts)} accounts, a tick every "
            "5 minutes, a consumer that calls before each tick\n"
        )
        run(day, console)
        console.print()
        console.print(accounts_table(day))
        console.print(metrics_table(function.output.getvalue()))
        kept = list(day.promises())
    for promise, held in kept:
        console.print(f"{'[green]held  [/]' if held else '[bold red]BROKEN[/]'} {promise}")
    accepted, rejected = consumer.accepted.total(), consumer.rejected.total()
    console.print(
        f"\n[bold]{accepted + rejected} consumer calls, {rejected} rejected[/] "
        f"({function.calls.total()} calls to Secrets Manager, {len(server.requests)} token "
        f"requests, {perf_counter() - started:.0f} s)"
    )
    return 0 if all(held for _, held in kept) else 1


def run(day: Day, console: Console) -> None:
    """Drive the clock through the day, tick by tick."""
    bar = Progress(TextColumn("{task.description}"), BarColumn(40), console=console, transient=True)
    with bar:
        task = bar.add_task("00:00", total=DAY / TICK)
        while day.clock.now() < MIDNIGHT + DAY:
            moment = f"{day.clock.now():%H:%M}"
            bar.update(task, description=moment)
            lines = list(day.happenings())
            for account in day.accounts:
                day.consumer.call(account)
            lines += day.tick()
            for line in lines:
                bar.console.print(f"{moment}  {line}")
            day.clock.advance(TICK)
            bar.advance(task)


def accounts_table(day: Day) -> Table:
    """Show what the day came to for each account."""
    table = Table(title="Accounts", title_justify="left", box=None, header_style="bold")
    for column in ("account", "grant, refresh mode"):
        table.add_column(column)
    for column in ("tokens", "calls", "rejected"):
        table.add_column(column, justify="right")
    for name, note in day.accounts.items():
        calls = day.consumer.accepted[name] + day.consumer.rejected[name]
        figures = (day.published[name], calls, day.consumer.rejected[name])
        table.add_row(name, note, *map(str, figures))
    return table


def metrics_table(output: str) -> Table:
    """Show the metrics that CloudWatch would have taken from the function's output."""
    values: dict[str, list[float]] = {}
    for line in output.splitlines():
        record = json.loads(line)
        for directive in record.get("_aws", {}).get("CloudWatchMetrics", []):
            for metric in directive["Metrics"]:
                name = metric["Name"]
                label = f"{name} ({record['class']})" if "class" in record else name
                value = record[name]
                values.setdefault(label, []).extend(value if isinstance(value, list) else [value])
    table = Table(title="\nMetrics", title_justify="left", box=None, header_style="bold")
    table.add_column("metric")
    for column in ("samples", "sum", "least", "most"):
        table.add_column(column, justify="right")
    for label, numbers in sorted(values.items()):
        is_event = label.split(" ")[0] in {"RefreshFailures", "SweepsCompleted", "TokensRefreshed"}
        total = f"{sum(numbers):.0f}" if is_event else ""
        spread = (f"{min(numbers):.0f}", f"{max(numbers):.0f}")
        least, most = ("", "") if is_event else spread
        unit = " ms" if label == "TokenRequestLatency" else ""
        table.add_row(label, str(len(numbers)), total, least, most + unit)
    return table


if __name__ == "__main__":
    sys.exit(main())
