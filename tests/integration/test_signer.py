"""What signs for accounts, at a KMS and an STS that decide and refuse as documented."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import boto3
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from tests.integration.test_emulator_iam import ACCOUNT as AWS_ACCOUNT
from tests.integration.test_emulator_iam import allow, create_role
from tests.integration.test_emulator_identity_tokens import NAMESPACE, verified
from token_refresher.aws.signing import Signer
from token_refresher.errors import SigningError
from token_refresher.oauth.assertions import Assertion
from token_refresher.oauth.client_authentication import Client
from token_refresher.oauth.signatures import made

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.embedded_cloud import EmbeddedCloud
    from token_refresher.oauth.assertions import Algorithm

KMS: TypeAlias = Any  # a client; it has no stubs here

ACCOUNT: Final = "dealers/17"
ALIAS: Final = f"alias/oauth/{ACCOUNT}"
NOW: Final = datetime(2026, 11, 24, 12, tzinfo=UTC)
AUDIENCE: Final = "api://AzureADTokenExchange"
# As template.yaml has them.
MAY_SIGN: Final = {
    **allow("kms:Sign", on="arn:aws:kms:*:*:key/*"),
    "Condition": {
        "StringEquals": {"kms:MessageType": "DIGEST"},
        "StringLike": {"kms:RequestAlias": "alias/oauth/*"},
    },
}
MAY_BE_TOLD: Final = {
    **allow("sts:GetWebIdentityToken"),
    "Condition": {
        "ForAllValues:StringEquals": {"sts:IdentityTokenAudience": [AUDIENCE]},
        "NumericLessThanEquals": {"sts:DurationSeconds": "300"},
    },
}
MAY_TAG: Final = {
    **allow("sts:TagGetWebIdentityToken"),
    "Condition": {"ForAllValues:StringEquals": {"aws:TagKeys": ["account"]}},
}


@pytest.fixture
def cloud(enforcing_cloud: EmbeddedCloud) -> EmbeddedCloud:
    enforcing_cloud.reset()
    return enforcing_cloud


@pytest.fixture
def kms(cloud: EmbeddedCloud) -> KMS:
    return cloud.client("kms")


@pytest.fixture
def signer(cloud: EmbeddedCloud, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Signer]:
    """What signs as a role that may do what its statements say."""

    def of(*statements: dict[str, Any], prefix: str = "oauth") -> Signer:
        who = cloud.assume(create_role(cloud, *statements))
        for name, value in cloud.environment(who).items():
            monkeypatch.setenv(name, value)
        boto3.setup_default_session()
        return Signer(prefix=prefix, connections=1, user_agent="token-refresher/test")

    return of


def key(kms: KMS, *, spec: str = "RSA_2048", usage: str = "SIGN_VERIFY", alias: str = ALIAS) -> str:
    """Create an account's key, and return its id."""
    key_id: str = kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName=alias, TargetKeyId=key_id)
    return key_id


def refusal(call: Callable[[], object]) -> SigningError:
    with pytest.raises(SigningError) as refused:
        call()
    return refused.value


def sign(signer: Signer, account: str = ACCOUNT, alg: str = "RS256") -> bytes:
    return signer.sign(account, alg=alg, message=b"header.claims")


@pytest.mark.parametrize(
    ("alg", "spec"), [("RS256", "RSA_2048"), ("PS256", "RSA_3072"), ("ES256", "ECC_NIST_P256")]
)
def test_a_jose_library_verifies_an_assertion_by_the_public_key_of_kms(
    kms: KMS, signer: Callable[..., Signer], alg: Algorithm, spec: str
) -> None:
    key(kms, spec=spec)
    client = Client(
        token_endpoint="https://id.example.com/token",
        client_id="invented-client",
        client_secret=None,
        auth_method="private_key_jwt",
        user_agent="made-up/1",
        key=ACCOUNT,
        assertion=Assertion(alg=alg),
    )
    assertion = made(client, signer(MAY_SIGN), now=NOW)
    published = kms.get_public_key(KeyId=ALIAS)["PublicKey"]
    public = (ECKey if alg == "ES256" else RSAKey).import_key(published)
    decoded = jwt.decode(assertion, public, algorithms=[alg])
    assert decoded.header["alg"] == alg
    assert decoded.claims["iss"] == "invented-client"


def test_a_key_under_another_prefix_is_denied_and_not_missing(
    kms: KMS, signer: Callable[..., Signer]
) -> None:
    key(kms, alias="alias/others/dealers/17")
    others = signer(MAY_SIGN, prefix="others")
    assert refusal(lambda: sign(others)).code == "signing_denied"


