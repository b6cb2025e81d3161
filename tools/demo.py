"""A day of the real program in about ten seconds: ``make demo``.

The handler, boto3, the token requests and their TLS are the real ones. Only AWS and the
authorization server are local, and the clock is driven: a tick every five minutes. A consumer
reads each token as any workload would, right before each tick, when a token is at its oldest.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import urllib3
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
from local.function import Function
from token_refresher.outcomes import Outcome
from token_refresher.policy import Reason
from tools import output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_secretsmanager import SecretsManagerClient
    from rich.console import Console

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
USER: Final = "dealer@example.com"

# Every five minutes from 03:00 to 06:02 would be 37, and lock the dealer out.
MOST_ATTEMPTS: Final = 6


FIRST: Final = "first token published"
AGAIN: Final = "new token published"
AS_STORED: Final = "stored token published, without another token request"

Happening: TypeAlias = tuple[datetime, str]


@dataclass(frozen=True, slots=True)
class Account:
    """An account as the last table names it.

    Attributes:
        grant: How it gets tokens.
        refresh_token: What its server does to a refresh token that is used.
        hours: How long its tokens are valid.
    """

    grant: str
    refresh_token: str
    hours: int


@dataclass(slots=True)
class Day:
    """The day: what happens, what is seen of it, what it must come to."""

    clock: DrivenClock
    server: AuthorizationServer
    secrets: SecretsManagerClient
    consumer: Consumer
    function: Function
    accounts: dict[str, Account] = field(default_factory=dict)
    published: Counter[str] = field(default_factory=Counter)
    attempts: Counter[str] = field(default_factory=Counter)
    states: dict[str, str] = field(default_factory=dict)
    recovered_at: datetime | None = None
    replayed_without_request: bool = False
    was_killed: bool = False

    def onboard(self, name: str, account: Account, **credentials: str) -> None:
        """Create an account's credentials secret: all that onboarding takes."""
        self.accounts[name] = account
        text = self._json(name, grant_type=account.grant, **credentials)
        self.secrets.create_secret(Name=f"oauth/credentials/{name}", SecretString=text)

    def _json(self, name: str, **credentials: str) -> str:
        client = {"client_id": name, "client_secret": f"secret-of-{name}"}
        return json.dumps({"token_endpoint": self.server.token_endpoint, **client, **credentials})

    def onboard_all(self) -> None:
        """Register a client of every kind at the server, and onboard its account."""
        for name, mode, does in (
            ("autovit-dealer", RefreshMode.ROTATES, "replaced"),
            (KEPT, RefreshMode.KEEPS, "reusable"),
            ("standvirtual-cars", RefreshMode.OMITS_AND_DELETES, "deleted"),
        ):
            self._register(name, users={USER: "right"}, refresh_mode=mode)
            self.onboard(name, Account("password", does, 12), username=USER, password="right")  # noqa: S106
        partner = {"partner_code": "partner", "partner_secret": "right"}
        for name, mode, does, hours, more in (
            ("autovit-partner", RefreshMode.REFUSES, "refused", 12, {}),
            ("olx-partner", RefreshMode.ROTATES, "replaced", 24, {"dialect": OLX_PARTNERS}),
        ):
            self._register(name, partners={"partner": "right"}, refresh_mode=mode, **more)
            self.onboard(name, Account("partner", does, hours), **partner)
        for name, account in (
            ("erp-api", Account("client_credentials", "none", 3)),
            (REFRESH_ONLY, Account("refresh_token", "replaced", 2)),
        ):
            lifetime = timedelta(hours=account.hours)
            grants = [account.grant]
            self._register(name, grants=grants, access_token_lifetime=lifetime, dialect=RFC_6749)
            is_given = account.grant == "refresh_token"
            given = (
                {"refresh_token": self.server.issue_initial_refresh_token(name)} if is_given else {}
            )
            self.onboard(name, account, **given)
        self._register(WRONG, users={USER: "right"})

    def _register(self, name: str, **how: Any) -> None:  # noqa: ANN401
        self.server.register_client(name, secret=f"secret-of-{name}", **how)

    def happenings(self) -> Iterator[Happening]:
        """Let happen what is due since the last tick, and say so."""
        now = self.clock.now()
        if now == ONBOARDED:
            account = Account("password", "replaced", 12)
            self.onboard(WRONG, account, username=USER, password="mistyped")  # noqa: S106
            yield now, f"[cyan]{WRONG} is added, with a mistyped password[/]"
        if now - TICK < CORRECTED <= now:
            right = self._json(WRONG, grant_type="password", username=USER, password="right")  # noqa: S106
            self.secrets.put_secret_value(SecretId=f"oauth/credentials/{WRONG}", SecretString=right)
            yield CORRECTED, f"[cyan]the password of {WRONG} is corrected[/]"
        if now == OUTAGE_BEGINS:
            self.server.fail(unavailable())
            yield (
                now,
                "[cyan]an outage begins, just before new 12-hour tokens are needed[/]",
            )
        if now == OUTAGE_ENDS:
            self.server.recover()
            yield now, "[cyan]the outage ends[/]"
        if now == KILLED_FROM:
            self.function.dies_before_publishing = f"oauth/tokens/{REFRESH_ONLY}"

    def tick(self) -> Iterator[Happening]:
        """Let the schedule fire, and tell what is not routine."""
        now, requests = self.clock.now(), self._requests_of(REFRESH_ONLY)
        summary = self.function.invoke({})
        if summary is None:
            self.was_killed = True
            told = f"the function is killed: {REFRESH_ONLY}'s new token is stored, not published"
            yield now, f"[red]{told}[/]"
            return
        by_line: dict[str, list[str]] = {}
        for result in summary["accounts"]:
            name, line = result["account"], self._line(result)
            if AS_STORED in line:
                self.replayed_without_request = self._requests_of(REFRESH_ONLY) == requests
            if line != self.states.get(name) and line:
                by_line.setdefault(line, []).append(name)
            self.states[name] = line
        for line, names in by_line.items():
            yield now, f"{line}: {', '.join(sorted(names))}"

    def _requests_of(self, account: str) -> int:
        return sum(request.client_id == account for request in self.server.requests)

    def _line(self, result: dict[str, Any]) -> str:
        """Word a result; empty where it is routine."""
        name, outcome, reason = result["account"], result["outcome"], result["reason"]
        before = self.states.get(name, "")
        if outcome == Outcome.FAILED:
            self.attempts[name] += 1
            return f"[yellow]no new token, {result['error']} ({result['failure_class']})[/]"
        if outcome == Outcome.NOT_ATTEMPTED:
            return "[yellow]no new token, the server was not asked: it is down[/]"
        if outcome != Outcome.PUBLISHED:
            return before if reason == Reason.BACKING_OFF else f"no new token, {reason}"
        self.published[name] += 1
        if name == WRONG and self.recovered_at is None:
            self.recovered_at = self.clock.now()
        if reason == Reason.NO_TOKEN:
            return f"[green]{FIRST}[/]"
        if reason == Reason.UNPUBLISHED_RESPONSE:
            return f"[green]{AS_STORED}[/]"
        is_routine = reason == Reason.NEARING_EXPIRY and not before.startswith("[yellow]")
        return "" if is_routine else f"[green]{AGAIN}[/]"

    def promises(self) -> Iterator[tuple[str, bool]]:
        """Tell what was promised, and whether it was kept."""
        yield (
            "the API rejected no call of the consumer, not even during the outage",
            not self.consumer.rejected.total(),
        )
        yield (
            "no single-use refresh token was exchanged twice, and none was revoked",
            not self._redeemed_twice() and self.server.families_revoked == 0,
        )
        next_tick = MIDNIGHT + timedelta(hours=6, minutes=5)
        attempts = self.attempts[WRONG]
        yield (
            f"the wrong password was tried {attempts} times in 3 h, the right one after 3 min",
            1 < attempts <= MOST_ATTEMPTS and self.recovered_at == next_tick,
        )
        yield (
            "the killed run lost nothing: the next one published the stored token",
            self.was_killed and self.replayed_without_request,
        )
        yield (
            "every account ends the day with a valid token",
            all(map(self._is_live, self.accounts)),
        )

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
        value = self.secrets.get_secret_value(SecretId=f"oauth/tokens/{account}")
        expires_at: int = json.loads(value["SecretString"])["expires_at"]
        return expires_at > self.clock.now().timestamp()


