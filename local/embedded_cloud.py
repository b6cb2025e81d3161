"""Starts and stops the AWS emulator as a process of its own, on a free loopback port.

The emulator runs in another Python environment, so nothing of it is imported here. It gets an
environment made from nothing: what the caller's shell says of AWS must not reach it.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import tempfile
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import boto3
import botocore.session
from botocore.config import Config

if TYPE_CHECKING:
    from types import TracebackType

    from mypy_boto3_secretsmanager import SecretsManagerClient

ROOT = Path(__file__).resolve().parents[1]
LOOPBACK = "127.0.0.1"
REGION = "eu-west-1"
ACCESS_KEY = "test"
START_WITHIN_SECONDS = 30
STARTS_TRIED = 3
POLL_SECONDS = 0.02
CLIENT_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 2},
    connect_timeout=5,
    read_timeout=30,
    max_pool_connections=32,
    proxies={},
)


class EmbeddedCloudError(RuntimeError):
    """The emulator cannot be started, or does not answer."""


class EmbeddedCloud:
    """An AWS emulator that lives as long as the ``with`` block.

    It also ends when this process is killed: it watches a pipe whose other end is here.
    """

    def __init__(self) -> None:
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._state: tempfile.TemporaryDirectory[str] | None = None

    @property
    def endpoint_url(self) -> str:
        """Where every service of the emulator answers."""
        return f"http://{LOOPBACK}:{self._port}"

    def environment(self) -> dict[str, str]:
        """Return the variables with which any AWS SDK finds the emulator, past any proxy."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": ACCESS_KEY,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": f"{LOOPBACK},localhost",
            "no_proxy": f"{LOOPBACK},localhost",
        }

    def client(
        self,
        service: Literal["secretsmanager"] = "secretsmanager",
        *,
        region: str = REGION,
        config: Config | None = None,
    ) -> SecretsManagerClient:
        """Return a client whose settings are all given here.

        Neither ``AWS_PROFILE`` nor a configuration file nor a proxy variable can turn it towards
        a real account.
        """
        return self._session.client(
            service,
            endpoint_url=self.endpoint_url,
            region_name=region,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=ACCESS_KEY,
            config=CLIENT_CONFIG.merge(config) if config else CLIENT_CONFIG,
        )

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
        """Forget all secrets, and everything else that was created."""
        self._ask("POST", "/_ministack/reset")

    def start(self) -> None:
        """Start the emulator and return when it answers.

        A port that was free may be taken before the emulator binds it, so another one is tried.

        Raises:
            EmbeddedCloudError: It is not installed, or it did not come up.
        """
        python = emulator_python()
        with contextlib.ExitStack() as undo:
            undo.callback(self.stop)
            self._state = tempfile.TemporaryDirectory(prefix="embedded-cloud-")
            state = Path(self._state.name)
            for _ in range(STARTS_TRIED):
                self._port = free_port()
                self._process = self._launch(python, state)
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

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop it, whatever happened."""
        self.stop()

    def _launch(self, python: Path, state: Path) -> subprocess.Popen[bytes]:
        environment = {
            "PATH": os.defpath,
            "HOME": str(state),
            "TMPDIR": str(state),
            "STATE_DIR": str(state),
            "GATEWAY_PORT": str(self._port),
            "BIND_HOST": LOOPBACK,
            "MINISTACK_HOST": LOOPBACK,
            "MINISTACK_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "LOG_LEVEL": "WARNING",
        }
        with (state / "output").open("ab") as output:
            return subprocess.Popen(  # noqa: S603
                [python, "-m", "local.emulator"],
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
                self._ask("GET", "/_ministack/health")
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


def free_port() -> int:
    """Return a loopback port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
