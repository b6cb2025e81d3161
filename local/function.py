"""The function as Lambda runs it: a process of its own, whose standard output is its log.

Nobody else writes to that log, nothing of the starter's is redirected for it, and what is killed
is a process. Only the clock differs: it stands where the starter's clock stood at the invocation.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any, Self

import boto3

from local.clock import DrivenClock

if TYPE_CHECKING:
    from collections.abc import Mapping


class Context:
    """What Lambda tells the function of its invocation."""

    aws_request_id = "local"

    def get_remaining_time_in_millis(self) -> int:
        """As much as the deployed function has when it starts."""
        return 240_000


class Function:
    """The deployed function; its process is started again after it was killed.

    Args:
        clock: Read at each invocation.
        environment: The function's variables. It sees no other but the search paths.

    Attributes:
        calls: Its calls to Secrets Manager, by operation.
        dies_before_publishing: Kill it once, right before it writes a version of this secret.
    """

    def __init__(self, clock: DrivenClock, environment: Mapping[str, str]) -> None:
        self.calls: Counter[str] = Counter()
        self.dies_before_publishing = ""
        self._clock = clock
        self._environment = {
            "PATH": os.defpath,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            **environment,
        }
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the end of the block
        self._process: subprocess.Popen[str] | None = None
        self._answers: IO[str] = io.StringIO()

    def invoke(self, event: dict[str, Any]) -> dict[str, Any] | None:
        """Invoke it; None if it was killed."""
        process = self._process or self._start()
        assert process.stdin is not None  # noqa: S101 - it is a pipe
        dies, now = self.dies_before_publishing, self._clock.now().isoformat()
        process.stdin.write(json.dumps({"event": event, "now": now, "dies": dies}) + "\n")
        process.stdin.flush()
        for line in self._answers:
            answer = json.loads(line)
            if "call" not in answer:
                summary: dict[str, Any] = answer["summary"]
                return summary
            self.calls[answer["call"]] += 1
        self._end()
        if process.returncode != -signal.SIGKILL:
            message = f"The function ended by itself ({process.returncode}). It printed:"
            raise RuntimeError(f"{message}\n{self.log()}")
        self.dies_before_publishing = ""
        return None

    def log(self) -> str:
        """Return all that it has printed, by which CloudWatch gets logs and metrics."""
        return os.pread(self._log.fileno(), os.fstat(self._log.fileno()).st_size, 0).decode()

    def _start(self) -> subprocess.Popen[str]:
        ours, theirs = os.pipe()
        self._answers = os.fdopen(ours)
        try:
            self._process = subprocess.Popen(  # noqa: S603
                # Unbuffered: what it has printed is not lost with it. An interpreter that crashes
                # says where.
                [sys.executable, "-u", "-X", "faulthandler", "-m", "local.function", str(theirs)],
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs],
                text=True,
            )
        finally:
            os.close(theirs)
        return self._process

    def _end(self) -> None:
        """End its process, if it has not ended, by the end of its input."""
        process, self._process = self._process, None
        if process is not None:
            process.communicate()
            self._answers.close()

    def __enter__(self) -> Self:
        """Return it; its process starts with the first invocation."""
        return self

    def __exit__(self, *_: object) -> None:
        """End its process, and forget its log."""
        self._end()
        self._log.close()


def serve(answers: int) -> None:
    """Serve the invocations that come by standard input, one a line.

    Args:
        answers: The descriptor to which each call to AWS is told, and each summary.
    """
    # Here, for whoever starts the function needs none of it: the module reads its environment
    # when it is imported, as in Lambda.
    from token_refresher.handler import wired  # noqa: PLC0415
    from token_refresher.settings import settings_from_environment  # noqa: PLC0415

    clock, invocation = DrivenClock(), {"dies": ""}

    def tell(answer: dict[str, Any]) -> None:
        os.write(answers, f"{json.dumps(answer)}\n".encode())

    def on_call(model: Any, params: dict[str, Any], **_: object) -> None:  # noqa: ANN401
        tell({"call": model.name})
        secret_id = json.loads(params["body"]).get("SecretId")
        if model.name == "PutSecretValue" and secret_id == invocation["dies"]:
            os.kill(os.getpid(), signal.SIGKILL)

    boto3.setup_default_session()
    session: Any = boto3.DEFAULT_SESSION
    session.events.register("before-call.secretsmanager", on_call)
    handler = wired(settings_from_environment(), clock=clock.now)
    for line in sys.stdin:
        invocation = json.loads(line)
        clock.set(datetime.fromisoformat(invocation["now"]))
        tell({"summary": handler(invocation["event"], Context())})


if __name__ == "__main__":
    serve(int(sys.argv[1]))
