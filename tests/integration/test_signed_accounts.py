"""The function signs by the embedded cloud's KMS, and a server with a JOSE library verifies."""

from __future__ import annotations

import base64
import json
import ssl
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest
import urllib3
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from local.authorization_server import LosesTheAnswer
from local.authorization_server.https import Door, HttpsServer, Reply
from tests.integration.conftest import SECRET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.authority import Authority
    from local.authorization_server.https import Request
    from local.embedded_cloud import EmbeddedCloud
    from tests.integration.conftest import Deployed

ACCOUNT: Final = "dealer-17"
DUE: Final = timedelta(hours=11)
JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT_TYPE: Final = "urn:ietf:params:oauth:token-type:jwt"
SIGNS: Final = {"token_endpoint_auth_method": "private_key_jwt", "client_secret": None}
Keys = RSAKey | ECKey


@pytest.fixture
def make_key(cloud: EmbeddedCloud) -> Callable[..., Keys]:
    """Makes an account's key, and returns the public one."""
    kms = cloud.client("kms")

    def make(account: str = ACCOUNT, spec: str = "RSA_2048") -> Keys:
        made = kms.create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
        kms.create_alias(AliasName=f"alias/oauth/{account}", TargetKeyId=made)
        public = kms.get_public_key(KeyId=made)["PublicKey"]
        return (ECKey if spec.startswith("ECC") else RSAKey).import_key(public)

    return make


def onboard(deployed: Deployed, public: Keys | None, /, **fields: Any) -> None:  # noqa: ANN401
    """Register a client that signs, and write its credentials."""
    method = fields.get("token_endpoint_auth_method", "private_key_jwt")
    grant = fields.get("grant_type", "client_credentials")
    deployed.server.register_client(
        ACCOUNT,
        secret=SECRET,
        public_keys=[public] if public else [],
        auth_methods=[method],
        grants=[grant, "refresh_token"],
        refresh_tokens_for=[grant],
    )
    text = {"grant_type": "client_credentials", **SIGNS, **fields}
    deployed.store(ACCOUNT, {name: value for name, value in text.items() if value is not None})
    if text["client_secret"] is None:
        write(deployed, client_secret=None)


def write(deployed: Deployed, **fields: Any) -> None:  # noqa: ANN401
    """Change fields of the credentials."""
    value = deployed.secrets.get_secret_value(SecretId=f"oauth/credentials/{ACCOUNT}")
    changed = {**json.loads(value["SecretString"]), **fields}
    deployed.put(ACCOUNT, json.dumps({name: v for name, v in changed.items() if v is not None}))


def outcome(deployed: Deployed) -> tuple[str, str | None]:
    [told] = deployed.sweep({"accounts": [ACCOUNT], "force": True})["accounts"]
    return told["outcome"], told.get("error")


# Client authentication.


@pytest.mark.parametrize(
    ("alg", "spec"), [("RS256", "RSA_2048"), ("PS256", "RSA_2048"), ("ES256", "ECC_NIST_P256")]
)
def test_a_client_that_signs_by_kms_gets_a_token_and_refreshes_it(
    deployed: Deployed, make_key: Callable[..., Keys], alg: str, spec: str
) -> None:
    onboard(
        deployed, make_key(spec=spec), use_refresh_token=True, assertion={"alg": alg, "kid": "k1"}
    )
    assert outcome(deployed) == ("published", None)
    deployed.clock.advance(DUE)
    assert outcome(deployed) == ("published", None)

    first, second = deployed.server.requests
    assert (first.grant_type, second.grant_type) == ("client_credentials", "refresh_token")
    assert {first.auth_method, second.auth_method} == {"private_key_jwt"}
    assert first.fields["client_assertion"] != second.fields["client_assertion"]
    assert deployed.token(ACCOUNT)["access_token"]


def test_a_client_secret_signs_without_kms(deployed: Deployed) -> None:
    method = "client_secret_jwt"
    onboard(deployed, None, token_endpoint_auth_method=method, client_secret=SECRET)

    assert outcome(deployed) == ("published", None)
    [request] = deployed.server.requests
    assert request.auth_method == method
    assert SECRET not in json.dumps(dict(request.fields))


def test_a_lost_response_is_asked_for_with_another_assertion(
    deployed: Deployed, make_key: Callable[..., Keys]
) -> None:
    """The server refuses a jti that it has seen, also where its response was lost."""
    onboard(deployed, make_key(), grant_type="client_credentials")
    initial = deployed.server.issue_initial_refresh_token(ACCOUNT)
    write(deployed, grant_type="refresh_token", refresh_token=initial)
    deployed.monkeypatch.setattr("time.sleep", lambda _: None)
    deployed.server.fail(LosesTheAnswer(), times=1)
    deployed.sweep()

    assertions = [each.fields["client_assertion"] for each in deployed.server.requests]
    assert len(assertions) == len(set(assertions)) == 2


