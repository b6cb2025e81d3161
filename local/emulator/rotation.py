"""Secrets Manager's own rotation: four steps of a function, for a version that is made for it.

ministack copies the current value instead, and asks no function.
"""

from __future__ import annotations

import contextvars
import threading
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import uuid4

from local.emulator import functions
from local.emulator.clock import now
from local.emulator.operations import named_by
from local.emulator.versions import add_empty_version, version_with
from local.secrets_manager.refusals import RefusalError, wrong_state
from local.secrets_manager.versions import CURRENT

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.emulator.versions import Secret

Json: TypeAlias = dict[str, Any]

PENDING = "AWSPENDING"
STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")
PRINCIPAL = "secretsmanager.amazonaws.com"


def rotate_secret(request: Json) -> Json:
    """Begin a rotation, and answer at once; its steps are taken meanwhile.

    One that was left unfinished is tried again instead, and the caller is told so.
    """
    secret = named_by(request)
    function = request.get("RotationLambdaARN") or secret.get("RotationLambdaARN")
    if not function:
        raise wrong_state("The secret has no rotation function.")
    if not functions.may_be_invoked_by(PRINCIPAL, function):
        raise RefusalError("AccessDeniedException", f"{function} does not grant it to {PRINCIPAL}.")
    secret["RotationLambdaARN"] = function
    secret["RotationEnabled"] = True
    if "RotationRules" in request:
        secret["RotationRules"] = request["RotationRules"]
    answer = {"ARN": secret["ARN"], "Name": secret["Name"]}
    pending = version_with(secret, PENDING)
    if pending is not None and pending != version_with(secret, CURRENT):
        _take_the_steps(secret, function, pending)
        raise wrong_state("A previous rotation is not complete: it is tried again.")
    version_id = request.get("ClientRequestToken") or str(uuid4())
    add_empty_version(secret, version_id, PENDING, now=now())
    if request.get("RotateImmediately") is False:
        _try_out(secret, function, version_id)
        return answer
    _take_the_steps(secret, function, version_id)
    return {**answer, "VersionId": version_id}


def _take_the_steps(secret: Secret, function: str, version_id: str) -> None:
    """Ask for one step after the other, until one fails."""

    def take() -> None:
        if all(_succeeds(secret, function, version_id, step) for step in STEPS):
            secret["LastRotatedDate"] = now()

    _meanwhile(take)


def _try_out(secret: Secret, function: str, version_id: str) -> None:
    """Ask for the step that tests, of a version without a value, and take that away again."""

    def take() -> None:
        _succeeds(secret, function, version_id, "testSecret")
        secret["Versions"].pop(version_id)

    _meanwhile(take)


def _succeeds(secret: Secret, function: str, version_id: str, step: str) -> bool:
    event = {"Step": step, "SecretId": secret["ARN"], "ClientRequestToken": version_id}
    return functions.succeeds(function, event)


def _meanwhile(act: Callable[[], None]) -> None:
    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(act,), daemon=True).start()
