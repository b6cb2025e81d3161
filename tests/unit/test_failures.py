"""Of what kind a failure is, and when it is tried again: two tables, and that of sendings."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.listed import (
    A_PERSONS_ID,
    CREDENTIALS,
    DAY,
    EXPIRED,
    HOUR,
    LATER,
    LEASE,
    MINUTE,
    NO_TIME,
    NOW,
    OLD,
    OTHERS,
    SECOND,
    SLACK,
    TIMES_OF_ANYBODY,
    account,
    external,
    failed,
    grant,
    issued,
    refused,
)
from token_refresher.errors import (
    CredentialsError,
    FailureClass,
    RefreshTokenHeldError,
    RejectedAgainError,
    SecretStoreError,
)
from token_refresher.failures import (
    Failure,
    Pace,
    Sending,
    failure_class_of,
    failure_record,
    lease_interval,
    next_sending,
    pace_of,
    refusals_record,
    unchanged_record,
)
from token_refresher.model import Account, digest12
from token_refresher.oauth.errors import (
    EndpointUnavailableError,
    MissingExpiryError,
    OAuthError,
    TokenEndpointError,
    TokenRequestError,
    TokenResponseError,
)
from token_refresher.policy import decide
from token_refresher.records import (
    FAILURE_TAG,
    REFUSALS_TAG,
    REFUSED_RESPONSE_TAG,
    LeaseEnd,
    Refusals,
    Unrecorded,
)

TIMEOUT: Final = EndpointUnavailableError("", code="timeout")
WRONG_PASSWORD: Final = TokenRequestError("invalid_grant")


# Who is called, and the pace: two tables.

ACT: Final = FailureClass.ACTION_REQUIRED
PASSES: Final = FailureClass.TRANSIENT
INVALID: Final = FailureClass.INVALID_RESPONSE


def told(each: object) -> str:
    """Name a case by its error and its status."""
    code, status = getattr(each, "code", ""), getattr(each, "status", None)
    return " ".join(map(str, filter(None, (code or each, status))))


def endpoint(code: str, status: int | None = None) -> TokenEndpointError:
    return TokenEndpointError("", code=code, status=status)


def unavailable(status: int, code: str = "") -> EndpointUnavailableError:
    return EndpointUnavailableError("", code=code or f"status_{status}", status=status)


def store(code: str, *, transient: bool = False) -> SecretStoreError:
    return SecretStoreError("PutSecretValue", code, transient=transient)


@pytest.mark.parametrize(
    ("error", "failure_class", "pace"),
    [
        (CredentialsError(""), ACT, Pace.AT_ONCE),
        (CredentialsError("", code="refresh_tokens_ignored"), ACT, Pace.AT_ONCE),
        (CredentialsError("", code="another_host"), ACT, Pace.AT_ONCE),
        (endpoint("host_not_allowed"), ACT, Pace.AT_ONCE),
        (endpoint("invalid_ca_certificates"), ACT, Pace.AT_ONCE),
        (store("scheduled_for_deletion"), ACT, Pace.AT_ONCE),
        (TokenRequestError("invalid_grant"), ACT, Pace.REFUSED),
        (TokenRequestError("invalid_client", status=401), ACT, Pace.REFUSED),
        (TokenRequestError("refresh_token_reused"), ACT, Pace.REFUSED),
        (TokenRequestError("invalid_grant", status=200), ACT, Pace.REFUSED),
        (TokenRequestError(None, status=401), ACT, Pace.REFUSED),
        (TokenRequestError(None, status=403), ACT, Pace.REFUSED),
        (TokenRequestError(None, status=415), ACT, Pace.REFUSED),
        (TokenRequestError("invalid_client", status=404), ACT, Pace.TRANSIENT),
        (TokenRequestError("slow_down"), PASSES, Pace.TRANSIENT),
        (TokenRequestError("temporarily_unavailable"), PASSES, Pace.TRANSIENT),
        (TokenRequestError("server_error"), PASSES, Pace.TRANSIENT),
        (endpoint("status_404", 404), ACT, Pace.TRANSIENT),
        (endpoint("status_405", 405), ACT, Pace.TRANSIENT),
        (endpoint("redirect", 301), ACT, Pace.TRANSIENT),
        (endpoint("certificate_refused"), ACT, Pace.TRANSIENT),
        (endpoint("address_not_global"), ACT, Pace.TRANSIENT),
        (endpoint("client_certificate_required"), ACT, Pace.TRANSIENT),
        (endpoint("client_certificate_refused"), ACT, Pace.TRANSIENT),
        (endpoint("proxy_refused"), ACT, Pace.TRANSIENT),
        (endpoint("tls_too_old"), ACT, Pace.TRANSIENT),
        (unavailable(408), PASSES, Pace.TRANSIENT),
        (unavailable(425), PASSES, Pace.TRANSIENT),
        (unavailable(429), PASSES, Pace.TRANSIENT),
        (unavailable(503), PASSES, Pace.TRANSIENT),
        (unavailable(403, "firewall"), PASSES, Pace.TRANSIENT),
        (unavailable(403, "blocked"), PASSES, Pace.TRANSIENT),
        (TIMEOUT, PASSES, Pace.TRANSIENT),
        (TokenResponseError(""), INVALID, Pace.TRANSIENT),
        (TokenResponseError("", code="token_refused"), INVALID, Pace.TRANSIENT),
        (MissingExpiryError(), ACT, Pace.TRANSIENT),
        (store("AccessDeniedException"), ACT, Pace.TRANSIENT),
        (store("DecryptionFailure"), ACT, Pace.TRANSIENT),
        (store("ThrottlingException", transient=True), PASSES, Pace.TRANSIENT),
        (store("journal_not_written"), ACT, Pace.TRANSIENT),
        (RefreshTokenHeldError(is_spent=False, until=NOW, by_force=NOW), PASSES, Pace.TRANSIENT),
        (RefreshTokenHeldError(is_spent=True, until=NOW, by_force=NOW), ACT, Pace.TRANSIENT),
        (RejectedAgainError(), PASSES, Pace.TRANSIENT),
    ],
    ids=told,
)
def test_who_is_called_and_when_it_is_tried_again_are_two_tables(
    error: Failure, failure_class: FailureClass, pace: Pace
) -> None:
    assert (failure_class_of(error), pace_of(error)) == (failure_class, pace)


def wait_of(of: Account, error: Failure = TIMEOUT, **more: Any) -> timedelta:  # noqa: ANN401
    """How long it waits, but for the slack of a tick."""
    return failure_record(of, error, now=NOW, **more).next_attempt - NOW + SLACK


@pytest.mark.parametrize("failures", [0, 1, 5])
def test_what_costs_nothing_is_looked_at_at_every_tick(failures: int) -> None:
    of = account(OLD, tags=failed(-HOUR, failures=failures))
    error = CredentialsError("`client_id` is missing")
    assert failure_record(of, error, now=NOW).next_attempt == NOW


@pytest.mark.parametrize(
    ("count", "minutes"),
    [(1, 15), (2, 30), (3, 60), (4, 120), (5, 240), (6, 360), (7, 360), (999_999, 360)],
)
def test_refused_credentials_wait_twice_as_long_each_time_up_to_six_hours(
    count: int, minutes: int
) -> None:
    refusals = Refusals(count, None, digest12(CREDENTIALS))
    wait = wait_of(account(issued(13 * HOUR)), WRONG_PASSWORD, refusals=refusals)
    assert wait == minutes * MINUTE


@pytest.mark.parametrize(
    ("before", "minutes"), [(0, 5), (1, 10), (2, 20), (3, 30), (4, 30), (999_998, 30)]
)
def test_what_passes_is_tried_after_5_10_20_and_then_30_minutes(before: int, minutes: int) -> None:
    of = account(issued(HOUR), tags=failed(-MINUTE, failures=before))
    assert wait_of(of) == minutes * MINUTE


@pytest.mark.parametrize(
    ("left", "failures", "minutes"),
    [
        pytest.param(NO_TIME, 0, 5, id="a token that has just expired"),
        pytest.param(-HOUR, 9, 10, id="ten minutes at most while no token lives"),
        pytest.param(SECOND, 9, 5, id="the shortest wait passes an expiry"),
        pytest.param(5 * MINUTE, 9, 5, id="no other does"),
        pytest.param(11 * MINUTE, 9, 11, id="too late for an attempt ten minutes before it"),
        pytest.param(11 * MINUTE + SECOND, 9, 1, id="ten minutes before the expiry, once"),
        pytest.param(40 * MINUTE - SECOND, 9, 30, id="whatever the count"),
        pytest.param(40 * MINUTE + SECOND, 9, 30, id="and no sooner than the pace"),
    ],
)
def test_no_wait_passes_an_expiry_but_for_the_shortest(
    left: timedelta, failures: int, minutes: int
) -> None:
    tags = failed(-MINUTE, failures=failures)
    of = account(issued(12 * HOUR - left), tags=tags)
    assert abs(wait_of(of) - minutes * MINUTE) <= SECOND


def test_a_token_of_unknown_expiry_does_not_live() -> None:
    assert wait_of(account(A_PERSONS_ID, tags=failed(-MINUTE, failures=9))) == 10 * MINUTE


@pytest.mark.parametrize(
    ("since", "wait"),
    [
        pytest.param(NO_TIME, NO_TIME, id="at once"),
        pytest.param(SECOND - HOUR, NO_TIME, id="for an hour"),
        pytest.param(-HOUR, 10 * MINUTE, id="not any longer"),
    ],
)
def test_a_first_token_is_tried_for_at_the_next_tick_for_an_hour(
    since: timedelta, wait: timedelta
) -> None:
    of = account(tags=failed(-SECOND, failures=3, since=since))
    assert failure_record(of, TIMEOUT, now=NOW).next_attempt == NOW + max(wait - SLACK, NO_TIME)


def test_a_first_token_with_refused_credentials_waits_as_any_other() -> None:
    refusals = Refusals(1, None, digest12(CREDENTIALS))
    assert wait_of(account(), WRONG_PASSWORD, refusals=refusals) == 15 * MINUTE


@pytest.mark.parametrize(
    ("asked", "minutes"),
    [
        pytest.param(MINUTE, 4.5, id="not shortened"),
        pytest.param(20 * MINUTE, 20, id="lengthened"),
        pytest.param(65 * MINUTE, 65, id="by an hour"),
        pytest.param(DAY, 65, id="by an hour at most"),
    ],
)
def test_retry_after_lengthens_by_an_hour_at_most(asked: timedelta, minutes: float) -> None:
    error = EndpointUnavailableError("", code="status_503", status=503, retry_after=asked)
    record = failure_record(account(issued(HOUR)), error, now=NOW)
    assert record.next_attempt - NOW == minutes * MINUTE


def test_retry_after_counts_where_action_is_required_too() -> None:
    error = TokenRequestError("invalid_grant", retry_after=70 * MINUTE)
    refusals = Refusals(1, None, digest12(CREDENTIALS))
    record = failure_record(account(issued(HOUR)), error, now=NOW, refusals=refusals)
    assert record.next_attempt == NOW + 70 * MINUTE


@pytest.mark.parametrize(
    "tags",
    [
        pytest.param(failed(HOUR, failures=7, credentials="other"), id="of other credentials"),
        pytest.param(failed(-2 * HOUR, failures=7), id="that a success has outlived"),
        pytest.param(failed(HOUR, failures=0), id="that is none"),
    ],
)
def test_a_failure_that_does_not_count_is_not_counted_on(tags: dict[str, str]) -> None:
    record = failure_record(account(issued(HOUR), tags=tags), TIMEOUT, now=NOW)
    assert (record.failures, record.since) == (1, NOW)


def test_a_failure_keeps_the_time_of_the_first_in_its_row() -> None:
    of = account(issued(3 * HOUR), tags=failed(-MINUTE, failures=4, since=-2 * HOUR))
    record = failure_record(of, TIMEOUT, now=NOW)
    assert (record.failures, record.since) == (5, NOW - 2 * HOUR)


# The count of refusals.


@pytest.mark.parametrize(
    ("tags", "error", "expected"),
    [
        pytest.param({}, WRONG_PASSWORD, (1, None), id="the first"),
        pytest.param(refused(3), WRONG_PASSWORD, (4, None), id="one more"),
        pytest.param(refused(3) | failed(HOUR), WRONG_PASSWORD, (4, None),
                     id="one more after a failure of another pace"),
        pytest.param(refused(3, credentials="other"), WRONG_PASSWORD, (1, None),
                     id="the first of other credentials"),
        pytest.param(refused(3, **OTHERS) | failed(HOUR, **OTHERS), WRONG_PASSWORD, (1, NOW),
                     id="one that was brought forward"),
        pytest.param(refused(3, **OTHERS) | failed(NO_TIME, **OTHERS), WRONG_PASSWORD,
                     (1, None), id="one whose time had come anyway"),
        pytest.param(refused(3, forward=-HOUR), WRONG_PASSWORD, (4, NOW - HOUR),
                     id="which remembers what was brought forward before"),
        pytest.param({REFUSALS_TAG: "edited"}, WRONG_PASSWORD, (1, None), id="an edited count"),
        pytest.param(refused(3), TIMEOUT, None, id="none of another pace"),
    ],
)  # fmt: skip
def test_refusals_are_counted_until_credentials_differ(
    tags: dict[str, str], error: Failure, expected: tuple[int, datetime | None] | None
) -> None:
    refusals = refusals_record(account(tags=tags), error, now=NOW)
    found = None if refusals is None else (refusals.count, refusals.brought_forward_at)
    assert found == expected


# Sendings, and the time between leases.


@pytest.mark.parametrize(
    ("tags", "is_ended", "minutes"),
    [
        pytest.param({}, True, 15, id="fifteen minutes"),
        pytest.param(grant(12 * MINUTE), True, 5, id="five before the refresh token ends"),
        pytest.param(grant(12 * MINUTE), False, 15, id="but only where the last end is on record"),
        pytest.param(grant(13 * MINUTE - SECOND), True, 5, id="ends a second too soon"),
        pytest.param(grant(13 * MINUTE), True, 15, id="ends with the interval"),
        pytest.param(grant(SECOND), True, 5, id="up to its last second"),
        pytest.param(grant(NO_TIME), True, 15, id="not once it has ended"),
        pytest.param({REFUSED_RESPONSE_TAG: LATER}, True, 20,
                     id="twenty where each lease writes a response that is refused"),
        pytest.param({REFUSED_RESPONSE_TAG: LATER} | grant(12 * MINUTE), True, 20,
                     id="whatever ends"),
        pytest.param({REFUSED_RESPONSE_TAG: OLD}, True, 15, id="not for an older response"),
    ],
)  # fmt: skip
def test_between_two_leases_lies_an_interval(
    tags: dict[str, str], minutes: int, *, is_ended: bool
) -> None:
    of = account(issued(HOUR), journal=LATER, tags=tags)
    interval = lease_interval(of, NOW - 2 * MINUTE, is_ended=is_ended, now=NOW)
    assert interval == minutes * MINUTE


@pytest.mark.parametrize(
    ("of", "end", "insists", "expected"),
    [
        pytest.param(account(issued(HOUR)), LeaseEnd.UNANSWERED, False, 11 * HOUR - 30 * MINUTE,
                     id="unanswered waits for the token's last half hour"),
        pytest.param(account(issued(HOUR), tags=grant(3 * HOUR)), LeaseEnd.UNANSWERED, False,
                     3 * HOUR - 30 * MINUTE, id="or for the refresh token's last half hour"),
        pytest.param(account(issued(HOUR), tags=grant(12 * HOUR)), LeaseEnd.UNANSWERED, False,
                     11 * HOUR - 30 * MINUTE, id="whichever is earlier"),
        pytest.param(account(issued(11 * HOUR + 30 * MINUTE)), LeaseEnd.UNANSWERED, False,
                     NO_TIME, id="not in that half hour"),
        pytest.param(account(issued(HOUR)), LeaseEnd.UNANSWERED, True, NO_TIME,
                     id="not where a person insists"),
        pytest.param(account(issued(HOUR)), LeaseEnd.SPENT, False, 11 * HOUR,
                     id="spent waits for the token's end"),
        pytest.param(account(issued(12 * HOUR - MINUTE)), LeaseEnd.SPENT, False, MINUTE,
                     id="to its last minute"),
        pytest.param(account(issued(HOUR)), LeaseEnd.SPENT, True, NO_TIME,
                     id="unless a person insists"),
        pytest.param(account(issued(HOUR)), LeaseEnd.REFUSED, False, NO_TIME,
                     id="refused is for its own pace to hold"),
        pytest.param(account(EXPIRED), LeaseEnd.UNANSWERED, False, NO_TIME,
                     id="nothing is waited for once no token lives"),
        pytest.param(account(issued(12 * HOUR)), LeaseEnd.SPENT, False, NO_TIME,
                     id="from the second of the expiry on"),
        pytest.param(account(), LeaseEnd.SPENT, False, NO_TIME, id="nor where there is none"),
        pytest.param(account(A_PERSONS_ID), LeaseEnd.UNANSWERED, False, NO_TIME,
                     id="nor where nobody knows whether it lives"),
    ],
)  # fmt: skip
def test_a_refresh_token_that_brought_no_token_is_sent_again_at_its_time(
    of: Account, end: LeaseEnd, expected: timedelta, *, insists: bool
) -> None:
    last = Sending(end, NOW - MINUTE)
    assert next_sending(of, last, now=NOW, insists=insists) == NOW + expected


@pytest.mark.parametrize(
    ("end", "error", "expected"),
    [
        pytest.param(LeaseEnd.UNANSWERED, TIMEOUT, 10 * HOUR + 30 * MINUTE, id="later than a pace"),
        pytest.param(LeaseEnd.REFUSED, WRONG_PASSWORD, HOUR, id="or at the pace of refusals"),
        pytest.param(LeaseEnd.SPENT, store("journal_not_written"), 11 * HOUR, id="or at the end"),
    ],
)
def test_the_table_of_sendings_goes_before_any_pace(
    end: LeaseEnd, error: Failure, expected: timedelta
) -> None:
    refusals = Refusals(3, None, digest12(CREDENTIALS))
    last = Sending(end, NOW)
    of = account(issued(HOUR))
    assert wait_of(of, error, refusals=refusals, last_sending=last) == expected


@pytest.mark.parametrize(
    ("ago", "tags", "minutes"),
    [
        pytest.param(2 * MINUTE, {}, 13, id="fifteen minutes after the lease"),
        pytest.param(2 * MINUTE, grant(10 * MINUTE), 3, id="five where the refresh token ends"),
        pytest.param(16 * MINUTE, {}, 0, id="at once where that is over"),
    ],
)
def test_no_attempt_is_promised_before_the_next_lease_can_be_had(
    ago: timedelta, tags: dict[str, str], minutes: int
) -> None:
    last = Sending(LeaseEnd.UNANSWERED, NOW - ago)
    record = failure_record(account(EXPIRED, tags=tags), TIMEOUT, now=NOW, last_sending=last)
    assert record.next_attempt == NOW + max(minutes * MINUTE - SLACK, NO_TIME)


def test_a_refusal_is_not_sent_again_sooner_than_the_interval() -> None:
    of = account(issued(12 * HOUR - 12 * MINUTE))
    refusals = Refusals(1, None, digest12(CREDENTIALS))
    last = Sending(LeaseEnd.REFUSED, NOW)
    # One attempt precedes the expiry: but for the lease it would be in two minutes.
    assert wait_of(of, WRONG_PASSWORD, refusals=refusals) == 2 * MINUTE
    wait = wait_of(of, WRONG_PASSWORD, refusals=refusals, last_sending=last)
    assert wait == 15 * MINUTE


# An access token that is handed out once more.


@pytest.mark.parametrize(
    ("of", "minutes"),
    [
        pytest.param(account(issued(10 * HOUR)), 60, id="half of what is left"),
        pytest.param(account(issued(12 * HOUR - 16 * MINUTE)), 10, id="at least ten minutes"),
        pytest.param(account(issued(12 * HOUR - 30 * MINUTE), lease=LEASE), 20,
                     id="with refresh tokens at least twenty"),
        pytest.param(account(issued(12 * HOUR - 7 * MINUTE)), 7, id="not past the expiry"),
        pytest.param(account(issued(10 * HOUR), lease=LEASE, tags=grant(50 * MINUTE)), 40,
                     id="ten minutes before the refresh token ends"),
        pytest.param(account(issued(10 * HOUR), lease=LEASE, tags=grant(25 * MINUTE)), 20,
                     id="and yet not before twenty minutes"),
    ],
)  # fmt: skip
def test_an_unchanged_token_is_asked_for_after_half_of_what_is_left(
    of: Account, minutes: int
) -> None:
    record = unchanged_record(of, now=NOW)
    assert record.next_attempt == NOW + minutes * MINUTE - SLACK
    assert (record.failures, record.code) == (0, "unchanged")


# What holds for all.


@given(issued_at=st.none() | TIMES_OF_ANYBODY, expires_at=st.none() | TIMES_OF_ANYBODY)
def test_no_times_of_anybodys_break_a_record(
    issued_at: datetime | None, expires_at: datetime | None
) -> None:
    of = external(issued_at=issued_at, expires_at=expires_at)
    assert failure_record(of, TIMEOUT, now=NOW).next_attempt >= NOW
    assert unchanged_record(of, now=NOW).code == "unchanged"


@given(
    life=st.integers(min_value=60, max_value=7 * 24 * 60).map(lambda count: count * MINUTE),
    phase=st.integers(min_value=0, max_value=299).map(lambda count: timedelta(seconds=count)),
    error=st.sampled_from([TIMEOUT, WRONG_PASSWORD, MissingExpiryError()]),
)
@settings(max_examples=60)
def test_however_often_it_failed_one_attempt_precedes_the_expiry(
    life: timedelta, phase: timedelta, error: OAuthError
) -> None:
    of, now, expires_at = account(issued(NO_TIME, life=life)), NOW + phase, NOW + life
    attempts = []
    while now < expires_at:
        if decide(of, now=now, refresh_before=24 * HOUR).due:
            attempts.append(expires_at - now)
            refusals = refusals_record(of, error, now=now)
            record = failure_record(of, error, now=now, refusals=refusals)
            tags = {FAILURE_TAG: record.to_tag()}
            tags |= {REFUSALS_TAG: refusals.to_tag()} if refusals else {}
            of = replace(of, unrecorded=Unrecorded(tags, {}, NOW))
        now += 5 * MINUTE
    assert any(5 * MINUTE <= left <= 11 * MINUTE for left in attempts)
