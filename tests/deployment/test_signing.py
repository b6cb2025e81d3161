"""Clients without a stored secret: KMS signs for each with its own key, and for nobody else.

Deployed where IAM decides who signs. A JOSE library verifies each signature, as the provider's
documentation has it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
from typing import TYPE_CHECKING, Any, Final

import pytest
import trustme
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from local.embedded_cloud import OWNER, ROOT
from local.stack import Stack, utc_now
from tests.deployment.policies import Policies
from tests.deployment.signed_accounts import (
    OF_ENTRA,
    OF_GOOGLE,
    OTHER_PREFIX,
    PREFIX,
    SIGNERS,
    Signing,
    adp,
    entra_without_a_key,
    okta,
)
from tests.deployment.signed_clients import CertifiedServer, SigningServer
from tests.integration.test_embedded_cloud import within
from tests.integration.test_events import Queue
from token_refresher import fixes
from token_refresher.aws.signing import alias_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.embedded_cloud import Credentials
    from local.stack import LocalAws

MESSAGE: Final = b"invented"
DIGEST: Final = hashlib.sha256(MESSAGE).digest()


@pytest.fixture(scope="module")
def signing(aws: LocalAws, _built: str) -> Iterator[Signing]:
    authority = trustme.CA()
    demanding = aws.server_context()
    demanding.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(demanding)
    server, certified = (
        SigningServer(aws.server_context(), utc_now),
        CertifiedServer(demanding),
    )
    parameters = {
        "AllowedTokenHosts": f"{server.host},{certified.host}",
        "Events": "true",
        "ScheduleMinutes": "15",
        "SecretPrefix": PREFIX,
        "Signing": "true",
        "WebIdentityAudiences": f"{OF_ENTRA},{OF_GOOGLE}",
    }
    stack = Stack(aws, parameters, name="signing")
    stack.make("deploy-stacks")
    issuer = aws.cloud.client("iam").enable_outbound_web_identity_federation()["IssuerIdentifier"]
    yield Signing(aws, stack, server, certified, authority, issuer)
    server.close()
    certified.close()


@pytest.fixture(scope="module")
def events(aws: LocalAws) -> Queue:
    """What this stack tells, from the beginning."""
    return Queue(aws.cloud, '{"detail": {"stack": ["signing"]}}', name="signing")


@pytest.fixture(scope="module")
def policies(signing: Signing) -> Policies:
    return Policies(signing.stack)


@pytest.mark.usefixtures("events")
@pytest.mark.parametrize("provider", SIGNERS)
def test_a_client_without_a_secret_gets_its_tokens(signing: Signing, provider: str) -> None:
    SIGNERS[provider](signing, provider)
    (path,) = (path for path in signing.server.clients if path.startswith(f"/{provider}/"))
    for _ in range(2):
        told = signing.refresh(provider)
        assert (told["outcome"], told.get("error")) == ("published", None)
        assert signing.token(provider)["access_token"] == signing.server.tokens[path]
    assert signing.server.refused == []


def test_a_client_with_a_certificate_gets_its_tokens_and_one_of_another_authority_none(
    signing: Signing,
) -> None:
    adp(signing, "adp", signing.authority)
    adp(signing, "stranger", trustme.CA())
    told = {name: signing.refresh(name) for name in ("adp", "stranger")}
    assert told["adp"]["outcome"] == "published"
    assert signing.token("adp")["access_token"] == signing.certified.tokens["/adp/token"]
    assert told["stranger"]["error"] == "client_certificate_refused"
    assert "/stranger/token" not in signing.certified.tokens


def test_one_account_cannot_sign_as_another(signing: Signing) -> None:
    """Whoever may write its credentials says whose client it is, and never whose key signs."""
    okta(signing, "victim")
    signing.create_key("thief")
    stolen = json.loads(signing.credentials("victim"))
    signing.put("thief", stolen)
    asked = len(signing.server.refused)
    told = signing.refresh("thief")
    assert (told["outcome"], told["error"]) == ("failed", "invalid_client")
    assert signing.server.refused[asked:] == ["BadSignatureError"]
    for field in ("key", "key_id", "private_key"):
        named = {**stolen, "assertion": {field: alias_of(PREFIX, "victim")}}
        signing.put(f"thief-by-{field}", named)
        assert signing.refresh(f"thief-by-{field}")["error"] == "invalid_credentials"
    assert len(signing.server.refused) == asked + 1


def test_a_name_that_no_alias_can_hold_signs_with_no_key(signing: Signing) -> None:
    okta(signing, "dealer-17")
    signing.put("dealer.17", json.loads(signing.credentials("dealer-17")))
    asked = len(signing.server.assertions)
    assert signing.refresh("dealer.17")["error"] == "unsignable_name"
    assert len(signing.server.assertions) == asked


@pytest.fixture(scope="module")
def function(signing: Signing, policies: Policies) -> Credentials:
    """The permissions of the deployed function."""
    statements = policies.shared() + policies.own()
    return signing.aws.assumable_role("like-the-signing-function", policy=statements)


@pytest.fixture(scope="module")
def keys(signing: Signing) -> dict[str, str]:
    """Keys that are all there, so that nothing is refused for not being there."""
    mine = signing.create_key("mine")
    signing.create_key("mine", prefix=OTHER_PREFIX)
    nobodys = signing.kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    signing.kms.create_alias(AliasName="alias/mine", TargetKeyId=nobodys["KeyId"])
    return {
        "its alias": alias_of(PREFIX, "mine"),
        "its id": mine,
        "its ARN": signing.kms.describe_key(KeyId=mine)["KeyMetadata"]["Arn"],
        "another prefix's alias": alias_of(OTHER_PREFIX, "mine"),
        "an alias that is no account's": "alias/mine",
        "an id that has no alias of ours": nobodys["KeyId"],
    }


def sign(
    signing: Signing,
    credentials: Credentials,
    key: str,
    *,
    message: bytes = DIGEST,
    kind: str = "DIGEST",
) -> bytes:
    kms = signing.aws.cloud.client("kms", credentials=credentials)
    answer = kms.sign(
        KeyId=key,
        Message=message,
        MessageType=kind,
        SigningAlgorithm="RSASSA_PKCS1_V1_5_SHA_256",
    )
    signature: bytes = answer["Signature"]
    return signature


def test_the_function_signs_digests_by_the_alias_of_an_account(
    signing: Signing, function: Credentials, keys: dict[str, str]
) -> None:
    signature = sign(signing, function, keys["its alias"])
    public = load_der_public_key(signing.kms.get_public_key(KeyId=keys["its id"])["PublicKey"])
    assert isinstance(public, RSAPublicKey)
    public.verify(signature, MESSAGE, PKCS1v15(), SHA256())


@pytest.mark.parametrize(
    "name",
    [
        *("its id", "its ARN", "another prefix's alias", "an alias that is no account's"),
        "an id that has no alias of ours",
    ],
)
def test_it_signs_by_no_other_name_although_the_key_is_there(
    signing: Signing, function: Credentials, keys: dict[str, str], name: str
) -> None:
    assert sign(signing, OWNER, keys[name])
    with pytest.raises(ClientError, match="AccessDenied"):
        sign(signing, function, keys[name])


def test_it_shows_kms_no_message(
    signing: Signing, function: Credentials, keys: dict[str, str]
) -> None:
    assert sign(signing, OWNER, keys["its alias"], message=MESSAGE, kind="RAW")
    with pytest.raises(ClientError, match="AccessDenied"):
        sign(signing, function, keys["its alias"], message=MESSAGE, kind="RAW")


@pytest.mark.parametrize(
    "call",
    [
        lambda kms, key: kms.get_public_key(KeyId=key),
        lambda kms, key: kms.describe_key(KeyId=key),
        lambda kms, key: kms.disable_key(KeyId=key),
        lambda kms, key: kms.schedule_key_deletion(KeyId=key),
        lambda kms, key: kms.update_alias(AliasName=alias_of(PREFIX, "okta"), TargetKeyId=key),
        lambda kms, _: kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY"),
        lambda kms, _: kms.list_aliases(),
    ],
    ids=["read", "describe", "disable", "delete", "move an alias", "create", "list"],
)
def test_it_does_nothing_else_with_keys(
    signing: Signing,
    function: Credentials,
    keys: dict[str, str],
    call: Callable[[Any, str], object],
) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        call(signing.aws.cloud.client("kms", credentials=function), keys["its id"])


def identity_token(signing: Signing, credentials: Credentials, **asked: object) -> str:
    sts = signing.aws.cloud.client("sts", credentials=credentials)
    usual = {
        "Audience": [OF_ENTRA],
        "SigningAlgorithm": "RS256",
        "DurationSeconds": 300,
        "Tags": [{"Key": "account", "Value": "okta"}],
    }
    request = {name: value for name, value in {**usual, **asked}.items() if value is not None}
    token: str = sts.get_web_identity_token(**request)["WebIdentityToken"]
    return token


@pytest.mark.parametrize("audience", [OF_ENTRA, OF_GOOGLE])
def test_identity_tokens_are_given_for_audiences_of_the_stack(
    signing: Signing, function: Credentials, audience: str
) -> None:
    assert identity_token(signing, function, Audience=[audience])


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({"Audience": ["https://elsewhere.example"]}, id="another audience"),
        pytest.param({"Audience": [OF_ENTRA, "https://elsewhere.example"]}, id="one more"),
        pytest.param({"DurationSeconds": 301}, id="a second longer"),
        pytest.param({"DurationSeconds": None}, id="as long as AWS likes"),
        pytest.param({"Tags": None}, id="no tag"),
        pytest.param({"Tags": [{"Key": "Account", "Value": "okta"}]}, id="another tag"),
        pytest.param(
            {"Tags": [{"Key": each, "Value": "okta"} for each in ("account", "role")]},
            id="a tag besides",
        ),
    ],
)
def test_none_is_given_for_others_for_longer_or_without_its_account(
    signing: Signing, function: Credentials, asked: dict[str, object]
) -> None:
    assert identity_token(signing, OWNER, **asked)
    with pytest.raises(ClientError, match="AccessDenied"):
        identity_token(signing, function, **asked)


@pytest.mark.parametrize("sid", ["TellWhoRunsHere", "NameTheAccount"])
def test_without_either_statement_no_identity_token_is_given(
    signing: Signing, policies: Policies, sid: str
) -> None:
    entra_without_a_key(signing, f"no-{sid}")
    with policies.without(sid):
        told = signing.refresh(f"no-{sid}")
    assert told["error"] == "identity_token_denied"
    assert signing.refresh(f"no-{sid}")["outcome"] == "published"


def test_without_the_statement_an_account_that_signs_says_what_to_do(
    signing: Signing, policies: Policies
) -> None:
    okta(signing, "denied")
    with policies.without("SignWithKeysOfAccounts"):
        told = signing.refresh("denied")
    assert (told["error"], told["fix"]) == (
        "signing_denied",
        fixes.say("signing_denied", "denied", {"stack": "signing", "region": "eu-west-1"}),
    )
    assert signing.refresh("denied")["outcome"] == "published"


def test_where_signing_is_turned_off_again_it_is_denied_and_nothing_is_leased_or_sent(
    signing: Signing,
) -> None:
    where = {"AllowedTokenHosts": signing.server.host, "SecretPrefix": OTHER_PREFIX}
    allowing = {**where, "Signing": "true", "WebIdentityAudiences": OF_ENTRA}
    off = {**where, "Signing": "false", "WebIdentityAudiences": ""}
    earlier, stack = (Stack(signing.aws, each, name="unsigned") for each in (allowing, off))
    sids = []
    for each in (earlier, stack):
        each.make("deploy-stacks")
        sids.append({statement["Sid"] for statement in Policies(each).shared()})
    okta(signing, "unsigned", prefix=OTHER_PREFIX)
    asked = len(signing.server.assertions)
    (told,) = stack.invoke({"accounts": ["unsigned"]})["accounts"]
    assert sids[0] - sids[1] == {"SignWithKeysOfAccounts", "TellWhoRunsHere", "NameTheAccount"}
    assert told["error"] == "signing_denied"
    assert told["fix"].startswith("deploy with Signing=true")
    assert len(signing.server.assertions) == asked
    described = signing.aws.secrets.describe_secret(SecretId=f"{OTHER_PREFIX}/credentials/unsigned")
    assert list(described["VersionIdsToStages"].values()) == [["AWSCURRENT"]]


def test_no_key_and_no_assertion_is_anywhere_but_where_it_was_sent(
    signing: Signing, events: Queue
) -> None:
    """The last one here: it looks at all that came of the others."""
    assertions, imported = signing.server.assertions, signing.imported
    assert len(assertions) > len(SIGNERS)
    assert within(120.0, lambda: events.has(2 * len(SIGNERS)))
    needles = {part for each in assertions for part in (each, each.rpartition(".")[2])}
    needles |= {base64.b64encode(each).decode() for each in imported}
    hidden = [each.encode() for each in needles] + imported
    in_secrets = dict(_secret_values(signing))
    places = {
        **in_secrets,
        "events": json.dumps(events.events).encode(),
        "tags and descriptions": str(
            [*signing.aws.secrets.get_paginator("list_secrets").paginate()]
        ).encode(),
        **dict(_logs(signing)),
        **{
            str(path): path.read_bytes()
            for path in (ROOT / ".aws-sam/build").rglob("*")
            if path.is_file()
        },
    }
    assert len(in_secrets) > 2 * len(SIGNERS)
    assert b'"okta"' in places["/aws/lambda/signing"]
    found = [
        place
        for place, content in places.items()
        for each in hidden
        if each in content.replace(b"\\n", b"").replace(b"\n", b"")
    ]
    assert found == []
    # A certificate's key is a stored secret: in its account's own, and nowhere else.
    for account, pem in signing.private_keys.items():
        body = "".join(pem.splitlines()[1:-1]).encode()
        joined = (
            (place, content.replace(b"\\n", b"").replace(b"\n", b""))
            for place, content in places.items()
        )
        owned = {place.partition(":")[0] for place, content in joined if body in content}
        assert owned == {f"{PREFIX}/credentials/{account}"}


def _secret_values(signing: Signing) -> Iterator[tuple[str, bytes]]:
    """Every version of every secret, by its name and version id."""
    secrets = signing.aws.secrets
    for page in secrets.get_paginator("list_secrets").paginate():
        for name in (each["Name"] for each in page["SecretList"]):
            for version in secrets.describe_secret(SecretId=name).get("VersionIdsToStages", {}):
                value = secrets.get_secret_value(SecretId=name, VersionId=version)
                yield f"{name}:{version}", value["SecretString"].encode()


def _logs(signing: Signing) -> Iterator[tuple[str, bytes]]:
    logs = signing.aws.cloud.client("logs")
    for group in logs.describe_log_groups()["logGroups"]:
        name = group["logGroupName"]
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=name)
        lines = [each["message"] for page in pages for each in page["events"]]
        yield name, "\n".join(lines).encode()
