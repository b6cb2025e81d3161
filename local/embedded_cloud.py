"""Starts and stops the AWS emulator as a process of its own, on a loopback port.

The emulator runs in another Python environment, so nothing of it is imported here. It gets an
environment made from nothing: what the caller's shell says of AWS must not reach it.

The functions that are deployed to it run with the Python of their runtime where this machine has
it, and see no package but those they bring.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, TypeAlias, overload

import boto3
import botocore.session
from botocore.config import Config

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import timedelta

    from mypy_boto3_secretsmanager import SecretsManagerClient

ROOT = Path(__file__).resolve().parents[1]
LOOPBACK = "127.0.0.1"
REGION = "eu-west-1"
RUNTIME = "python3.13"  # what template.yaml deploys on
START_WITHIN_SECONDS = 60
POLL_SECONDS = 0.02
CLIENT_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 2},
    connect_timeout=5,
    read_timeout=30,
    max_pool_connections=32,
    proxies={},
)
# The executable too: a version manager's shim goes by the directory that it is run from.
TELL_PYTHON = "import sys; print(sys.executable, '%d.%d' % sys.version_info[:2], sep='\\n')"

Service: TypeAlias = Literal[
    "cloudformation",
    "cloudwatch",
    "ecs",
    "events",
    "iam",
    "kms",
    "lambda",
    "logs",
    "s3",
    "scheduler",
    "sns",
    "sqs",
    "sts",
]


class EmbeddedCloudError(RuntimeError):
    """The emulator cannot be started, or does not answer."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Whom a client acts as."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


OWNER = Credentials("test", "test")  # the account's root, which may do everything


class FunctionPython(NamedTuple):
    """The interpreter that functions run with, and its minor version, such as ``3.13``."""

    executable: Path
    version: str


