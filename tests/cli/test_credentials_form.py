"""What is asked for, and what never is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from token_refresher.errors import CredentialsError
from token_refresher.oauth.providers import provider
from token_refresher.parsing import NAMED_GRANTS
from token_refresher_cli.catalogue import all_listed
from token_refresher_cli.credentials_form import fill_in
from token_refresher_cli.fields import (
    SECRET_FIELDS,
    FormError,
    slot_of,
    to_credentials,
)
from token_refresher_cli.grant_fields import GRANT_TYPES, fields_needed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from token_refresher.credentials import Credentials
    from token_refresher_cli.catalogue import Grant

KEY = "PRIVATE KEY"
SHOWN = {"client_id", "partner_code", "username"}
PLACE = "provider or token_endpoint"
OLX = {PLACE: "autovit.ro"}


class Answers:
    """Somebody who answers what they are asked, and remembers it."""

    def __init__(self, answers: Mapping[str, str] = OLX, **more: str) -> None:
        self._answers = {**answers, **more}
        self.asked: list[str] = []
        self.told: list[str] = []

    def text(self, field: str, *, about: str = "", stored: str = "") -> str:
        self.told.append(about)
        self.asked.append(field + (f", {stored}" if stored else ""))
        return self._answers.get(field, stored) if stored else self._answers[field]

    def secret(self, field: str, *, empty: str = "") -> str:
        is_stored = "stored" in empty
        self.asked.append(f"{field}, hidden" + (", stored" if is_stored else ""))
        return self._answers.get(field, "") if is_stored else self._answers[field]

    def choice(self, field: str, choices: Sequence[str], **_: str) -> str:
        self.asked.append(field)
        return self._answers.get(field, choices[0])

    def tell(self, text: str) -> None:
        self.told.append(text)


def test_every_field_that_a_grant_needs_is_known_to_be_secret_or_not() -> None:
    needed = {name for grant in GRANT_TYPES for name in fields_needed(grant)}
    assert needed == SECRET_FIELDS - {"private_key"} | SHOWN


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
    answers["assertion"] = "ready-made"
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


class Person(Answers):
    """Somebody who gives one answer after the other, whatever the question."""

    def __init__(self, *answers: str) -> None:
        super().__init__()
        self._next = iter(answers)

    def text(self, field: str, *, about: str = "", stored: str = "") -> str:
        del about
        self.asked.append(field + (f", {stored}" if stored else ""))
        return next(self._next) or stored

    def secret(self, field: str, *, empty: str = "") -> str:
        self.asked.append(f"{field}, hidden" + (f", {empty}" if empty else ""))
        return next(self._next)

    def choice(self, field: str, choices: Sequence[str], **_: str) -> str:
        self.asked.append(field)
        return next(self._next) or choices[0]


OWN = {"token_endpoint": "https://e.example/t"}
MACHINE = {**OWN, "grant_type": "client_credentials", "client_id": "1"}


@pytest.mark.parametrize(
    ("given", "question", "wrong", "told", "right"),
    [
        pytest.param(
            {},
            PLACE,
            "salesforc",
            "`provider` names none that is known; did you mean salesforce?",
            "https://e.example/t",
            id="a provider that is not known, with the nearest",
        ),
        pytest.param(
            {},
            PLACE,
            "zzzzzz",
            "`provider` names none that is known: see `token-refresher providers`",
            "https://e.example/t",
            id="a provider that nothing is near to",
        ),
        pytest.param(
            {},
            PLACE,
            "api.example.com",
            "`provider` names none that is known: see `token-refresher providers`; a server of "
            "your own is given by the whole https URL of its token endpoint",
            "https://e.example/t",
            id="a host without a path",
        ),
        pytest.param(
            {},
            PLACE,
            "http://e.example/t",
            "`token_endpoint` must be an https URL without user, password, fragment or placeholder",
            "https://e.example/t",
            id="an address without encryption",
        ),
        pytest.param(
            {},
            PLACE,
            "https://e.example/t ",
            "`token_endpoint` begins or ends with a blank, a line break or an invisible "
            "character: remove it",
            "https://e.example/t",
            id="an address with a blank",
        ),
        pytest.param(
            {"provider": "salesforce", "grant_type": "client_credentials"},
            "domain",
            "https://acme.my.salesforce.com",
            "`provider_parameters.domain` must be ",
            "acme.my",
            id="a whole address in a parameter's place",
        ),
        pytest.param(
            {**OWN, "grant_type": "client_credentials"},
            "client_id",
            " 1",
            "`client_id` begins or ends with a blank, a line break or an invisible character: "
            "remove it",
            "1",
            id="an id with a blank",
        ),
        pytest.param(
            {"provider": "ebay", "grant_type": "client_credentials", "client_id": "1"},
            "scope",
            "a  b",
            "`scope` must be printable ASCII words with one space between them",
            "a b",
            id="a scope with two blanks",
        ),
        pytest.param(
            {"provider": "autovit.ro", "grant_type": "password", "client_id": "1"},
            "username",
            "dealer",
            "`username` is the account's e-mail there, which is sent as User-Agent",
            "dealer@example.com",
            id="a user's name where an e-mail is sent",
        ),
    ],
)
def test_what_is_wrong_with_an_answer_is_told_and_asked_again_at_once(
    given: dict[str, Any], question: str, wrong: str, told: str, right: str
) -> None:
    rest = ["made-up-secret", "made-up-secret"]
    if question == PLACE:
        rest = ["client_credentials", "", "1", *rest]
    if question == "domain":
        rest = ["1", *rest]
    person = Person(wrong, right, *rest)
    fields = fill_in(given, asker=person)
    assert person.asked[:2] == [question, question]
    assert person.told[0].startswith(told)
    assert wrong.strip() not in person.told[0].split("`")
    to_credentials(fields)


def test_an_address_without_its_scheme_is_understood_and_told() -> None:
    person = Person("api.example.com:8443/oauth/token", "", "", "1", "made-up")
    fields = fill_in({}, asker=person)
    assert fields["token_endpoint"] == "https://api.example.com:8443/oauth/token"
    assert person.told == ["token_endpoint: https://api.example.com:8443/oauth/token"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("made-up ", "`client_secret` begins or ends with a blank, a line break or an invisible"),
        ("\u200bmade-up", "`client_secret` begins or ends with a blank, a line break or an"),
        ("made\u200bup", "it holds a character that no screen shows: paste it again"),
        ("made\x1b[200~up", "it holds a character that no screen shows: paste it again"),
        ("m\u00e4de-up", "it holds a character outside of ASCII: enter it again if that is right"),
        ('"made-up"', "it stands in quotes, which are taken for a part of it: enter it again"),
    ],
)
def test_a_secret_that_was_pasted_wrongly_is_told_at_once_and_never_shown(
    wrong: str, told: str
) -> None:
    person = Person(wrong, "made-up-right")
    fields = fill_in(MACHINE, asker=person)
    assert fields["client_secret"] == "made-up-right"
    assert person.told[0].startswith(told)
    assert "up" not in person.told[0]


def test_a_secret_that_is_not_ascii_is_kept_by_whoever_enters_it_again() -> None:
    person = Person("m\u00e4de-up", "m\u00e4de-up")
    assert fill_in(MACHINE, asker=person)["client_secret"] == "m\u00e4de-up"


def refuse(credentials: Credentials) -> None:
    """Allow one host alone."""
    if credentials.client.host != "e.example":
        raise FormError(f"the host {credentials.client.host} is not allowed")


def test_a_host_that_is_not_allowed_is_told_where_it_is_typed_and_before_any_secret() -> None:
    person = Person("https://other.example/t", "https://e.example/t", "", "", "1", "made-up")
    fill_in({}, asker=person, admit=refuse)
    assert person.asked[:3] == [PLACE, PLACE, "grant_type"]
    assert person.told == ["the host other.example is not allowed"]
    person = Person()
    given = {**MACHINE, "token_endpoint": "https://other.example/t"}
    with pytest.raises(FormError, match=r"other\.example is not allowed"):
        fill_in(given, asker=person, admit=refuse)
    assert person.asked == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"timeout_seconds": 31}, "`timeout_seconds` must be a whole number of seconds from 1 "),
        ({"dialect": {"acces_token": "a"}}, "did you mean `dialect.access_token`?"),
        ({"extra_parameters": {"grant_type": "x"}}, "`extra_parameters` must not hold "),
        ({"provider_parameters": "acme.my"}, "`provider_parameters` must be an object of text"),
    ],
)
def test_what_cannot_be_right_whatever_the_secrets_are_is_told_before_any_question(
    given: dict[str, Any], told: str
) -> None:
    person = Person()
    with pytest.raises(CredentialsError, match=re.escape(told)):
        fill_in({**OWN, **given}, asker=person)
    assert person.asked == []


def test_a_stored_secret_that_is_wrong_can_be_corrected() -> None:
    stored = {**MACHINE, "client_secret": "made-up-with-a-line-break\n"}
    fields = fill_in({}, asker=Person("", "", "made-up-right"), stored=stored)
    assert to_credentials(fields)[0].client_secret == "made-up-right"


PLACED = ["https://e.example/t", ""]


def test_a_client_that_signs_is_asked_for_no_secret() -> None:
    person = Person(*PLACED, "private_key_jwt", "erp")
    fields = fill_in({}, asker=person)
    method = "token_endpoint_auth_method"
    assert person.asked == [PLACE, "grant_type", method, "client_id"]
    credentials, _ = to_credentials(fields)
    assert credentials.client.signs
    assert "client_secret" not in fields


def test_a_method_that_is_only_confirmed_is_not_stored() -> None:
    person = Person(*PLACED, "", "erp", "made-up")
    assert "token_endpoint_auth_method" not in fill_in({}, asker=person)
    person = Person(*PLACED, "client_secret_jwt", "erp", "made-up")
    credentials, _ = to_credentials(fill_in({}, asker=person))
    assert (credentials.auth_method, person.asked[-1]) == (
        "client_secret_jwt",
        "client_secret, hidden",
    )


JWT_BEARER = {**OWN, "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}


@pytest.mark.parametrize(
    ("answers", "asked", "assertion"),
    [
        (["", "robot@e.example"], ["assertion", "client_id"], {"signer": "kms"}),
        (
            ["sts", " api://x", "api://x"],
            ["assertion", "audience", "audience"],
            {"signer": "sts", "audience": "api://x"},
        ),
        (["ready-made", "made-up"], ["assertion", "assertion, hidden"], "made-up"),
    ],
)
def test_who_asks_by_an_assertion_is_asked_who_makes_it(
    answers: list[str], asked: list[str], assertion: object
) -> None:
    person = Person(*answers)
    fields = fill_in(JWT_BEARER, asker=person)
    assert person.asked == asked
    assert fields["assertion"] == assertion
    to_credentials(fields)


def test_who_is_named_by_a_claim_is_not_asked_for_an_id() -> None:
    claims = {"iss": "robot@e.example"}
    person = Person()
    fill_in({**JWT_BEARER, "assertion": {"claims": claims}}, asker=person)
    assert person.asked == []


def test_an_account_that_signs_is_asked_by_what_the_server_finds_its_key() -> None:
    stored = {**JWT_BEARER, "client_id": "erp", "assertion": {"signer": "kms", "kid": "1"}}
    person = Person("", "", "2")
    assert fill_in({}, asker=person, stored=stored) == {
        **stored,
        "assertion": {"signer": "kms", "kid": "2"},
    }
    assert person.asked == [
        f"token_endpoint, {OWN['token_endpoint']}",
        "client_id, erp",
        "kid, 1",
    ]
    digest = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
    by_digest = {**stored, "assertion": {"x5t#S256": digest}}
    person = Person("", "", "")
    assert fill_in({}, asker=person, stored=by_digest) == by_digest
    assert person.asked[2:] == [f"x5t#S256, {digest}"]
    given = {"assertion": {"kid": "2", "claims": {"sub": "x"}}}
    fields = fill_in(given, asker=Person(), stored=stored)
    assert fields["assertion"] == {"signer": "kms", "kid": "2", "claims": {"sub": "x"}}
    text = {**stored, "assertion": "made-up"}
    person = Person("")
    assert fill_in({"scope": "a"}, asker=person, stored=text)["assertion"] == "made-up"
    assert person.asked == ["assertion, hidden, keeps the stored one"]


def test_a_client_that_comes_to_sign_loses_its_secret() -> None:
    stored = {**MACHINE, "client_secret": "made-up"}
    given = {"token_endpoint_auth_method": "private_key_jwt"}
    for asker in (Person(), None):
        assert fill_in(given, asker=asker, stored=stored) == {**MACHINE, **given}


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Files of a certificate and of a key, as far as a form looks into them."""
    paths = tmp_path / "client.crt", tmp_path / "client.key"
    for path, mark in zip(paths, ("CERTIFICATE", KEY), strict=True):
        path.write_text(f"-----BEGIN {mark}-----\nAA==\n-----END {mark}-----\n")
    return paths


