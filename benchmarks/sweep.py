"""Measures what a sweep and a refresh use: processor time, memory, AWS calls and log.

Memory size and monthly cost are chosen from these figures. The function runs under the client
that AWS uses, against the embedded cloud and the local authorization server, by the real clock.
What is read is the kernel's account of the function's own process, so a slow emulator does not
count. How long a sweep takes on AWS is not measured: that is mostly AWS's answering.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import statistics
import sys
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

import urllib3
from typing_extensions import override

from benchmarks.cold_start import HANDLER, peak_mb
from local.authority import Authority
from local.authorization_server import AuthorizationServer
from local.embedded_cloud import LOOPBACK, ROOT, EmbeddedCloud
from local.runtime_api import LambdaRuntime
from token_refresher.credentials import parse_credentials
from token_refresher.model import JOURNAL_STAGE, JournalEntry, TokenVersion, digest12

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

# How many accounts, and how many sweeps of them are measured. Not 10,000: the emulator would
# take a minute to create them, and the cost grows with the number anyway.
IDLE_SWEEPS: Final = {1: 21, 100: 21, 1_000: 7, 5_000: 3}
# Writes are paced, so that more would take minutes.
DUE_AT_ONCE: Final = 64
ROUNDS: Final = 3
WARMING_UP: Final = 16  # as many as are refreshed at once
SEEDERS: Final = 8
SETTLING_SECONDS: Final = 0.1

LIFE: Final = timedelta(hours=12)
FRESH: Final = timedelta(hours=6)
DUE: Final = timedelta(hours=1)

USERNAME: Final = "dealer@example.com"
SECRET: Final = "made-up"  # noqa: S105
# What the function gives the secrets that it creates; a listing repeats it.
DESCRIPTION: Final = "Access token kept fresh by Token Refresher; read AWSCURRENT"

# What an HTTP server writes itself.
PER_CONNECTION: Final = {"connection", "content-length", "date", "server", "transfer-encoding"}

CAPTION: Final = """\
CPU and memory are those of the function's own process, as the kernel accounts for them:
neither the emulator nor the authorization server counts, however slow they are. The token
endpoint is asked over TLS, the emulator is not. The log is what the function prints; Lambda
adds three lines to it. Figures are medians, with the least and the most."""


@dataclass(frozen=True, slots=True)
class Grant:
    """How accounts get their tokens.

    Args:
        name: What the table calls it.
        fields: Of the credentials.
        is_journaled: Whether a refresh token is held from the refresh before.
    """

    name: str
    fields: Mapping[str, str]
    is_journaled: bool


MACHINE: Final = Grant(
    "`client_credentials`, no refresh token",
    {"grant_type": "client_credentials"},
    is_journaled=False,
)
DEALER: Final = Grant(
    "`password`, by its refresh token",
    {"grant_type": "password", "username": USERNAME, "password": SECRET},
    is_journaled=True,
)


@dataclass(frozen=True, slots=True)
class Usage:
    """What the function has used up to a moment, or between two."""

    cpu_ms: float
    calls: int
    log_bytes: int

    def __sub__(self, other: Usage) -> Usage:
        """Return what was used since."""
        return Usage(
            self.cpu_ms - other.cpu_ms,
            self.calls - other.calls,
            self.log_bytes - other.log_bytes,
        )

    def each(self, number: int) -> Usage:
        """Return the share of each; calls are whole."""
        return Usage(self.cpu_ms / number, round(self.calls / number), self.log_bytes // number)


class Relay(ThreadingHTTPServer):
    """Stands between the function and the emulator, and counts the calls.

    Args:
        upstream: Where the emulator answers.
    """

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        super().__init__((LOOPBACK, 0), _Relaying)
        self.calls: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.upstream = urllib3.connection_from_url(upstream, maxsize=32)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report a defect, but not that the function has ended, and its connections with it."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        """Where the function finds its AWS."""
        return f"http://{LOOPBACK}:{self.server_port}"


class _Relaying(BaseHTTPRequestHandler):
    """The calls of one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Relay  # type: ignore[mutable-override] # no other makes it

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def do_POST(self) -> None:
        """Count a call, and pass it on."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:
            self.server.calls[self.headers["X-Amz-Target"]] += 1
        answer = self.server.upstream.urlopen(
            "POST", self.path, body=body, headers=dict(self.headers), decode_content=False
        )
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in PER_CONNECTION:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.data)))
        self.end_headers()
        self.wfile.write(answer.data)


class MeasuredFunction(LambdaRuntime):
    """The function, and what its process has used.

    Args:
        environment: The whole environment of the function.
        relay: What its AWS calls go through.
    """

    def __init__(self, environment: Mapping[str, str], relay: Relay) -> None:
        super().__init__(HANDLER, environment)
        self._relay = relay
        self._clock = cpu_clock(self._process.pid)

    def usage(self) -> Usage:
        """Tell what was used since the start."""
        return Usage(
            cpu_ms=time.clock_gettime(self._clock) * 1e3,
            calls=self._relay.calls.total(),
            log_bytes=os.fstat(self._output.fileno()).st_size,
        )

    def peak_mb(self) -> float:
        """Tell the most memory that it ever held."""
        return peak_mb(self._process.pid)

    def sweep(self, expected: Mapping[str, int]) -> Usage:
        """Let it sweep, and tell what that used.

        Raises:
            RuntimeError: The outcomes are not those that are to be measured.
        """
        before = self.usage()
        answer = self.invoke({})
        used = self.usage() - before
        if answer.kind != "response" or answer.content["outcomes"] != expected:
            told: Any = answer.content.get("outcomes", answer.content)
            raise RuntimeError(f"The sweep was to end with {expected}, but: {told}")
        return used

    @override
    def stop(self) -> str:
        """End it when it has read the reply to its last answer, else its server complains."""
        time.sleep(SETTLING_SECONDS)
        return super().stop()


def cpu_clock(pid: int) -> int:
    """Return the clock of all processor time of a process, threads that have ended included.

    The ticks in ``/proc`` are 10 ms, as long as a whole sweep.

    Raises:
        OSError: There is no such process.
    """
    clock = ctypes.c_int()
    error = ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock))
    if error:
        raise OSError(error, os.strerror(error))
    return clock.value


def utc_now() -> datetime:
    """Return the moment: the function reads the real clock, too."""
    return datetime.now(UTC)


@dataclass(slots=True)
class World:
    """Where the function runs.

    Args:
        cloud: Its AWS.
        server: Issues the tokens.
        certificate_file: Makes the function trust the server.
    """

    cloud: EmbeddedCloud
    server: AuthorizationServer
    certificate_file: Path
    relay: Relay = field(init=False)
    secrets: Any = field(init=False)

    def __post_init__(self) -> None:
        """Connect to the cloud."""
        self.relay = Relay(self.cloud.endpoint_url)
        self.secrets = self.cloud.client()

    def function(self, prefix: str) -> MeasuredFunction:
        """Start the function for the accounts under a prefix."""
        environment = {
            **self.cloud.environment(),
            "AWS_ENDPOINT_URL": self.relay.url,
            "SSL_CERT_FILE": str(self.certificate_file),
            "ALLOWED_TOKEN_HOSTS": self.server.host,
            "SECRET_PREFIX": prefix,
            "POWERTOOLS_SERVICE_NAME": "token-refresher",
            "POWERTOOLS_TRACE_DISABLED": "true",
            "PYTHONPATH": str(ROOT / "functions"),
        }
        return MeasuredFunction(environment, self.relay)

    def seed(self, prefix: str, numbers: range, grant: Grant, *, left: timedelta) -> None:
        """Create accounts whose tokens have so much of their life left."""

        def seed_one(number: int) -> None:
            self._seed(prefix, f"dealer-{number:05}", grant, left)

        with ThreadPoolExecutor(SEEDERS) as pool:
            for _ in pool.map(seed_one, numbers):
                pass

    def _seed(self, prefix: str, account: str, grant: Grant, left: timedelta) -> None:
        """Write an account's two secrets, as the refresh before would have left them."""
        client = {"client_id": f"{prefix}-{account}", "client_secret": SECRET}
        text = json.dumps({"token_endpoint": self.server.token_endpoint, **client, **grant.fields})
        users = {USERNAME: SECRET} if grant.is_journaled else None
        self.server.register_client(client["client_id"], secret=SECRET, users=users)
        credentials_version, expires_at = str(uuid.uuid4()), utc_now() + left
        version = TokenVersion(
            issued_at=expires_at - LIFE,
            expires_at=expires_at,
            credentials_digest=digest12(credentials_version),
            random="0" * 12,
        )
        token = {"access_token": "nearly-over", "token_type": "Bearer"}
        self.secrets.create_secret(
            Name=f"{prefix}/credentials/{account}",
            SecretString=text,
            ClientRequestToken=credentials_version,
        )
        if grant.is_journaled:
            journal = JournalEntry(
                grant=parse_credentials(text).grant_digest,
                access_token=token["access_token"],
                token_type=token["token_type"],
                refresh_token=self.server.issue_seed(client["client_id"], user=USERNAME),
            )
            self.secrets.put_secret_value(
                SecretId=f"{prefix}/credentials/{account}",
                SecretString=journal.to_json(),
                ClientRequestToken=str(version),
                VersionStages=[JOURNAL_STAGE],
            )
        self.secrets.create_secret(
            Name=f"{prefix}/tokens/{account}",
            Description=DESCRIPTION,
            SecretString=json.dumps(token),
            ClientRequestToken=str(version),
        )


