"""When a token is due, and why; what holds it; when it is tried again; who must act."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from token_refresher.errors import (
    CredentialsError,
    FailureClass,
    RefreshTokenHeldError,
    RejectedAgainError,
    SecretStoreError,
)
from token_refresher.model import (
    Account,
    Published,
    TokenVersion,
    account_from_metadata,
    digest12,
)
from token_refresher.oauth.errors import (
    EndpointUnavailableError,
    MissingExpiryError,
    OAuthError,
    TokenEndpointError,
    TokenRequestError,
    TokenResponseError,
)
from token_refresher.policy import (
    Decision,
    Failure,
    Pace,
    Reason,
    Sending,
    action_required,
    decide,
    due_time,
    failure_class_of,
    failure_record,
    is_retrying,
    lease_interval,
    lives_too_short,
    margin_used,
    needs_action,
    next_attempt,
    next_sending,
    pace_of,
    refusals_record,
    replaced_record,
    seconds_until_expiry,
    unchanged_record,
)
from token_refresher.ports import SecretMetadata
from token_refresher.records import (
    CERTIFICATE_EXPIRES_AT_TAG,
    FAILURE_TAG,
    GRANT_EXPIRES_AT_TAG,
    LEASE_TAG,
    REFUSALS_TAG,
    REFUSED_RESPONSE_TAG,
    CertificateLifetime,
    FailureRecord,
    GrantLifetime,
    LeaseEnd,
    Refusals,
    Unrecorded,
)

NOW: Final = datetime(2026, 11, 24, 12, tzinfo=UTC)
SECOND: Final = timedelta(seconds=1)
NO_TIME: Final = timedelta(0)
MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
BEFORE: Final = 90 * MINUTE
SCHEDULE: Final = 5 * MINUTE
SLACK: Final = timedelta(seconds=30)
CREDENTIALS: Final = "credentials-version-1"
A_PERSONS_ID: Final = "a-person-s-version-id-0123456789abcdef"
TOKEN: Final = "0123456789ab"
LEASE: Final = f"request-{'0' * 40}-1"


def issued(
    ago: timedelta,
    *,
    life: timedelta = 12 * HOUR,
    credentials: str = CREDENTIALS,
    token: str = TOKEN,
) -> str:
    issued_at = NOW - ago
    return str(TokenVersion(issued_at, issued_at + life, digest12(credentials), token))


def account(
    current: str | None = None,
    *,
    previous: str | None = None,
    journal: str | None = None,
    lease: str | None = None,
    tags: dict[str, str] | None = None,
    credentials: str | None = CREDENTIALS,
) -> Account:
    token = {"AWSCURRENT": current, "AWSPREVIOUS": previous}
    stages = {"AWSCURRENT": credentials, "TOKENRESPONSE": journal, "TOKENREQUEST": lease}
    return account_from_metadata(
        "dealer-17",
        credentials=SecretMetadata({stage: id_ for stage, id_ in stages.items() if id_}),
        token=SecretMetadata({stage: id_ for stage, id_ in token.items() if id_}, tags or {}),
        now=NOW,
    )


def failed(
    retry_in: timedelta,
    *,
    failures: int = 1,
    failure_class: FailureClass = FailureClass.TRANSIENT,
    credentials: str = CREDENTIALS,
    since: timedelta = NO_TIME,
    code: str = "timeout",
) -> dict[str, str]:
    code = code if failures else "unchanged"
    record = FailureRecord(
        failure_class,
        code,
        failures,
        NOW + min(retry_in, since),
        NOW + retry_in,
        digest12(credentials),
    )
    return {FAILURE_TAG: record.to_tag()}


def refused(
    count: int, *, forward: timedelta | None = None, credentials: str = CREDENTIALS
) -> dict[str, str]:
    at = None if forward is None else NOW + forward
    return {REFUSALS_TAG: Refusals(count, at, digest12(credentials)).to_tag()}


def grant(left: timedelta, lifetime: timedelta = 30 * DAY) -> dict[str, str]:
    return {GRANT_EXPIRES_AT_TAG: GrantLifetime(NOW + left, lifetime).to_tag()}


def certificate(left: timedelta, lifetime: timedelta = 365 * DAY) -> dict[str, str]:
    return {CERTIFICATE_EXPIRES_AT_TAG: CertificateLifetime(NOW + left, lifetime).to_tag()}


def reason_of(of: Account, **asked: Any) -> Reason:  # noqa: ANN401
    return decide(of, now=NOW, refresh_before=BEFORE, **asked).reason


LATER: Final = issued(MINUTE)
OLD: Final = issued(11 * HOUR)
EXPIRED: Final = issued(13 * HOUR)
NEEDS_ACTION: Final = failed(HOUR, failure_class=FailureClass.ACTION_REQUIRED)
TIMEOUT: Final = EndpointUnavailableError("", code="timeout")
WRONG_PASSWORD: Final = TokenRequestError("invalid_grant")


# Needs, and their order.


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        pytest.param(
            account(journal=LATER, tags=failed(HOUR)),
            Decision(due=True, reason=Reason.NO_TOKEN),
            id="no token yet precedes an unpublished response",
        ),
        pytest.param(
            account(issued(6 * HOUR, credentials="other"), journal=issued(MINUTE, token="f" * 12)),
            Decision(due=True, reason=Reason.UNPUBLISHED_RESPONSE),
            id="an unpublished response precedes changed credentials",
        ),
        pytest.param(
            account(issued(13 * HOUR, credentials="other")),
            Decision(due=True, reason=Reason.CREDENTIALS_CHANGED),
            id="changed credentials precede an expiry",
        ),
        pytest.param(
            account(EXPIRED, previous=LATER, tags=failed(HOUR)),
            Decision(due=False, reason=Reason.BACKING_OFF),
            id="a back-off precedes the minimum interval",
        ),
        pytest.param(
            account(LATER, previous=issued(2 * MINUTE)),
            Decision(due=False, reason=Reason.FRESH),
            id="what is fresh is held by nothing",
        ),
    ],
)
def test_the_checks_have_an_order(of: Account, expected: Decision) -> None:
    assert decide(of, now=NOW, refresh_before=BEFORE) == expected


def test_a_token_in_a_secret_that_is_scheduled_for_deletion_is_none() -> None:
    of = account(LATER)
    assert of.token is not None
    of = replace(of, token=replace(of.token, is_deleted=True))
    assert decide(of, now=NOW, refresh_before=BEFORE) == Decision(due=True, reason=Reason.NO_TOKEN)


def test_force_gives_no_credentials_to_an_account_without() -> None:
    of = account(LATER, credentials=None)
    assert not decide(of, now=NOW, refresh_before=BEFORE, force=True).due


def test_where_nothing_is_published_nothing_was_refused() -> None:
    decision = decide(account(), now=NOW, refresh_before=BEFORE, rejected_version="")
    assert decision == Decision(due=True, reason=Reason.NO_TOKEN)


def external(*, issued_at: datetime | None, expires_at: datetime | None) -> Account:
    """An account whose token somebody else published, with the times of its JSON."""
    return replace(account(A_PERSONS_ID), published=Published(A_PERSONS_ID, issued_at, expires_at))


def test_without_an_issue_time_a_token_is_due_by_the_margin_alone() -> None:
    expires_at = NOW + HOUR
    of = external(issued_at=None, expires_at=expires_at)
    assert due_time(of, refresh_before=BEFORE) == expires_at - BEFORE


@pytest.mark.parametrize(
    ("ago", "life", "uses_refresh_tokens", "reason"),
    [
        pytest.param(15 * MINUTE, 30 * MINUTE, False, Reason.NEARING_EXPIRY, id="half its life"),
        pytest.param(15 * MINUTE - SECOND, 30 * MINUTE, False, Reason.FRESH, id="not before half"),
        pytest.param(20 * MINUTE - SLACK, 30 * MINUTE, True, Reason.NEARING_EXPIRY,
                     id="with refresh tokens twenty minutes, less the slack of a tick"),
        pytest.param(20 * MINUTE - SLACK - SECOND, 30 * MINUTE, True, Reason.FRESH,
                     id="with refresh tokens not before twenty minutes"),
        pytest.param(12 * HOUR - BEFORE, 12 * HOUR, True, Reason.NEARING_EXPIRY, id="the margin"),
        pytest.param(12 * HOUR - BEFORE - SECOND, 12 * HOUR, True, Reason.FRESH,
                     id="not before the margin"),
    ],
)  # fmt: skip
def test_a_token_is_due_from_a_certain_second_on(
    ago: timedelta, life: timedelta, reason: Reason, *, uses_refresh_tokens: bool
) -> None:
    current = issued(ago, life=life)
    of = account(current, journal=current if uses_refresh_tokens else None)
    assert reason_of(of) is reason


@pytest.mark.parametrize(
    ("ago", "left", "reason"),
    [
        pytest.param(HOUR, 10 * MINUTE, Reason.REFRESH_TOKEN_ENDING, id="ten minutes before"),
        pytest.param(HOUR, 10 * MINUTE + SECOND, Reason.FRESH, id="not before that"),
        pytest.param(HOUR, SECOND, Reason.REFRESH_TOKEN_ENDING, id="up to its last second"),
        pytest.param(HOUR, NO_TIME, Reason.FRESH, id="not once it has ended: nothing helps"),
        pytest.param(20 * MINUTE - SLACK, 5 * MINUTE, Reason.REFRESH_TOKEN_ENDING,
                     id="twenty minutes after the last one"),
        pytest.param(20 * MINUTE - SLACK - SECOND, 5 * MINUTE, Reason.FRESH,
                     id="not sooner after the last one"),
    ],
)  # fmt: skip
def test_a_token_is_due_before_its_refresh_token_ends(
    ago: timedelta, left: timedelta, reason: Reason
) -> None:
    of = account(issued(ago), journal=issued(ago), tags=grant(left))
    assert reason_of(of) is reason


def test_the_due_time_is_that_of_the_refresh_token_where_it_ends_first() -> None:
    of = account(issued(HOUR), tags=grant(HOUR))
    assert due_time(of, refresh_before=BEFORE) == NOW + 50 * MINUTE
    assert margin_used(of, now=NOW + 50 * MINUTE, refresh_before=BEFORE) == 0


# Journaled responses.


ANOTHER: Final = issued(MINUTE, token="f" * 12)


@pytest.mark.parametrize(
    "of",
    [
        pytest.param(account(issued(0 * MINUTE), journal=ANOTHER), id="an older one"),
        pytest.param(account(issued(2 * MINUTE), previous=ANOTHER, journal=ANOTHER),
                     id="one that was published and rolled back"),
        pytest.param(account(issued(2 * MINUTE), journal=ANOTHER,
                             tags={REFUSED_RESPONSE_TAG: ANOTHER}), id="a refused one"),
        pytest.param(account(issued(2 * MINUTE),
                             journal=issued(MINUTE, life=MINUTE, token="f" * 12)),
                     id="an expired one"),
        pytest.param(account(issued(2 * MINUTE), journal=LATER),
                     id="one with the published access token and credentials"),
        pytest.param(external(issued_at=None, expires_at=NOW + 11 * HOUR),
                     id="one beside a token whose age nobody knows"),
    ],
)  # fmt: skip
def test_a_journaled_response_is_not_published(of: Account) -> None:
    assert reason_of(of) is Reason.FRESH


def test_an_external_token_without_an_age_is_replaced_by_no_journaled_response() -> None:
    of = external(issued_at=None, expires_at=NOW + 11 * HOUR)
    journal = TokenVersion.parse(ANOTHER, now=NOW)
    assert reason_of(replace(of, journal=journal)) is Reason.FRESH


def test_the_same_access_token_of_other_credentials_is_published() -> None:
    of = account(issued(2 * MINUTE, credentials="other"), journal=LATER)
    assert reason_of(of) is Reason.UNPUBLISHED_RESPONSE


def test_what_was_answered_is_held_by_nothing() -> None:
    tags = failed(HOUR, failures=9, failure_class=FailureClass.ACTION_REQUIRED)
    of = account(issued(3 * MINUTE), previous=issued(4 * MINUTE), journal=ANOTHER, tags=tags)
    assert decide(of, now=NOW, refresh_before=BEFORE).due


# Holds.


@pytest.mark.parametrize(
    ("of", "asked", "reason"),
    [
        pytest.param(account(OLD, tags=failed(SECOND)), {}, Reason.BACKING_OFF,
                     id="until the second"),
        pytest.param(account(OLD, tags=failed(NO_TIME)), {}, Reason.NEARING_EXPIRY,
                     id="not any longer"),
        pytest.param(account(OLD, tags=failed(7 * HOUR)), {}, Reason.BACKING_OFF,
                     id="as long as any wait can be"),
        pytest.param(account(OLD, tags=failed(7 * HOUR + SECOND)), {}, Reason.NEARING_EXPIRY,
                     id="no longer: that was edited"),
        pytest.param(account(issued(HOUR), tags=failed(11 * HOUR) | grant(MINUTE)), {},
                     Reason.BACKING_OFF, id="as long as a token lives whose refresh token is held"),
        pytest.param(account(OLD, tags=failed(HOUR)), {"force": True}, Reason.NEARING_EXPIRY,
                     id="not where a person insists"),
        pytest.param(account(OLD, tags={FAILURE_TAG: "edited"}), {}, Reason.NEARING_EXPIRY,
                     id="not by a tag that somebody edited"),
        pytest.param(account(OLD, tags=failed(HOUR, credentials="other")), {},
                     Reason.NEARING_EXPIRY, id="not where credentials were put"),
    ],
)  # fmt: skip
def test_a_failure_holds_until_its_next_attempt(
    of: Account, asked: dict[str, Any], reason: Reason
) -> None:
    assert reason_of(of, **asked) is reason


@pytest.mark.parametrize(
    ("forward", "reason"),
    [
        pytest.param(None, Reason.CREDENTIALS_CHANGED, id="where none were put before"),
        pytest.param(NO_TIME, Reason.BACKING_OFF, id="not at once a second time"),
        pytest.param(SLACK + SECOND - 15 * MINUTE, Reason.BACKING_OFF, id="not within 15 minutes"),
        pytest.param(SLACK - 15 * MINUTE, Reason.CREDENTIALS_CHANGED, id="again after 15 minutes"),
        pytest.param(MINUTE, Reason.CREDENTIALS_CHANGED, id="whatever time somebody edited in"),
    ],
)
def test_credentials_that_are_put_bring_one_attempt_forward(
    forward: timedelta | None, reason: Reason
) -> None:
    before: dict[str, Any] = {"credentials": "refused"}
    tags = failed(HOUR, **before) | refused(1, forward=forward, **before)
    of = account(issued(HOUR, credentials="other"), tags=tags)
    assert reason_of(of) is reason
    assert reason_of(of, force=True) is Reason.CREDENTIALS_CHANGED


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (LeaseEnd.UNANSWERED, Reason.REJECTED),
        (LeaseEnd.SPENT, Reason.REJECTED),
        (LeaseEnd.REFUSED, Reason.BACKING_OFF),
    ],
)
def test_a_rejection_overrides_what_holds_for_the_published_tokens_sake(
    end: LeaseEnd, reason: Reason
) -> None:
    tags = failed(10 * HOUR) | {LEASE_TAG: f"{LEASE}/{end}"}
    current = issued(HOUR)
    assert reason_of(account(current, lease=LEASE, tags=tags), rejected_version=current) is reason
    assert reason_of(account(current, lease=LEASE, tags=tags)) is Reason.BACKING_OFF


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        pytest.param(failed(-SECOND), Reason.RETRY, id="so that it does not outlive its cause"),
        pytest.param(failed(SECOND), Reason.BACKING_OFF, id="not before its time"),
        pytest.param(failed(-SECOND, failures=0), Reason.FRESH, id="not where it is none"),
        pytest.param(failed(-SECOND, credentials="other"), Reason.FRESH,
                     id="not where it was of other credentials"),
    ],
)  # fmt: skip
def test_what_has_failed_is_tried_again_though_its_token_is_fresh(
    tags: dict[str, str], reason: Reason
) -> None:
    assert reason_of(account(issued(HOUR), tags=tags)) is reason


UNCHANGED: Final = failed(20 * MINUTE, failures=0)


@pytest.mark.parametrize(
    ("of", "asked", "reason"),
    [
        pytest.param(account(OLD, tags=UNCHANGED), {}, Reason.UNCHANGED, id="on the schedule"),
        pytest.param(account(OLD, tags=UNCHANGED), {"force": True}, Reason.UNCHANGED,
                     id="by force"),
        pytest.param(account(OLD, tags=UNCHANGED), {"rejected_version": OLD},
                     Reason.NEARING_EXPIRY, id="not where a consumer saw it refused"),
        pytest.param(account(OLD, tags=failed(NO_TIME, failures=0)), {},
                     Reason.NEARING_EXPIRY, id="not once the time has come"),
        pytest.param(account(OLD, tags=failed(HOUR, failures=0, credentials="other")), {},
                     Reason.NEARING_EXPIRY, id="not for other credentials"),
        pytest.param(account(issued(11 * HOUR), journal=ANOTHER, tags=UNCHANGED), {},
                     Reason.UNPUBLISHED_RESPONSE, id="not what was answered already"),
        pytest.param(account("external", tags=UNCHANGED), {},
                     Reason.EXPIRY_UNKNOWN, id="not an external version"),
        pytest.param(account(OLD, tags=failed(8 * HOUR, failures=0)), {},
                     Reason.NEARING_EXPIRY, id="not as long as an edited tag says"),
    ],
)  # fmt: skip
def test_an_unchanged_token_is_not_asked_for_before_its_time(
    of: Account, asked: dict[str, Any], reason: Reason
) -> None:
    assert reason_of(of, **asked) is reason


OTHERS: Final[dict[str, Any]] = {"credentials": "other"}
RECENT: Final = issued(20 * MINUTE - SLACK - SECOND)


@pytest.mark.parametrize(
    ("of", "is_limited"),
    [
        pytest.param(account(LATER, previous=RECENT), True, id="a third within twenty minutes"),
        pytest.param(account(LATER, previous=issued(20 * MINUTE - SLACK)), False,
                     id="twenty minutes, less the slack of a tick"),
        pytest.param(account(LATER, previous=issued(40 * MINUTE - SLACK - SECOND), lease=LEASE),
                     True, id="with refresh tokens forty"),
        pytest.param(account(LATER, previous=issued(40 * MINUTE - SLACK), lease=LEASE), False,
                     id="with refresh tokens no more than forty"),
        pytest.param(account(LATER), False, id="a second version"),
        pytest.param(account(A_PERSONS_ID, previous=RECENT), False, id="an external version"),
        pytest.param(account(LATER, previous=A_PERSONS_ID), False,
                     id="a version that replaced an external one"),
        pytest.param(account(issued(MINUTE, **OTHERS), previous=issued(2 * MINUTE, **OTHERS)),
                     False, id="credentials that were put"),
        pytest.param(account(issued(MINUTE, **OTHERS), previous=RECENT), True,
                     id="credentials that were put a second time"),
    ],
)  # fmt: skip
def test_a_third_version_is_rate_limited(of: Account, *, is_limited: bool) -> None:
    reason = reason_of(of, force=True)
    assert (reason is Reason.RATE_LIMITED) is is_limited


def test_an_external_version_that_comes_again_too_soon_is_held_until_what_is_recorded() -> None:
    """But not the token of credentials that were put since."""
    previous, now = issued(MINUTE), {"issued_at": NOW, "now": NOW}
    record = replaced_record(account(A_PERSONS_ID, previous=previous), **now)
    assert record is not None
    tags = {FAILURE_TAG: record.to_tag()}
    again = account(A_PERSONS_ID, previous=previous, tags=tags)

    assert reason_of(again) is Reason.RATE_LIMITED
    assert next_attempt(again, Reason.RATE_LIMITED) == NOW + 20 * MINUTE - SLACK
    put = account(A_PERSONS_ID, previous=previous, tags=tags, credentials="other")
    assert reason_of(put) is Reason.EXPIRY_UNKNOWN


def test_the_next_attempt_is_told_where_an_account_is_held_back() -> None:
    held = account(issued(MINUTE), previous=issued(20 * MINUTE))
    backing_off = account(OLD, tags=failed(MINUTE))
    put = account(tags=failed(HOUR, **OTHERS) | refused(1, forward=-5 * MINUTE, **OTHERS))

    assert next_attempt(held, Reason.RATE_LIMITED) == NOW
    assert next_attempt(backing_off, Reason.BACKING_OFF) == NOW + MINUTE
    assert next_attempt(put, Reason.BACKING_OFF) == NOW + 10 * MINUTE - SLACK
    assert next_attempt(account(tags=failed(HOUR, **OTHERS)), Reason.BACKING_OFF) is None
    assert next_attempt(held, Reason.FRESH) is None


@pytest.mark.parametrize(
    ("journal", "most"),
    [
        pytest.param({}, 72, id="one version for each refresh"),
        pytest.param({"TOKENRESPONSE": issued(24 * HOUR)}, 36, id="a lease and a journal besides"),
    ],
)
def test_a_day_has_no_more_versions_than_are_sustained_however_hard_it_is_forced(
    journal: dict[str, str], most: int
) -> None:
    current: str | None = None
    previous: str | None = None
    published = 0
    for minute in range(24 * 60):
        now = NOW + minute * MINUTE
        of = account_from_metadata(
            "dealer-17",
            credentials=SecretMetadata({"AWSCURRENT": CREDENTIALS, **journal}),
            token=SecretMetadata(
                {
                    stage: version
                    for stage, version in (("AWSCURRENT", current), ("AWSPREVIOUS", previous))
                    if version
                }
            ),
            now=now,
        )
        if decide(of, now=now, refresh_before=BEFORE, force=True).due:
            published += 1
            current, previous = issued(NOW - now, life=MINUTE), current
    # Two, one after the other, in each interval.
    assert published == 2 * most


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


def test_an_unchanged_token_is_no_failure() -> None:
    of = account(OLD)
    tags = {FAILURE_TAG: unchanged_record(of, now=NOW).to_tag()}
    of = account(OLD, tags=tags)
    assert not needs_action(of, now=NOW, schedule=SCHEDULE)
    assert not is_retrying(of)


# Whose action is required, and the gauges.


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        pytest.param(account(tags=NEEDS_ACTION), "timeout", id="a failure says so"),
        pytest.param(account(issued(HOUR), tags=NEEDS_ACTION), "timeout",
                     id="however fresh its token"),
        pytest.param(account(tags=NEEDS_ACTION, credentials=None), None, id="not managed"),
        pytest.param(account(tags=failed(HOUR)), None, id="what passes"),
        pytest.param(account(A_PERSONS_ID), None, id="an external version"),
        pytest.param(account(LATER, tags={GRANT_EXPIRES_AT_TAG: "edited"}), None,
                     id="an edited expiry"),
        pytest.param(account(LATER, tags=grant(7 * DAY)), None, id="a week of consent is left"),
        pytest.param(account(LATER, tags=grant(7 * DAY - SECOND)), "refresh_token_ending",
                     id="less than a week"),
        pytest.param(account(LATER, tags=grant(15 * MINUTE, 30 * MINUTE)), None,
                     id="half of a short consent is left"),
        pytest.param(account(LATER, tags=grant(15 * MINUTE - SECOND, 30 * MINUTE)),
                     "refresh_token_ending", id="less than half of it"),
        pytest.param(account(LATER, tags=certificate(14 * DAY)), None,
                     id="two weeks of a client certificate are left"),
        pytest.param(account(LATER, tags=certificate(14 * DAY - SECOND)), "certificate_ending",
                     id="less than two weeks"),
        pytest.param(account(LATER, tags=certificate(-DAY)), "certificate_ending",
                     id="it has expired, and the server does not mind"),
        pytest.param(account(LATER, tags=certificate(12 * HOUR, DAY)), None,
                     id="half of a short one is left"),
        pytest.param(account(LATER, tags=grant(DAY) | certificate(DAY)), "refresh_token_ending",
                     id="the refresh token first"),
        pytest.param(account(tags=NEEDS_ACTION | certificate(DAY)), "timeout",
                     id="a failure before it"),
    ],
)  # fmt: skip
def test_what_action_is_required_is_told_by_metadata(of: Account, expected: str | None) -> None:
    assert action_required(of, now=NOW, schedule=SCHEDULE) == expected
    assert needs_action(of, now=NOW, schedule=SCHEDULE) is (expected is not None)


def test_a_token_secret_scheduled_for_deletion_requires_action() -> None:
    of = account_from_metadata(
        "a",
        credentials=SecretMetadata({"AWSCURRENT": "v"}),
        token=SecretMetadata(is_deleted=True),
        now=NOW,
    )
    assert action_required(of, now=NOW, schedule=SCHEDULE) == "scheduled_for_deletion"


@pytest.mark.parametrize(
    ("of", "schedule", "is_too_short"),
    [
        pytest.param(account(issued(MINUTE, life=15 * MINUTE)), 5, False, id="just long enough"),
        pytest.param(account(issued(MINUTE, life=15 * MINUTE - SECOND)), 5, True, id="less"),
        pytest.param(account(issued(MINUTE, life=15 * MINUTE)), 6, True, id="a slower schedule"),
        pytest.param(account(issued(MINUTE, life=25 * MINUTE), lease=LEASE), 5, False,
                     id="two versions and a tick"),
        pytest.param(account(issued(MINUTE, life=25 * MINUTE - SECOND), lease=LEASE), 5, True,
                     id="less than two versions and a tick"),
        pytest.param(account(issued(MINUTE, life=timedelta(seconds=3599)), lease=LEASE), 15, False,
                     id="an hour less a second, on the slowest schedule"),
        pytest.param(account(LATER, lease=LEASE, tags=grant(DAY, 25 * MINUTE)), 5, False,
                     id="a refresh token that lives long enough"),
        pytest.param(account(LATER, lease=LEASE, tags=grant(DAY, 25 * MINUTE - SECOND)), 5, True,
                     id="a refresh token under 25 minutes"),
        pytest.param(account(), 5, False, id="no token"),
        pytest.param(account(A_PERSONS_ID), 5, False, id="an external version of unknown age"),
        pytest.param(external(issued_at=NOW, expires_at=NOW + MINUTE), 5, False,
                     id="an external version of known age"),
    ],
)  # fmt: skip
def test_a_token_lives_too_short_by_interval_and_schedule(
    of: Account, schedule: int, *, is_too_short: bool
) -> None:
    assert lives_too_short(of, schedule=schedule * MINUTE) is is_too_short
    required = action_required(of, now=NOW, schedule=schedule * MINUTE)
    assert required == ("token_lives_too_short" if is_too_short else None)


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        pytest.param(account(LATER), False, id="one that did not fail"),
        pytest.param(account(tags=failed(HOUR)), True, id="one that is tried again"),
        pytest.param(account(tags=failed(-HOUR)), True, id="one that is about to be"),
        pytest.param(account(tags=NEEDS_ACTION), False, id="one that requires action"),
    ],
)
def test_who_is_tried_again_is_told_by_metadata(*, of: Account, expected: bool) -> None:
    assert is_retrying(of) is expected


@pytest.mark.parametrize(
    ("current", "used", "seconds"),
    [
        pytest.param(None, 100, 0, id="absent"),
        pytest.param(EXPIRED, 100, 0, id="expired"),
        pytest.param(LATER, 0, 43140, id="fresh"),
        pytest.param(issued(11 * HOUR + 15 * MINUTE), 50, 2700, id="half way"),
    ],
)
def test_the_margin_is_told_in_percent(current: str | None, used: float, seconds: float) -> None:
    of = account(current)
    assert margin_used(of, now=NOW, refresh_before=BEFORE) == used
    assert seconds_until_expiry(of, now=NOW) == seconds


@pytest.mark.parametrize(
    "times",
    [
        pytest.param((NOW + HOUR, NOW + HOUR), id="a life of nothing"),
        pytest.param((NOW + 3 * HOUR, NOW + HOUR), id="an expiry before the issue"),
    ],
)
def test_the_margin_is_a_percentage_whatever_a_person_wrote(
    times: tuple[datetime, datetime],
) -> None:
    of = external(issued_at=times[0], expires_at=times[1])
    assert 0 <= margin_used(of, now=NOW, refresh_before=BEFORE) <= 100


# What holds for all.


# What is read of a person's token: until the year 3000.
times = st.integers(1, 32_503_679_999).map(lambda count: datetime.fromtimestamp(count, UTC))


@given(issued_at=st.none() | times, expires_at=st.none() | times)
@settings(deadline=None)
def test_no_times_of_anybodys_break_a_decision_or_a_gauge(
    issued_at: datetime | None, expires_at: datetime | None
) -> None:
    of = external(issued_at=issued_at, expires_at=expires_at)
    decide(of, now=NOW, refresh_before=BEFORE)
    needs_action(of, now=NOW, schedule=SCHEDULE)
    failure_record(of, TIMEOUT, now=NOW)
    unchanged_record(of, now=NOW)
    assert 0 <= margin_used(of, now=NOW, refresh_before=BEFORE) <= 100
    assert seconds_until_expiry(of, now=NOW) >= 0


seconds = st.integers(min_value=1, max_value=30 * 86400).map(lambda count: timedelta(seconds=count))


@given(life=seconds, before=seconds, at=st.floats(min_value=0, max_value=0.499))
@settings(deadline=None)
def test_no_token_is_due_before_half_its_life(
    life: timedelta, before: timedelta, at: float
) -> None:
    of = account(issued(NO_TIME, life=life))
    assert decide(of, now=NOW + life * at, refresh_before=before).reason is Reason.FRESH


@given(life=seconds, before=seconds, at=seconds, later=seconds)
@settings(deadline=None)
def test_what_is_due_stays_due(
    life: timedelta, before: timedelta, at: timedelta, later: timedelta
) -> None:
    of = account(issued(NO_TIME, life=life))
    if decide(of, now=NOW + at, refresh_before=before).due:
        assert decide(of, now=NOW + at + later, refresh_before=before).due


@given(
    life=st.integers(min_value=60, max_value=7 * 24 * 60).map(lambda count: count * MINUTE),
    phase=st.integers(min_value=0, max_value=299).map(lambda count: timedelta(seconds=count)),
    error=st.sampled_from([TIMEOUT, WRONG_PASSWORD, MissingExpiryError()]),
)
@settings(deadline=None, max_examples=60)
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