def test_who_shows_a_certificate_is_asked_for_the_files_until_they_fit(
    files: tuple[Path, Path],
) -> None:
    certificate, key = map(str, files)
    told = iter(["they do not belong together", "", "", ""])

    def admit(credentials: Credentials) -> None:
        if credentials.certificate and (problem := next(told)):
            raise FormError(problem)

    pair = [key, certificate, "nowhere.key", key]
    person = Person(*PLACED, "tls_client_auth", "erp", *pair, certificate, key)
    fields = fill_in({}, asker=person, admit=admit)
    assert person.asked[4:] == [
        *("certificate", "certificate", "private_key", "private_key"),
        *("certificate, the stored one", "private_key, the stored one"),
    ]
    assert fields["certificate"] == files[0].read_text()
    assert fields["private_key"] == files[1].read_text()
    assert "give it by --private-key" in person.told[0]
    unread = "the file for `private_key` cannot be read: No such file or directory; "
    assert person.told[1:] == [
        f"{unread}give its path, and not what is in it",
        "they do not belong together",
    ]
    to_credentials(fields)


def test_a_stored_certificate_is_kept_by_enter_and_never_shown(files: tuple[Path, Path]) -> None:
    certificate, key = (each.read_text() for each in files)
    pair = {"certificate": certificate, "private_key": key}
    stored = {**MACHINE, "token_endpoint_auth_method": "tls_client_auth", **pair}
    person = Person("", "", "", "")
    assert fill_in({}, asker=person, stored=stored) == stored
    assert person.asked[2:] == ["certificate, the stored one", "private_key, the stored one"]
    half = {"certificate": pair["certificate"]}
    person = Person(str(files[1]))
    assert fill_in({**MACHINE, "client_secret": "x", **half}, asker=person)["private_key"]