def measure_idle(world: World) -> list[str]:
    """Sweep ever more accounts of which none is due; return a table.

    Each number of accounts has a process of its own, since memory that was held counts.
    """
    rows = header(
        "accounts, none due",
        "CPU a sweep",
        "least to most",
        "the first, with the start",
        "AWS calls",
        "log a sweep",
        "peak memory",
    )
    seeded = 0
    for accounts, sweeps in IDLE_SWEEPS.items():
        world.seed("idle", range(seeded, accounts), MACHINE, left=FRESH)
        seeded = accounts
        with world.function("idle") as function:
            first = function.sweep({"fresh": accounts})
            used = [function.sweep({"fresh": accounts}) for _ in range(sweeps)]
            peak = function.peak_mb()
        start = f"{first.cpu_ms:.0f} ms"
        rows.append(row(f"{accounts:,}", *cpu(used), start, *calls_and_log(used), megabytes(peak)))
    return rows


def measure_refresh(world: World) -> list[str]:
    """Refresh many accounts at once; return a table.

    An idle sweep of the same accounts is subtracted, so that listing and gauges do not count.
    """
    rows = header(
        f"a refresh, {DUE_AT_ONCE} due at once",
        "CPU",
        "least to most",
        "AWS calls",
        "log",
        "peak memory",
    )
    for grant in (MACHINE, DEALER):
        prefix = grant.fields["grant_type"]
        world.seed(prefix, range(WARMING_UP), grant, left=DUE)
        with world.function(prefix) as function:
            function.sweep({"fresh": 0, "published": WARMING_UP})
            used, known = [], WARMING_UP
            for _ in range(ROUNDS):
                world.seed(prefix, range(known, known + DUE_AT_ONCE), grant, left=DUE)
                busy = function.sweep({"fresh": known, "published": DUE_AT_ONCE})
                known += DUE_AT_ONCE
                used.append((busy - function.sweep({"fresh": known})).each(DUE_AT_ONCE))
            peak = function.peak_mb()
        rows.append(row(grant.name, *cpu(used), *calls_and_log(used), megabytes(peak)))
    return rows


