"""The embedded cloud's STS says who calls as AWS documents it, so that anybody can verify it.

Read in the IAM User Guide ("Getting started with outbound identity federation", "Controlling access
with IAM policies", "Understanding token claims", "IAM and AWS STS condition context keys"), the STS
API Reference (GetWebIdentityToken), the IAM API Reference (Enable-, Disable- and
GetOutboundWebIdentityFederationInfo) and the Service Authorization Reference (AWS Security Token
Service). Where a test follows one of them alone, its docstring names it.
"""

from __future__ import annotations

import sys
from itertools import count
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
import urllib3
from botocore.config import Config
from joserfc import jwt
from joserfc.jwk import KeySet

from local.embedded_cloud import REGION, Credentials, EmbeddedCloud
from tests.integration.test_emulator_functions import deploy, invoke
from tests.integration.test_emulator_iam import ACCOUNT, allow, create_role, denial, own

if TYPE_CHECKING:
    from collections.abc import Callable

Json: TypeAlias = dict[str, Any]
STS: TypeAlias = Any  # a client; it has no stubs here

AUDIENCE = "api://AzureADTokenExchange"
OTHER = "https://another.example"
NAMESPACE = "https://sts.amazonaws.com/"
GET = "sts:GetWebIdentityToken"
TAG = "sts:TagGetWebIdentityToken"
OUR_TAG = {"Key": "account", "Value": "dealers/17"}
DENIED = "AccessDenied"
ASK = """
import sys
sys.path[:0] = PATHS
import boto3
def handler(event, context):
    return boto3.client("sts").get_web_identity_token(**event)["WebIdentityToken"]
"""


@pytest.fixture
def cloud(enforcing_cloud: EmbeddedCloud) -> EmbeddedCloud:
    """A cloud whose account issues identity tokens."""
    enforcing_cloud.reset()
    enforcing_cloud.client("iam").enable_outbound_web_identity_federation()
    return enforcing_cloud


@pytest.fixture
def session(cloud: EmbeddedCloud) -> Callable[..., Credentials]:
    """Make a role that may do what its statements say, and assume it."""
    number = count()

    def assume(*statements: Json) -> Credentials:
        return cloud.assume(create_role(cloud, *statements, name=f"r{next(number)}"))

    return assume


@pytest.fixture
def permitted(cloud: EmbeddedCloud, session: Callable[..., Credentials]) -> Callable[..., STS]:
    """A client of STS that may do what its statements say."""

    def client(*statements: Json) -> STS:
        return cloud.client("sts", credentials=session(*statements))

    return client


def asked(**changed: object) -> Json:
    return {
        "Audience": [AUDIENCE],
        "SigningAlgorithm": "RS256",
        "DurationSeconds": 300,
        **changed,
    }


def token(client: STS, **changed: object) -> str:
    issued: str = client.get_web_identity_token(**asked(**changed))["WebIdentityToken"]
    return issued


def get(url: str) -> Any:  # noqa: ANN401
    return urllib3.request("GET", url, retries=False).json()


def published(cloud: EmbeddedCloud) -> tuple[str, KeySet]:
    """Return the account's issuer and its keys, found as an external service finds them."""
    told = cloud.client("iam").get_outbound_web_identity_federation_info()
    issuer = told["IssuerIdentifier"]
    document = get(f"{issuer}/.well-known/openid-configuration")
    assert document["issuer"] == issuer
    assert document["jwks_uri"] == f"{issuer}/.well-known/jwks.json"
    return issuer, KeySet.import_key_set(get(document["jwks_uri"]))


def verified(cloud: EmbeddedCloud, issued: str, alg: str = "RS256") -> Json:
    """Return the claims of a token, verified by what its issuer publishes."""
    issuer, keys = published(cloud)
    decoded = jwt.decode(issued, keys, algorithms=[alg])
    assert decoded.claims["iss"] == issuer
    return decoded.claims