def test_a_provider_s_assertion_is_asked_for_part_by_part() -> None:
    person = Person("netsuite", "1234567", "", "erp", "the-certificate-s-id", "a, b c")
    fields = fill_in({}, asker=person)
    assert fields["assertion"] == {
        "kid": "the-certificate-s-id",
        "claims": {"scope": ["a", "b", "c"]},
    }
    to_credentials(fields)


def test_what_is_signed_the_same_for_all_of_a_provider_is_not_asked_for() -> None:
    person = Person("google-workload-identity", "", "a-scope", "//iam.example/a", "https://a")
    fields = fill_in({}, asker=person)
    assert fields["assertion"]["signer"] == "sts"
    assert "signer" not in person.asked


def test_the_only_grant_of_a_provider_need_not_be_given() -> None:
    given = {"provider": "github-app", "provider_parameters": {"installation_id": "1"}}
    fields = fill_in({**given, "client_id": "1"}, asker=None)
    assert fields == {**given, "client_id": "1", "grant_parameters": {}}
    assert to_credentials(fields)[0].client.signs
    only = {"provider": "okta-org", "provider_parameters": {"org": "a"}, "client_id": "1"}
    assert fill_in(only, asker=None)["grant_type"] == "client_credentials"


def test_what_shall_be_asked_for_is_asked_hidden_and_last() -> None:
    given: dict[str, Any] = {**OWN, "grant_parameters": {"user": "u"}}
    person = Person("made-up-1", "made-up-2")
    slots = [("grant_parameters", "pin"), ("request_headers", "X-Key")]
    fields = fill_in(given, asker=person, asked=slots)
    assert person.asked == ["grant_parameters.pin, hidden", "request_headers.X-Key, hidden"]
    assert fields["grant_parameters"] == {"user": "u", "pin": "made-up-1"}
    assert fields["request_headers"] == {"X-Key": "made-up-2"}
    with pytest.raises(
        FormError, match=r"not given: grant_parameters\.pin, request_headers\.X-Key"
    ):
        fill_in(given, asker=None, asked=slots)