def header(*columns: str) -> list[str]:
    """Begin a table."""
    return [row(*columns), "|" + "---|" * len(columns)]


def row(*cells: str) -> str:
    """Write a table's row."""
    return f"| {' | '.join(cells)} |"


def cpu(used: list[Usage]) -> tuple[str, str]:
    """Word the median, and the spread."""
    times = sorted(each.cpu_ms for each in used)
    return f"{statistics.median(times):.1f} ms", f"{times[0]:.1f} to {times[-1]:.1f}"


def calls_and_log(used: list[Usage]) -> tuple[str, str]:
    """Word the medians of both."""
    calls = statistics.median_low(each.calls for each in used)
    return f"{calls}", f"{statistics.median_low(each.log_bytes for each in used):,} B"


def megabytes(number: float) -> str:
    """Word an amount of memory."""
    return f"{number:.0f} MB"


def main() -> None:
    """Measure, and print two tables."""
    print(f"Python {platform.python_version()}, {platform.machine()}\n\n{CAPTION}")
    with ExitStack() as stack:
        authority = stack.enter_context(Authority())
        server = stack.enter_context(AuthorizationServer(authority, utc_now))
        cloud = stack.enter_context(EmbeddedCloud())
        world = World(cloud, server, authority.certificate_file)
        measurements: tuple[Callable[[World], list[str]], ...] = (measure_refresh, measure_idle)
        for measure in measurements:
            print()
            print("\n".join(measure(world)), flush=True)


if __name__ == "__main__":
    main()
