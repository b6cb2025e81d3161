"""Serves the stub of Secrets Manager and a token endpoint over TLS, in a process of its own.

One thread answers both, from memory, and waits as long as it is told to before an answer leaves.
It is asked for its own processor time, so that the tables can say how little of it there is.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import botocore
from typing_extensions import override

from benchmarks.accounts import Grant, fleet, token_response
from benchmarks.secrets_manager import Region
from local.authority import Authority
from local.embedded_cloud import LOOPBACK

if TYPE_CHECKING:
    from collections import Counter
    from datetime import datetime, timedelta
    from multiprocessing.connection import Connection

    from benchmarks.secrets_manager import Write

PATIENCE_SECONDS: Final = 60
HEAD_ENDS: Final = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Seen:
    """What the servers saw since they were told to forget.

    Attributes:
        calls: Of Secrets Manager, by operation.
        refused: Of these, by code.
        writes: Those that were accepted.
        cpu_seconds: What the servers used since their start.
    """

    calls: Counter[str]
    refused: Counter[str]
    writes: list[Write]
    cpu_seconds: float


class _World:
    """What both servers stand on, in their process."""

    def __init__(self) -> None:
        self.secrets_manager = Region(time.monotonic)
        self.aws_latency = self.token_latency = 0.0
        self.token_endpoint = ""

    def seed(
        self, prefix: str, numbers: range, grant: Grant, expires_at: datetime, apart: timedelta
    ) -> None:
        self.secrets_manager.add(
            fleet(
                prefix,
                numbers,
                grant,
                token_endpoint=self.token_endpoint,
                expires_at=expires_at,
                apart=apart,
            )
        )

    def clear(self) -> None:
        """Begin again, without a secret, a delay or a quota."""
        self.secrets_manager = Region(time.monotonic)
        self.aws_latency = self.token_latency = 0.0

    def delay(self, aws: float, token_endpoint: float) -> None:
        self.aws_latency, self.token_latency = aws, token_endpoint

    def enforce(self, per_second: int) -> None:
        self.secrets_manager.enforce(per_second)

    def seen(self) -> Seen:
        """Tell what was seen, and forget it."""
        manager = self.secrets_manager
        seen = Seen(
            manager.calls.copy(),
            manager.refused.copy(),
            list(manager.writes),
            time.process_time(),
        )
        manager.forget()
        return seen


class _Http(asyncio.Protocol):
    """Requests with a known length, one after another, on one connection."""

    def __init__(self, region: _World) -> None:
        self._region = region
        self._received = b""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    @override
    def data_received(self, data: bytes) -> None:
        self._received += data
        while HEAD_ENDS in self._received:
            head, _, rest = self._received.partition(HEAD_ENDS)
            lines = (line.partition(b":") for line in head.split(b"\r\n")[1:])
            headers = {name.strip().lower(): value.strip() for name, _, value in lines}
            length = int(headers.get(b"content-length", b"0"))
            if len(rest) < length:
                return
            self._received = rest[length:]
            self._answer(headers, rest[:length])

    def _answer(self, headers: dict[bytes, bytes], body: bytes) -> None:
        status, content, seconds = self.answer(headers, body)
        reason = b"200 OK" if status == 200 else b"400 Bad Request"  # noqa: PLR2004
        answer = (
            b"HTTP/1.1 " + reason + b"\r\nContent-Type: application/x-amz-json-1.1\r\n"
            b"x-amzn-RequestId: 00000000-0000-4000-8000-000000000000\r\n"
            b"Content-Length: " + str(len(content)).encode() + HEAD_ENDS + content
        )
        if seconds:
            asyncio.get_running_loop().call_later(seconds, self._transport.write, answer)
        else:
            self._transport.write(answer)

    def answer(self, headers: dict[bytes, bytes], body: bytes) -> tuple[int, bytes, float]:
        """Answer with a status and a content, so many seconds later."""
        raise NotImplementedError


class _Aws(_Http):
    @override
    def answer(self, headers: dict[bytes, bytes], body: bytes) -> tuple[int, bytes, float]:
        operation = headers[b"x-amz-target"].decode().rpartition(".")[2]
        status, content = self._region.secrets_manager.answer_request(operation, body)
        return status, content, self._region.aws_latency


class _TokenEndpoint(_Http):
    @override
    def answer(self, headers: dict[bytes, bytes], body: bytes) -> tuple[int, bytes, float]:
        content = token_response(with_refresh_token=b"client_credentials" not in body)
        return 200, json.dumps(content).encode(), self._region.token_latency


def _serve(connection: Connection) -> None:
    """Serve until the other end of the connection is closed."""
    asyncio.run(_serve_until_closed(connection))


async def _serve_until_closed(connection: Connection) -> None:
    loop, region = asyncio.get_running_loop(), _World()
    with Authority() as authority:
        context = authority.server_context()
        ports = []
        for protocol in (_Aws, _TokenEndpoint):
            server = await loop.create_server(
                partial(protocol, region), LOOPBACK, 0, ssl=context, backlog=128
            )
            ports.append(server.sockets[0].getsockname()[1])
        region.token_endpoint = f"https://{LOOPBACK}:{ports[1]}/oauth/token"
        connection.send((ports, authority.certificate_file.read_text()))
        ended = asyncio.Event()

        def command() -> None:
            try:
                name, arguments = connection.recv()
            except EOFError:
                ended.set()
                loop.remove_reader(connection.fileno())
                return
            connection.send(getattr(region, name)(*arguments))

        loop.add_reader(connection.fileno(), command)
        await ended.wait()


class Servers:
    """Both servers, as long as the ``with`` block.

    Attributes:
        aws_url: Where the function finds its AWS.
        token_host: As ALLOWED_TOKEN_HOSTS names it.
        token_endpoint: The address.
    """

    def __init__(self, directory: Path) -> None:
        """Start them.

        Args:
            directory: For the certificates that the function is to trust.
        """
        spawn = multiprocessing.get_context("spawn")
        self._connection, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        (aws, token), authority = self._receive()
        self.aws_url = f"https://{LOOPBACK}:{aws}"
        self.token_host = f"{LOOPBACK}:{token}"
        self.token_endpoint = f"https://{self.token_host}/oauth/token"
        # As long as botocore's own: to read it is a part of every connection.
        bundle = Path(botocore.__file__).with_name("cacert.pem").read_text("utf-8")
        self._certificates = directory / "certificates.pem"
        self._certificates.write_text(bundle + authority, "utf-8")

    def environment(self) -> dict[str, str]:
        """Tell the variables with which a function finds them, and needs nothing else."""
        return {
            "AWS_ENDPOINT_URL": self.aws_url,
            "AWS_CA_BUNDLE": str(self._certificates),
            "SSL_CERT_FILE": str(self._certificates),
            "ALLOWED_TOKEN_HOSTS": self.token_host,
            "TOKEN_ENDPOINT": self.token_endpoint,
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "made-up",
            "AWS_SECRET_ACCESS_KEY": "made-up",
            "AWS_SESSION_TOKEN": "made-up",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "POWERTOOLS_SERVICE_NAME": "token-refresher",
            "POWERTOOLS_TRACE_DISABLED": "true",
        }

    def clear(self) -> None:
        """Begin again, without a secret, a delay or a quota."""
        self._do("clear")

    def seed(
        self,
        prefix: str,
        numbers: range,
        grant: Grant,
        *,
        expires_at: datetime,
        apart: timedelta,
    ) -> None:
        """Put accounts there, as `fleet` makes them."""
        self._do("seed", prefix, numbers, grant, expires_at, apart)

    def delay(self, *, aws: float, token_endpoint: float) -> None:
        """Let every answer wait so many seconds."""
        self._do("delay", aws, token_endpoint)

    def enforce(self, per_second: int) -> None:
        """Throttle writes beyond a quota."""
        self._do("enforce", per_second)

    def seen(self) -> Seen:
        """Tell what was seen since this was last asked."""
        seen: Seen = self._do("seen")
        return seen

    def _do(self, name: str, *arguments: object) -> Any:  # noqa: ANN401 - what the command returns
        self._connection.send((name, arguments))
        return self._receive()

    def _receive(self) -> Any:  # noqa: ANN401 - whatever was sent
        if not self._connection.poll(PATIENCE_SECONDS):
            raise RuntimeError("The servers do not answer.")
        return self._connection.recv()

    def __enter__(self) -> Self:
        """Return the servers, which answer since they were made."""
        return self

    def __exit__(self, *_: object) -> None:
        """End them, whatever happened."""
        self._connection.close()
        self._process.join(PATIENCE_SECONDS)