@pytest.mark.parametrize("alg", ["RS256", "ES384"])
def test_anybody_verifies_a_token_by_what_its_issuer_publishes(
    cloud: EmbeddedCloud, permitted: Callable[..., STS], alg: str
) -> None:
    claims = verified(cloud, token(permitted(allow(GET)), SigningAlgorithm=alg), alg)
    assert claims["aud"] == AUDIENCE
    assert claims["exp"] == claims["iat"] + 300


def test_its_subject_is_the_role_and_not_the_session(
    cloud: EmbeddedCloud, permitted: Callable[..., STS]
) -> None:
    """Guide, "Understanding token claims": the ARN of the IAM principal that asked."""
    claims = verified(cloud, token(permitted(allow(GET))))
    role = f"arn:aws:iam::{ACCOUNT}:role/r0"
    assert claims["sub"] == role
    about = claims[NAMESPACE]
    assert about.pop("original_session_exp")
    assert about == {"aws_account": ACCOUNT, "source_region": REGION, "principal_id": role}


def test_a_role_with_a_path_is_named_with_it(cloud: EmbeddedCloud) -> None:
    role = create_role(cloud, allow(GET), path="/team/")
    client = cloud.client("sts", credentials=cloud.assume(role))
    assert verified(cloud, token(client))["sub"] == f"arn:aws:iam::{ACCOUNT}:role/team/r"


def test_the_tags_of_the_request_and_of_the_role_are_in_it(
    cloud: EmbeddedCloud, permitted: Callable[..., STS]
) -> None:
    """Guide, "Understanding token claims": request_tags and principal_tags."""
    client = permitted(allow(GET, TAG))
    cloud.client("iam").tag_role(RoleName="r0", Tags=[{"Key": "team", "Value": "oauth"}])
    about = verified(cloud, token(client, Tags=[OUR_TAG]))[NAMESPACE]
    assert about["request_tags"] == {"account": "dealers/17"}
    assert about["principal_tags"] == {"team": "oauth"}


def test_a_function_is_named_beside_its_role(cloud: EmbeddedCloud) -> None:
    """Guide, "Understanding token claims": lambda_source_function_arn."""
    role = create_role(cloud, allow(GET))
    deploy(cloud, ASK.replace("PATHS", repr(sys.path)), Role=role, Runtime=own())
    claims = verified(cloud, invoke(cloud, asked()))
    assert claims["sub"] == role
    assert claims[NAMESPACE]["lambda_source_function_arn"] == (
        f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
    )


def test_several_audiences_are_a_list(cloud: EmbeddedCloud, permitted: Callable[..., STS]) -> None:
    issued = token(permitted(allow(GET)), Audience=[AUDIENCE, OTHER])
    assert verified(cloud, issued)["aud"] == [AUDIENCE, OTHER]


def test_no_two_tokens_have_the_same_id(
    cloud: EmbeddedCloud, permitted: Callable[..., STS]
) -> None:
    client = permitted(allow(GET))
    assert len({verified(cloud, token(client))["jti"] for _ in range(3)}) == 3


