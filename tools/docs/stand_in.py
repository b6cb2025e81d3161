"""What the package will say itself, until it does: the policy's chains, the metrics, new words.

This module goes with the change that brings ``policy.NEEDS``, ``policy.HOLDS`` and
``reporting.METRICS``.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from aws_lambda_powertools.metrics import MetricUnit

from token_refresher.policy import Reason


class Check(NamedTuple):
    """A step of the policy: the reason that it gives where it applies."""

    reason: Reason
    meaning: str


NEEDS: Final = (
    Check(Reason.NO_TOKEN, "nothing was ever published, or its secret is being deleted"),
    Check(
        Reason.UNPUBLISHED_RESPONSE,
        "a response was journaled and not published; it is published without a request",
    ),
    Check(Reason.CREDENTIALS_CHANGED, "the token was obtained with other credentials"),
    Check(
        Reason.EXPIRY_UNKNOWN,
        "the published version is not the program's own, and its JSON has no `expires_at`",
    ),
    Check(Reason.EXPIRED, "its life is over"),
    Check(Reason.NEARING_EXPIRY, "`RefreshBeforeSeconds` are left, and half its life has passed"),
    Check(Reason.REJECTED, "a consumer saw the published token refused"),
    Check(Reason.FORCED, "an event asked for it"),
)
HOLDS: Final = (
    Check(
        Reason.BACKING_OFF,
        "the last attempt failed; the next is due at `token-refresher:retry-at`; "
        "`force` overrides it",
    ),
    Check(
        Reason.WRITE_FLOOR,
        "it would be the third version in 30 minutes (60 with refresh tokens)",
    ),
)
ABSENCES: Final = (
    Check(Reason.AWAITING_CREDENTIALS, "the credentials secret has no value yet"),
    Check(Reason.ORPHANED, "the credentials secret is gone; the token secret is left alone"),
    Check(Reason.NO_SUCH_ACCOUNT, "an event named an account that has neither secret"),
)


class Metric(NamedTuple):
    """What is emitted under a name."""

    unit: MetricUnit
    meaning: str


METRICS: Final = {
    "SweepsCompleted": Metric(MetricUnit.Count, "one a sweep of all accounts"),
    "AccountsManaged": Metric(MetricUnit.Count, "accounts that have credentials"),
    "AccountsNeedingAction": Metric(MetricUnit.Count, "those that wait for a person"),
    "AccountsRetrying": Metric(
        MetricUnit.Count, "those whose last attempt failed, and that are tried again by themselves"
    ),
    "AccountsLeftOver": Metric(
        MetricUnit.Count, "those due that a sweep had no time for; the next one continues with them"
    ),
    "AccountsAwaitingCredentials": Metric(
        MetricUnit.Count, "those whose credentials secret has no value yet"
    ),
    "TokensOrphaned": Metric(MetricUnit.Count, "token secrets whose credentials are gone"),
    "SecondsUntilExpiry": Metric(
        MetricUnit.Seconds, "what each published token still lives; 0 when expired or absent"
    ),
    "MarginUsed": Metric(
        MetricUnit.Percent,
        "the way of each token from due (0) to its expiry (100, also when absent); "
        "0 where there is no account",
    ),
    "TokensRefreshed": Metric(MetricUnit.Count, "tokens published or staged"),
    "TokenRequestLatency": Metric(MetricUnit.Milliseconds, "of each token request"),
    "RefreshFailures": Metric(MetricUnit.Count, "failed refreshes, with the dimension `class`"),
}

_NEW_WORDS: Final = {
    "someone must act": "action required",
    "try later": "transient",
    "unusable answer": "invalid response",
    "write floor": "rate limited",
}


def reworded(text: str) -> str:
    """Use the words that the package is about to use."""
    for old, new in _NEW_WORDS.items():
        text = text.replace(old, new)
    return text
