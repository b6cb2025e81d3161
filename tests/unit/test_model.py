"""Version ids, the published token, and what is read back from tags and journals."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from token_refresher.errors import FailureClass
from token_refresher.model import (
    Claim,
    JournalEntry,
    PublishedToken,
    TokenVersion,
    account_from_metadata,
    claim_id,
    digest12,
    published_from_id,
    with_token,
)
from token_refresher.oauth.errors import TokenResponseError
from token_refresher.oauth.token_response import TokenResponse
from token_refresher.ports import SecretMetadata, SecretValue, is_claim_id
from token_refresher.records import (
    DEAD_TAG,
    ERROR_TAG,
    FAILURE_TAGS,
    GRANT_EXPIRES_AT_TAG,
    REFUSED_TAG,
    RELEASED_TAG,
    FailureRecord,
    GrantLifetime,
    format_timestamp,
    parse_timestamp,
)

NOW: Final = datetime(2026, 11, 24, 1, tzinfo=UTC)
VERSION: Final = TokenVersion(NOW, NOW + timedelta(hours=12), "a" * 12, "b" * 12)
TEXT: Final = "20261124T010000Z-20261124T130000Z-aaaaaaaaaaaa-bbbbbbbbbbbb"


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


def test_moments_are_read_as_they_are_written() -> None:
    assert parse_timestamp(format_timestamp(NOW)) == NOW
    assert parse_timestamp("yesterday") is None


def test_a_claim_id_is_the_same_for_every_run_and_another_for_every_number() -> None:
    ids = {claim_id("journal", number) for number in (1, 1, 2)}
    assert len(ids) == 2
    assert all(32 <= len(each) <= 64 for each in ids)


@pytest.mark.parametrize("moved", [NOW - timedelta(days=1), NOW], ids=["past", "at once"])
def test_an_answer_that_has_expired_is_not_published(moved: datetime) -> None:
    version = TokenVersion(NOW, moved, "a" * 12, "b" * 12)
    entry = JournalEntry(grant="g", access_token="t", token_type="bearer")
    with pytest.raises(TokenResponseError, match="expired"):
        entry.published_as(version)


def test_the_published_token_is_what_was_designed() -> None:
    entry = JournalEntry(
        grant="g", access_token="abc", token_type="BEARER", scope="a b", refresh_token="r"
    )
    assert entry.published_as(VERSION).to_json() == (
        '{"access_token":"abc","token_type":"Bearer","scope":"a b",'
        '"issued_at":1795482000,"expires_at":1795525200}'
    )


@pytest.mark.parametrize("token", ["a\nb", "a b", "a|b", "=", "é", "a\r\nHost: x"])
def test_characters_outside_rfc_6750_are_never_published(token: str) -> None:
    entry = JournalEntry(grant="g", access_token=token, token_type="bearer")
    with pytest.raises(TokenResponseError, match="RFC 6750"):
        entry.published_as(VERSION)


@pytest.mark.parametrize(("token", "kind"), [(None, "bearer"), ("t", None), ("t", "mac")])
def test_what_is_no_bearer_token_is_never_published(token: str | None, kind: str | None) -> None:
    entry = JournalEntry(grant="g", access_token=token, token_type=kind)
    with pytest.raises(TokenResponseError):
        entry.published_as(VERSION)


@pytest.mark.parametrize("text", [None, "", "[]", "{", '{"grant": 1}'])
def test_a_journal_or_claim_that_is_not_ours_is_none(text: str | None) -> None:
    assert JournalEntry.from_json(text) is None
    assert Claim.from_json(text) is None


def test_a_journal_and_a_claim_are_read_as_they_are_written() -> None:
    entry, claim = JournalEntry(grant="g", refresh_token="ß"), Claim(claimed_at=1, run="r")
    assert JournalEntry.from_json(entry.to_json()) == entry
    assert Claim.from_json(claim.to_json()) == claim


@pytest.mark.parametrize("tag", ["", "20261124T010000Z", "x/5", "20261124T010000Z/-5"])
def test_an_edited_expiry_of_a_grant_is_none(tag: str) -> None:
    assert GrantLifetime.from_tag(tag) is None


def test_an_orphan_has_no_credentials() -> None:
    orphan = account_from_metadata("a", credentials=None, token=SecretMetadata(), now=NOW)
    assert (orphan.credentials_version, orphan.has_credentials_secret) == (None, False)


# Characters that Secrets Manager takes in a tag's value, in 256 of them.
TAG_VALUE: Final = re.compile(r"[A-Za-z0-9 +\-=._:/@]{0,256}")
A_PERSONS_ID: Final = "terraform-20250627043834191900000095"
# From the year 2001 until the last second of the year 2999.
aware = st.integers(978_307_200, 32_503_679_999).map(
    lambda seconds: datetime.fromtimestamp(seconds, UTC)
)
hex12 = st.text("0123456789abcdef", min_size=12, max_size=12)


@pytest.mark.parametrize("token_type", ["bearer", "Bearer", "BEARER", "bEaReR"])
def test_consumers_are_handed_the_literal_bearer(token_type: str) -> None:
    entry = JournalEntry(grant="g", access_token="t", token_type=token_type)
    assert entry.published_as(VERSION).token_type == "Bearer"


def test_every_character_of_rfc_6750_is_published() -> None:
    token = "eyJ-._~+/09AZaz=="
    entry = JournalEntry(grant="g", access_token=token, token_type="bearer")
    assert entry.published_as(VERSION).access_token == token


@pytest.mark.parametrize("token", ["abc\n", "\nabc", "\ufeffabc", "a=b", "a\x00", "\u0661"])
def test_nothing_at_the_edge_of_a_token_slips_through(token: str) -> None:
    entry = JournalEntry(grant="g", access_token=token, token_type="bearer")
    with pytest.raises(TokenResponseError, match="RFC 6750"):
        entry.published_as(VERSION)


@given(token=st.text(min_size=1), token_type=st.none() | st.text())
@settings(deadline=None)
def test_an_answer_is_published_or_refused_without_a_word_of_it(
    token: str, token_type: str | None
) -> None:
    entry = JournalEntry(
        grant="g", access_token=f"MARK{token}", token_type=token_type and f"MARK{token_type}"
    )
    with pytest.raises(TokenResponseError) as refusal:
        entry.published_as(VERSION)
    assert "MARK" not in f"{refusal.value} {refusal.value!r}"


# Version ids


@given(issued_at=aware, expires_at=aware, digest=hex12, random=hex12)
@settings(deadline=None)
def test_every_version_id_is_read_as_it_was_written(
    issued_at: datetime, expires_at: datetime, digest: str, random: str
) -> None:
    version = TokenVersion(issued_at, expires_at, digest, random)
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


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("2026111T010000Z", id="a day of one digit"),
        pytest.param("20261124T10000Z", id="an hour of one digit"),
        pytest.param("\u0662\u0660\u0662\u06661124T010000Z", id="other digits"),
        pytest.param("20261124T010060Z", id="a leap second"),
        pytest.param("20261124T240000Z", id="24 o'clock"),
        pytest.param("20261131T010000Z", id="a day that its month has not"),
        pytest.param(" 20261124T010000Z", id="a blank before it"),
        pytest.param("20261124T010000Z\n", id="a newline after it"),
    ],
)
def test_a_moment_that_was_not_written_here_is_none(text: str) -> None:
    assert parse_timestamp(text) is None


def test_a_moment_is_written_in_utc() -> None:
    warsaw = NOW.astimezone(timezone(timedelta(hours=1)))
    assert format_timestamp(warsaw) == "20261124T010000Z"


def test_a_claim_is_told_from_a_journal_by_its_id() -> None:
    assert (is_claim_id(claim_id("basis", 1)), is_claim_id(TEXT)) == (True, False)


# What is read back


@pytest.mark.parametrize("shape", ['{"x":%s}', "%s"], ids=["in a field", "at the top"])
def test_depths_without_end_are_no_journal_no_claim_and_no_token(shape: str) -> None:
    text = shape % ("[" * 100_000 + "]" * 100_000)
    published = published_from_id(A_PERSONS_ID, now=NOW)
    assert JournalEntry.from_json(text) is None
    assert Claim.from_json(text) is None
    assert published.with_times_of(text) == published


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
def test_a_persons_token_tells_its_moments_in_its_json(
    text: str | None, issued_at: datetime | None, expires_at: datetime | None
) -> None:
    published = published_from_id(A_PERSONS_ID, now=NOW).with_times_of(text)
    assert (published.issued_at, published.expires_at) == (issued_at, expires_at)


# Tags

RECORD: Final = FailureRecord(
    FailureClass.ACTION_REQUIRED, "invalid_grant", 3, NOW, NOW, digest12("credentials")
)


@pytest.mark.parametrize("failure_class", list(FailureClass))
def test_a_failure_is_read_as_it_was_written(failure_class: FailureClass) -> None:
    record = FailureRecord(failure_class, "timeout", 1, NOW, NOW, "a" * 12)
    assert FailureRecord.from_tags(record.to_tags()) == record


def test_a_record_holds_only_what_a_tag_may_hold() -> None:
    values = [*RECORD.to_tags().values(), GrantLifetime(NOW, timedelta(days=30)).to_tag()]
    assert all(TAG_VALUE.fullmatch(value) for value in values)


@pytest.mark.parametrize("key", sorted(RECORD.to_tags()))
def test_a_record_with_a_tag_missing_is_none(key: str) -> None:
    tags = {other: value for other, value in RECORD.to_tags().items() if other != key}
    assert FailureRecord.from_tags(tags) is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        pytest.param("error", "somebody: invalid_grant", id="another class"),
        pytest.param("failures", "many", id="a word for a number"),
        pytest.param("failures", "9" * 5000, id="a number without end"),
        pytest.param("failures", "-1", id="a negative number"),
        pytest.param("retry-at", "tomorrow", id="a word for a moment"),
        pytest.param("failed-at", "yesterday", id="a word for the other moment"),
    ],
)
def test_a_record_that_somebody_edited_is_none(key: str, value: str) -> None:
    tags = RECORD.to_tags() | {f"token-refresher:{key}": value}
    assert FailureRecord.from_tags(tags) is None


def test_a_grants_expiry_is_read_as_it_was_written() -> None:
    grant = GrantLifetime(NOW, timedelta(days=30))
    assert GrantLifetime.from_tag(grant.to_tag()) == grant


def test_a_success_clears_everything_but_the_grants_expiry() -> None:
    assert ERROR_TAG in FAILURE_TAGS
    assert GRANT_EXPIRES_AT_TAG not in FAILURE_TAGS


# Accounts


def test_a_token_secret_tells_of_refused_released_and_dead() -> None:
    tags = {REFUSED_TAG: "refused", RELEASED_TAG: "released", DEAD_TAG: "dead"}
    of = account_from_metadata("a", credentials=None, token=SecretMetadata({}, tags), now=NOW)
    assert (of.refused_random, of.released_claim, of.dead_claim) == ("refused", "released", "dead")


def test_without_a_token_secret_nothing_is_told() -> None:
    of = account_from_metadata("a", credentials=SecretMetadata(), token=None, now=NOW)
    assert (of.refused_random, of.released_claim, of.dead_claim, of.grant) == (None,) * 4


@pytest.mark.parametrize("stage", ["TOKENREQUEST", "TOKENRESPONSE"])
def test_a_claim_or_a_journal_shows_that_refresh_tokens_are_used(stage: str) -> None:
    credentials = SecretMetadata({"AWSCURRENT": "c", stage: TEXT})
    of = account_from_metadata("a", credentials=credentials, token=None, now=NOW)
    assert of.uses_refresh_tokens


def token(version_id: str) -> SecretMetadata:
    return SecretMetadata({"AWSCURRENT": version_id}, RECORD.to_tags())


def test_a_newer_description_takes_the_place_of_the_listing() -> None:
    of = account_from_metadata("a", credentials=None, token=SecretMetadata(), now=NOW)
    confirmed = with_token(of, token(TEXT), now=NOW)
    assert (confirmed.published, confirmed.failure) == (published_from_id(TEXT, now=NOW), RECORD)


def test_moments_that_were_read_are_kept_while_the_version_is_the_same() -> None:
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
        JournalEntry(grant="g", access_token="made-up-secret", refresh_token="made-up-secret"),
        PublishedToken(
            access_token="made-up-secret", token_type="Bearer", issued_at=1, expires_at=2
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_nothing_that_carries_a_secret_shows_it(value: object) -> None:
    assert "made-up-secret" not in f"{value} {value!r}"