def test_a_login_is_corrected_by_its_address_and_its_secrets() -> None:
    stored: dict[str, Any] = {
        **OWN,
        "grant_parameters": {"user": "u", "deep": {"password": "made-up"}},
    }
    stored["dialect"] = {"request_format": "json"}
    stored |= {"request_headers": {"X-Key": "made-up-key"}}
    person = Person("", "made-up-new", "")
    fields = fill_in({}, asker=person, stored=stored)
    assert person.asked == [
        f"token_endpoint, {stored['token_endpoint']}",
        "grant_parameters.deep.password, hidden, keeps the stored one",
        "request_headers.X-Key, hidden, keeps the stored one",
    ]
    assert fields["grant_parameters"] == {"user": "u", "deep": {"password": "made-up-new"}}
    assert fields["request_headers"] == stored["request_headers"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(
            {"grant_type": "urn:x:exchange", "token_endpoint_auth_method": "client_secret_post"},
            ["client_id", "client_secret, hidden"],
            id="a client that authenticates",
        ),
        pytest.param({"grant_type": "urn:x:exchange"}, [], id="none that does"),
    ],
)
def test_a_grant_of_the_server_s_own_asks_for_what_is_known_to_be_needed(
    given: dict[str, Any], expected: list[str]
) -> None:
    parameters = {"subject_token": "{assertion}", "previous": "{refresh_token}"}
    person = Person("ready-made", *["made-up"] * 9)
    fields = fill_in({**OWN, **given, "grant_parameters": parameters}, asker=person)
    seen = ["assertion", *expected[:1]]
    assert person.asked == [*seen, "assertion, hidden", *expected[1:], "refresh_token, hidden"]
    to_credentials(fields)


