"""`check` and a refresh find the same fault first, in the same words, whichever two there are."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pytest

from local.authorization_server import RFC_6749, Answers, Endpoint
from tests.cli.operator import SECRET

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.operator import Operator

# All pairs take minutes.
pytestmark = pytest.mark.slow

HOUR: Final = timedelta(hours=1)
ACCOUNT: Final = "dealer-17"
TOKENS: Final = f"oauth/tokens/{ACCOUNT}"
JSON: Final = (("Content-Type", "application/json"),)

Fields: TypeAlias = dict[str, Any]
# What is wrong with stored credentials: of one field each, or of all the text.
OF_FIELDS: Final[dict[str, Fields]] = {
    "a field does not validate": {"scope": "two  blanks"},
    "a field is unknown": {"scop": "read"},
    "a secret ends with a blank": {"client_secret": f"{SECRET} "},
    "a dialect that is none": {"dialect": {"access_token": "refresh_token"}},
    "another host": {"token_endpoint": "https://elsewhere.example/token"},
    "a verify_url elsewhere": {"verify_url": "https://elsewhere.example/me"},
    "certificates that are none": {
        "ca_certificates": "-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----"
    },
}
OF_TEXT: Final = {"no JSON": "made-up-text", "a list": "[]"}
# And with what is around them.
OF_SECRETS: Final = ("to be deleted", "somebody else's", "refresh tokens ignored")


def stored(operator: Operator, *, is_refresh_only: bool) -> Fields:
    """Onboard an account; one that has only a refresh token has had a token by it, and is due."""
    operator.server.register_client(
        ACCOUNT,
        secret=SECRET,
        grants=["refresh_token", "client_credentials"],
        dialect=RFC_6749,
        access_token_lifetime=12 * HOUR,
    )
    fields: Fields = json.loads(operator.document(ACCOUNT))
    if is_refresh_only:
        initial = operator.server.issue_initial_refresh_token(ACCOUNT)
        fields |= {"grant_type": "refresh_token", "refresh_token": initial}
    operator.secrets.create_secret(
        Name=f"oauth/credentials/{ACCOUNT}", SecretString=json.dumps(fields)
    )
    if is_refresh_only:
        operator.says(f"refresh {ACCOUNT}")
        operator.clock.advance(11 * HOUR)
    return fields


def break_it(
    operator: Operator, shell: pytest.MonkeyPatch, faults: tuple[str, ...], fields: Fields
) -> None:
    """Let all of these be wrong at once."""
    text = None
    for fault in faults:
        fields = fields | OF_FIELDS.get(fault, {})
        text = OF_TEXT.get(fault, text)
    operator.secrets.put_secret_value(
        SecretId=f"oauth/credentials/{ACCOUNT}", SecretString=text or json.dumps(fields)
    )
    listed = operator.secrets.list_secrets()["SecretList"]
    if not any(each["Name"] == TOKENS for each in listed):
        operator.secrets.create_secret(Name=TOKENS)
    if "somebody else's" in faults:
        operator.secrets.put_secret_value(SecretId=TOKENS, SecretString="made-up-other")
    if "to be deleted" in faults:
        operator.secrets.delete_secret(SecretId=TOKENS)
    if "refresh tokens ignored" in faults:
        shell.setenv("REFRESH_TOKENS", "ignore")


def told_by_refresh(operator: Operator, line: str) -> tuple[str, str] | None:
    [row] = json.loads(operator.run(f"{line} --json").stdout)["accounts"]
    return (f"{row['error']} ({row['failure_class']})", row["detail"]) if row["error"] else None


def told_by_check(operator: Operator, line: str) -> tuple[str, str] | None:
    run = operator.run(line)
    lines = run.stderr.splitlines()
    for code, detail in pairwise(lines):
        if code.startswith(f"{ACCOUNT}: ") and code.endswith(")"):
            assert run.exit_code == 1
            return code.removeprefix(f"{ACCOUNT}: "), detail
    assert run.exit_code == 0, run.output
    return None


EVERY: Final = (*OF_FIELDS, *OF_TEXT, *OF_SECRETS)
PAIRS: Final = [(each,) for each in EVERY] + list(combinations(EVERY, 2))


@pytest.mark.parametrize("is_refresh_only", [False, True], ids=["primary grant", "refresh only"])
@pytest.mark.parametrize("faults", PAIRS, ids=" and ".join)
def test_check_and_refresh_name_the_same_fault_of_stored_credentials(
    operator: Operator,
    monkeypatch: pytest.MonkeyPatch,
    faults: tuple[str, ...],
    is_refresh_only: bool,  # noqa: FBT001 - a parameter
) -> None:
    fields = stored(operator, is_refresh_only=is_refresh_only)
    break_it(operator, monkeypatch, faults, fields)
    asked = len(operator.server.requests)

    checked = told_by_check(operator, f"check {ACCOUNT}")

    assert len(operator.server.requests) == asked
    assert checked or faults[0] not in {*OF_FIELDS, *OF_TEXT, "to be deleted"}
    if checked is not None or len(faults) == 1:
        assert checked == told_by_refresh(operator, f"refresh {ACCOUNT}")


def body(**fields: Any) -> Fields:  # noqa: ANN401
    return {"access_token": "made-up-access-token", "token_type": "Bearer", **fields}


Change: TypeAlias = "Callable[[Fields], Fields]"
# What is wrong with a response: its status or its form, or a field of it.
STATUSES: Final[dict[str, Answers]] = {
    "invalid_grant": Answers(400, JSON, b'{"error": "invalid_grant"}'),
    "a code of its own": Answers(401, JSON, b'{"code": 1234, "message": "client disabled"}'),
    "nothing but 403": Answers(403),
    "an outage": Answers(503, JSON, b"{}"),
    "a page": Answers(200, (("Content-Type", "text/html"),), b"<html>made up</html>"),
    "another address": Answers(404, JSON, b"{}"),
    "a redirect": Answers(302, (("Location", "https://elsewhere.example/"),)),
    "too many": Answers(429, (("Retry-After", "60"),)),
}
CHANGES: Final[dict[str, Change]] = {
    "no token": lambda it: {k: v for k, v in it.items() if k != "access_token"},
    "an error as a success": lambda it: it | {"error": "invalid_client", "access_token": ""},
    "a bound token": lambda it: it | {"token_type": "DPoP"},
    "an unknown type": lambda it: it | {"token_type": "acme"},
    "no lifetime": lambda it: {k: v for k, v in it.items() if k != "expires_in"},
    "expired at once": lambda it: it | {"expires_in": 0},
    "a token of two lines": lambda it: it | {"access_token": "made-up\naccess"},
    "a token that no secret holds": lambda it: it | {"access_token": "made-up-" * 9000},
    "the client's secret as a token": lambda it: it | {"access_token": SECRET},
    "the client's secret as a scope": lambda it: it | {"scope": SECRET},
    "its refresh token as a token": lambda it: it | {"refresh_token": it.get("access_token")},
    "nothing to publish": lambda it: {k: v for k, v in it.items() if k != "instance_url"},
    "nothing that fits": lambda it: it | {"instance_url": "https://e.example/" + "x" * 3000},
}
REFUSED: Final = "verify_url refuses"
FORMS: Final[dict[str, Fields | None]] = {
    "standard": None,
    "fields": {"fields": ["instance_url"]},
    "text": {"as": "{scope} {token_type} {access_token}"},
}
RESPONSES: Final = (*STATUSES, *CHANGES, REFUSED)


@pytest.mark.parametrize("publish", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("first", RESPONSES)
def test_check_and_refresh_name_the_same_fault_of_a_response(
    operator: Operator, first: str, publish: Fields | None
) -> None:
    added: Fields = {"verify_url": operator.server.resource_url, "timeout_seconds": 30}
    fields = stored(operator, is_refresh_only=False) | added
    fields |= {"publish": publish} if publish else {}
    operator.secrets.put_secret_value(
        SecretId=f"oauth/credentials/{ACCOUNT}", SecretString=json.dumps(fields)
    )
    for second in RESPONSES[RESPONSES.index(first) :]:
        content = body(expires_in=3600, instance_url="https://e.example")
        for fault in (first, second):
            content = CHANGES[fault](content) if fault in CHANGES else content
        answer = Answers(200, JSON, json.dumps(content).encode())
        for fault in (second, first):
            answer = STATUSES.get(fault, answer)
        verdict = Answers(401 if REFUSED in {first, second} else 200, JSON, b"{}")
        with (
            operator.server.failing(answer),
            operator.server.failing(verdict, at=Endpoint.RESOURCE),
        ):
            checked = told_by_check(operator, f"check {ACCOUNT} --try --yes")
            refreshed = told_by_refresh(operator, f"refresh {ACCOUNT} --force")
        assert checked == refreshed, (first, second)
        assert checked or first not in {*STATUSES, "no token", "a bound token", REFUSED}
        if refreshed is None:
            operator.clock.advance(HOUR)