def test_a_token_lives_for_five_minutes_unless_it_is_asked_otherwise(
    cloud: EmbeddedCloud, permitted: Callable[..., STS]
) -> None:
    answer = permitted(allow(GET)).get_web_identity_token(
        Audience=[AUDIENCE], SigningAlgorithm="RS256"
    )
    claims = verified(cloud, answer["WebIdentityToken"])
    assert claims["exp"] - claims["iat"] == 300
    assert answer["Expiration"].timestamp() == claims["exp"]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        pytest.param({"DurationSeconds": 59}, "ValidationError", id="less than a minute"),
        pytest.param({"DurationSeconds": 3601}, "ValidationError", id="more than an hour"),
        pytest.param({"SigningAlgorithm": "ES256"}, "ValidationError", id="another algorithm"),
        pytest.param({"Audience": 11 * [AUDIENCE]}, "ValidationError", id="eleven audiences"),
        pytest.param({"Audience": [1001 * "a"]}, "ValidationError", id="a long audience"),
        pytest.param({"Audience": []}, "MissingParameter", id="no audience"),
        pytest.param({"Tags": [OUR_TAG, OUR_TAG]}, "ValidationError", id="a tag named twice"),
        pytest.param(
            {"Tags": [{"Key": "account", "Value": 257 * "a"}]}, "ValidationError", id="a long tag"
        ),
        pytest.param(
            {"Tags": [{"Key": "account", "Value": "a;b"}]}, "ValidationError", id="a tag's sign"
        ),
        pytest.param(
            {"Tags": [{"Key": f"k{n}", "Value": ""} for n in range(51)]},
            "ValidationError",
            id="51 tags",
        ),
    ],
)
def test_a_request_keeps_to_its_bounds(cloud: EmbeddedCloud, changed: Json, code: str) -> None:
    """STS API Reference, GetWebIdentityToken and Tag."""
    client = cloud.client("sts", config=Config(parameter_validation=False))
    assert denial(lambda: token(client, **changed)) == code


@pytest.mark.parametrize("seconds", [60, 3600])
def test_a_minute_and_an_hour_are_both_taken(cloud: EmbeddedCloud, seconds: int) -> None:
    issued = token(cloud.client("sts"), DurationSeconds=seconds)
    claims = verified(cloud, issued)
    assert claims["exp"] - claims["iat"] == seconds
    assert claims["sub"] == f"arn:aws:iam::{ACCOUNT}:root"


def test_a_token_does_not_outlive_the_session_that_asks(cloud: EmbeddedCloud) -> None:
    """STS API Reference: SessionDurationEscalationException."""
    role = create_role(cloud, allow(GET))
    given = cloud.client("sts").assume_role(
        RoleArn=role, RoleSessionName="short", DurationSeconds=900
    )["Credentials"]
    keys = given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]
    client = cloud.client("sts", credentials=Credentials(*keys))
    assert token(client, DurationSeconds=600)
    assert denial(lambda: token(client, DurationSeconds=901)) == (
        "SessionDurationEscalationException"
    )


def test_an_account_issues_no_token_until_it_is_enabled(cloud: EmbeddedCloud) -> None:
    """Guide, "Getting started"; the IAM API Reference has the codes of what is done twice."""
    iam, sts = cloud.client("iam"), cloud.client("sts")
    issued = token(sts)
    assert iam.get_outbound_web_identity_federation_info()["JwtVendingEnabled"] is True
    assert denial(iam.enable_outbound_web_identity_federation) == "FeatureEnabled"
    issuer, keys = published(cloud)
    iam.disable_outbound_web_identity_federation()
    assert denial(lambda: token(sts)) == "OutboundWebIdentityFederationDisabledException"
    assert denial(iam.disable_outbound_web_identity_federation) == "FeatureDisabled"
    assert denial(iam.get_outbound_web_identity_federation_info) == "FeatureDisabled"
    # What is out already stays good until it expires.
    assert jwt.decode(issued, keys, algorithms=["RS256"]).claims["iss"] == issuer
    assert iam.enable_outbound_web_identity_federation()["IssuerIdentifier"] == issuer
    assert token(sts)


def test_a_new_account_is_not_enabled(enforcing_cloud: EmbeddedCloud) -> None:
    enforcing_cloud.reset()
    assert denial(lambda: token(enforcing_cloud.client("sts"))) == (
        "OutboundWebIdentityFederationDisabledException"
    )


def test_nothing_else_is_published(cloud: EmbeddedCloud) -> None:
    issuer, _ = published(cloud)
    assert urllib3.request("GET", f"{issuer}/.well-known/other", retries=False).status == 404


# Who may. "Controlling access with IAM policies", and the Service Authorization Reference.


