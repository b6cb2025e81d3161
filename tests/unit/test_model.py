"""Version ids, the published token, and what is read back from tags and journals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from token_refresher.errors import FailureClass, TokenResponseError
from token_refresher.model import (
    ERROR_TAG,
    FAILURES_TAG,
    RETRY_AT_TAG,
    Claim,
    FailureRecord,
    GrantLifetime,
    JournalEntry,
    SecretMetadata,
    TokenVersion,
    account_from_metadata,
    claim_id,
    format_moment,
    parse_moment,
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
    assert parse_moment(format_moment(NOW)) == NOW
    assert parse_moment("yesterday") is None


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
    entry = JournalEntry(grant="g", access_token="abc", token_type="BEARER", refresh_token="r")
    assert entry.published_as(VERSION).to_json() == (
        '{"access_token":"abc","token_type":"Bearer",'
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


def test_a_repr_shows_no_token() -> None:
    entry = JournalEntry(grant="g", access_token="tok", token_type="bearer", refresh_token="ref")
    shown = repr([entry, entry.published_as(VERSION)])
    assert "tok" not in shown
    assert "ref" not in shown


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


@pytest.mark.parametrize(
    "edited", [{FAILURES_TAG: "many"}, {RETRY_AT_TAG: "soon"}, {ERROR_TAG: "x"}]
)
def test_an_edited_record_of_a_failure_is_none(edited: dict[str, str]) -> None:
    record = FailureRecord(FailureClass.TRY_LATER, "timeout", 1, NOW, "a" * 12)
    assert FailureRecord.from_tags(record.to_tags()) == record
    assert FailureRecord.from_tags({**record.to_tags(), **edited}) is None


def test_an_orphan_has_no_credentials() -> None:
    orphan = account_from_metadata("a", credentials=None, token=SecretMetadata(), now=NOW)
    assert (orphan.credentials_version, orphan.has_credentials_secret) == (None, False)
