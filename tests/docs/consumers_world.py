"""What the consumers' examples run against: a published token, and whatever serves it.

The token is published by the program itself, at a real authorization server and in the embedded
cloud. Between the cloud and the example stands a server that counts reads, that answers as the
Secrets Manager Agent and the Lambda extension do, and that can let something happen after a read.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import parse_qsl, urlsplit

import urllib3

from local.embedded_cloud import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.authorization_server import AuthorizationServer
    from local.clock import DrivenClock
    from local.embedded_cloud import EmbeddedCloud
    from local.function import Function

ACCOUNT: Final = "dealer-17"
TOKEN_SECRET: Final = f"oauth/tokens/{ACCOUNT}"
AGENT_TOKEN: Final = "made-up-agent-token"

# What providers' tokens hold beyond RFC 6750, and what stops a reader that takes no JSON parser.
ODD_ENDING: Final = "!AQ|v^1.1#i{}~%2F/+=&"
ADDED_FIELDS: Final[dict[str, object]] = {
    "aid": "the first in the order of letters",
    "instance_url": 'https://acme.example/?q="}&to=\\u0026|é',
    "note": '","access_token":"made-up","token_type":"made-up',
    "seats": 12,
    "is_sandbox": False,
}


class SecretsFront:
    """Secrets Manager as an example reaches it: by an SDK, or by an agent with a cache.

    Attributes:
        reads: The reads that reached Secrets Manager; those that an agent's cache served did not.
        after_read: Called once, when the next read has been answered by Secrets Manager but not
            yet by this server.
    """

    def __init__(self, cloud: EmbeddedCloud) -> None:
        self.reads = 0
        self.after_read: Callable[[], None] | None = None
        self._cloud = cloud
        self._cached: dict[str, bytes] = {}
        self._http = urllib3.PoolManager(retries=False)
        self._lock = threading.Lock()
        front = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                front.answer_as_agent(self)

            def do_POST(self) -> None:
                front.pass_on(self)

            def log_message(self, *_: object) -> None:
                """Say nothing: pytest's output is the test's."""

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def answer_as_agent(self, request: BaseHTTPRequestHandler) -> None:
        """Serve a secret from the cache, or past it where ``refreshNow`` says so."""
        query = dict(parse_qsl(urlsplit(request.path).query))
        if request.headers.get("X-Aws-Parameters-Secrets-Token") != AGENT_TOKEN:
            _send(request, HTTPStatus.FORBIDDEN, b"{}")
            return
        with self._lock:
            secret_id = query["secretId"]
            if secret_id not in self._cached or query.get("refreshNow") == "true":
                value: dict[str, Any] = {
                    **self._cloud.client().get_secret_value(SecretId=secret_id)
                }
                fields = ("ARN", "Name", "VersionId", "SecretString", "VersionStages")
                answer = {name: value[name] for name in fields}
                self._cached[secret_id] = json.dumps(answer).encode()
                self._count()
            _send(request, HTTPStatus.OK, self._cached[secret_id])

    def pass_on(self, request: BaseHTTPRequestHandler) -> None:
        """Hand an SDK's call to the embedded cloud as it came."""
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        url = self._cloud.endpoint_url + request.path
        answer = self._http.request("POST", url, body=body, headers=dict(request.headers))
        if request.headers.get("X-Amz-Target", "").endswith(".GetSecretValue"):
            with self._lock:
                self._count()
        _send(request, answer.status, answer.data)

    def _count(self) -> None:
        self.reads += 1
        happening, self.after_read = self.after_read, None
        if happening is not None:
            happening()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._http.clear()


def _send(request: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
    request.send_response(status)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


@dataclass
class ConsumersWorld:
    """An account whose token is published, at a server that keeps one live token for a client.

    Attributes:
        tokens: The access tokens that were ever published.
    """

    cloud: EmbeddedCloud
    server: AuthorizationServer
    clock: DrivenClock
    front: SecretsFront
    function: Function
    tokens: list[str] = field(default_factory=list)

    def onboard(
        self, *, published_ago: timedelta = timedelta(hours=1), is_odd: bool = True
    ) -> None:
        """Onboard the account, and publish a token that was issued so long ago.

        An odd one has characters beyond RFC 6750, and fields beside the standard ones. The
        examples' libraries read this machine's clock, and so does the emulator: the secret's date
        says what time it is for them.
        """
        self.server.register_client(
            ACCOUNT,
            secret="made-up-client-secret",
            partners={"partner-name": "made-up-partner-secret"},
            one_live_token=True,
            token_ending=ODD_ENDING if is_odd else "",
            response_fields=ADDED_FIELDS,
        )
        credentials: dict[str, object] = {
            "token_endpoint": self.server.token_endpoint,
            "grant_type": "partner",
            "client_id": ACCOUNT,
            "client_secret": "made-up-client-secret",
            "partner_code": "partner-name",
            "partner_secret": "made-up-partner-secret",
        }
        if is_odd:
            credentials["publish"] = {"fields": [*ADDED_FIELDS]}
        secrets = self.cloud.client()
        name = f"oauth/credentials/{ACCOUNT}"
        secrets.create_secret(Name=name, SecretString=json.dumps(credentials))
        self.clock.set(secrets.describe_secret(SecretId=name)["CreatedDate"] - published_ago)
        self._invoke({})

    def replace_token(self) -> None:
        """Publish another token a minute later, which kills the one before."""
        self.clock.advance(timedelta(minutes=1))
        self._invoke({"accounts": [ACCOUNT], "force": True})

    def revoke_token(self) -> None:
        """Kill the published token at its server, behind the program's back."""
        self.server.revoke_access_token(self.tokens[-1])

    def _invoke(self, event: dict[str, Any]) -> None:
        summary = self.function.invoke(event)
        assert summary is not None
        assert summary["outcomes"].get("published") == 1, summary
        value = self.cloud.client().get_secret_value(SecretId=TOKEN_SECRET)
        self.tokens.append(json.loads(value["SecretString"])["access_token"])

    @property
    def calls(self) -> tuple[int, int]:
        """How many of the example's calls the API accepted, and how many it rejected."""
        return self.server.calls_accepted.total(), self.server.calls_rejected.total()
