"""What state an account is said to be in, and which of them calls a person."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from token_refresher.errors import FailureClass
from token_refresher.model import Account, TokenVersion, account_from_metadata, digest12
from token_refresher.ports import SecretMetadata
from token_refresher.records import GRANT_EXPIRES_AT_TAG, FailureRecord, GrantLifetime
from token_refresher_cli.accounts import State, in_order, near_names, status_of

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
BEFORE = 90 * MINUTE
CREDENTIALS = "credentials-version-1"


def issued(ago: timedelta, *, life: timedelta = 12 * HOUR, credentials: str = CREDENTIALS) -> str:
    issued_at = NOW - ago
    return str(TokenVersion(issued_at, issued_at + life, digest12(credentials), "0123456789ab"))


def failed(failure_class: FailureClass, *, retry_in: timedelta = 10 * MINUTE) -> dict[str, str]:
    code = "timeout" if failure_class is FailureClass.TRANSIENT else "invalid_grant"
    record = FailureRecord(failure_class, code, 3, NOW, NOW + retry_in, digest12(CREDENTIALS))
    return record.to_tags()


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
            *(State.ACTION_REQUIRED, "the refresh token ends in 2 d 2 h", NOW + 9.5 * HOUR),
            id="a refresh token that ends soon calls a person, and says when",
        ),
        pytest.param(
            account(issued(5 * MINUTE, life=20 * MINUTE)),
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
            account(issued(MINUTE, credentials="before"), previous=issued(20 * MINUTE)),
            *(State.RATE_LIMITED, None, NOW + 10 * MINUTE),
            id="what is rate limited tells until when",
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
    told = status_of(seen, now=NOW, refresh_before=BEFORE)
    assert (told.state, told.error, told.next_attempt_at) == (state, error, next_attempt_at)
    assert told.needs_action == (state in {State.ACTION_REQUIRED, State.OVERDUE})


def test_what_needs_action_comes_first_and_then_what_expires_soonest() -> None:
    seen = [
        account(issued(HOUR)),
        account(issued(3 * HOUR)),
        account(issued(HOUR), tags=failed(FailureClass.ACTION_REQUIRED)),
    ]
    told = in_order(status_of(one, now=NOW, refresh_before=BEFORE) for one in seen)
    assert [one.state for one in told] == [State.ACTION_REQUIRED, State.FRESH, State.FRESH]
    assert told[1].expires_at == NOW + 9 * HOUR


def test_a_mistyped_name_brings_the_likeliest_ones_to_mind() -> None:
    known = ["dealer-17", "dealer-18", "erp-api"]
    assert near_names("dealr-17", known)[0] == "dealer-17"
    assert near_names("something-else-altogether", known) == []


def test_a_failure_tells_when_it_was() -> None:
    failing = account(issued(11 * HOUR), tags=failed(FailureClass.TRANSIENT))
    fine = account(issued(HOUR))

    assert status_of(failing, now=NOW, refresh_before=BEFORE).failed_at == NOW
    assert status_of(fine, now=NOW, refresh_before=BEFORE).failed_at is None