def test_what_goes_is_neither_kept_nor_asked_for() -> None:
    stored: dict[str, Any] = {**MACHINE, "client_secret": "made-up", "scope": "a"}
    stored |= {"extra_parameters": {"audience": "a", "resource": "b"}, "dialect": {"error": "e"}}
    gone = ["client_secret", "scope", "extra_parameters.audience", "dialect.error"]
    person = Person()
    fields = fill_in({}, asker=person, stored=stored, unset=[slot_of(one) for one in gone])
    assert fields == {**MACHINE, "extra_parameters": {"resource": "b"}}
    assert person.asked == []


def test_another_grant_keeps_no_parameters_of_the_last_one() -> None:
    stored = {**OWN, "grant_parameters": {"user": "u", "password": "made-up"}}
    fields = fill_in(
        {"grant_type": "client_credentials", "client_id": "1", "client_secret": "made-up"},
        asker=None,
        stored=stored,
    )
    assert "grant_parameters" not in fields
    to_credentials(fields)


def test_a_scope_that_a_grant_cannot_do_without_is_asked_for() -> None:
    asker = Answers(
        {PLACE: "microsoft"}, tenant="acme.example", scope="x", client_id="1", client_secret="y"
    )
    assert fill_in({}, asker=asker)["scope"] == "x"
    del asker.asked[:]
    given = {"provider": "microsoft", "scope": "given"}
    assert fill_in(given, asker=asker)["scope"] == "given"
    assert "scope" not in asker.asked


