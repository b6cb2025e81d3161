"""Consumers get the standard JSON, added fields or a form of their own; and never a secret."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest
from rich.pretty import pretty_repr

from token_refresher.model import PublishedToken
from token_refresher.oauth.errors import TokenResponseError
from token_refresher.publishing import Publish, render

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

TOKEN: Final = PublishedToken(
    access_token="invented!AQ|token",
    token_type="Bearer",
    scope="read write",
    issued_at=1_795_482_000,
    expires_at=1_795_525_200,
)
STANDARD: Final = (
    '{"access_token":"invented!AQ|token","token_type":"Bearer","scope":"read write",'
    '"issued_at":1795482000,"expires_at":1795525200}'
)
# As it is parsed: all numbers as floats.
CONTENT: Final[dict[str, Any]] = json.loads(
    r"""{"access_token": "invented!AQ|token", "instance_url": "https://acme.example",
        "seats": 12, "share": 0.25, "is_sandbox": false, "empty": "", "nothing": null,
        "data": [{"team": {"id": "T-1"}}], "a{b": "braces", "half": "\ud800",
        "lines": "one\ntwo", "long": "LONG", "fits": "FITS", "huge": 9007199254740993,
        "endless": 1e999, "not": NaN, "quoted": "\"} \\ \u0026"}""".replace(
        "LONG", "é" * 1025
    ).replace("FITS", "é" * 1024),
    parse_int=float,
)
SECRET: Final = "invented-and-never-told"


def publish(**fields: Any) -> Publish:  # noqa: ANN401
    return msgspec.convert(fields, Publish)


def rendered(
    wanted: Publish, content: dict[str, Any] = CONTENT, secrets: Collection[str] = (SECRET,)
) -> str:
    return wanted.render(TOKEN, wanted.values_of(content), secrets=secrets)


def published(wanted: Publish, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    content: dict[str, Any] = json.loads(rendered(wanted, **more))
    return content


# What is published.


def test_without_publish_the_standard_json_is_as_it_always_was() -> None:
    assert render(TOKEN, secrets=[SECRET]) == STANDARD == TOKEN.to_json()


def test_fields_are_added_behind_the_standard_ones_under_their_last_part() -> None:
    wanted = publish(fields=["instance_url", "data.0.team.id", "a{b"])
    assert rendered(wanted) == STANDARD[:-1] + (
        ',"instance_url":"https://acme.example","id":"T-1","a{b":"braces"}'
    )


def test_a_text_is_published_as_it_is() -> None:
    wanted = publish(**{"as": "{token_type} {access_token}"})
    assert rendered(wanted) == "Bearer invented!AQ|token"


def test_a_text_may_be_the_access_token_alone() -> None:
    assert rendered(publish(**{"as": "{access_token}"})) == "invented!AQ|token"


def test_an_object_has_names_of_its_own_and_keeps_the_types_of_what_stands_alone() -> None:
    wanted = publish(
        **{
            "as": {
                "Authorization": "Bearer {access_token}",
                "until": "{expires_at}",
                "text": "{issued_at}, {response.seats}, {response.is_sandbox}, {response.share}",
                "seats": "{response.seats}",
                "share": "{response.share}",
                "is_sandbox": "{response.is_sandbox}",
                "of": "acme",
                "scope": "{scope}",
                "empty": "{response.empty}",
            }
        }
    )
    assert published(wanted) == {
        "Authorization": "Bearer invented!AQ|token",
        "until": 1_795_525_200,
        "text": "1795482000, 12, false, 0.25",
        "seats": 12,
        "share": 0.25,
        "is_sandbox": False,
        "of": "acme",
        "scope": "read write",
        "empty": "",
    }
    assert '"seats":12,' in rendered(wanted)


def test_a_type_depends_on_the_template_and_not_on_what_else_is_empty() -> None:
    wanted = publish(**{"as": {"a": "{access_token}", "b": "{response.empty}{response.seats}"}})
    assert published(wanted)["b"] == "12"


def test_a_value_is_never_read_as_a_template_or_as_json() -> None:
    wanted = publish(**{"as": {"a": "{access_token}", "b": "{response.quoted}"}})
    assert published(wanted)["b"] == '"} \\ &'
    content = {"access_token": "t", "x": "{response.y}{issued_at}", "y": "no"}
    assert published(publish(fields=["x"]), content=content)["x"] == "{response.y}{issued_at}"


def test_the_same_input_gives_the_same_text_also_through_a_journal() -> None:
    wanted = publish(fields=["seats", "share", "is_sandbox", "instance_url"])
    kept = wanted.values_of(CONTENT)
    again = msgspec.json.decode(msgspec.json.encode(kept), type=dict[str, str | int | float | bool])
    assert wanted.render(TOKEN, again, secrets=[]) == wanted.render(TOKEN, kept, secrets=[])


def test_exact_integers_are_kept_up_to_what_json_is_kept_with() -> None:
    wanted = publish(fields=["id", "large"])
    assert wanted.values_of({"id": 2**53 + 1, "large": 2**63}) == {"id": 2**53 + 1}


# What cannot be published.


@pytest.mark.parametrize(
    "path",
    ["absent", "nothing", "data", "data.0", "data.1.team", "half", "lines", "long", "huge",
     "endless", "not", "instance_url.scheme"],
)  # fmt: skip
def test_what_is_no_short_text_number_or_boolean_is_neither_kept_nor_published(path: str) -> None:
    wanted = publish(fields=["fits", path])
    assert list(wanted.values_of(CONTENT)) == ["fits"]
    with pytest.raises(TokenResponseError, match=r"`publish\.fields\[1\]` wants") as raised:
        rendered(wanted)
    assert raised.value.code == "invalid_response"
    assert "instance_url" not in str(raised.value)


def test_a_scope_that_is_absent_or_has_line_breaks_fills_no_template() -> None:
    wanted = publish(**{"as": {"token": "{access_token}", "for": "{scope}"}})
    for scope in (None, "read\nwrite"):
        token = msgspec.structs.replace(TOKEN, scope=scope)
        with pytest.raises(TokenResponseError, match=r"`publish\.as\.for` wants"):
            wanted.render(token, {}, secrets=[])


def test_what_is_longer_than_a_secret_holds_is_refused() -> None:
    room = 65_536 - len(STANDARD.encode()) + len(TOKEN.access_token)
    fits = msgspec.structs.replace(TOKEN, access_token="a" * room)
    too_long = msgspec.structs.replace(TOKEN, access_token="a" * (room + 1))
    assert len(render(fits, secrets=[])) == 65_536
    with pytest.raises(TokenResponseError, match="65,536 bytes") as raised:
        render(too_long, secrets=[])
    assert raised.value.code == "token_too_long"
    for form in ("{access_token}" + "é" * 200, {"a": "{access_token}{access_token}"}):
        wanted = publish(**{"as": form})
        with pytest.raises(TokenResponseError, match="65,536 bytes") as raised:
            wanted.render(fits, {}, secrets=[])
        assert raised.value.code == "token_too_long"


# What must not be published.


def refused(
    wanted: Publish | None, content: Mapping[str, object], token: PublishedToken = TOKEN
) -> str:
    """Publish where a secret must be noticed, and tell what the error says."""
    secrets = ["", SECRET]

    def write() -> str:
        if wanted is None:
            return render(token, secrets=secrets)
        return wanted.render(token, wanted.values_of(content), secrets=secrets)

    with pytest.raises(TokenResponseError) as raised:
        write()
    assert raised.value.code == "secret_in_response"
    assert SECRET not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("field", ["access_token", "scope", "token_type"])
def test_a_secret_that_the_server_echoes_in_a_standard_field_is_refused(field: str) -> None:
    token = msgspec.structs.replace(TOKEN, **{field: f"x{SECRET}y"})
    assert f"`{field}`" in refused(None, {}, token)
    assert f"`{field}`" in refused(publish(fields=["url"]), {"url": "u"}, token)
    wanted = publish(**{"as": {"a": "{access_token}", "b": f"{{{field}}}"}})
    assert f"`{field}`" in refused(wanted, {}, token)


def test_what_is_not_published_may_hold_anything() -> None:
    token = msgspec.structs.replace(TOKEN, scope=SECRET)
    wanted = publish(**{"as": "{access_token}"})
    assert wanted.render(token, {}, secrets=[SECRET]) == TOKEN.access_token


@pytest.mark.parametrize(
    "echo",
    [SECRET, f"client_secret={SECRET}&x=1", "invented%2Dand%2Dnever%2Dtold"],
    ids=["as it is", "within more", "as a form encodes it"],
)
def test_a_secret_that_the_server_echoes_in_an_added_field_is_refused(echo: str) -> None:
    assert "`publish.fields[0]`" in refused(publish(fields=["url"]), {"url": echo})
    wanted = publish(**{"as": {"a": "{access_token}", "link": "see {response.url}"}})
    assert "`publish.as.link`" in refused(wanted, {"url": echo})


def test_a_secret_with_blanks_is_found_where_a_form_has_plus_signs() -> None:
    wanted = publish(fields=["url"])
    with pytest.raises(TokenResponseError, match="secret"):
        rendered(wanted, {"url": "p=my+invented+words"}, ["my invented words"])


def test_a_secret_in_two_halves_is_found_where_a_template_joins_them() -> None:
    wanted = publish(**{"as": "{access_token} {response.a}{response.b}"})
    assert "`publish.as`" in refused(wanted, {"a": SECRET[:9], "b": SECRET[9:]})


def test_a_secret_that_the_template_itself_holds_is_refused() -> None:
    assert "`publish.as`" in refused(publish(**{"as": f"{SECRET} {{access_token}}"}), {})
    assert "`publish.as.a`" in refused(publish(**{"as": {"a": SECRET + "{access_token}"}}), {})
    assert "`publish.as`" in refused(publish(**{"as": {SECRET: "{access_token}"}}), {})
    assert "`publish.fields[0]`" in refused(publish(fields=[SECRET]), {SECRET: "x"})


def test_a_name_that_is_a_secret_is_not_told() -> None:
    wanted = publish(**{"as": {"invented_words": "{access_token}"}})
    with pytest.raises(TokenResponseError, match=r"`publish\.as` would") as raised:
        wanted.render(TOKEN, {}, secrets=["invented_words"])
    assert "invented_words" not in str(raised.value)


def test_a_secret_of_digits_is_found_in_a_number() -> None:
    wanted = publish(fields=["seats"])
    with pytest.raises(TokenResponseError, match="secret"):
        rendered(wanted, {"seats": 9123456780.0}, ["12345678"])


def test_a_short_secret_is_refused_only_where_it_is_all_of_a_value() -> None:
    wanted = publish(fields=["a"])
    assert published(wanted, content={"a": "a1234567b"}, secrets=["1234567"])["a"] == "a1234567b"
    for echo in ("1234567", "%31234567"):
        with pytest.raises(TokenResponseError, match="secret"):
            rendered(wanted, {"a": echo}, ["1234567"])


# What people write.


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        pytest.param({}, "exactly one of `fields` and `as`", id="neither"),
        pytest.param({"fields": [], "as": None}, "exactly one", id="nothing in both"),
        pytest.param({"fields": ["a"], "as": "{access_token}"}, "exactly one", id="both"),
        pytest.param({"as": "{access_token}" * 65}, "at most 64 variables", id="too many"),
        pytest.param({"as": ""}, r"must hold \{access_token\}", id="an empty text"),
        pytest.param({"as": {}}, r"must hold \{access_token\}", id="an empty object"),
        pytest.param({"as": "Bearer {response.token}"}, "must hold", id="no access token"),
        pytest.param({"as": "{access_token} {"}, "`publish.as` has a brace", id="one brace"),
        pytest.param({"as": {"a": "{{access_token}}"}}, r"publish\.as\.a` has a brace", id="twice"),
        pytest.param({"as": '{"t": "{access_token}"}'}, "brace", id="JSON in a text"),
        pytest.param({"as": "{}{access_token}"}, "variable that is none of", id="no name"),
        pytest.param({"as": "{access_token.x}"}, "variable that is none", id="an attribute"),
        pytest.param({"as": "{access_token!r}"}, "variable that is none", id="a conversion"),
        pytest.param({"as": "{instance_url}{access_token}"}, "response.PATH", id="no response."),
        pytest.param({"as": "{response.}{access_token}"}, "six keys", id="no path"),
        pytest.param({"fields": ["a..b"]}, r"fields\[0\]` must be a path", id="an empty part"),
        pytest.param({"fields": ["x", "a b"]}, r"fields\[1\]` must be a path", id="a blank"),
        pytest.param({"fields": ["a.b.c.d.e.f.g"]}, "at most six keys", id="seven parts"),
        pytest.param({"fields": ["a\n"]}, "must be a path", id="a line break"),
        pytest.param({"fields": ["refresh_token"]}, "must not publish a refresh", id="by name"),
        pytest.param({"fields": ["data.x_refreshToken"]}, "must not publish", id="its variant"),
        pytest.param({"fields": ["refresh_token.value"]}, "must not publish", id="below it"),
        pytest.param(
            {"as": "{access_token} {response.Refresh-Token}"}, "must not publish", id="a template"
        ),
        pytest.param({"fields": ["client.clientSecret"]}, "client secret", id="client secret"),
        pytest.param({"fields": ["user_password"]}, "or password", id="password"),
        pytest.param({"fields": [f"f{n}" for n in range(17)]}, "at most 16", id="17 fields"),
        pytest.param(
            {"as": {f"f{n}": "{access_token}" for n in range(17)}}, "at most 16", id="17 names"
        ),
        pytest.param(
            {"as": "{access_token}" + "".join(f"{{response.f{n}}}" for n in range(17))},
            "at most 16",
            id="17 paths",
        ),
        pytest.param({"fields": ["data.expires_at"]}, "names of their own", id="a standard name"),
        pytest.param({"fields": ["Scope"]}, "names of their own", id="whatever its case"),
        pytest.param({"fields": ["expires_in"]}, "names of their own", id="a lifetime"),
        pytest.param({"fields": ["a.url", "b.URL"]}, "each another one", id="two alike"),
    ],
)
def test_a_form_that_cannot_be_is_refused_by_its_field(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=says):
        publish(**fields)


def test_a_form_of_sixteen_is_taken() -> None:
    assert len(publish(fields=[f"f{n}" for n in range(16)]).paths) == 16


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field `field`"):
        publish(field=["a"])


@pytest.mark.parametrize("path", ["auth.token", "auth", "auth.token.value"])
def test_what_is_at_above_or_below_the_refresh_token_is_not_published(path: str) -> None:
    apart = publish(fields=["auth2", "authx.token"])
    apart.require_apart_from(["auth.token"])
    with pytest.raises(ValueError, match=r"`publish\.fields` must not publish"):
        publish(fields=["x", path]).require_apart_from(["other", "auth.token"])
    template = publish(**{"as": f"{{access_token}} {{response.{path}}}"})
    with pytest.raises(ValueError, match=r"`publish\.as` must not publish"):
        template.require_apart_from(["auth.token"])


def test_each_path_is_named_once_and_standard_variables_are_none() -> None:
    wanted = publish(**{"as": {"a": "{access_token}{response.b.0}", "c": "{response.b.0}"}})
    assert wanted.paths == ("b.0",)


def test_it_is_written_back_as_people_write_it() -> None:
    assert msgspec.json.encode(publish(fields=["a"])) == b'{"fields":["a"]}'
    assert msgspec.json.encode(publish(**{"as": "{access_token}"})) == b'{"as":"{access_token}"}'


def test_a_form_shows_nothing_of_what_it_holds() -> None:
    wanted = publish(**{"as": f"{SECRET}{{access_token}}"})
    assert SECRET not in repr(wanted) + pretty_repr(wanted)
