"""What is asked for, and what never is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from token_refresher.errors import CredentialsError
from token_refresher.oauth.providers import provider
from token_refresher.parsing import NAMED_GRANTS
from token_refresher_cli.catalogue import all_listed
from token_refresher_cli.credentials_form import (
    GRANT_TYPES,
    SECRET_FIELDS,
    FormError,
    caution,
    fields_needed,
    fill_in,
    joined,
    read_object,
    to_credentials,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from token_refresher_cli.catalogue import Grant

SHOWN = {"client_id", "partner_code", "username"}
PLACE = "provider or token_endpoint"
OLX = {PLACE: "autovit.ro"}


class Answers:
    """Somebody who answers what they are asked, and remembers it."""

    def __init__(self, answers: Mapping[str, str] = OLX, **more: str) -> None:
        self._answers = {**answers, **more}
        self.asked: list[str] = []
        self.told: list[str] = []

    def text(self, field: str, *, about: str = "") -> str:
        self.told.append(about)
        self.asked.append(field)
        return self._answers[field]

    def secret(self, field: str, *, empty: str = "") -> str:
        is_stored = "stored" in empty
        self.asked.append(f"{field}, hidden" + (", stored" if is_stored else ""))
        return self._answers.get(field, "") if is_stored else self._answers[field]

    def choice(self, field: str, choices: Sequence[str]) -> str:
        self.asked.append(field)
        return self._answers.get(field, choices[0])


def test_every_field_that_a_grant_needs_is_known_to_be_secret_or_not() -> None:
    needed = {name for grant in GRANT_TYPES for name in fields_needed(grant)}
    assert needed == SECRET_FIELDS | SHOWN


def test_a_grant_is_asked_for_all_that_it_needs_and_secrets_come_last_and_hidden() -> None:
    asker = Answers(
        client_id="123", client_secret="made-up-1", username="u@example.com", password="made-up-2"
    )
    fields = fill_in({}, asker=asker)
    assert asker.asked == [
        PLACE,
        "grant_type",
        "client_id",
        "username",
        "client_secret, hidden",
        "password, hidden",
    ]
    credentials, _ = to_credentials(fields)
    assert credentials.client.host == "www.autovit.ro"


@pytest.mark.parametrize("grant_type", GRANT_TYPES)
def test_a_form_that_was_filled_in_validates_whatever_the_grant(grant_type: str) -> None:
    answers = {name: f"made-up-{name}" for name in SECRET_FIELDS | SHOWN}
    place = {PLACE: "https://e.example/t"}
    fields = fill_in({}, asker=Answers(place, grant_type=grant_type, **answers))
    credentials, text = to_credentials(fields)
    assert type(credentials) is NAMED_GRANTS[grant_type]
    assert msgspec.json.decode(text) == fields


def test_another_server_is_asked_for_its_endpoint() -> None:
    asker = Answers({PLACE: "https://e.example/t"}, client_id="1", client_secret="made-up")
    fields = fill_in({}, asker=asker)
    assert (fields["grant_type"], "provider" in fields) == ("client_credentials", False)
    assert fields["token_endpoint"] == "https://e.example/t"


def test_a_provider_is_asked_for_its_parameters() -> None:
    asker = Answers({PLACE: "salesforce"}, domain="example.my", client_id="1", client_secret="x")
    fields = fill_in({"grant_type": "client_credentials"}, asker=asker)
    credentials, _ = to_credentials(fields)
    assert credentials.client.host == "example.my.salesforce.com"
    parameter = provider("salesforce").parameters["domain"]
    assert f"{parameter.about}; such as {parameter.example}" in asker.told


def test_a_whole_url_in_a_parameter_s_place_is_told_before_anything_else_is_asked() -> None:
    asker = Answers({PLACE: "salesforce"}, domain="https://example.my.salesforce.com")
    with pytest.raises(FormError, match=r"parameters\.domain"):
        fill_in({}, asker=asker)
    assert asker.asked == [PLACE, "domain"]


def test_parameters_that_are_no_object_are_left_to_validation() -> None:
    given = {"provider": "salesforce", "provider_parameters": "acme.my"}
    filled = fill_in(given, asker=Answers(client_id="1", client_secret="made-up"))
    with pytest.raises(CredentialsError, match="provider_parameters` must be an object"):
        to_credentials(filled)


def test_a_scope_that_a_grant_cannot_do_without_is_asked_for() -> None:
    asker = Answers(
        {PLACE: "microsoft"}, tenant="acme.example", scope="x", client_id="1", client_secret="y"
    )
    assert fill_in({}, asker=asker)["scope"] == "x"
    del asker.asked[:]
    given = {"provider": "microsoft", "scope": "given"}
    assert fill_in(given, asker=asker)["scope"] == "given"
    assert "scope" not in asker.asked


@pytest.mark.parametrize("name", ["looker", "sage-intacct", "tiktok", "zoom"])
def test_fields_that_only_a_provider_knows_are_said_to_come_from_a_file(name: str) -> None:
    parameters = provider(name).parameters.items()
    asker = Answers({PLACE: name}, **{each: one.example for each, one in parameters})
    with pytest.raises(FormError, match=f"providers {name}` shows into a file"):
        fill_in({}, asker=asker)


@pytest.mark.parametrize(
    "grant",
    [
        pytest.param(grant, id=f"{one.name}-{grant.name}")
        for one in all_listed()
        for grant in one.grants
    ],
)
def test_what_is_shown_of_a_provider_is_taken_from_a_file_as_it_is(grant: Grant) -> None:
    assert fill_in(grant.example, asker=None) == grant.example


def test_two_places_are_refused_as_that() -> None:
    given = {"provider": "xero", "token_endpoint": "https://e.example/t", "client_secret": "x"}
    fields = fill_in({**given, "grant_type": "client_credentials", "client_id": "1"}, asker=None)
    with pytest.raises(CredentialsError, match="exactly one of `provider`"):
        to_credentials(fields)


def test_a_misspelt_field_is_told_before_the_right_one_is_asked_for() -> None:
    given = {"provider": "xero", "grant_type": "refresh_token", "client_id": "1", "token": "x"}
    for asker in (Answers(), None):
        with pytest.raises(CredentialsError, match="unknown field `token`"):
            fill_in(given, asker=asker)


def test_a_provider_that_is_not_known_is_told_before_anything_else_is_asked() -> None:
    asker = Answers({PLACE: "salesforc"})
    with pytest.raises(FormError, match="did you mean salesforce"):
        fill_in({}, asker=asker)
    assert asker.asked == [PLACE]


def test_a_public_client_has_no_secret_to_be_typed() -> None:
    asker = Answers({PLACE: "https://e.example/t"}, client_id="1", client_secret="")
    credentials, _ = to_credentials(fill_in({}, asker=asker))
    assert credentials.auth_method == "none"


def test_a_client_that_is_said_to_be_public_is_not_asked_for_a_secret_and_keeps_none() -> None:
    stored = {"token_endpoint": "https://e.example/t", "grant_type": "client_credentials"}
    stored |= {"client_id": "1", "client_secret": "made-up"}
    asker = Answers()
    given = {"token_endpoint_auth_method": "none"}
    for each in (asker, None):
        credentials, _ = to_credentials(fill_in(given, asker=each, stored=stored))
        assert credentials.auth_method == "none"
    assert asker.asked == []


@pytest.mark.parametrize("place", [{"provider": "xero"}, {"token_endpoint": "https://e.example/t"}])
def test_a_public_client_is_missing_no_secret(place: dict[str, str]) -> None:
    public = {"client_id": "1", "token_endpoint_auth_method": "none"}
    given = {**place, **public, "grant_type": "refresh_token", "refresh_token": "made-up"}
    assert fill_in(given, asker=None) == given


def test_what_a_grant_of_the_server_s_own_needs_is_not_asked_for() -> None:
    given = {"grant_parameters": {"user": "u"}, "token_endpoint": "https://e.example/login"}
    asker = Answers()
    assert fill_in(given, asker=asker) == given
    assert fill_in(given, asker=None) == given
    assert asker.asked == []


def test_what_was_given_is_not_asked_for() -> None:
    given = {"provider": "otomoto.pl", "grant_type": "client_credentials", "client_id": "1"}
    asker = Answers(client_secret="made-up")
    fill_in({**given, "client_secret": "made-up"}, asker=asker)
    assert asker.asked == []


def test_a_correction_asks_for_secrets_alone_and_keeps_those_that_are_not_typed() -> None:
    stored = {
        "provider": "autovit.ro",
        "grant_type": "password",
        "client_id": "1",
        "client_secret": "made-up-kept",
        "username": "u@example.com",
        "password": "made-up-wrong",
    }
    asker = Answers(password="made-up-right")
    fields = fill_in({}, asker=asker, stored=stored)
    assert asker.asked == ["client_secret, hidden, stored", "password, hidden, stored"]
    assert fields == {**stored, "password": "made-up-right"}


def test_a_correction_to_another_grant_drops_what_it_has_no_field_for() -> None:
    stored = {
        "provider": "autovit.ro",
        "grant_type": "password",
        "client_id": "1",
        "client_secret": "made-up",
        "username": "u@example.com",
        "password": "made-up",
        "user_agent": "kept",
    }
    given = {"grant_type": "partner", "partner_code": "c", "partner_secret": "made-up"}
    fields = fill_in(given, asker=None, stored=stored)
    to_credentials(fields)
    assert "username" not in fields
    assert fields["user_agent"] == "kept"


@pytest.mark.parametrize(
    ("stored", "given", "left"),
    [
        ({"provider": "autovit.ro"}, {"token_endpoint": "https://e.example/t"}, "provider"),
        ({"token_endpoint": "https://e.example/t"}, {"provider": "autovit.ro"}, "token_endpoint"),
    ],
)
def test_a_new_place_takes_the_old_one_s(
    stored: dict[str, Any], given: dict[str, Any], left: str
) -> None:
    rest = {"grant_type": "client_credentials", "client_id": "1", "client_secret": "made-up"}
    assert left not in fill_in(given, asker=None, stored={**rest, **stored})


OKTA = {"provider": "okta", "provider_parameters": {"org": "a", "domain": "okta-emea.com"}}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(
            {"provider_parameters": {"org": "b"}},
            {"provider": "okta", "provider_parameters": {"org": "b", "domain": "okta-emea.com"}},
            id="one parameter leaves the others",
        ),
        pytest.param({"provider": "okta"}, OKTA, id="the same provider keeps them"),
        pytest.param({"provider": "xero"}, {"provider": "xero"}, id="another provider has its own"),
        pytest.param(
            {"provider": "zoho", "provider_parameters": {"region": "eu"}},
            {"provider": "zoho", "provider_parameters": {"region": "eu"}},
            id="whatever its parameters are",
        ),
        pytest.param(
            {"token_endpoint": "https://e.example/t"},
            {"token_endpoint": "https://e.example/t"},
            id="an endpoint has none",
        ),
    ],
)
def test_parameters_belong_to_their_provider(
    given: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert joined(OKTA, given) == expected


def test_parameters_of_a_file_are_those_of_the_provider_that_an_option_names() -> None:
    parameters = {"provider_parameters": {"org": "a"}}
    assert joined(parameters, {"provider": "okta"}) == {"provider": "okta", **parameters}


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (
            {},
            "not given: provider or token_endpoint, grant_type or grant_parameters, client_id, "  # noqa: ISC004
            "client_secret",
        ),
        (
            {"provider": "autovit.ro", "grant_type": "partner", "client_id": "1"},
            "not given: partner_code, client_secret, partner_secret",
        ),
    ],
)
def test_where_nobody_can_be_asked_everything_that_is_missing_is_named(
    given: dict[str, Any], named: str
) -> None:
    with pytest.raises(FormError) as raised:
        fill_in(given, asker=None)
    assert str(raised.value) == named


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"grant_type": "client_credentials"}, "Zoom is known to take account_credentials, "),
        (
            {"grant_type": "account_credentials", "grant_parameters": {"accountid": "1"}},
            "Zoom takes account_id in grant_parameters, too",
        ),
        ({"grant_type": "account_credentials", "grant_parameters": {"account_id": "1"}}, ""),
    ],
)
def test_what_a_provider_is_not_known_to_take_is_told_and_not_refused(
    fields: dict[str, Any], told: str
) -> None:
    given = {"provider": "zoom", "client_id": "1", "client_secret": "made-up", **fields}
    credentials, _ = to_credentials(given)
    assert caution(credentials).startswith(told)
    assert bool(caution(credentials)) == bool(told)


def test_a_server_of_ones_own_is_not_doubted() -> None:
    given = {"token_endpoint": "https://e.example/t", "grant_type": "client_credentials"}
    credentials, _ = to_credentials({**given, "client_id": "1", "client_secret": "made-up"})
    assert caution(credentials) == ""


@pytest.mark.parametrize("text", ["", "[1]", "made-up-secret", '{"password": "made-up-secret"'])
def test_what_is_no_object_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(FormError) as raised:
        read_object(text)
    assert "made-up" not in str(raised.value)


def test_a_misspelt_field_is_named() -> None:
    fields = {"provider": "autovit.ro", "grant_type": "client_credentials", "pasword": "made-up"}
    with pytest.raises(CredentialsError, match="pasword"):
        to_credentials(fields)