def main() -> int:
    """Run the day; Ctrl-C ends it, as it ends any command."""
    try:
        return show()
    except KeyboardInterrupt:
        return 130


def show() -> int:
    """Run the day, and return 1 if a promise broke."""
    console = output.console()
    started = perf_counter()
    clock = DrivenClock(MIDNIGHT)
    with ExitStack() as stack:
        cloud = stack.enter_context(EmbeddedCloud())
        authority = stack.enter_context(Authority())
        server = stack.enter_context(AuthorizationServer(authority, clock.now))
        environment = {
            **cloud.environment(),
            "SSL_CERT_FILE": str(authority.certificate_file),
            "ALLOWED_TOKEN_HOSTS": server.host,
            "SECRET_PREFIX": "oauth",
        }
        http = urllib3.PoolManager(ssl_context=authority.client_context(), maxsize=1)
        consumer = Consumer(cloud.client(), http, server.resource_url)
        function = stack.enter_context(Function(clock, environment))
        day = Day(clock, server, cloud.client(), consumer, function)
        day.onboard_all()
        console.print(
            "[bold]A day of Token Refresher in fast motion.[/] The program is the real one, AWS "
            "and the authorization server are local. There are "
            f"{len(day.accounts)} accounts, and one more from {ONBOARDED:%H:%M} on. Every "
            "5 minutes a consumer reads all tokens and calls an API with each, then the "
            "function runs. These are the events that are not routine:\n"
        )
        run(day, console)
        for table in (metrics_table(function.log()), accounts_table(day)):
            console.print()
            console.print(table)
        kept = list(day.promises())
    console.print()
    for promise, held in kept:
        console.print(output.promise(promise, held=held))
    accepted, rejected = consumer.accepted.total(), consumer.rejected.total()
    console.print(
        f"\n[bold]{accepted + rejected} consumer calls, {rejected} rejected[/]\n"
        f"{function.calls.total()} calls to Secrets Manager and {len(server.requests)} token "
        f"requests by the function, {sum(day.published.values())} of which brought a token, "
        f"in {perf_counter() - started:.0f} s"
    )
    return 0 if all(held for _, held in kept) else 1


