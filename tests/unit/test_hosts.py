"""What a sweep leaves alone: what fails everybody, and nothing that fails one account."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from token_refresher.errors import HostStoppedError, SigningError
from token_refresher.hosts import HostGate
from token_refresher.oauth.assertions import Assertion
from token_refresher.oauth.client_authentication import Client, Grant
from token_refresher.oauth.errors import (
    EndpointUnavailableError,
    OAuthError,
    TokenEndpointError,
    TokenRequestError,
    TokenResponseError,
)
from token_refresher.oauth.token_response import TokenResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RIGHT, WRONG = "https://a.example/token", "https://a.example/tokens"
ELSEWHERE = "https://b.example/token"
OWN = Grant({"grant_type": "client_credentials"})
TOKEN = TokenResponse("t", "bearer", timedelta(hours=1), None, None, None)


def status(number: int) -> EndpointUnavailableError:
    return EndpointUnavailableError(str(number), code=f"status_{number}", status=number)


NO_CONNECTION = EndpointUnavailableError("refused", code="no_connection", sent=False)
TIMEOUT = EndpointUnavailableError("silence", code="timeout")
RESET = EndpointUnavailableError("reset", code="connection_lost")
PAGE = EndpointUnavailableError("page", code="firewall", status=200)
FORBIDDEN_PAGE = EndpointUnavailableError("page", code="firewall", status=403)
FORBIDDEN = TokenRequestError(None, status=403, retry_after=timedelta(minutes=1))
REFUSED = TokenRequestError("invalid_client", status=401)
CERTIFICATE = TokenEndpointError("not trusted", code="certificate_refused", sent=False)
NOT_FOUND = TokenEndpointError("nothing there", code="status_404", status=404)
REDIRECT = TokenEndpointError("moved", code="redirect", status=301)
INVALID = TokenResponseError("a list", status=200)


class LeaseTooOldError(Exception):
    """What a run raises that has waited for too long."""


def nothing() -> None:
    """What is done where nothing is to be done."""


@dataclass
class World:
    """One endpoint for all, which does what is said, in the time that is said.

    Attributes:
        outcome: What comes next: an error, or a token.
        opening: What keeps a connection from being opened.
        verdict: What a verification tells.
        seconds: How long it takes.
        meanwhile: What happens while it does.
        sent: The URL of each request that left, and of each verification.
    """

    outcome: OAuthError | SigningError | None = None
    opening: OAuthError | SigningError | None = None
    verdict: bool | None = None
    seconds: float = 0.0
    meanwhile: Callable[[], object] = nothing
    sent: list[str] = field(default_factory=list)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.gate = HostGate(self, lambda: self.now)

    # As the endpoint.

    def admit(self, client: Client) -> None:
        if client.client_id == "not allowed":
            raise TokenEndpointError("not allowed", code="host_not_allowed", sent=False)

    @contextmanager
    def connect(self, client: Client) -> Iterator[Opened]:
        self.now += self.seconds
        if self.opening is not None:
            raise self.opening
        yield Opened(self, client)

    def request(self, client: Client, grant: Grant) -> TokenResponse:
        assert grant == OWN
        self.sent.append(client.token_endpoint)
        outcome, self.now = self.outcome, self.now + self.seconds
        self.meanwhile()
        if outcome is not None:
            raise outcome
        return TOKEN

    def verify(self, client: Client, access_token: str) -> bool | None:
        self.sent.append(f"{client.verify_url}?{access_token}")
        self.now += self.seconds
        return self.verdict

    # As accounts.

    def asks(
        self,
        account: str,
        outcome: OAuthError | None = None,
        *,
        url: str = RIGHT,
        seconds: float = 0,
    ) -> OAuthError | None:
        """Let an account ask by its primary grant, and tell what it met."""
        self.outcome, self.seconds = outcome, seconds
        endpoint = self.gate.of(account)
        endpoint.admit(client(url))
        try:
            assert endpoint.request(client(url), OWN) is TOKEN
        except OAuthError as error:
            return error
        return None

    def redeems(
        self,
        account: str,
        outcome: OAuthError | None = None,
        *,
        opening: OAuthError | None = None,
        before_sending: Callable[[], None] = nothing,
    ) -> OAuthError | None:
        """Let an account ask by its refresh token, and tell what it met."""
        self.outcome, self.opening, self.seconds = outcome, opening, 0
        try:
            with self.gate.of(account).connect(client(RIGHT)) as connection:
                assert connection.request(OWN, before_sending=before_sending) is TOKEN
        except OAuthError as error:
            return error
        return None

    def is_stopped(self, url: str = RIGHT) -> bool:
        """Whether a healthy account is kept from asking."""
        try:
            self.gate.of("healthy").admit(client(url))
        except HostStoppedError:
            return True
        return False


@dataclass
class Opened:
    """A connection to that endpoint."""

    world: World
    client: Client

    def request(self, grant: Grant, *, before_sending: Callable[[], None]) -> TokenResponse:
        before_sending()
        return self.world.request(self.client, grant)


def client(url: str, *, client_id: str = "c", verify_url: str | None = None) -> Client:
    return Client(
        token_endpoint=url, client_id=client_id, client_secret="s", user_agent="made-up",
        auth_method="client_secret_basic", verify_url=verify_url,
    )  # fmt: skip


@pytest.fixture
def world() -> World:
    return World()


# A host, for what makes others wait.


@pytest.mark.parametrize("outcome", [TIMEOUT, RESET, NO_CONNECTION])
def test_a_host_is_left_alone_after_three_accounts_that_lost_their_connections(
    world: World, outcome: OAuthError
) -> None:
    for account in ("a", "b"):
        world.asks(account, outcome)
        assert not world.is_stopped()
    world.asks("c", outcome)
    assert world.is_stopped()
    assert world.is_stopped(WRONG)
    assert not world.is_stopped(ELSEWHERE)


@pytest.mark.parametrize("number", [500, 501, 502, 503, 504])
@pytest.mark.parametrize(("seconds", "is_stopped"), [(3.0, True), (2.9, False)])
def test_a_server_error_stops_a_host_where_it_makes_others_wait(
    world: World, number: int, seconds: float, *, is_stopped: bool
) -> None:
    for account in ("a", "b", "c"):
        world.asks(account, status(number), seconds=seconds)
    assert world.is_stopped() is is_stopped


def test_whatever_makes_others_wait_belongs_to_one_row(world: World) -> None:
    world.asks("a", TIMEOUT)
    world.asks("b", status(500), seconds=9)
    world.redeems("c", opening=NO_CONNECTION)
    assert world.is_stopped()


def test_eight_hundred_accounts_of_a_host_that_answers_500_after_nine_seconds_cost_three_of_them(
    world: World,
) -> None:
    for number in range(800):
        with suppress(HostStoppedError):
            world.asks(f"a-{number}", status(500), seconds=9)
    assert (len(world.sent), world.now) == (3, 27)
    assert world.asks("b", url=ELSEWHERE) is None


def test_one_account_counts_once_however_often_it_fails(world: World) -> None:
    for _ in range(9):
        world.asks("a", TIMEOUT)
        world.redeems("b", RESET)
    assert not world.is_stopped()
    world.asks("c", TIMEOUT)
    assert world.is_stopped()


@pytest.mark.parametrize(
    "between",
    [
        pytest.param(None, id="a token"),
        pytest.param(REFUSED, id="a refusal"),
        pytest.param(FORBIDDEN, id="a 403"),
        pytest.param(PAGE, id="a page"),
        pytest.param(INVALID, id="an invalid response"),
        pytest.param(NOT_FOUND, id="a wrong address"),
        pytest.param(REDIRECT, id="a redirect"),
        pytest.param(status(429), id="too many requests"),
        pytest.param(status(503), id="a quick server error"),
    ],
)
def test_any_response_of_a_host_ends_its_row(world: World, between: OAuthError | None) -> None:
    for account in ("a", "b", "between", "c", "d"):
        world.asks(account, between if account == "between" else TIMEOUT)
    assert not world.is_stopped()
    world.asks("e", TIMEOUT)
    assert world.is_stopped()


def test_a_row_is_made_by_completion(world: World) -> None:
    """A token that was asked for before two connections were lost, and came after, is news."""

    def others() -> None:
        world.meanwhile = nothing
        world.asks("b", TIMEOUT)
        world.asks("c", TIMEOUT)

    world.meanwhile = others
    assert world.asks("d") is None
    world.asks("a", TIMEOUT)
    assert not world.is_stopped()


def test_a_connection_that_was_opened_is_no_response_yet(world: World) -> None:
    def too_old() -> None:
        raise LeaseTooOldError

    world.redeems("a", RESET)
    world.redeems("b", RESET)
    with pytest.raises(LeaseTooOldError):
        world.redeems("between", before_sending=too_old)
    assert not world.is_stopped()
    world.redeems("c", RESET)
    assert world.is_stopped()
    assert world.sent == [RIGHT] * 3


def test_a_connection_is_not_opened_to_a_host_that_is_left_alone(world: World) -> None:
    for account in ("a", "b", "c"):
        world.redeems(account, opening=NO_CONNECTION)
    with pytest.raises(HostStoppedError):
        world.redeems("d")
    assert world.sent == []


def test_a_refused_certificate_is_neither_a_lost_connection_nor_a_response(world: World) -> None:
    for account in ("a", "b", "c", "d"):
        assert world.redeems(account, opening=CERTIFICATE) is CERTIFICATE
        world.asks(account, CERTIFICATE)
    assert not world.is_stopped()
    for account in ("a", "b", "between", "c"):
        world.asks(account, CERTIFICATE if account == "between" else TIMEOUT)
    assert world.is_stopped()


# A URL, for what speaks for its address.


@pytest.mark.parametrize("outcomes", [[PAGE] * 3, [status(429)] * 3, [PAGE, status(429), PAGE]])
def test_pages_and_429_stop_a_url_and_not_its_host(
    world: World, outcomes: list[OAuthError]
) -> None:
    for account, outcome in zip("abc", outcomes, strict=True):
        assert not world.is_stopped(WRONG)
        world.asks(account, outcome, url=WRONG)
    assert world.is_stopped(WRONG)
    assert not world.is_stopped(RIGHT)


@pytest.mark.parametrize("outcome", [PAGE, NOT_FOUND, FORBIDDEN_PAGE, REDIRECT, status(429)])
def test_forty_accounts_with_a_wrong_path_stop_none_of_the_healthy_ones_beside_them(
    world: World, outcome: OAuthError
) -> None:
    for number in range(40):
        with suppress(HostStoppedError):
            world.asks(f"wrong-{number}", outcome, url=WRONG)
        assert world.asks(f"healthy-{number}") is None
    assert world.sent.count(RIGHT) == 40


def test_one_account_of_nine_that_gets_a_page_stops_none_of_the_others(world: World) -> None:
    world.asks("edited", PAGE)
    world.asks("edited", PAGE)
    world.asks("edited", FORBIDDEN_PAGE)
    for number in range(8):
        assert world.asks(f"healthy-{number}") is None


@pytest.mark.parametrize(
    ("between", "is_stopped"),
    [
        pytest.param(None, False, id="a token ends it"),
        pytest.param(REFUSED, False, id="so does a refusal"),
        pytest.param(status(503), False, id="so does a server error"),
        pytest.param(TIMEOUT, True, id="a lost connection is no response"),
    ],
)
def test_any_other_response_at_a_url_ends_its_row(
    world: World, between: OAuthError | None, *, is_stopped: bool
) -> None:
    for account in ("a", "b", "between", "c"):
        world.asks(account, between if account == "between" else PAGE)
    assert world.is_stopped() is is_stopped


def test_quick_server_errors_stop_nobody(world: World) -> None:
    for number in range(50):
        world.asks(f"a-{number}", status((500, 502, 503)[number % 3]))
    assert not world.is_stopped()


# A block, which looks like everybody's wrong password.


@pytest.mark.parametrize(
    "outcome", [FORBIDDEN, FORBIDDEN_PAGE, TokenRequestError("access_denied", status=403)]
)
def test_a_403_that_three_accounts_in_a_row_meet_at_a_url_is_a_block(
    world: World, outcome: OAuthError
) -> None:
    assert world.asks("a", outcome) is outcome
    assert world.redeems("b", outcome) is outcome
    assert world.gate.blocked_accounts == set()
    error = world.redeems("c", outcome)
    assert type(error) is EndpointUnavailableError
    assert (error.code, error.status, error.is_refusal) == ("blocked", 403, False)
    assert error.retry_after == outcome.retry_after
    assert error.__suppress_context__
    assert world.gate.blocked_accounts == {"a", "b"}
    assert world.is_stopped()
    assert not world.is_stopped(WRONG)


def test_who_was_under_way_when_a_block_was_known_meets_it_too(world: World) -> None:
    under_way = [("e", FORBIDDEN), ("f", FORBIDDEN), ("healthy", None)]
    codes: list[str | None] = []

    def ask(account: str, outcome: OAuthError | None) -> None:
        error = world.asks(account, outcome)
        codes.append(error.code if error else None)

    def others() -> None:
        if under_way:
            ask(*under_way.pop(0))
            return
        world.meanwhile = nothing
        for account in ("a", "b", "c"):
            ask(account, FORBIDDEN)

    world.meanwhile = others
    ask("d", FORBIDDEN)
    assert codes == ["status_403", "status_403", "blocked", None, "blocked", "blocked", "blocked"]
    assert world.gate.blocked_accounts == {"a", "b"}


def test_two_accounts_with_a_403_and_a_token_between_are_two_wrong_passwords(world: World) -> None:
    for account in ("a", "b", "healthy", "c", "d"):
        error = world.asks(account, None if account == "healthy" else FORBIDDEN)
        assert error is (None if account == "healthy" else FORBIDDEN)
    assert world.gate.blocked_accounts == set()
    assert not world.is_stopped()


def test_a_403_at_three_addresses_is_no_block(world: World) -> None:
    for account, url in (("a", RIGHT), ("b", WRONG), ("c", ELSEWHERE)):
        assert world.asks(account, FORBIDDEN, url=url) is FORBIDDEN


# What is told.


def test_who_is_left_alone_is_told_why_and_until_when(world: World) -> None:
    for account in ("a", "b", "c"):
        world.asks(account, TIMEOUT)
        world.asks(account, PAGE, url=ELSEWHERE)
    with pytest.raises(HostStoppedError, match=r"host failed 3 .* next sweep asks it again"):
        world.gate.admit(client(RIGHT))
    with pytest.raises(HostStoppedError, match=r"address failed 3 .* next sweep asks it again"):
        world.gate.admit(client(ELSEWHERE))


def test_what_the_settings_do_not_allow_is_told_before_what_is_left_alone(world: World) -> None:
    for account in ("a", "b", "c"):
        world.asks(account, TIMEOUT)
    with pytest.raises(TokenEndpointError, match="not allowed"):
        world.gate.of("d").admit(client(RIGHT, client_id="not allowed"))


def test_each_requests_duration_is_told_answered_or_not(world: World) -> None:
    world.asks("a", seconds=1)
    world.asks("b", TIMEOUT, seconds=10)
    world.redeems("c", opening=NO_CONNECTION)
    world.redeems("d")
    assert world.gate.request_seconds == [1, 10, 0, 0]


# Verifications, which are another host's.


def verify(world: World, account: str) -> bool | None:
    asking = client(RIGHT, verify_url="https://api.example/me")
    return world.gate.of(account).verify(asking, "t")


def test_a_verify_host_that_lets_three_accounts_wait_in_vain_is_not_asked_again(
    world: World,
) -> None:
    world.seconds = 3
    for account in ("a", "a", "b", "c", "d"):
        assert verify(world, account) is None
    assert world.sent == ["https://api.example/me?t"] * 4
    assert not world.is_stopped()


@pytest.mark.parametrize(
    ("verdict", "seconds"),
    [
        pytest.param(True, 9, id="slow, but accepted"),
        pytest.param(False, 9, id="slow, but refused"),
        pytest.param(None, 2.9, id="quick, such as a wrong verify_url"),
    ],
)
def test_a_verification_that_says_something_or_is_quick_ends_the_row(
    world: World, verdict: object, seconds: float
) -> None:
    for account in ("a", "b", "between", "c", "d"):
        world.verdict = bool(verdict) if account == "between" and verdict is not None else None
        world.seconds = seconds if account == "between" else 3
        assert verify(world, account) is world.verdict
    assert len(world.sent) == 5


# What signs for them.


def unsigned(*, transient: bool = True) -> SigningError:
    return SigningError("Sign failed", operation="Sign", code="Unsigned", transient=transient)


def signing_client(url: str, **fields: Any) -> Client:  # noqa: ANN401
    usual: dict[str, Any] = {"auth_method": "private_key_jwt", "assertion": Assertion()}
    return msgspec.structs.replace(client(url), client_secret=None, **{**usual, **fields})


def signs(
    world: World,
    account: str,
    error: SigningError | OAuthError | None = None,
    *,
    url: str = RIGHT,
    by_refresh_token: bool = False,
    **fields: Any,  # noqa: ANN401
) -> Exception | None:
    """Let an account ask that signs; tell what it met."""
    asking, gate = signing_client(url, **fields), world.gate.of(account)
    world.opening, world.outcome = (error, None) if by_refresh_token else (None, error)
    try:
        if by_refresh_token:
            with gate.connect(asking) as connection:
                connection.request(OWN, before_sending=nothing)
        else:
            gate.admit(asking)
            gate.request(asking, OWN)
    except (SigningError, OAuthError, HostStoppedError) as met:
        return met
    return None


@pytest.mark.parametrize("by_refresh_token", [False, True])
def test_where_kms_signs_for_none_of_three_nobody_else_who_signs_waits_for_it(
    world: World, *, by_refresh_token: bool
) -> None:
    for number in range(3):
        error = unsigned()
        met = signs(world, f"a{number}", error, by_refresh_token=by_refresh_token)
        assert met is error
    put_off = signs(world, "b", url=ELSEWHERE)

    assert isinstance(put_off, HostStoppedError)
    assert str(put_off).startswith("KMS signed for none of 3 accounts in a row: the next sweep")
    # Whoever does not sign, or signs by another, has nothing to do with it; nor has the host.
    assert world.asks("c") is None
    assert signs(world, "d", is_assertion_issued=True) is None
    assert signs(world, "e", auth_method="client_secret_jwt") is None
    assert not world.is_stopped()


def test_sts_is_left_alone_likewise_and_kms_is_not(world: World) -> None:
    for number in range(3):
        signs(world, f"a{number}", unsigned(), is_assertion_issued=True)

    put_off = signs(world, "b", is_assertion_issued=True)
    assert isinstance(put_off, HostStoppedError)
    assert str(put_off).startswith("STS ")
    assert signs(world, "c") is None


@pytest.mark.parametrize(
    "between",
    [
        pytest.param(None, id="a token"),
        pytest.param(REFUSED, id="a refusal of the endpoint"),
        pytest.param(TIMEOUT, id="silence of the endpoint, which had the assertion"),
        pytest.param(unsigned(transient=False), id="a refusal to sign, which is a response"),
    ],
)
def test_one_that_was_signed_for_in_between_ends_the_row(
    world: World, between: SigningError | OAuthError | None
) -> None:
    for account, met in (("a", unsigned()), ("b", unsigned()), ("c", between), ("d", unsigned())):
        signs(world, account, met)

    assert signs(world, "e") is None


def test_a_host_that_is_not_reached_says_nothing_of_who_signs(world: World) -> None:
    for account, met in (("a", unsigned()), ("b", unsigned()), ("c", NO_CONNECTION)):
        signs(world, account, met, by_refresh_token=True)
    signs(world, "d", unsigned())

    assert isinstance(signs(world, "e"), HostStoppedError)


def test_one_account_that_is_not_signed_for_again_and_again_counts_once(world: World) -> None:
    for _ in range(5):
        signs(world, "a", unsigned())

    assert signs(world, "b") is None


def test_keys_that_are_not_theirs_to_sign_with_stop_nobody(world: World) -> None:
    for number in range(9):
        signs(world, f"a{number}", unsigned(transient=False))

    assert signs(world, "b") is None


def test_no_host_is_stopped_by_accounts_that_cannot_sign(world: World) -> None:
    for number in range(9):
        signs(world, f"a{number}", unsigned())

    assert not world.is_stopped()
    assert world.gate.request_seconds == []
