"""What the functions are invoked with, validated: sweeps, triggers, steps of a rotation.

Anything else is refused with an error that shows what is accepted, and nothing of what came.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Final, Literal

import msgspec

from token_refresher.errors import EventError

AccountName = Annotated[
    str, msgspec.Meta(min_length=1, max_length=400, pattern=r"^[A-Za-z0-9/_+=.@-]+\Z")
]
# Secrets Manager's own limits of a version id.
_VersionId = Annotated[str, msgspec.Meta(min_length=32, max_length=64)]

# JSON can hold half a character, and msgspec does not say so in an error of its own.
_NOT_OURS: Final = (msgspec.ValidationError, UnicodeError)

# Secrets Manager ends each ARN with a hyphen and six characters of its own.
_SECRET_ARN: Final = re.compile(
    r"arn:[a-z-]+:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:(.+)-[A-Za-z0-9]{6}"
)


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a sweep is asked with; ``{}`` is one of all accounts.

    Attributes:
        accounts: Only these.
        force: Refresh them whether or not they are due; needs ``accounts``.
        dry_run: Decide and explain; change nothing.
    """

    accounts: Annotated[tuple[AccountName, ...], msgspec.Meta(max_length=100)] = ()
    force: bool = False
    dry_run: bool = False


def parse_event(event: object) -> Event:
    """Validate what a sweep is asked with.

    Raises:
        EventError: It is none of the events that are accepted.
    """
    try:
        parsed = msgspec.convert(event, Event)
    except _NOT_OURS:
        parsed = None
    if parsed is None or (parsed.force and not parsed.accounts):
        msg = (
            'accepted are {} for a sweep of all accounts, and {"accounts": ["dealer-17"], '
            '"force": true, "dry_run": true} for some (1 to 100 names; force needs accounts)'
        )
        raise EventError(msg)
    return parsed


class Trigger(msgspec.Struct, frozen=True):
    """A reason to look at one account before the next sweep does.

    Attributes:
        account: Whose credentials changed, or whose token was refused.
        rejected_version: The version id of the token that a consumer saw refused; empty
            where credentials changed.
    """

    account: str
    rejected_version: str = ""


class _Rejection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    account: AccountName
    version_id: _VersionId


class _RejectedToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rejected: _Rejection


class _LabelUpdate(msgspec.Struct, frozen=True):
    name: Annotated[str, msgspec.Meta(max_length=512)]
    labelUpdated: Literal["AWSCURRENT"]  # noqa: N815 - Secrets Manager's word


class _SecretLabelUpdated(msgspec.Struct, frozen=True, rename={"detail_type": "detail-type"}):
    """Secrets Manager's event; EventBridge wraps it in fields that are of no use here."""

    source: Literal["aws.secretsmanager"]
    detail_type: Literal["Secret Label Updated"]
    detail: _LabelUpdate


def parse_trigger(event: object, *, secret_prefix: str) -> Trigger:
    """Validate what the function beside the schedule is invoked with.

    Raises:
        EventError: It is neither a consumer's rejection, nor the event of credentials
            under the prefix.
    """
    try:
        rejected = msgspec.convert(event, _RejectedToken).rejected
    except _NOT_OURS:
        pass
    else:
        return Trigger(rejected.account, rejected.version_id)
    try:
        name = msgspec.convert(event, _SecretLabelUpdated).detail.name
        path = f"{secret_prefix}/credentials/"
        if name.startswith(path):
            return Trigger(msgspec.convert(name.removeprefix(path), AccountName))
    except _NOT_OURS:
        pass
    msg = (
        'accepted are {"rejected": {"account": "dealer-17", "version_id": "…"}}, where the '
        "version_id is the one that GetSecretValue told, and the EventBridge event Secret Label "
        f"Updated of AWSCURRENT under {secret_prefix}/credentials/"
    )
    raise EventError(msg)


class Step(StrEnum):
    """The four steps of a rotation, in their order, in Secrets Manager's words."""

    CREATE = "createSecret"
    SET = "setSecret"
    TEST = "testSecret"
    FINISH = "finishSecret"


class RotationStep(msgspec.Struct, frozen=True):
    """One step that Secrets Manager asks for.

    Attributes:
        step: Which.
        account: Whose token is rotated.
        version_id: The version that the rotation makes; it bears ``AWSPENDING``.
    """

    step: Step
    account: str
    version_id: str


class _RotationEvent(msgspec.Struct, frozen=True, rename="pascal"):
    step: Step
    secret_id: str
    client_request_token: _VersionId


def parse_rotation(event: object, *, secret_prefix: str) -> RotationStep:
    """Validate what Secrets Manager asks of a rotation function.

    Raises:
        EventError: It is no such request, or it is about a secret that holds no token of ours.
    """
    path = f"{secret_prefix}/tokens/"
    try:
        asked = msgspec.convert(event, _RotationEvent)
        found = _SECRET_ARN.fullmatch(asked.secret_id)
        if found is not None and found[1].startswith(path):
            account = msgspec.convert(found[1].removeprefix(path), AccountName)
            return RotationStep(asked.step, account, asked.client_request_token)
    except _NOT_OURS:
        pass
    msg = (
        "accepted is what Secrets Manager asks of a rotation function (Step, SecretId, "
        f"ClientRequestToken), for a token secret under {path}"
    )
    raise EventError(msg)
