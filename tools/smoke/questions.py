"""A question to AWS: what it documents, how it is asked, and what its answer comes to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from token_refresher.aws.secret_store import told_by
from token_refresher.fixes import DENIED
from tools.smoke.findings import AGAIN, BudgetError, Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from tools.smoke.sandbox import Sandbox

# AWS does not know, or no longer, who asks.
STRANGERS: Final = frozenset(
    {
        *("ExpiredToken", "ExpiredTokenException", "IncompleteSignature", "InvalidClientTokenId"),
        *("InvalidSignatureException", "RequestExpired", "SignatureDoesNotMatch"),
        *("UnrecognizedClientException",),
    }
)
# This account, this Region or this session cannot be asked.
NOT_HERE: Final = frozenset(
    {
        *("InvalidAction", "SessionDurationEscalationException", "UnknownOperationException"),
    }
)
# IAM has two words for it, and STS the third.
FEDERATION_IS_OFF: Final = frozenset(
    {
        *("FeatureDisabled", "OutboundWebIdentityFederationDisabled"),
        *("OutboundWebIdentityFederationDisabledException",),
    }
)
TURN_FEDERATION_ON: Final = (
    "identity federation is off in this account; who wants it turns it on: "
    "aws iam enable-outbound-web-identity-federation"
)
_ACTION: Final = re.compile(r"not authorized to perform: ([a-z-]+:[A-Za-z]+)")


@dataclass(frozen=True, slots=True)
class Answer:
    """What AWS answered.

    Attributes:
        is_documented: Whether that is what its documents say; None where it could not be seen.
        measured: The figure or the code. No value, no id of the account.
        remedy: As of a finding.
    """

    is_documented: bool | None
    measured: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and what AWS documents of it.

    Attributes:
        name: In a person's words.
        documented: What its documents say, told where the answer differs.
        ask: Asks it.
    """

    name: str
    documented: str
    ask: Callable[[Sandbox], Answer]


class LostError(Exception):
    """AWS does not answer, or not to this caller: the message says how it failed."""


def settle(question: Question, sandbox: Sandbox) -> Finding:
    """Ask a question, and tell what became of it.

    A permission that is missing, a throttled call or a spent budget says nothing about AWS.

    Raises:
        LostError: The next question would fare no better.
    """
    try:
        answer = question.ask(sandbox)
    except BudgetError as error:
        answer = Answer(None, str(error), AGAIN)
    except ClientError as error:
        answer = _of_refusal(error, sandbox)
    except BotoCoreError as error:
        raise LostError(type(error).__name__) from None
    except ResponseParserError as error:
        answer = Answer(None, f"{type(error).__name__}: no response of AWS came", AGAIN)
    except (LookupError, TypeError, ValueError) as error:
        answer = Answer(
            is_documented=False, measured=f"a response of another form: {type(error).__name__}"
        )
    if answer.is_documented is None:
        return Finding(question.name, Verdict.UNKNOWN, answer.measured, answer.remedy)
    if answer.is_documented:
        return Finding(question.name, Verdict.AS_DOCUMENTED, answer.measured)
    measured = f"{answer.measured}; documented: {question.documented}"
    return Finding(question.name, Verdict.DIFFERS, measured)


def _of_refusal(error: ClientError, sandbox: Sandbox) -> Answer:
    code, is_transient = told_by(error)
    operation = error.operation_name
    if code in STRANGERS:
        raise LostError(code) from None
    if code in DENIED:
        # One operation may need two permissions. Of the message, nothing else may be told.
        named = _ACTION.search(error.response["Error"].get("Message", ""))
        action = named[1] if named else sandbox.operations.get(operation, operation)
        remedy = f"{action} is missing; grant it, or leave it (docs/smoke.md)"
        return Answer(None, f"{code}: {action} is missing", remedy)
    if code in FEDERATION_IS_OFF:
        return Answer(None, "identity federation is off", TURN_FEDERATION_ON)
    if code in NOT_HERE:
        return Answer(None, f"{operation}: {code}", f"{code}: not in this Region or session")
    return Answer(None if is_transient else False, f"{operation}: {code}", AGAIN)


def refusal_of(call: Callable[[], object]) -> str:
    """Return the code by which AWS refuses a call; empty where it takes it.

    Raises:
        ClientError: It says nothing about the call: no permission, no answer, not now.
    """
    try:
        call()
    except ClientError as error:
        code, is_transient = told_by(error)
        if is_transient or code in DENIED | STRANGERS:
            raise
        return code
    return ""


def refused(code: str, *expected: str) -> Answer:
    """Judge a refusal by its code."""
    return Answer(code in expected, code or "it was not refused")