def under(operator: str, key: str, value: object, *actions: str) -> Json:
    return {**allow(*(actions or (GET, TAG))), "Condition": {operator: {key: value}}}


def test_without_the_permission_there_is_no_token(permitted: Callable[..., STS]) -> None:
    assert denial(lambda: token(permitted(allow("sts:AssumeRole")))) == DENIED


def test_tags_need_a_permission_of_their_own(permitted: Callable[..., STS]) -> None:
    """Guide, "Controlling access": sts:TagGetWebIdentityToken, beside sts:GetWebIdentityToken."""
    without = permitted(allow(GET))
    assert token(without)
    assert denial(lambda: token(without, Tags=[OUR_TAG])) == DENIED
    assert denial(lambda: token(permitted(allow(TAG)), Tags=[OUR_TAG])) == DENIED
    assert token(permitted(allow(GET, TAG)), Tags=[OUR_TAG])


def test_the_audience_may_be_confined(permitted: Callable[..., STS]) -> None:
    """The Service Authorization Reference: sts:IdentityTokenAudience has several values."""
    every = permitted(under("ForAllValues:StringEquals", "sts:IdentityTokenAudience", AUDIENCE))
    assert token(every)
    assert denial(lambda: token(every, Audience=[OTHER])) == DENIED
    assert denial(lambda: token(every, Audience=[AUDIENCE, OTHER])) == DENIED
    some = permitted(under("ForAnyValue:StringEquals", "sts:IdentityTokenAudience", AUDIENCE))
    assert token(some, Audience=[AUDIENCE, OTHER])
    assert denial(lambda: token(some, Audience=[OTHER])) == DENIED


def test_the_duration_may_be_bounded(permitted: Callable[..., STS]) -> None:
    bounded = permitted(under("NumericLessThanEquals", "sts:DurationSeconds", "300"))
    assert token(bounded)
    assert denial(lambda: token(bounded, DurationSeconds=301)) == DENIED


def test_the_algorithm_may_be_demanded(permitted: Callable[..., STS]) -> None:
    strict = permitted(under("StringEquals", "sts:SigningAlgorithm", "ES384"))
    assert token(strict, SigningAlgorithm="ES384")
    assert denial(lambda: token(strict)) == DENIED


def test_tags_may_be_demanded_of_both_permissions(permitted: Callable[..., STS]) -> None:
    tagged = permitted(under("ForAllValues:StringEquals", "aws:TagKeys", "account"))
    assert token(tagged, Tags=[OUR_TAG])
    assert denial(lambda: token(tagged, Tags=[OUR_TAG, {"Key": "k", "Value": "v"}])) == DENIED
    named = permitted(under("StringLike", "aws:RequestTag/account", "dealers/*"))
    assert token(named, Tags=[OUR_TAG])
    assert denial(lambda: token(named, Tags=[{"Key": "account", "Value": "a"}])) == DENIED
    assert denial(lambda: token(named)) == DENIED


@pytest.mark.parametrize("key", ["sts:IdentityTokenAudience", "sts:SigningAlgorithm"])
def test_the_permission_to_tag_knows_of_tags_alone(permitted: Callable[..., STS], key: str) -> None:
    """The Service Authorization Reference lists aws:RequestTag and aws:TagKeys for it."""
    asks_too_much = permitted(allow(GET), under("Null", key, "false", TAG))
    assert denial(lambda: token(asks_too_much, Tags=[OUR_TAG])) == DENIED


def test_a_person_needs_a_permission_to_switch_it(
    cloud: EmbeddedCloud, session: Callable[..., Credentials]
) -> None:
    switch = allow("iam:DisableOutboundWebIdentityFederation")
    stranger = cloud.client("iam", credentials=session(allow("iam:GetRole")))
    assert denial(stranger.disable_outbound_web_identity_federation) == DENIED
    cloud.client("iam", credentials=session(switch)).disable_outbound_web_identity_federation()