@pytest.mark.parametrize(
    ("prepare", "error"),
    [
        pytest.param(lambda _: None, "signing_key_missing", id="no key"),
        pytest.param(
            lambda kms: kms.disable_key(KeyId=kms.list_aliases()["Aliases"][0]["TargetKeyId"]),
            "signing_key_disabled",
            id="disabled",
        ),
    ],
)
def test_without_a_key_nothing_is_sent_and_it_heals_once_there_is_one(
    deployed: Deployed,
    cloud: EmbeddedCloud,
    make_key: Callable[..., Keys],
    prepare: Callable[[Any], object],
    error: str,
) -> None:
    kms = cloud.client("kms")
    other = RSAKey.generate_key(2048, auto_kid=False)
    public = make_key() if error == "signing_key_disabled" else other
    onboard(deployed, public)
    prepare(kms)
    assert outcome(deployed) == ("failed", error)
    assert deployed.server.requests == []

    if error == "signing_key_disabled":
        kms.enable_key(KeyId=kms.list_aliases()["Aliases"][0]["TargetKeyId"])
    else:
        deployed.server.client(ACCOUNT).public_keys = (make_key(),)
    assert outcome(deployed) == ("published", None)


def test_a_key_of_another_account_proves_nothing(
    deployed: Deployed, make_key: Callable[..., Keys]
) -> None:
    make_key()
    onboard(deployed, make_key("dealer-18"))

    assert outcome(deployed) == ("failed", "invalid_client")


def test_an_assertion_for_somebody_else_is_refused(
    deployed: Deployed, make_key: Callable[..., Keys]
) -> None:
    onboard(deployed, make_key(), assertion={"audience": "https://elsewhere.example"})

    assert outcome(deployed) == ("failed", "invalid_client")
    deployed.server.client(ACCOUNT).audience = "https://elsewhere.example"
    assert outcome(deployed) == ("published", None)


# Grants.


def test_the_assertion_is_the_grant_and_says_for_whom(
    deployed: Deployed, make_key: Callable[..., Keys]
) -> None:
    public = make_key()
    onboard(
        deployed,
        public,
        grant_type=JWT_BEARER,
        token_endpoint_auth_method=None,
        scope="invented.read",
        assertion={"signer": "kms", "claims": {"sub": "u@example.com", "box_sub_type": "user"}},
    )
    assert outcome(deployed) == ("published", None)
    [request] = deployed.server.requests
    claims = jwt.decode(request.fields["assertion"], public, algorithms=["RS256"]).claims
    assert claims["iss"] == ACCOUNT
    assert (claims["sub"], claims["box_sub_type"]) == ("u@example.com", "user")


class Host:
    """A server whose accounts prove themselves as GitHub's and Google's do."""

    def __init__(self, public: Keys, authority: Authority) -> None:
        self.public, self.seen = public, list[dict[str, Any]]()
        self.server = HttpsServer(self._reply, authority.server_context())

    @property
    def name(self) -> str:
        return f"localhost:{self.server.port}"

    def _reply(self, request: Request) -> Reply:
        fields = json.loads(request.body) if request.body.startswith(b"{") else {}
        scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
        text = shown if scheme == "Bearer" else fields["subject_token"]
        claims = jwt.decode(text, self.public, algorithms=["RS256"]).claims
        if any(each["jti"] == claims["jti"] for each in self.seen):
            return Reply(401, (("Content-Type", "application/json"),), b"{}")
        self.seen.append({**claims, "fields": fields})
        body = {"token": "ghs_invented", "expires_at": "2026-11-24T02:00:00Z"}
        return Reply(201, (("Content-Type", "application/json"),), json.dumps(body).encode())


@pytest.fixture
def host(deployed: Deployed, make_key: Callable[..., Keys], authority: Authority) -> Iterator[Host]:
    host = Host(make_key(), authority)
    deployed.monkeypatch.setenv("ALLOWED_TOKEN_HOSTS", host.name)
    yield host
    host.server.set_door(Door.CLOSED)


DIALECT: Final = {
    "request_format": "json",
    "access_token": "token",
    "expires_at": "expires_at",
}


