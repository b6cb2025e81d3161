"""Version ids, the published token, and an account as metadata tells it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from token_refresher.errors import FailureClass
from token_refresher.journal import JournalEntry
from token_refresher.leases import LeaseContent
from token_refresher.model import (
    NO_TOKEN_DIGEST,
    PublishedToken,
    TokenVersion,
    Unwritten,
    account_from_metadata,
    digest12,
    published_from_id,
    token_digest,
    with_token,
    with_unrecorded,
    without_refresh_tokens,
)
from token_refresher.oauth.token_response import TokenResponse
from token_refresher.ports import SecretMetadata, SecretValue
from token_refresher.records import (
    FAILURE_TAG,
    LEASE_TAG,
    REFUSED_RESPONSE_TAG,
    FailureRecord,
    LeaseEnd,
    Unrecorded,
)

NOW: Final = datetime(2026, 11, 24, 1, tzinfo=UTC)
VERSION: Final = TokenVersion(NOW, NOW + timedelta(hours=12), "a" * 12, "b" * 12)
TEXT: Final = "20261124T010000Z-20261124T130000Z-aaaaaaaaaaaa-bbbbbbbbbbbb"
EARLIER: Final = "20261124T005959Z-20261124T125959Z-aaaaaaaaaaaa-bbbbbbbbbbbb"


def test_a_version_id_tells_the_schedule() -> None:
    assert str(VERSION) == TEXT
    assert TokenVersion.parse(TEXT, now=NOW) == VERSION


@pytest.mark.parametrize(
    "version_id",
    [
        "terraform-20250627043834191900000095",
        TEXT.replace("20261124T010000Z", "20261124T010501Z"),
        TEXT.replace("20261124T01", "20261324T01"),
        TEXT + "0",
        "",
    ],
    ids=["a person's", "from the future", "no date", "too long", "none"],
)
def test_an_id_that_is_not_ours_is_no_error(version_id: str) -> None:
    assert TokenVersion.parse(version_id, now=NOW) is None


def test_an_orphan_has_no_credentials() -> None:
    orphan = account_from_metadata("a", credentials=None, token=SecretMetadata(), now=NOW)
    assert (orphan.credentials_version, orphan.has_credentials_secret) == (None, False)


A_PERSONS_ID: Final = "terraform-20250627043834191900000095"
# From the year 2001 until the last second of the year 2999.
aware = st.integers(978_307_200, 32_503_679_999).map(
    lambda seconds: datetime.fromtimestamp(seconds, UTC)
)
hex12 = st.text("0123456789abcdef", min_size=12, max_size=12)


# Version ids


@given(issued_at=aware, expires_at=aware, digest=hex12, token=hex12)
def test_every_version_id_is_read_as_it_was_written(
    issued_at: datetime, expires_at: datetime, digest: str, token: str
) -> None:
    version = TokenVersion(issued_at, expires_at, digest, token)
    text = str(version)
    assert len(text) == 59
    assert TokenVersion.parse(text, now=issued_at - timedelta(minutes=5)) == version


@pytest.mark.parametrize("field", [0, 1], ids=["issued_at", "expires_at"])
def test_an_id_from_the_beginning_of_the_calendar_is_nobodys(field: int) -> None:
    parts = TEXT.split("-")
    parts[field] = "19991231T235959Z"
    assert TokenVersion.parse("-".join(parts), now=NOW) is None


def test_a_digest_is_the_beginning_of_a_sha256() -> None:
    assert digest12("abc") == "ba7816bf8f01"


def test_an_access_token_that_is_handed_out_again_shows_in_its_version_id() -> None:
    assert token_digest("a", "token") == digest12("a\ntoken")
    assert token_digest("a", "another") != token_digest("a", "token")


def test_no_version_id_tells_that_two_accounts_share_a_token() -> None:
    assert token_digest("a", "token") != token_digest("b", "token")


def test_a_response_without_a_usable_token_has_zeros_for_a_digest() -> None:
    assert token_digest("a", None) == NO_TOKEN_DIGEST == "0" * 12


# What is read back


@pytest.mark.parametrize("shape", ['{"x":%s}', "%s"], ids=["in a field", "at the top"])
def test_depths_without_end_are_no_journal_no_lease_and_no_token(shape: str) -> None:
    text = shape % ("[" * 100_000 + "]" * 100_000)
    published = published_from_id(A_PERSONS_ID, now=NOW)
    assert JournalEntry.from_json(text) is None
    assert LeaseContent.from_json(text) is None
    assert published.with_times_of(text) == replace(published, is_foreign=True)


@pytest.mark.parametrize(
    ("text", "issued_at", "expires_at"),
    [
        pytest.param(
            '{"issued_at":1795482000,"expires_at":1795525200.5}',
            NOW,
            NOW + timedelta(hours=12, milliseconds=500),
            id="both, whole or not",
        ),
        pytest.param('{"expires_at":1795482000}', None, NOW, id="the expiry alone"),
        pytest.param('{"access_token":"t"}', None, None, id="neither"),
        pytest.param('{"expires_at":1795482000000}', None, None, id="milliseconds"),
        pytest.param('{"expires_at":-62135596800}', None, None, id="the beginning of a calendar"),
        pytest.param('{"expires_at":253402300799}', None, None, id="the end of a calendar"),
        pytest.param('{"expires_at":0}', None, None, id="zero"),
        pytest.param('{"expires_at":"soon"}', None, None, id="a word"),
        pytest.param('{"expires_at":' + "9" * 5000 + "}", None, None, id="a number without end"),
        pytest.param("not JSON", None, None, id="no JSON"),
        pytest.param(None, None, None, id="a binary secret"),
    ],
)
def test_a_persons_token_tells_its_times_in_its_json(
    text: str | None, issued_at: datetime | None, expires_at: datetime | None
) -> None:
    published = published_from_id(A_PERSONS_ID, now=NOW).with_times_of(text)
    assert (published.issued_at, published.expires_at) == (issued_at, expires_at)


@pytest.mark.parametrize(
    ("text", "is_foreign"),
    [
        pytest.param('{"access_token":"t"}', False, id="a token"),
        pytest.param('{"expires_at":1795482000}', True, id="an object without one"),
        pytest.param('{"access_token":"t","expires_in":60}', True, id="a token and something else"),
        pytest.param('{"access_token":"t","expires_at":"soon"}', False, id="an expiry as a text"),
        pytest.param('{"access_token":1}', True, id="one that is a number"),
        pytest.param("made-up", True, id="a text"),
        pytest.param(None, True, id="a binary secret"),
        pytest.param("", False, id="nothing"),
        pytest.param(" \n", False, id="blanks"),
        pytest.param("{}", False, id="an empty object"),
        pytest.param(" {}\n", False, id="an empty object with blanks around it"),
        pytest.param("null\n", False, id="null"),
    ],
)
def test_only_what_is_no_token_and_not_empty_is_foreign(
    text: str | None, *, is_foreign: bool
) -> None:
    assert published_from_id(A_PERSONS_ID, now=NOW).with_times_of(text).is_foreign is is_foreign


# Accounts

RECORD: Final = FailureRecord(
    FailureClass.ACTION_REQUIRED, "invalid_grant", 3, NOW, NOW, digest12("")
)
LEASE: Final = f"request-{'0' * 40}-1"


@pytest.mark.parametrize(
    ("lease", "end"), [(LEASE, LeaseEnd.SPENT), (LEASE.replace("-1", "-2"), None), (None, None)]
)
def test_the_end_of_a_lease_counts_only_while_the_stage_has_that_lease(
    lease: str | None, end: LeaseEnd | None
) -> None:
    of = account_from_metadata(
        "a",
        credentials=SecretMetadata({"TOKENREQUEST": lease} if lease else {}),
        token=SecretMetadata({}, {LEASE_TAG: f"{LEASE}/spent"}),
        now=NOW,
    )
    assert of.lease_end is end


def test_without_a_token_secret_nothing_is_on_record() -> None:
    of = account_from_metadata("a", credentials=SecretMetadata(), token=None, now=NOW)
    found = (of.failure, of.refusals, of.lease_end, of.refused_response, of.grant)
    assert found == (None,) * 5


def test_what_could_not_be_written_stands_for_what_the_tags_say() -> None:
    token = SecretMetadata({}, {REFUSED_RESPONSE_TAG: "old", "theirs": "kept"})
    of = account_from_metadata("a", credentials=None, token=token, now=NOW)
    of = replace(of, unrecorded=Unrecorded({REFUSED_RESPONSE_TAG: TEXT}, {}, NOW))
    assert (of.refused_response, of.tags["theirs"]) == (TEXT, "kept")


@pytest.mark.parametrize(
    ("since", "is_kept"),
    [(VERSION.issued_at, True), (VERSION.issued_at - timedelta(seconds=1), False)],
    ids=["of its second", "older"],
)
def test_a_token_that_was_issued_since_makes_an_unwritten_record_void(
    since: datetime, *, is_kept: bool
) -> None:
    of = account_from_metadata("a", credentials=None, token=token(TEXT), now=NOW)
    kept = Unrecorded({}, {}, since)
    assert (with_unrecorded(of, kept).unrecorded is kept) is is_kept


@pytest.mark.parametrize(
    ("tags", "is_kept"),
    [
        pytest.param({FAILURE_TAG: "as it was"}, True, id="ours are as they were"),
        pytest.param({FAILURE_TAG: "as it was", "theirs": "new"}, True, id="another's is new"),
        pytest.param({FAILURE_TAG: "newer"}, False, id="another run has recorded since"),
        pytest.param({}, False, id="another run has cleared them"),
    ],
)
def test_what_another_run_has_recorded_since_makes_an_unwritten_record_void(
    tags: dict[str, str], *, is_kept: bool
) -> None:
    of = account_from_metadata("a", credentials=None, token=None, now=NOW)
    kept = Unrecorded({}, {FAILURE_TAG: "as it was"}, NOW)
    confirmed = with_token(replace(of, unrecorded=kept), SecretMetadata({}, tags), now=NOW)
    assert (confirmed.unrecorded is kept) is is_kept


def test_where_the_setting_ignores_refresh_tokens_nothing_is_known_of_them() -> None:
    credentials = SecretMetadata({"TOKENREQUEST": LEASE, "TOKENRESPONSE": TEXT})
    of = account_from_metadata("a", credentials=credentials, token=None, now=NOW)
    of = without_refresh_tokens(replace(of, unwritten=Unwritten("v", "secret", "g", "")))
    assert (of.journal, of.lease, of.unwritten) == (None, None, None)
    assert not of.uses_refresh_tokens


def test_a_failure_that_is_no_later_than_the_published_token_is_over() -> None:
    of = account_from_metadata("a", credentials=None, token=token(TEXT), now=NOW)
    assert of.failure is None


@pytest.mark.parametrize(
    ("journal", "code", "is_over"),
    [
        pytest.param(TEXT, "journal_not_written", True, id="the published response is kept"),
        pytest.param(TEXT[:-1] + "c", "journal_not_written", False, id="another one is"),
        pytest.param(TEXT, "timeout", False, id="it was another failure"),
    ],
)
def test_a_journal_that_was_written_in_the_end_is_no_failure(
    journal: str, code: str, *, is_over: bool
) -> None:
    record = replace(RECORD, code=code, since=NOW + timedelta(seconds=1))
    of = account_from_metadata(
        "a",
        credentials=SecretMetadata({"TOKENRESPONSE": journal}),
        token=SecretMetadata({"AWSCURRENT": TEXT}, {FAILURE_TAG: record.to_tag()}),
        now=NOW,
    )
    assert (of.failure is None) is is_over


def test_a_failure_counts_for_the_credentials_that_it_is_of() -> None:
    of = account_from_metadata("a", credentials=None, token=token(EARLIER), now=NOW)
    assert of.counting_failure == RECORD
    of = replace(of, credentials_version="others")
    assert (of.failure, of.counting_failure) == (RECORD, None)


@pytest.mark.parametrize("stage", ["TOKENREQUEST", "TOKENRESPONSE"])
def test_a_lease_or_a_journal_shows_that_refresh_tokens_are_used(stage: str) -> None:
    credentials = SecretMetadata({"AWSCURRENT": "c", stage: TEXT})
    of = account_from_metadata("a", credentials=credentials, token=None, now=NOW)
    assert of.uses_refresh_tokens


def token(version_id: str) -> SecretMetadata:
    return SecretMetadata({"AWSCURRENT": version_id}, {FAILURE_TAG: RECORD.to_tag()})


def test_a_newer_description_takes_the_place_of_the_listing() -> None:
    of = account_from_metadata("a", credentials=None, token=SecretMetadata(), now=NOW)
    confirmed = with_token(of, token(EARLIER), now=NOW)
    published = published_from_id(EARLIER, now=NOW)
    assert (confirmed.published, confirmed.failure) == (published, RECORD)


def test_times_that_were_read_are_kept_while_the_version_is_the_same() -> None:
    of = account_from_metadata("a", credentials=None, token=token(A_PERSONS_ID), now=NOW)
    read = published_from_id(A_PERSONS_ID, now=NOW).with_times_of('{"expires_at":1795482000}')
    confirmed = with_token(replace(of, published=read), token(A_PERSONS_ID), now=NOW)
    assert confirmed.live_until == NOW


def test_a_token_secret_that_is_gone_has_no_token() -> None:
    of = account_from_metadata("a", credentials=None, token=token(TEXT), now=NOW)
    assert with_token(of, None, now=NOW).published is None


@pytest.mark.parametrize(
    "value",
    [
        SecretValue("v", "made-up-secret"),
        TokenResponse("made-up-secret", "bearer", None, None, "made-up-secret", None),
        JournalEntry(
            grant="g", host="h", access_token="made-up-secret", refresh_token="made-up-secret"
        ),
        Unwritten("v", "made-up-secret", "g", ""),
        PublishedToken(
            access_token="made-up-secret", token_type="Bearer", issued_at=1, expires_at=2
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_nothing_that_carries_a_secret_shows_it(value: object) -> None:
    assert "made-up-secret" not in f"{value} {value!r}"
