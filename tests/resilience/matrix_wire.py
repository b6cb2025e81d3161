"""The stage over HTTP: the real handler, boto3 and urllib3, the emulator, and TLS.

Between boto3 and the emulator stands a server that lets each call through, or does not; the
authorization server asks the same `Boundary`. What strikes is therefore what really arrives.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
import sys
import threading
import traceback
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Self, TextIO, cast
from unittest import mock

import boto3
import urllib3
from botocore.exceptions import ReadTimeoutError
from joserfc.jwk import RSAKey
from typing_extensions import override

from local.authority import Authority
from local.authorization_server import RFC_6749, AuthorizationServer
from local.authorization_server import RefreshMode as ServerMode
from local.authorization_server.https import NoReplyError, Reply
from local.authorization_server.server import RESOURCE_PATH
from local.clock import START, DrivenClock
from local.embedded_cloud import EmbeddedCloud
from tests.resilience.matrix import Boundary, Fault, Point, Scene, Sending, Strike, Written
from tests.resilience.matrix_memory import RESPONSES
from tests.unit.fakes import TWELVE_HOURS, RefreshMode
from token_refresher.handler import wired
from token_refresher.parsing import parse_credentials
from token_refresher.ports import CURRENT, JOURNAL_STAGE, is_lease_id
from token_refresher.settings import settings_from_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime, timedelta

    from mypy_boto3_secretsmanager import SecretsManagerClient

    from local.authorization_server.https import Request
    from token_refresher.handler import Handler

LOOPBACK: Final = "127.0.0.1"
INVOCATION_SECONDS: Final = 240
SECRET: Final = "made-up-client-secret"
PROBE: Final = "X-Probe"

# Both kinds of token have 40 hex digits, and begin with a word.
_HIDDEN_MARKS: Final = re.compile(r"made-up-|\bc0ffee[0-9a-f]{34}\b")
_MARKS: Final = re.compile(r"made-up-|\b(?:c0ffee|facade)[0-9a-f]{34}\b")

_STORE_ANSWERS: Final[Mapping[Fault, tuple[int, str]]] = {
    Fault.THROTTLED: (400, "ThrottlingException"),
    Fault.SERVER_ERROR: (500, "InternalServiceError"),
    Fault.SERVER_ERROR_AFTER: (500, "InternalServiceError"),
    Fault.DENIED: (400, "AccessDeniedException"),
    Fault.VERSION_LIMIT: (400, "LimitExceededException"),
    Fault.NOT_FOUND: (400, "ResourceNotFoundException"),
}
JSON: Final = (("Content-Type", "application/json"),)


def name_call(operation: str, asked: Mapping[str, Any]) -> str:
    """Name an AWS call as the doubles name it."""
    if operation == "Sign":
        return "sign"
    path = asked.get("SecretId", asked.get("Name", "")).split("/")
    if operation == "ListSecrets":
        listed: str = asked["Filters"][0]["Values"][0]
        return f"list {listed.split('/')[1]}"
    if operation == "DescribeSecret":
        return "describe" if path[1] == "tokens" else "describe credentials"
    if operation == "GetSecretValue":
        if "VersionId" in asked:
            return "read lease"
        if path[1] == "tokens":
            return "read published"
        return "read journal" if asked["VersionStage"] == JOURNAL_STAGE else "read credentials"
    if operation == "PutSecretValue":
        if path[1] == "tokens":
            return "publish"
        return "lease" if is_lease_id(asked["ClientRequestToken"]) else "journal"
    return {"CreateSecret": "create", "TagResource": "tag", "UntagResource": "untag"}[operation]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        # A process that is killed leaves its connections as they are.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class FaultLayer:
    """Stands in front of the emulator, as long as the ``with`` block.

    Attributes:
        written: The versions that the emulator took, as the secret's name and version id.
    """

    def __init__(self, emulator: str, boundary: Boundary, kill: Callable[[], None]) -> None:
        self.written: list[tuple[str, str]] = []
        self._emulator = urllib3.connection_from_url(emulator, maxsize=16)
        self._boundary = boundary
        self._kill = kill
        self._killing, self._ended = threading.Lock(), set[str]()
        layer = self

        class Call(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_: object) -> None:
                """Say nothing: a test asks for what it wants to know."""

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length)
                if len(body) < length:
                    raise ConnectionResetError  # the process was killed while it spoke
                answer = layer.answer(dict(self.headers.items()), body)
                if answer is None:
                    self.close_connection = True
                    return
                status, content = answer
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        self._server = _Server((LOOPBACK, 0), Call)

    @property
    def url(self) -> str:
        """Where the program finds its AWS."""
        return f"http://{LOOPBACK}:{self._server.server_port}"

    def arrive(self, headers: Mapping[str, str], body: bytes) -> Fault | None:
        """Tell what happens to a call; the same for each of its attempts."""
        call = name_call(headers["X-Amz-Target"].partition(".")[2], json.loads(body))
        return self._boundary.arrive(call, attempt_of=headers["amz-sdk-invocation-id"])

    def answer(self, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes] | None:
        """Let a call through, or do to it what is planned; None closes the connection."""
        fault = self.arrive(headers, body)
        answer = None
        if fault is None or fault.is_after:
            answer = self.forward(headers, body)
        if fault is None:
            return answer
        if fault.kills:
            call = headers["amz-sdk-invocation-id"]
            with self._killing:
                # One that was made again, since it took long, must not end the next process too.
                if call not in self._ended:
                    self._kill()
                self._ended.add(call)
        if fault in _STORE_ANSWERS:
            status, code = _STORE_ANSWERS[fault]
            words = {"__type": code, "Message": "made-up-words of AWS"}
            return status, json.dumps(words).encode()
        return (200, b'{"made-up-answer": ') if fault is Fault.MALFORMED else None

    def forward(self, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """Let a call through."""
        passed = {name: text for name, text in headers.items() if name.lower() != "host"}
        answer = self._emulator.urlopen("POST", "/", body=body, headers=passed, retries=False)
        asked = json.loads(body)
        if answer.status == 200 and "ClientRequestToken" in asked and "SecretId" in asked:
            version = (asked["SecretId"], asked["ClientRequestToken"])
            if version not in self.written:
                self.written.append(version)
        return answer.status, answer.data

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._emulator.close()


class WatchedServer(AuthorizationServer):
    """The authorization server, with faults at the boundary.

    Attributes:
        boundary: What every request crosses, but for those of a test.
        kill: Ends the program's process.
        is_refusing_tokens: Whether the resource refuses every token of the program's requests.
        refused: The tokens that the program was told to be refused.
        latest: The refresh token that was issued last.
    """

    def __init__(
        self,
        authority: Authority,
        clock: Callable[[], datetime],
        boundary: Boundary,
        kill: Callable[[], None],
    ) -> None:
        self.boundary = boundary
        self.kill = kill
        self.is_refusing_tokens = False
        self.refused: set[str] = set()
        self.latest: str | None = None
        super().__init__(authority, clock)

    def forget_refresh_tokens(self) -> None:
        """Let every refresh token be dead without anybody having used it."""
        self._ledger._refresh_tokens.clear()  # noqa: SLF001 - no client could make it do so

    @override
    def issue_initial_refresh_token(self, client_id: str, *, user: str | None = None) -> str:
        self.latest = super().issue_initial_refresh_token(client_id, user=user)
        return self.latest

    @override
    def _reply(self, request: Request) -> Reply:
        if PROBE in request.headers:
            return super()._reply(request)
        is_verification = request.path.startswith(RESOURCE_PATH)
        fault = self.boundary.arrive("verify" if is_verification else "request")
        if fault is not None and not fault.is_after:
            return self._fail(fault, request, is_verification=is_verification)
        reply = super()._reply(request)
        if not is_verification and reply.status == 200:
            self.latest = json.loads(reply.body).get("refresh_token", self.latest)
        if fault is not None:
            return self._fail(fault, request, is_verification=is_verification)
        if is_verification:
            return self._judge(request, reply, is_refused=self.is_refusing_tokens)
        return reply

    def _fail(self, fault: Fault, request: Request, *, is_verification: bool) -> Reply:
        if fault.kills:
            self.kill()
            raise NoReplyError(reset=True)
        if is_verification and fault is Fault.DENIED:
            return self._judge(request, Reply(403, JSON, b"{}"), is_refused=True)
        if fault not in RESPONSES:
            raise NoReplyError(reset=fault is Fault.REFUSED)
        status, body = RESPONSES[fault]
        return Reply(status, () if body.startswith(b"<") else JSON, body)

    def _judge(self, request: Request, reply: Reply, *, is_refused: bool) -> Reply:
        """Accept or refuse a token for good, as the program is told."""
        token = request.headers["Authorization"].partition(" ")[2]
        if not is_refused:
            self.refused.discard(token)
            return reply
        self.refused.add(token)
        return reply if reply.status == 403 else Reply(401, JSON, b'{"error": "invalid_token"}')


@dataclass
class Wire:
    """What all cases over HTTP share.

    Attributes:
        cloud: The emulator.
        authority: Vouches for the authorization server.
        layer: What the program finds in place of AWS.
        server: The authorization server.
        kill: Ends the program's process, where it has one of its own.
    """

    cloud: EmbeddedCloud
    authority: Authority
    boundary: Boundary = field(default_factory=Boundary)
    clock: DrivenClock = field(default_factory=DrivenClock)
    kill: Callable[[], None] = lambda: None
    numbers: Iterator[int] = field(default_factory=count)

    @contextlib.contextmanager
    def running(self) -> Iterator[Self]:
        """Serve as long as the block runs."""
        with (
            FaultLayer(self.cloud.endpoint_url, self.boundary, self._kill) as self.layer,
            WatchedServer(self.authority, self.clock.now, self.boundary, self._kill) as self.server,
        ):
            self.secrets: SecretsManagerClient = self.cloud.client()
            trust = self.authority.client_context()
            self.browser = urllib3.PoolManager(ssl_context=trust, maxsize=4)
            yield self
            self.browser.clear()

    def _kill(self) -> None:
        self.kill()

    def environment(self) -> dict[str, str]:
        """The variables with which the program finds all this, and nothing else."""
        return {
            **self.cloud.environment(),
            "AWS_ENDPOINT_URL": self.layer.url,
            "SSL_CERT_FILE": str(self.authority.certificate_file),
            "ALLOWED_TOKEN_HOSTS": self.server.host,
            "MAX_WORKERS": "2",
        }


@contextlib.contextmanager
def wire() -> Iterator[Wire]:
    """Start the emulator, and all that stands around it."""
    with EmbeddedCloud() as cloud, Authority() as authority, Wire(cloud, authority).running() as it:
        yield it


class _Context:
    """An invocation whose time passes only where the program waits."""

    aws_request_id = "request-1"

    def __init__(self) -> None:
        self.left = float(INVOCATION_SECONDS)

    def get_remaining_time_in_millis(self) -> int:
        return int(self.left * 1000)

    def wait(self, seconds: float) -> None:
        """Stand in for ``time.sleep``: no test waits for a pause of the program's or botocore's."""
        self.left -= seconds


class WireScene(Scene):
    """One account of an otherwise empty cloud; the handler runs in this process.

    Args:
        wire: What it shares with others.
        signs: Whether the account proves itself by a key in KMS, instead of a secret.
    """

    def __init__(self, wire: Wire, *, signs: bool = False) -> None:
        super().__init__(boundary=wire.boundary, account=f"dealer-{next(wire.numbers)}")
        self.wire, self.server, self.signs = wire, wire.server, signs
        self.server.refused.clear()
        wire.boundary.begin()
        wire.cloud.reset()
        wire.clock.set(START)
        wire.layer.written.clear()
        self._mode = RefreshMode.ROTATES
        self._revoked = self.server.families_revoked
        self._handler: Handler | None = None
        self._descriptions: dict[str, dict[str, Any]] = {}
        # By path and version id: the journal's id is also the published version's.
        self._values: dict[tuple[str, str], str] = {}

    @property
    def now(self) -> datetime:
        return self.wire.clock.now()

    def pass_time(self, duration: timedelta) -> None:
        self.wire.clock.advance(duration)

    @property
    def mode(self) -> RefreshMode:
        return self._mode

    def set_mode(self, mode: RefreshMode) -> None:
        self._mode = mode

    def onboard(self, grant: Mapping[str, str], **more: object) -> None:
        users = {grant["username"]: grant["password"]} if "username" in grant else None
        self._register(users=users)
        self._write({**self._client(), **grant, **more})

    def onboard_refresh_only(self, **more: object) -> None:
        self._register(
            grants=["refresh_token"], dialect=RFC_6749, access_token_lifetime=TWELVE_HOURS
        )
        initial = self.server.issue_initial_refresh_token(self.account)
        grant = {"grant_type": "refresh_token", "refresh_token": initial}
        self._write({**self._client(), **grant, **more})

    def _register(self, **registration: Any) -> None:  # noqa: ANN401
        mode = ServerMode[self._mode.name]
        if self.signs:
            registration |= {"public_keys": [self._key()], "auth_methods": ["private_key_jwt"]}
        self.server.register_client(self.account, secret=SECRET, refresh_mode=mode, **registration)

    def _key(self) -> RSAKey:
        """Make the account's key where it has none, and return the public one."""
        kms, alias = self.wire.cloud.client("kms"), f"alias/oauth/{self.account}"
        if alias not in {each["AliasName"] for each in kms.list_aliases()["Aliases"]}:
            key = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
            kms.create_alias(AliasName=alias, TargetKeyId=key["KeyMetadata"]["KeyId"])
        return RSAKey.import_key(kms.get_public_key(KeyId=alias)["PublicKey"])

    def _client(self) -> dict[str, str]:
        client = {"token_endpoint": self.server.token_endpoint, "client_id": self.account}
        if self.signs:
            return {**client, "token_endpoint_auth_method": "private_key_jwt"}
        return {**client, "client_secret": SECRET}

    def edit(self, **changes: object) -> None:
        self._write(json.loads(self._credentials()) | changes)

    def _credentials(self) -> str:
        return self._value("credentials", CURRENT) or ""

    def _write(self, credentials: Mapping[str, object]) -> None:
        secret_id, text = f"oauth/credentials/{self.account}", json.dumps(credentials)
        self.puts.append(self.now)
        self._descriptions.clear()
        try:
            self.wire.secrets.put_secret_value(SecretId=secret_id, SecretString=text)
        except self.wire.secrets.exceptions.ResourceNotFoundException:
            self.wire.secrets.create_secret(Name=secret_id, SecretString=text)

    def make_token_secret(self) -> None:
        self.wire.secrets.create_secret(Name=f"oauth/tokens/{self.account}")

    def let_refresh_tokens_die(self) -> None:
        self.server.forget_refresh_tokens()

    def set_outage(self, *, is_on: bool) -> None:
        if is_on:
            self.server.answer_with(503, {}, b"", times=None)
        else:
            self.server.recover()

    @property
    def verify_url(self) -> str:
        return self.server.resource_url

    def sweep(self, *strikes: Strike, force: bool = False) -> dict[str, Any] | None:
        self.boundary.begin(*strikes)
        self.server.is_refusing_tokens = self.is_refusing_tokens
        # A connection that is refused arrives nowhere, so there is nothing to count.
        is_refused = any(
            strike.point == Point("request") and strike.fault is Fault.REFUSED for strike in strikes
        )
        moment = self.now
        event = {"accounts": [self.account], "force": True} if force else {}
        with self.server.outage() if is_refused else contextlib.nullcontext():
            told = self.invoke(event)
        self.look_again(moment)
        self.said.append(json.dumps(told))
        return told

    def look_again(self, moment: datetime) -> None:
        """Take note of what was written at a moment, and forget what was seen before."""
        self._descriptions.clear()
        known = {(each.path, each.version_id) for each in self.versions}
        for secret_id, version_id in self.wire.layer.written:
            _, path, account = secret_id.split("/")
            if account == self.account and (path, version_id) not in known:
                self.versions.append(Written(moment, path, version_id))

    def invoke(self, event: dict[str, Any]) -> dict[str, Any] | None:
        """Invoke the function; None where that ended in an error."""
        context, printed = _Context(), io.StringIO()
        with (
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
            mock.patch.dict("os.environ", self.wire.environment()),
            mock.patch("time.sleep", context.wait),
        ):
            try:
                return self._started(printed)(event, context)
            except Exception as error:  # noqa: BLE001 - Lambda shows it, whatever it is
                self.said += traceback.format_exception(error)
                return None
            finally:
                self.said.append(printed.getvalue())

    def _started(self, printed: TextIO) -> Handler:
        settings = settings_from_environment(self.wire.environment())
        if self._handler is None:
            boto3.setup_default_session()
            session: Any = boto3.DEFAULT_SESSION
            session.events.register("before-send.secretsmanager", self._before_send)
            self._handler = wired(settings, clock=self.wire.clock.now)
            # Its client is made: whoever comes next has a session that nobody watches.
            boto3.setup_default_session()
        for output in logging.getLogger(settings.service).handlers:
            # A logger lives as long as the process; what it prints belongs to this sweep.
            cast("logging.StreamHandler[TextIO]", output).stream = printed
        return self._handler

    def _before_send(self, request: Any, **_: object) -> None:  # noqa: ANN401
        """Tell botocore of a timeout: a real one would take three times three seconds."""
        headers = {
            name: text.decode() if isinstance(text, bytes) else text
            for name, text in request.headers.items()
        }
        fault = self.wire.layer.arrive(headers, request.body)
        if fault is Fault.TIMEOUT_AFTER:
            self.wire.layer.forward(headers, request.body)
        if fault in {Fault.TIMEOUT, Fault.TIMEOUT_AFTER}:
            raise ReadTimeoutError(endpoint_url=request.url)

    @property
    def marks(self) -> re.Pattern[str]:
        return _MARKS

    @property
    def hidden_marks(self) -> re.Pattern[str]:
        return _HIDDEN_MARKS

    def _value(self, path: str, stage: str) -> str | None:
        version_id = self._stages(path).get(stage, "")
        if version_id and (path, version_id) not in self._values:
            secret_id = f"oauth/{path}/{self.account}"
            answer = self.wire.secrets.get_secret_value(SecretId=secret_id, VersionId=version_id)
            self._values[path, version_id] = answer["SecretString"]
        return self._values.get((path, version_id))

    def _described(self, path: str) -> dict[str, Any]:
        """Describe a secret, once after each change."""
        if path not in self._descriptions:
            secret_id = f"oauth/{path}/{self.account}"
            try:
                answer = self.wire.secrets.describe_secret(SecretId=secret_id)
            except self.wire.secrets.exceptions.ResourceNotFoundException:
                return {}
            self._descriptions[path] = cast("dict[str, Any]", answer)
        return self._descriptions[path]

    def _stages(self, path: str) -> dict[str, str]:
        versions: dict[str, list[str]] = self._described(path).get("VersionIdsToStages", {})
        return {stage: version for version, stages in versions.items() for stage in stages}

    def published(self) -> tuple[str, dict[str, Any]] | None:
        text = self._value("tokens", CURRENT)
        return (self._stages("tokens")[CURRENT], json.loads(text)) if text else None

    def accepts(self, access_token: str) -> bool:
        if access_token in self.server.refused:
            return False
        headers = {"Authorization": f"Bearer {access_token}", PROBE: "1"}
        answer = self.wire.browser.request("GET", self.server.resource_url, headers=headers)
        return answer.status == 200

    def tags(self) -> dict[str, str]:
        described = self._described("tokens").get("Tags", [])
        return {tag["Key"].removeprefix("token-refresher:"): tag["Value"] for tag in described}

    def outside(self) -> str:
        return repr([self._described(path) for path in ("credentials", "tokens")])

    def token_texts(self) -> str:
        return "\n".join(self._value("tokens", stage) or "" for stage in self._stages("tokens"))

    def stored_refresh_token(self) -> str | None:
        text = self._credentials()
        journal = json.loads(self._value("credentials", JOURNAL_STAGE) or "null")
        if journal is not None and journal["grant"] == parse_credentials(text).grant_digest:
            token: str | None = journal.get("refresh_token")
            return token
        initial: str | None = json.loads(text).get("refresh_token")
        return initial

    def latest_refresh_token(self) -> str | None:
        return self.server.latest

    def sendings(self) -> list[Sending]:
        # The server has no clock for its requests; what is counted here is how often.
        return [
            Sending(START, number, request.fields["refresh_token"])
            for number, request in enumerate(self.server.requests)
            if request.client_id == self.account and "refresh_token" in request.fields
        ]

    def refresh_tokens_redeemed(self) -> Counter[str]:
        redeemed = self.server.refresh_tokens_redeemed
        return Counter(
            {sent.refresh_token: redeemed[sent.refresh_token] for sent in self.sendings()}
        )

    def families_revoked(self) -> int:
        return self.server.families_revoked - self._revoked

    def assertions_refused(self) -> int:
        asked = (each for each in self.server.requests if each.client_id == self.account)
        sent = Counter(each.fields.get("client_assertion") for each in asked)
        del sent[None]
        return sent.total() - len(sent)