class Anybody(Answers):
    """Somebody who has an answer to everything: the example, where one is told."""

    def __init__(self, grant: Grant, pem: Path) -> None:
        super().__init__()
        self._grant, self._pem = grant, pem

    def text(self, field: str, *, about: str = "", stored: str = "") -> str:
        assert not stored
        self.asked.append(field)
        if field == PLACE:
            return str(self._grant.example["provider"])
        if field in {"certificate", "private_key"}:
            return str(self._pem)
        example = about.rpartition("such as ")[2]
        return example or "u@example.com"

    def secret(self, field: str, *, empty: str = "") -> str:
        del empty
        self.asked.append(f"{field}, hidden")
        return "made-up-secret"

    def choice(self, field: str, choices: Sequence[str], **_: str) -> str:
        assert self._grant.name in choices
        self.asked.append(field)
        return self._grant.name


@pytest.mark.parametrize(
    "grant",
    [
        pytest.param(grant, id=f"{one.name}-{grant.name}")
        for one in all_listed()
        for grant in one.grants
    ],
)
def test_every_grant_of_every_provider_can_be_filled_in_by_answers(
    grant: Grant, tmp_path: Path
) -> None:
    pem = tmp_path / "both.pem"
    marks = [f"-----BEGIN {it}-----\nAA==\n-----END {it}-----\n" for it in ("CERTIFICATE", KEY)]
    pem.write_text("".join(marks))
    anybody = Anybody(grant, pem)
    fields = fill_in({}, asker=anybody)
    credentials, _ = to_credentials(fields)
    assert credentials.client.token_endpoint == grant.address
    assert shape(fields) == shape(grant.example)
    hidden = [name.endswith("hidden") for name in anybody.asked]
    assert hidden == sorted(hidden), "secrets come last"


def shape(value: object) -> object:
    """What is there, whatever it is."""
    return {k: shape(v) for k, v in value.items()} if isinstance(value, dict) else type(value)


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


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({**MACHINE, "token_endpoint_auth_method": ["none"]}, id="a method"),
        pytest.param({"provider": "xero", "grant_type": ["refresh_token"]}, id="a grant"),
    ],
)
def test_what_must_be_text_and_is_none_is_told_as_that(given: dict[str, Any]) -> None:
    fields = {**given, "client_id": "1", "client_secret": "made-up"}
    for asker in (Answers(), None):
        with pytest.raises(CredentialsError, match="must be"):
            to_credentials(fill_in(fields, asker=asker))


def test_a_misspelt_field_is_told_before_the_right_one_is_asked_for() -> None:
    given = {"provider": "xero", "grant_type": "refresh_token", "client_id": "1", "token": "x"}
    for asker in (Answers(), None):
        with pytest.raises(CredentialsError, match="unknown field `token`"):
            fill_in(given, asker=asker)


def test_with_a_misspelt_field_all_else_that_is_wrong_is_told_and_what_is_asked_for_is_not() -> (
    None
):
    within = {"dialect": {"acces_token": "a"}, "client_id": " 1"}
    given = {"token_endpoint": "https://e.example/t", "colour": "x", **within}
    for asker in (Answers(), None):
        with pytest.raises(CredentialsError) as refused:
            fill_in(given, asker=asker)
        told = str(refused.value)
        assert "`colour`; " in told
        assert "`client_id` begins or ends with a blank" in told
        assert "did you mean `dialect.access_token`?" in told
        assert "`client_secret` is missing" not in told


def test_hidden_questions_come_in_one_order_whether_an_account_is_added_or_corrected() -> None:
    key = ("request_headers", "X-Key")
    fields: dict[str, Any] = {
        "token_endpoint": "https://e.example/t",
        "grant_parameters": {"user": "robot"},
    }
    stored = {**fields, "grant_parameters": {"user": "robot", "password": "made-up-1"}}
    answers = {"grant_parameters.password": "made-up-2", "request_headers.X-Key": "made-up-3"}
    orders = []
    for given, before, asked in (
        (fields, None, [("grant_parameters", "password"), key]),
        (fields, None, [key, ("grant_parameters", "password")]),
        ({}, stored, [key]),
        ({}, {**stored, "request_headers": {"X-Key": "made-up-4"}}, [key]),
    ):
        asker = Answers({}, **answers)
        fill_in(given, asker=asker, stored=before, asked=asked)
        orders.append([question.partition(",")[0] for question in asker.asked])
    assert orders == [list(answers)] * len(orders)


