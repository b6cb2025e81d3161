"""A response is kept before it is judged, and taken up again only while it is the last."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.pretty import pretty_repr

from tests.unit.fakes import ACCOUNT, PASSWORD, START, World, denied, response, throttled
from token_refresher.journal import Journal, JournalEntry
from token_refresher.model import TokenVersion, Unwritten
from token_refresher.oauth.dialect import RFC_6749, Dialect
from token_refresher.oauth.errors import TokenResponseError
from token_refresher.parsing import parse_credentials

if TYPE_CHECKING:
    from collections.abc import Callable

    from token_refresher.errors import SecretStoreError

GRANT: Final = "digest-of-the-grant"
VERSION: Final = TokenVersion(START, START + timedelta(hours=12), "a" * 12, "b" * 12)
ID: Final = str(VERSION)
LATER: Final = str(replace(VERSION, token_digest="c" * 12))
LEASE: Final = f"request-{'0' * 40}-1"
ENTRY: Final = JournalEntry(
    grant=GRANT, host="www.autovit.ro", lease=LEASE, refresh_token="made-up-refresh-token"
)
CREDENTIALS: Final = parse_credentials(json.dumps({**PASSWORD, "scope": "as-requested"}))
NO_TIME: Final = timedelta(0)


def entry_with(**fields: Any) -> JournalEntry:  # noqa: ANN401
    values = {"access_token": "t", "token_type": "bearer", **fields}
    return JournalEntry(grant=GRANT, host="h", **values)


# What is published of it.


def test_the_published_token_is_what_was_designed() -> None:
    entry = entry_with(access_token="abc", token_type="BEARER", scope="a b", refresh_token="r")
    assert entry.published_as(VERSION, RFC_6749).to_json() == (
        '{"access_token":"abc","token_type":"Bearer","scope":"a b",'
        '"issued_at":1795482000,"expires_at":1795525200}'
    )


@pytest.mark.parametrize("life", [timedelta(days=-1), NO_TIME], ids=["past", "at once"])
def test_a_response_that_has_expired_is_not_published(life: timedelta) -> None:
    version = TokenVersion(START, START + life, "a" * 12, "b" * 12)
    with pytest.raises(TokenResponseError, match="expired"):
        entry_with().published_as(version, RFC_6749)


@pytest.mark.parametrize(
    "token",
    ["a\nb", "a b", "é", "a\r\nHost: x", "abc\n", "\nabc", "\ufeffabc", "a\x00", "\u0661", 'a"b',
     "a\\b", "\x7f", ""],
    ids=repr,
)  # fmt: skip
def test_characters_that_no_header_can_hold_are_never_published(token: str) -> None:
    entry = entry_with(access_token=token)
    assert not entry.is_bearer_token(RFC_6749)
    with pytest.raises(TokenResponseError, match="access_token"):
        entry.published_as(VERSION, RFC_6749)


def test_every_other_character_of_an_access_token_is_published() -> None:
    token = "".join(map(chr, range(0x21, 0x7F))).translate({ord('"'): None, ord("\\"): None})
    entry = entry_with(access_token=token)
    assert entry.is_bearer_token(RFC_6749)
    assert entry.published_as(VERSION, RFC_6749).access_token == token


@pytest.mark.parametrize(
    ("token", "kind"), [(None, "bearer"), ("t", "mac"), ("t", "DPoP"), ("t", "N_A")]
)
def test_what_is_no_bearer_token_is_never_published(token: str | None, kind: str) -> None:
    with pytest.raises(TokenResponseError):
        entry_with(access_token=token, token_type=kind).published_as(VERSION, RFC_6749)


@pytest.mark.parametrize("token_type", ["bearer", "Bearer", "BEARER", "bEaReR", None])
def test_consumers_are_handed_the_literal_bearer(token_type: str | None) -> None:
    published = entry_with(token_type=token_type).published_as(VERSION, RFC_6749)
    assert published.token_type == "Bearer"


def test_consumers_are_handed_the_scheme_that_the_dialect_names() -> None:
    dialect = Dialect(authorization_scheme="Zoho-oauthtoken")
    entry = entry_with(token_type="made-up")
    assert entry.published_as(VERSION, dialect).token_type == "Zoho-oauthtoken"


@given(token=st.text(min_size=1), token_type=st.text(min_size=1))
def test_a_response_is_published_or_refused_without_a_word_of_it(
    token: str, token_type: str
) -> None:
    entry = entry_with(access_token=f"MARK{token}", token_type=f"MARK{token_type}")
    with pytest.raises(TokenResponseError) as refusal:
        entry.published_as(VERSION, RFC_6749)
    assert "MARK" not in f"{refusal.value} {refusal.value!r}"


# What is kept of a response.


@pytest.fixture
def world() -> World:
    world = World()
    world.add(PASSWORD)
    return world


def journal_of(world: World, entry: JournalEntry | None = ENTRY, version_id: str = ID) -> Journal:
    """A journal that has been read, with this entry or none under its stage."""
    if entry is not None:
        assert world.store.write_protocol(ACCOUNT, version_id, entry.to_json())
    journal = Journal(store=world.store, account=ACCOUNT, grant=GRANT)
    journal.read()
    return journal


def test_a_journal_is_read_as_it_was_written(world: World) -> None:
    journal = journal_of(world)
    assert (journal.version_id, journal.entry) == (ID, ENTRY)


def test_without_a_journal_there_is_no_entry(world: World) -> None:
    journal = journal_of(world, None)
    assert (journal.version_id, journal.entry) == ("", None)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"grant": 1}', '{"grant": "x"}'])
def test_a_journal_that_is_not_ours_is_as_good_as_none(world: World, text: str) -> None:
    world.store.credentials[ACCOUNT].put(ID, text, ["TOKENRESPONSE"])
    journal = journal_of(world, None)
    assert (journal.version_id, journal.entry) == (ID, None)


def test_a_journal_of_another_grant_is_as_good_as_none(world: World) -> None:
    other = JournalEntry(grant="another", host="h", refresh_token="r")
    assert journal_of(world, other).entry is None


@pytest.mark.parametrize(
    ("fields", "sent", "expected"),
    [
        pytest.param({}, "r-1", "r-1", id="a response without one keeps what was sent"),
        pytest.param({"refresh_token": "r-2"}, "r-1", "r-2", id="a new one takes its place"),
        pytest.param({}, None, None, id="a primary grant without one has none"),
    ],
)
def test_the_refresh_token_is_the_last_that_is_known(
    world: World, fields: dict[str, str], sent: str | None, expected: str | None
) -> None:
    entry = journal_of(world).entry_of(
        response(**fields),
        credentials=CREDENTIALS,
        lease=LEASE,
        sent=sent,
        refresh_is_refused=False,
    )
    assert (entry.refresh_token, entry.host, entry.lease) == (expected, "www.autovit.ro", LEASE)


@pytest.mark.parametrize(
    ("scope", "sent", "expected"),
    [
        pytest.param("said", "r", "said", id="as in the response"),
        pytest.param(None, "r", "granted", id="else as it was granted before"),
        pytest.param(None, None, "as-requested", id="else as it was asked for"),
    ],
)
def test_a_scope_that_is_not_named_is_as_before(
    world: World, scope: str | None, sent: str | None, expected: str
) -> None:
    before = JournalEntry(grant=GRANT, host="h", scope="granted", refresh_token="r")
    entry = journal_of(world, before).entry_of(
        response(scope=scope),
        credentials=CREDENTIALS,
        lease=None,
        sent=sent,
        refresh_is_refused=False,
    )
    assert entry.scope == expected


@pytest.mark.parametrize("was_refused", [False, True], ids=["now", "before"])
def test_where_the_grant_type_is_refused_no_refresh_token_is_kept(
    world: World, *, was_refused: bool
) -> None:
    before = JournalEntry(grant=GRANT, host="h", refresh_is_refused=was_refused)
    entry = journal_of(world, before).entry_of(
        response(refresh_token="r"),
        credentials=CREDENTIALS,
        lease=None,
        sent=None,
        refresh_is_refused=not was_refused,
    )
    assert (entry.refresh_token, entry.refresh_is_refused) == (None, True)


@pytest.mark.parametrize(
    ("before", "refresh_token", "is_needed"),
    [
        pytest.param(None, "r", True, id="one with a refresh token"),
        pytest.param(None, None, False, id="one that can be had again"),
        pytest.param("r", None, True, id="one that retires a refresh token"),
    ],
)
def test_what_a_journal_needs(
    world: World, before: str | None, refresh_token: str | None, *, is_needed: bool
) -> None:
    standing = entry_with(refresh_token=before) if before else None
    journal = journal_of(world, standing)
    assert journal.needs(entry_with(refresh_token=refresh_token)) is is_needed


def test_where_refresh_tokens_are_not_used_nothing_is_kept(world: World) -> None:
    journal = Journal(store=world.store, account=ACCOUNT)
    assert not journal.needs(entry_with(refresh_token="r"))


# What became of the lease.


@pytest.mark.parametrize(
    ("lease", "version_id", "is_told"),
    [
        pytest.param(LEASE, ID, True, id="of that lease"),
        pytest.param(f"{LEASE}1", ID, False, id="not where something was leased since"),
        pytest.param(LEASE, "by-hand-000000000000000000000000", False, id="not of an edited id"),
    ],
)
def test_a_journal_tells_when_its_response_was_had(
    world: World, lease: str, version_id: str, *, is_told: bool
) -> None:
    journal = journal_of(world, version_id=version_id)
    assert (journal.came_by(lease, now=world.now) == START) is is_told


def test_without_an_entry_nobody_tells(world: World) -> None:
    assert journal_of(world, None).came_by(LEASE, now=world.now) is None


# Written, tried again, and kept in the warm environment.


def write(world: World, journal: Journal, *, seconds: int = 60, until: timedelta = NO_TIME) -> bool:
    ends_at = world.now + timedelta(seconds=seconds)
    return journal.write(time_left=lambda: ends_at - world.now, until=until, pause=world.pause)


def test_what_is_kept_is_written_under_the_version_id_that_is_published(world: World) -> None:
    journal = journal_of(world, None)
    journal.keep(ID, ENTRY, is_repeatable=False)
    assert write(world, journal)
    assert (world.journal_id(), journal.version_id, journal.unwritten) == (ID, ID, None)


def test_nothing_to_write_is_written(world: World) -> None:
    assert write(world, journal_of(world))
    assert world.pauses == []


@pytest.mark.parametrize(
    "error", [throttled, denied, lambda: TypeError("defect")], ids=["throttled", "denied", "defect"]
)
def test_a_response_that_cannot_be_had_again_is_tried_until_the_time_is_over(
    world: World, error: Callable[[], Exception]
) -> None:
    journal = journal_of(world, None)
    journal.keep(ID, ENTRY, is_repeatable=False)
    world.faults.always("before journal", error)
    assert not write(world, journal, seconds=20, until=timedelta(seconds=10))
    assert world.pauses == [timedelta(seconds=2)] * 5
    assert journal.unwritten is not None


@pytest.mark.parametrize(("error", "pauses"), [(throttled, 3), (denied, 0)])
def test_a_response_that_can_be_had_again_delays_nobody_under_a_missing_permission(
    world: World, error: Callable[[], SecretStoreError], pauses: int
) -> None:
    journal = journal_of(world, None)
    journal.keep(ID, ENTRY, is_repeatable=True)
    world.faults.always("before journal", error)
    assert not write(world, journal, seconds=6)
    assert len(world.pauses) == pauses


def test_a_journal_is_written_as_soon_as_it_can_be(world: World) -> None:
    journal = journal_of(world, None)
    journal.keep(ID, ENTRY, is_repeatable=False)
    world.faults.once("before journal", throttled(), denied())
    assert write(world, journal)
    assert len(world.pauses) == 2


def test_where_the_id_has_other_content_that_is_a_response_of_the_same_second(
    world: World,
) -> None:
    journal = journal_of(world, None)
    world.store.credentials[ACCOUNT].put(ID, "another run's", ["TOKENRESPONSE"])
    journal.keep(ID, ENTRY, is_repeatable=True)
    assert write(world, journal)
    assert journal.unwritten is None


def kept(*, instead_of: str = ID, grant: str = GRANT) -> Unwritten:
    return Unwritten(LATER, ENTRY.to_json(), grant, instead_of)


def test_what_was_kept_is_taken_up_while_the_journal_is_what_it_was(world: World) -> None:
    journal = journal_of(world)
    assert journal.resume(kept())
    assert (journal.entry, journal.is_repeatable) == (ENTRY, False)
    assert write(world, journal)
    assert world.journal_id() == LATER


@pytest.mark.parametrize(
    "unwritten",
    [
        pytest.param(kept(instead_of=""), id="there was no journal then"),
        pytest.param(kept(grant="another"), id="it is of another grant"),
    ],
)
def test_what_was_kept_is_dropped_where_it_may_not_be_the_last(
    world: World, unwritten: Unwritten
) -> None:
    journal = journal_of(world)
    assert not journal.resume(unwritten)
    assert (journal.entry, journal.unwritten) == (ENTRY, None)


def test_what_was_kept_before_any_journal_is_taken_up_where_there_is_still_none(
    world: World,
) -> None:
    assert journal_of(world, None).resume(kept(instead_of=""))


def test_a_journal_that_reads_older_than_it_was_does_not_cost_what_was_kept(world: World) -> None:
    assert journal_of(world).resume(kept(instead_of=LATER))


def test_another_runs_later_response_is_seen_by_reading_once_more(world: World) -> None:
    journal, none = journal_of(world, None), Journal(store=world.store, account=ACCOUNT)
    assert journal.has_no_later()
    assert none.has_no_later()
    world.store.write_protocol(ACCOUNT, LATER, ENTRY.to_json())
    assert not journal.has_no_later()
    journal.version_id = LATER + "0"
    assert journal.has_no_later()


def test_a_journal_hides_what_it_holds_however_it_is_printed() -> None:
    assert repr(ENTRY) == "JournalEntry(…)"
    assert pretty_repr(ENTRY) == "JournalEntry()"