class EmbeddedCloud:
    """An AWS emulator that lives as long as the ``with`` block.

    It also ends when this process is killed: it watches a pipe whose other end is here.
    """

    _HEALTH = "/_ministack/health"
    _RESET = "/_ministack/reset"

    def __init__(
        self,
        *,
        enforces_iam: bool = False,
        function_environment: Mapping[str, str] | None = None,
        port: int | None = None,
        account_concurrency: int = 1000,
        drives_time: bool = False,
    ) -> None:
        """Describe the cloud to be started.

        Args:
            enforces_iam: Whether policies count. Without it every call is allowed.
            function_environment: Variables that every deployed function sees, beneath those of
                its own configuration.
            port: A fixed one, where its address must be known beforehand; else a free one.
            account_concurrency: Lambda's quota. Without it the emulator goes by this machine's
                memory.
            drives_time: Whether time passes by `pass_time` alone: for metrics and alarms, for how
                long an invocation takes, and for events that wait. No schedule ticks then.
        """
        self._enforces_iam = enforces_iam
        self._function_environment = dict(function_environment or {})
        self._account_concurrency = account_concurrency
        self._drives_time = drives_time
        self._fixed_port = self._port = port or 0
        self._process: subprocess.Popen[bytes] | None = None
        self._state: tempfile.TemporaryDirectory[str] | None = None

    @property
    def endpoint_url(self) -> str:
        """Where every service of the emulator answers."""
        return f"http://{LOOPBACK}:{self._port}"

    def environment(self, credentials: Credentials = OWNER) -> dict[str, str]:
        """Return the variables with which any AWS SDK finds the emulator, past any proxy."""
        variables = {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": credentials.access_key_id,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": f"{LOOPBACK},localhost",
            "no_proxy": f"{LOOPBACK},localhost",
        }
        if credentials.session_token is not None:
            variables["AWS_SESSION_TOKEN"] = credentials.session_token
        return variables

    @overload
    def client(
        self,
        service: Literal["secretsmanager"] = "secretsmanager",
        *,
        credentials: Credentials = OWNER,
        region: str = REGION,
        config: Config | None = None,
    ) -> SecretsManagerClient: ...

    @overload
    def client(
        self,
        service: Service,
        *,
        credentials: Credentials = OWNER,
        region: str = REGION,
        config: Config | None = None,
    ) -> Any: ...  # noqa: ANN401

    def client(
        self,
        service: Literal["secretsmanager"] | Service = "secretsmanager",
        *,
        credentials: Credentials = OWNER,
        region: str = REGION,
        config: Config | None = None,
    ) -> Any:
        """Return a client whose settings are all given here.

        Neither ``AWS_PROFILE`` nor a configuration file nor a proxy variable can turn it towards
        a real account.
        """
        make: Any = self._session.client
        return make(
            service,
            endpoint_url=self.endpoint_url,
            region_name=region,
            aws_access_key_id=credentials.access_key_id,
            aws_secret_access_key=credentials.secret_access_key,
            aws_session_token=credentials.session_token,
            config=CLIENT_CONFIG.merge(config) if config else CLIENT_CONFIG,
        )

    def assume(self, role_arn: str, *, session_name: str = "test") -> Credentials:
        """Return credentials of a role, whose trust policy must trust the account."""
        answer = self.client("sts").assume_role(RoleArn=role_arn, RoleSessionName=session_name)
        given = answer["Credentials"]
        return Credentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])

    @cached_property
    def _session(self) -> boto3.Session:
        return boto3.Session(
            botocore_session=botocore.session.Session(
                session_vars={
                    "profile": (None, None, None, None),
                    "config_file": (None, None, os.devnull, None),
                    "credentials_file": (None, None, os.devnull, None),
                }
            )
        )

    def reset(self) -> None:
        """Forget all secrets, and everything else that was created; end the functions."""
        self._seconds_ahead.unlink(missing_ok=True)
        self._ask("POST", self._RESET)

    def advance(self, by: timedelta) -> None:
        """Put Secrets Manager's clock ahead: what was written until now gets older. No other's."""
        ahead = self._seconds_ahead
        before = int(ahead.read_text()) if ahead.exists() else 0
        _write_at_once(ahead, before + int(by.total_seconds()))

    def pass_time(self, by: timedelta) -> None:
        """Let driven time pass, and return when every alarm was evaluated, and has told of it."""
        told = self._told("seconds-to-pass")
        _write_at_once(told, int(by.total_seconds()))
        give_up = time.monotonic() + START_WITHIN_SECONDS
        while told.exists():
            if time.monotonic() > give_up:
                raise EmbeddedCloudError("The AWS emulator let no time pass.")
            time.sleep(POLL_SECONDS)

    @property
    def _seconds_ahead(self) -> Path:
        return self._told("seconds-ahead")

    def _told(self, name: str) -> Path:
        """Return the file by which the emulator is told something, beside what it is asked."""
        if self._state is None:
            raise EmbeddedCloudError("The AWS emulator does not run.")
        return Path(self._state.name, name)

    def start(self) -> None:
        """Start the emulator and return when it answers.

        Its port is bound here and handed to it, so that nobody else is given it meanwhile.

        Raises:
            EmbeddedCloudError: It is not installed, its fixed port is taken, or it did not come up.
        """
        python = self._python()
        with contextlib.ExitStack() as undo:
            undo.callback(self.stop)
            self._state = tempfile.TemporaryDirectory(prefix="embedded-cloud-")
            state = Path(self._state.name)
            with socket.socket() as bound:
                # A fixed one may have served somebody a minute ago.
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    bound.bind((LOOPBACK, self._fixed_port))
                except OSError as error:
                    raise EmbeddedCloudError(f"Port {self._fixed_port} is taken.") from error
                self._port = bound.getsockname()[1]
                self._process = self._launch(python, state, bound.fileno())
            if self._comes_up():
                undo.pop_all()
                return
            self._kill()
            printed = (state / "output").read_text(errors="replace")
            raise EmbeddedCloudError(f"The AWS emulator did not start. It printed:\n{printed}")

    def stop(self) -> None:
        """End the emulator and what it started, and remove its files."""
        self._kill()
        if self._state is not None:
            self._state.cleanup()
            self._state = None

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it, whatever happened."""
        self.stop()

    def _python(self) -> Path:
        return emulator_python()

    def _launch(self, python: Path, state: Path, bound: int) -> subprocess.Popen[bytes]:
        functions = function_python()
        environment = {
            **self._function_environment,
            "PATH": os.defpath,
            "HOME": str(state),
            "TMPDIR": str(state),
            "STATE_DIR": str(state),
            "REMOVED_AT_THE_END": str(state),
            "FUNCTION_RUNTIME": f"python{functions.version}",
            "FUNCTION_PYTHON": str(functions.executable),
            "LAMBDA_ACCOUNT_CONCURRENCY": str(self._account_concurrency),
            "AUTH": "true" if self._enforces_iam else "false",
            "DRIVES_TIME": "true" if self._drives_time else "false",
            "GATEWAY_PORT": str(self._port),
            "BIND_HOST": LOOPBACK,
            "MINISTACK_HOST": LOOPBACK,
            "MINISTACK_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "LOG_LEVEL": "WARNING",
        }
        return self._run([python, "-m", "local.emulator"], state, environment, bound)

    @staticmethod
    def _run(
        command: list[str | Path], state: Path, environment: Mapping[str, str], bound: int
    ) -> subprocess.Popen[bytes]:
        """Start a process of its own, whose standard input is the pipe that it watches.

        Args:
            command: Is told last of all the socket that it shall listen on.
            state: A directory for its files.
            environment: All of its variables.
            bound: That socket.
        """
        with (state / "output").open("ab") as output:
            return subprocess.Popen(  # noqa: S603
                [*command, str(bound)],
                pass_fds=[bound],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _comes_up(self) -> bool:
        """Wait until the emulator answers; return False if it ends or takes too long."""
        give_up = time.monotonic() + START_WITHIN_SECONDS
        while time.monotonic() < give_up:
            if self._process is None or self._process.poll() is not None:
                return False
            try:
                self._ask("GET", self._HEALTH)
            except ConnectionError:
                time.sleep(POLL_SECONDS)
            else:
                return True
        return False

    def _ask(self, method: str, path: str) -> None:
        connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=START_WITHIN_SECONDS)
        try:
            connection.request(method, path)
            status = connection.getresponse().status
        finally:
            connection.close()
        if status != http.HTTPStatus.OK:
            raise EmbeddedCloudError(
                f"The AWS emulator answered {method} {path} with status {status}."
            )

    def _kill(self) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()
        self._process = None


def emulator_python() -> Path:
    """Return the interpreter of the emulator's own environment.

    Raises:
        EmbeddedCloudError: There is none; the message says how to make it.
    """
    python = Path(os.environ.get("EMULATOR_PYTHON") or ROOT / ".venv-emulator" / "bin" / "python")
    if not python.exists():
        raise EmbeddedCloudError(f"There is no AWS emulator at {python}. Make it with: make setup")
    return python


def function_python() -> FunctionPython:
    """Return the interpreter of the deployed runtime, or the emulator's own where there is none.

    A function must be built for its version. A version manager may offer an interpreter that does
    not run, so each is asked. ``FUNCTION_PYTHON`` names one that is tried first.

    Raises:
        EmbeddedCloudError: Not even the emulator has an interpreter that runs.
    """
    wanted = RUNTIME.removeprefix("python")
    for executable in _pythons(wanted):
        python = _ask_python(executable)
        if python is not None and python.version == wanted:
            return python
    fallback = _ask_python(emulator_python())
    if fallback is None:
        raise EmbeddedCloudError(
            f"The AWS emulator's interpreter {emulator_python()} does not run."
        )
    return fallback


def _pythons(version: str) -> Iterator[Path]:
    """Name the places where an interpreter of this minor version may be."""
    name = f"python{version}"
    if named := os.environ.get("FUNCTION_PYTHON"):
        yield Path(named)
    yield Path(sys.executable)
    yield ROOT / f".venv-{version}" / "bin" / "python"
    if found := shutil.which(name):
        yield Path(found)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted((pyenv / "versions").glob(f"{version}.*/bin/{name}"))


def _ask_python(executable: Path) -> FunctionPython | None:
    """Ask an interpreter where it really is, and its minor version; None if it does not run."""
    try:
        told = subprocess.run(  # noqa: S603
            [executable, "-I", "-S", "-c", TELL_PYTHON],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    if told.returncode != 0:
        return None
    path, version = told.stdout.splitlines()
    return FunctionPython(Path(path), version)


def _write_at_once(path: Path, seconds: int) -> None:
    """Write in one step: the emulator may read at any time."""
    new = path.with_suffix(".new")
    new.write_text(str(seconds))
    new.replace(path)