def test_a_public_client_has_no_secret_to_be_typed() -> None:
    answers = {"client_id": "1", "client_secret": "", "refresh_token": "made-up"}
    asker = Answers({PLACE: "https://e.example/t"}, grant_type="refresh_token", **answers)
    credentials, _ = to_credentials(fill_in({}, asker=asker))
    assert credentials.auth_method == "none"


def test_a_null_is_nothing_that_was_given() -> None:
    given: dict[str, Any] = {"token_endpoint": "https://e.example/t"}
    given |= {
        "grant_type": "client_credentials",
        "client_id": "1",
        "client_secret": None,
        "scope": None,
    }
    with pytest.raises(FormError, match=r"\Anot given: client_secret\Z"):
        fill_in(given, asker=None)
    asker = Answers(client_secret="made-up")
    assert fill_in(given, asker=asker)["client_secret"] == "made-up"
    assert asker.asked == ["client_secret, hidden"]


def test_all_that_is_wrong_with_a_file_is_told_at_once() -> None:
    given = {"tokenendpoint": "x", "grant_type": "password", "client_id": "1", "scope": "a  b"}
    with pytest.raises(CredentialsError) as refusal:
        fill_in({**given, "client_secret": "made-up ", "password": "made-up"}, asker=None)
    told = str(refusal.value)
    for each in ("`token_endpoint`?", "`client_secret` begins or ends", "not given: username"):
        assert each in told
    assert "provider or" not in told
    assert "made-up" not in told
    del given["tokenendpoint"]
    with pytest.raises(CredentialsError, match=r"`scope` must .*; \(2\) not given: client_secret"):
        fill_in({**given, "provider": "xero", "password": "x", "username": "y"}, asker=None)


@pytest.mark.parametrize("grant_type", GRANT_TYPES)
def test_another_grant_asks_for_what_it_needs_and_for_no_secret_of_the_one_before(
    grant_type: str,
) -> None:
    stored = {"token_endpoint": "https://e.example/t", "grant_type": "password"}
    stored |= {"client_id": "1", "client_secret": "made-up", "username": "u", "password": "p"}
    answers = {name: f"made-up-{name}" for name in SECRET_FIELDS | SHOWN}
    answers["assertion"] = "ready-made"
    asker = Answers({}, **answers)
    fields = fill_in({"grant_type": grant_type}, asker=asker, stored=stored)
    credentials, _ = to_credentials(fields)
    assert credentials.grant_name == grant_type
    assert any("password" in each for each in asker.asked) == (grant_type == "password")


class SecondThoughts(Answers):
    """Somebody who presses Enter at a hidden question, and then reads what is told."""

    def secret(self, field: str, *, empty: str = "") -> str:
        answer = super().secret(field, empty=empty)
        return answer if self.told[-1:] != [""] else ""


@pytest.mark.parametrize(
    ("given", "told"),
    [
        pytest.param(
            {},
            "`client_secret` is needed with this grant, but with --token-endpoint-auth-method none",
            id="a grant that is for clients with a secret",
        ),
        pytest.param(
            {"token_endpoint_auth_method": "client_secret_post"},
            "`client_secret` is needed",
            id="a method that sends one",
        ),
    ],
)
def test_enter_is_no_secret_where_the_server_would_refuse_a_client_without_one(
    given: dict[str, str], told: str
) -> None:
    asker = SecondThoughts(client_id="1", client_secret="made-up")
    place = {"token_endpoint": "https://e.example/t", "grant_type": "client_credentials"}
    fields = fill_in({**place, **given}, asker=asker)
    assert asker.asked == ["client_id", "client_secret, hidden", "client_secret, hidden"]
    assert asker.told[-1] == told
    assert fields["client_secret"] == "made-up"