def test_without_the_permission_it_is_told_so(kms: KMS, signer: Callable[..., Signer]) -> None:
    key(kms)
    error = refusal(lambda: sign(signer(allow("secretsmanager:*"))))
    assert (error.code, error.transient) == ("signing_denied", False)


def test_an_account_without_a_key_is_told_so(kms: KMS, signer: Callable[..., Signer]) -> None:
    key(kms, alias="alias/oauth/dealers/18")
    assert refusal(lambda: sign(signer(MAY_SIGN))).code == "signing_key_missing"


@pytest.mark.parametrize("operation", ["disable_key", "schedule_key_deletion"])
def test_a_key_that_is_off_is_told_so(
    kms: KMS, signer: Callable[..., Signer], operation: str
) -> None:
    getattr(kms, operation)(KeyId=key(kms))
    assert refusal(lambda: sign(signer(MAY_SIGN))).code == "signing_key_disabled"


def test_a_key_without_its_material_is_told_so(kms: KMS, signer: Callable[..., Signer]) -> None:
    made_for = {"KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY", "Origin": "EXTERNAL"}
    key_id = kms.create_key(**made_for)["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName=ALIAS, TargetKeyId=key_id)
    assert refusal(lambda: sign(signer(MAY_SIGN))).code == "signing_key_disabled"


@pytest.mark.parametrize(
    ("spec", "usage", "alg"),
    [
        pytest.param("RSA_2048", "SIGN_VERIFY", "ES256", id="another algorithm"),
        pytest.param("ECC_NIST_P256", "SIGN_VERIFY", "RS256", id="another curve"),
        pytest.param("RSA_2048", "ENCRYPT_DECRYPT", "RS256", id="made to encrypt"),
        pytest.param("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "RS256", id="symmetric"),
        pytest.param("HMAC_256", "GENERATE_VERIFY_MAC", "RS256", id="made for MACs"),
    ],
)
def test_a_key_that_is_no_good_for_it_is_told_so(
    kms: KMS, signer: Callable[..., Signer], spec: str, usage: str, alg: str
) -> None:
    key(kms, spec=spec, usage=usage)
    assert refusal(lambda: sign(signer(MAY_SIGN), alg=alg)).code == "signing_key_wrong"


def test_a_rotated_key_signs_as_soon_as_the_alias_moves(
    kms: KMS, signer: Callable[..., Signer]
) -> None:
    key(kms)
    signs = signer(MAY_SIGN)
    before = sign(signs)
    following = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    kms.update_alias(AliasName=ALIAS, TargetKeyId=following)
    # PKCS#1 v1.5 is deterministic, so another signature is another key's.
    assert sign(signs) != before


def test_an_identity_token_names_the_role_and_the_account(
    cloud: EmbeddedCloud, signer: Callable[..., Signer]
) -> None:
    cloud.client("iam").enable_outbound_web_identity_federation()
    told = signer(MAY_BE_TOLD, MAY_TAG).identity_token(ACCOUNT, audience=AUDIENCE, alg="RS256")
    claims = verified(cloud, told)
    assert claims["sub"] == f"arn:aws:iam::{AWS_ACCOUNT}:role/r"
    assert claims["aud"] == AUDIENCE
    assert claims["exp"] - claims["iat"] == 300
    assert claims[NAMESPACE]["request_tags"] == {"account": ACCOUNT}


@pytest.mark.parametrize(
    ("statements", "audience"),
    [
        pytest.param([MAY_BE_TOLD, MAY_TAG], "https://another.example", id="another audience"),
        pytest.param([MAY_BE_TOLD], AUDIENCE, id="no permission to tag"),
        pytest.param([MAY_TAG], AUDIENCE, id="no permission to ask"),
    ],
)
def test_an_identity_token_that_policies_do_not_let_out_is_told_so(
    cloud: EmbeddedCloud,
    signer: Callable[..., Signer],
    statements: list[dict[str, Any]],
    audience: str,
) -> None:
    cloud.client("iam").enable_outbound_web_identity_federation()
    asks = signer(*statements)
    error = refusal(lambda: asks.identity_token(ACCOUNT, audience=audience, alg="RS256"))
    assert error.code == "identity_token_denied"


def test_an_account_of_aws_that_issues_none_is_told_so(signer: Callable[..., Signer]) -> None:
    asks = signer(MAY_BE_TOLD, MAY_TAG)
    error = refusal(lambda: asks.identity_token(ACCOUNT, audience=AUDIENCE, alg="RS256"))
    assert error.code == "identity_federation_disabled"