def test_an_app_proves_itself_in_a_header(deployed: Deployed, host: Host) -> None:
    credentials = {
        "token_endpoint": f"https://{host.name}/app/installations/1/access_tokens",
        "grant_parameters": {"repositories": ["invented"]},
        "assertion": {"expires_in": 300, "claims": {"iss": "Iv1.invented"}},
        "request_headers": {"Authorization": "Bearer {assertion}"},
        "dialect": DIALECT,
    }
    deployed.put(ACCOUNT, json.dumps(credentials))

    assert outcome(deployed) == ("published", None)
    [seen] = host.seen
    assert seen["iss"] == "Iv1.invented"
    assert seen["exp"] - seen["iat"] <= 310
    assert deployed.token(ACCOUNT)["access_token"] == "ghs_invented"


def test_an_assertion_is_exchanged_for_a_token(deployed: Deployed, host: Host) -> None:
    credentials = {
        "grant_type": EXCHANGE,
        "client_id": "invented-client",
        "token_endpoint": f"https://{host.name}/exchange",
        "grant_parameters": {"subject_token": "{assertion}", "subject_token_type": JWT_TYPE},
        "assertion": {"audience": "//iam.invented.example/pool"},
        "token_endpoint_auth_method": "none",
        "dialect": DIALECT,
    }
    deployed.put(ACCOUNT, json.dumps(credentials))

    assert outcome(deployed) == ("published", None)
    [seen] = host.seen
    assert seen["aud"] == "//iam.invented.example/pool"
    assert seen["fields"]["subject_token_type"] == JWT_TYPE


# The server itself: what it is there to refuse.


@pytest.fixture
def signing_key(deployed: Deployed) -> RSAKey:
    key = RSAKey.generate_key(2048, auto_kid=False)
    onboard(deployed, RSAKey.import_key(key.as_dict(private=False)))
    return key


def asks(deployed: Deployed, assertion: str) -> tuple[int, dict[str, Any]]:
    """Ask for a token, as somebody who has this assertion."""
    context = ssl.create_default_context(cafile=deployed.environment["SSL_CERT_FILE"])
    answer = urllib3.PoolManager(ssl_context=context).request(
        "POST",
        deployed.server.token_endpoint,
        fields={
            "grant_type": "client_credentials",
            "client_id": ACCOUNT,
            "client_assertion": assertion,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        },
        encode_multipart=False,
    )
    return answer.status, json.loads(answer.data)


def usual(deployed: Deployed, **changed: Any) -> dict[str, Any]:  # noqa: ANN401
    now = int(deployed.clock.now().timestamp())
    claims: dict[str, Any] = {"iss": ACCOUNT, "sub": ACCOUNT, "aud": deployed.server.token_endpoint}
    claims |= {"iat": now, "exp": now + 60, "jti": "invented-jti", **changed}
    return {name: value for name, value in claims.items() if value is not None}


def test_the_server_takes_an_assertion_once(deployed: Deployed, signing_key: RSAKey) -> None:
    text = jwt.encode({"alg": "RS256"}, usual(deployed), signing_key)
    assert asks(deployed, text)[0] == 200
    assert asks(deployed, text)[1]["error"] == "invalid_client"


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"aud": "https://elsewhere.example"}, id="for somebody else"),
        pytest.param({"iss": "somebody"}, id="of somebody else"),
        pytest.param({"sub": "somebody"}, id="about somebody else"),
        pytest.param({"jti": None}, id="not new"),
        pytest.param({"exp": None}, id="without end"),
        pytest.param({"exp": 1}, id="ended"),
        pytest.param({"exp": 4_000_000_000}, id="for too long"),
        pytest.param({"iat": 4_000_000_000}, id="of the future"),
    ],
)
def test_the_server_refuses_an_assertion_that_is(
    deployed: Deployed, signing_key: RSAKey, claims: dict[str, Any]
) -> None:
    text = jwt.encode({"alg": "RS256"}, usual(deployed, **claims), signing_key)
    assert asks(deployed, text)[1]["error"] == "invalid_client"


def test_the_server_believes_no_header(deployed: Deployed, signing_key: RSAKey) -> None:
    """Neither ``none``, nor the public key as a secret of HS256, nor another key."""
    claims = usual(deployed)
    public = signing_key.as_pem(private=False)
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    another = RSAKey.generate_key(2048, auto_kid=False)
    for text in (
        f"{unsigned}.{body}.",
        jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(public.replace(b"-----", b"_"))),
        jwt.encode({"alg": "RS256"}, claims, another),
        "no.assertion",
        "",
    ):
        assert asks(deployed, text)[1]["error"] == "invalid_client"