def test_a_client_that_is_stored_without_a_secret_may_stay_so() -> None:
    stored = {"token_endpoint": "https://e.example/t", "grant_type": "client_credentials"}
    asker = Answers()
    fields = fill_in({"scope": "read"}, asker=asker, stored={**stored, "client_id": "1"})
    assert asker.asked == ["client_secret, hidden, stored"]
    assert "client_secret" not in fields


@pytest.mark.parametrize("name", ["client_id", "client_secret"])
def test_what_was_copied_with_a_character_that_no_screen_shows_is_refused(name: str) -> None:
    given = {"token_endpoint": "https://e.example/t", "grant_type": "client_credentials"}
    given |= {"client_id": "1", "client_secret": "made-up", name: "made\u200b-up\x00-value"}
    with pytest.raises(FormError, match=f"`{name}` holds a character that no screen shows") as why:
        fill_in(given, asker=None)
    assert "made" not in str(why.value)


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


def test_a_correction_asks_who_it_is_and_for_secrets_and_keeps_what_is_not_typed() -> None:
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
    hidden = ["client_secret, hidden, stored", "password, hidden, stored"]
    assert asker.asked == ["client_id, 1", "username, u@example.com", *hidden]
    assert fields == {**stored, "password": "made-up-right"}
    asker = Answers({})
    given = {"scope": "read"}
    assert fill_in(given, asker=asker, stored=stored) == {**stored, **given}
    assert asker.asked == hidden, "what is wrong is known"


def test_a_mistyped_address_and_id_are_corrected_by_answers_that_are_looked_at() -> None:
    stored = {**OWN, "grant_type": "client_credentials"}
    stored |= {"client_id": "1", "client_secret": "made-up", "token_endpoint": "http://e.example/t"}
    person = Person("", "autovit.ro", "e.example/token", "2 ", "2", "")
    fields = fill_in({}, asker=person, stored=stored)
    assert fields == {**stored, "token_endpoint": "https://e.example/token", "client_id": "2"}
    assert person.asked == [
        *["token_endpoint, http://e.example/t"] * 3,
        *["client_id, 1"] * 2,
        "client_secret, hidden, keeps the stored one",
    ]
    assert person.told[-2] == "token_endpoint: https://e.example/token"
    moved = {"provider": "shopify", "client_id": "1", "client_secret": "made-up"}
    moved |= {"grant_type": "client_credentials"}
    parameters = {"provider_parameters": {"shop": "acme"}}
    person = Person("acme-2", "", "")
    fields = fill_in({}, asker=person, stored={**moved, **parameters})
    assert fields["provider_parameters"] == {"shop": "acme-2"}


def test_a_host_that_is_not_allowed_is_corrected_before_any_secret_is_asked_for() -> None:
    stored = {**OWN, "grant_type": "client_credentials", "token_endpoint": "https://evil.example/t"}
    stored |= {"client_id": "1", "client_secret": "made-up"}
    person = Person("", "https://e.example/t", "", "")
    fields = fill_in({}, asker=person, stored=stored, admit=refuse)
    assert fields["token_endpoint"] == "https://e.example/t"


def test_a_correction_shows_nothing_stored_that_may_be_secret() -> None:
    stored = {**OWN, "grant_type": "client_credentials", "client_id": "made-up-key"}
    stored |= {"client_secret": "", "token_endpoint": "https://e.example/t?code=made-up"}
    person = Person("", "")
    assert fill_in({}, asker=person, stored=stored) == stored
    assert "made-up" not in f"{person.asked}{person.told}"
    assert "for another: --token-endpoint" in person.told[0]
    stored |= {"token_endpoint": "https://e.example/t", "client_id": "1\x1b[2J"}
    stored["client_secret"] = "made-up"
    person = Person("", "", "2", "")
    assert fill_in({}, asker=person, stored=stored)["client_id"] == "2"
    assert "\x1b" not in f"{person.asked}"


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
