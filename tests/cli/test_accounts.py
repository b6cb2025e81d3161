"""What state an account is said to be in, and which of them calls a person."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from token_refresher.errors import FailureClass
from token_refresher.model import Account, TokenVersion, account_from_metadata, digest12
from token_refresher.ports import SecretMetadata
from token_refresher.records import (
    FAILURE_TAG,
    GRANT_EXPIRES_AT_TAG,
    REFUSALS_TAG,
    FailureRecord,
    GrantLifetime,
    Refusals,
)
from token_refresher_cli.accounts import AccountStatus, State, in_order, status_of

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
BEFORE = 90 * MINUTE
TICK = 5 * MINUTE
CREDENTIALS = "credentials-version-1"


def issued(ago: timedelta, *, life: timedelta = 12 * HOUR, credentials: str = CREDENTIALS) -> str:
    issued_at = NOW - ago
    return str(TokenVersion(issued_at, issued_at + life, digest12(credentials), "0123456789ab"))


def failed(
    failure_class: FailureClass, *, failures: int = 3, credentials: str = CREDENTIALS
) -> dict[str, str]:
    code = "timeout" if failure_class is FailureClass.TRANSIENT else "invalid_grant"
    if not failures:
        code = "unchanged"
    since, next_at, digest = NOW - 5 * MINUTE, NOW + 10 * MINUTE, digest12(credentials)
    record = FailureRecord(failure_class, code, failures, since, next_at, digest)
    return {FAILURE_TAG: record.to_tag()}


def told_of(seen: Account) -> AccountStatus:
    return status_of(seen, now=NOW, refresh_before=BEFORE, schedule=TICK)


def account(
    current: str | None = None,
    *,
    previous: str | None = None,
    tags: dict[str, str] | None = None,
    credentials: str | None = CREDENTIALS,
    is_deleted: bool = False,
    has_secret: bool = True,
) -> Account:
    stages = {"AWSCURRENT": current, "AWSPREVIOUS": previous}
    known = {stage: version for stage, version in stages.items() if version}
    ours = SecretMetadata({"AWSCURRENT": credentials} if credentials else {})
    return account_from_metadata(
        "dealer-17",
        credentials=ours if has_secret else None,
        token=SecretMetadata(known, tags or {}, is_deleted=is_deleted),
        now=NOW,
    )


ENDS_SOON = {GRANT_EXPIRES_AT_TAG: GrantLifetime(NOW + 50 * HOUR, timedelta(days=30)).to_tag()}


@pytest.mark.parametrize(
    ("seen", "state", "error", "next_attempt_at"),
    [
        pytest.param(
            account(issued(HOUR)),
            *(State.FRESH, None, NOW + 9.5 * HOUR),
            id="a fresh token is tried next when it comes due",
        ),
        pytest.param(
            account(issued(11 * HOUR)),
            *(State.OVERDUE, "no attempt on record", NOW),
            id="a token that has been due for half an hour without an attempt is overdue",
        ),
        pytest.param(
            account(issued(10.5 * HOUR + 20 * MINUTE)),
            *(State.DUE, None, NOW),
            id="a token that has been due for twenty minutes may be about to be refreshed",
        ),
        pytest.param(
            account(issued(11 * HOUR), tags=failed(FailureClass.TRANSIENT)),
            *(State.RETRYING, "timeout", NOW + 10 * MINUTE),
            id="a failure that may pass is retried, and calls nobody",
        ),
        pytest.param(
            account(issued(11 * HOUR), tags=failed(FailureClass.ACTION_REQUIRED)),
            *(State.ACTION_REQUIRED, "invalid_grant", NOW + 10 * MINUTE),
            id="a refused password calls a person while the token still lives",
        ),
        pytest.param(
            account(issued(HOUR), tags=ENDS_SOON),
            *(State.ACTION_REQUIRED, "refresh_token_ending", NOW + 9.5 * HOUR),
            id="a refresh token that ends soon calls a person",
        ),
        pytest.param(
            account(issued(2 * MINUTE, life=14 * MINUTE)),
            *(State.ACTION_REQUIRED, "token_lives_too_short", NOW + 5 * MINUTE),
            id="a token that lives too short calls a person",
        ),
        pytest.param(
            account(issued(HOUR), is_deleted=True),
            *(State.ACTION_REQUIRED, "scheduled_for_deletion", NOW),
            id="a token secret that is about to be deleted calls a person",
        ),
        pytest.param(
            account(issued(HOUR), is_deleted=True, tags=failed(FailureClass.ACTION_REQUIRED)),
            *(State.ACTION_REQUIRED, "scheduled_for_deletion", NOW + 10 * MINUTE),
            id="what is about to be deleted is said before what failed",
        ),
        pytest.param(
            account(issued(11 * HOUR, credentials="before")),
            *(State.DUE, None, NOW),
            id="an account that was just corrected is due, and not overdue",
        ),
        pytest.param(
            account(issued(20 * HOUR, credentials="before")),
            *(State.DUE, None, NOW),
            id="nor is a corrected one whose token has expired long ago",
        ),
        pytest.param(
            account(issued(11 * HOUR), previous=issued(15 * MINUTE)),
            *(State.RATE_LIMITED, None, NOW + 5 * MINUTE),
            id="what is rate limited tells until when",
        ),
        pytest.param(
            account(issued(11 * HOUR), tags=failed(FailureClass.TRANSIENT, failures=0)),
            *(State.UNCHANGED, None, NOW + 10 * MINUTE),
            id="a token that was handed out once more is no failure, and asked for again later",
        ),
        pytest.param(
            account(
                issued(11 * HOUR),
                tags={
                    **failed(FailureClass.ACTION_REQUIRED, credentials="before"),
                    REFUSALS_TAG: Refusals(2, NOW - 5 * MINUTE, digest12("before")).to_tag(),
                },
            ),
            *(State.RETRYING, "invalid_grant", NOW + 9.5 * MINUTE),
            id="credentials that were put for the second time in a moment wait, and it is told",
        ),
        pytest.param(
            account("a-version-id-of-somebody-else-0123456789"),
            *(State.EXTERNAL_VERSION, None, None),
            id="a token that the program did not publish is not read to learn its expiry",
        ),
        pytest.param(
            account(credentials=None),
            *(State.AWAITING_CREDENTIALS, None, None),
            id="an account without credentials waits, and calls nobody",
        ),
        pytest.param(
            account(issued(20 * HOUR), has_secret=False, credentials=None),
            *(State.ORPHANED, None, None),
            id="an orphaned token calls nobody, however dead",
        ),
    ],
)
def test_the_state_is_told_with_what_is_wrong_and_what_comes_next(
    seen: Account, state: State, error: str | None, next_attempt_at: datetime | None
) -> None:
    told = told_of(seen)
    assert (told.state, told.error, told.next_attempt_at) == (state, error, next_attempt_at)
    assert told.needs_action == (state in {State.ACTION_REQUIRED, State.OVERDUE})
    if told.failure_class is FailureClass.ACTION_REQUIRED:
        assert told.needs_action


def test_what_needs_action_comes_first_and_then_what_expires_soonest() -> None:
    seen = [
        account(issued(HOUR)),
        account(issued(3 * HOUR)),
        account(issued(HOUR), tags=failed(FailureClass.ACTION_REQUIRED)),
    ]
    told = in_order(map(told_of, seen))
    assert [one.state for one in told] == [State.ACTION_REQUIRED, State.FRESH, State.FRESH]
    assert told[1].expires_at == NOW + 9 * HOUR


def test_a_failure_tells_its_class_and_since_when_it_is() -> None:
    failing = told_of(account(issued(11 * HOUR), tags=failed(FailureClass.ACTION_REQUIRED)))
    fine = told_of(account(issued(HOUR)))

    assert (failing.failure_class, failing.failing_since, failing.failures) == (
        FailureClass.ACTION_REQUIRED,
        NOW - 5 * MINUTE,
        3,
    )
    assert (fine.failure_class, fine.failing_since, fine.failures) == (None, None, 0)


def test_the_class_of_a_failure_is_not_told_of_something_else() -> None:
    told = told_of(account(issued(11 * HOUR), tags={**ENDS_SOON, **failed(FailureClass.TRANSIENT)}))
    assert (told.error, told.refresh_token_expires_at) == (
        "refresh_token_ending",
        NOW + 50 * HOUR,
    )
    assert (told.failure_class, told.failures) == (None, 3)