def run(day: Day, console: Console) -> None:
    """Drive the clock through the day, tick by tick.

    The bar is drawn by this thread alone, and takes no stream from anybody.
    """
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(40),
        console=console,
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
        # Rich takes a pipe for a terminal where FORCE_COLOR asks for colours.
        disable=not console.file.isatty(),
    ) as bar:
        task = bar.add_task("", total=DAY / TICK)
        while day.clock.now() < MIDNIGHT + DAY:
            bar.update(task, description=f"{day.clock.now():%H:%M}", refresh=True)
            told = list(day.happenings())
            day.consumer.call_for_each(list(day.accounts))
            told += day.tick()
            for moment, text in told:
                console.print(output.hanging(f"{moment:%H:%M}  ", text))
            day.clock.advance(TICK)
            bar.advance(task)


def accounts_table(day: Day) -> Table:
    """Show what the day came to for each account."""
    table = _table("Accounts (refresh token: what the server does to it when it is used)")
    for column in ("account", "grant", "refresh\ntoken"):
        table.add_column(column)
    for column in ("valid\nfor", "new\ntokens", "\ncalls", "\nrejected"):
        table.add_column(column, justify="right")
    for name, account in day.accounts.items():
        calls = day.consumer.accepted[name] + day.consumer.rejected[name]
        figures = map(str, (day.published[name], calls, day.consumer.rejected[name]))
        table.add_row(name, account.grant, account.refresh_token, f"{account.hours} h", *figures)
    return table


def metrics_table(log: str) -> Table:
    """Show the metrics that CloudWatch would have taken from the function's log."""
    values: dict[str, list[float]] = {}
    for line in log.splitlines():
        record = json.loads(line)
        for directive in record.get("_aws", {}).get("CloudWatchMetrics", []):
            for metric in directive["Metrics"]:
                name = metric["Name"]
                label = f"{name} ({record['class']})" if "class" in record else name
                value = record[name]
                values.setdefault(label, []).extend(value if isinstance(value, list) else [value])
    table = _table("Metrics of the day, as CloudWatch would show them")
    table.add_column("metric")
    for column in ("samples", "sum", "minimum", "maximum"):
        table.add_column(column, justify="right")
    for label, numbers in sorted(values.items()):
        is_event = label.split(" ")[0] in {"RefreshFailures", "SweepsCompleted", "TokensRefreshed"}
        total = f"{sum(numbers):.0f}" if is_event else ""
        unit = " ms" if label == "TokenRequestLatency" else ""
        spread = (f"{min(numbers):.0f}{unit}", f"{max(numbers):.0f}{unit}")
        least, most = ("", "") if is_event else spread
        table.add_row(label, str(len(numbers)), total, least, most)
    return table


def _table(title: str) -> Table:
    return Table(
        title=title,
        title_justify="left",
        box=None,
        header_style="bold",
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )


if __name__ == "__main__":
    sys.exit(main())
