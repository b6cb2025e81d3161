"""The embedded cloud's KMS signs, and refuses, as AWS documents it.

Read in the AWS KMS Developer Guide ("AWS KMS condition keys", "Controlling access to aliases",
"About aliases", "Key states of AWS KMS keys", "Key spec reference", "Importing key material") and
the AWS KMS API Reference (the errors of each operation). Where a test follows one of them alone,
its docstring names it.
"""

from __future__ import annotations

import hashlib
import os
from itertools import count
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from cryptography.hazmat.primitives import hashes, keywrap
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
)

from local.embedded_cloud import REGION, EmbeddedCloud
from tests.integration.test_emulator_iam import ACCOUNT, allow, create_role, denial

if TYPE_CHECKING:
    from collections.abc import Callable

KMS: TypeAlias = Any  # a client; it has no stubs here

MESSAGE = b"what is signed"
DIGEST = hashlib.sha256(MESSAGE).digest()
PREHASHED = Prehashed(hashes.SHA256())
ALIAS = "alias/oauth/credentials/a"
OF_B = "alias/oauth/credentials/b"
ALIAS_ARN = f"arn:aws:kms:{REGION}:{ACCOUNT}:{ALIAS}"
ANY_KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/*"
DENIED = "AccessDeniedException"


@pytest.fixture
def cloud(enforcing_cloud: EmbeddedCloud) -> EmbeddedCloud:
    enforcing_cloud.reset()
    return enforcing_cloud


@pytest.fixture
def owner(cloud: EmbeddedCloud) -> KMS:
    """The account's root, who may do everything."""
    return cloud.client("kms")


@pytest.fixture
def permitted(cloud: EmbeddedCloud) -> Callable[..., KMS]:
    """A client of KMS that may do what its statements say."""
    number = count()

    def client(*statements: dict[str, Any]) -> KMS:
        role = create_role(cloud, *statements, name=f"r{next(number)}")
        return cloud.client("kms", credentials=cloud.assume(role))

    return client


def signing_key(owner: KMS, alias: str | None = None, *, spec: str = "RSA_2048") -> str:
    """Create a key that signs, and return its ARN."""
    made = owner.create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    if alias is not None:
        owner.create_alias(AliasName=alias, TargetKeyId=made["KeyId"])
    arn: str = made["Arn"]
    return arn


def sign(client: KMS, key: str, **changed: str | bytes) -> bytes:
    request = {
        "KeyId": key,
        "Message": DIGEST,
        "MessageType": "DIGEST",
        "SigningAlgorithm": "RSASSA_PKCS1_V1_5_SHA_256",
    }
    signature: bytes = client.sign(**{**request, **changed})["Signature"]
    return signature


def when(operator: str, **values: str) -> dict[str, Any]:
    """Return a permission to sign under a condition on keys of KMS."""
    told = {f"kms:{key}": value for key, value in values.items()}
    return {**allow("kms:Sign", on=ANY_KEY), "Condition": {operator: told}}


def public_key(client: KMS, key: str) -> KMS:
    return load_der_public_key(client.get_public_key(KeyId=key)["PublicKey"])


def test_rs256_is_verified_by_the_public_key(owner: KMS) -> None:
    key = signing_key(owner, ALIAS)
    signature = sign(owner, ALIAS)
    public_key(owner, key).verify(signature, DIGEST, padding.PKCS1v15(), PREHASHED)


def test_ps256_has_a_salt_as_long_as_the_digest(owner: KMS) -> None:
    """Guide, "Key spec reference": the salt is as long as the hash, as RFC 7518 wants it."""
    key = signing_key(owner)
    signature = sign(owner, key, SigningAlgorithm="RSASSA_PSS_SHA_256")
    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
    public_key(owner, key).verify(signature, DIGEST, pss, PREHASHED)


def test_es256_is_a_der_sequence(owner: KMS) -> None:
    """API Reference, Sign: ECDSA signatures are DER, as ANSI X9.62 and RFC 3279 have them."""
    key = signing_key(owner, spec="ECC_NIST_P256")
    signature = sign(owner, key, SigningAlgorithm="ECDSA_SHA_256")
    assert signature[0] == 0x30
    public_key(owner, key).verify(signature, DIGEST, ec.ECDSA(PREHASHED))


def test_a_message_is_hashed_and_a_digest_is_not(owner: KMS) -> None:
    key = signing_key(owner)
    assert sign(owner, key, Message=MESSAGE, MessageType="RAW") == sign(owner, key)
    assert denial(lambda: sign(owner, key, Message=MESSAGE)) == "ValidationException"


@pytest.mark.parametrize(
    ("made_for", "algorithm"),
    [
        pytest.param(
            {"KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"}, "ECDSA_SHA_256", id="another type"
        ),
        pytest.param(
            {"KeySpec": "RSA_2048", "KeyUsage": "ENCRYPT_DECRYPT"},
            "RSASSA_PKCS1_V1_5_SHA_256",
            id="RSA that encrypts",
        ),
        pytest.param({}, "RSASSA_PKCS1_V1_5_SHA_256", id="symmetric"),
    ],
)
def test_a_key_signs_only_by_what_it_was_made_for(
    owner: KMS,
    made_for: dict[str, str],
    algorithm: str,
) -> None:
    """API Reference, Sign: InvalidKeyUsageException for a key's usage and for its spec."""
    key = owner.create_key(**made_for)["KeyMetadata"]["Arn"]
    assert denial(lambda: sign(owner, key, SigningAlgorithm=algorithm)) == (
        "InvalidKeyUsageException"
    )


def test_a_disabled_key_neither_signs_nor_shows_its_public_key(owner: KMS) -> None:
    key = signing_key(owner, ALIAS)
    owner.disable_key(KeyId=key)
    assert denial(lambda: sign(owner, ALIAS)) == "DisabledException"
    assert denial(lambda: owner.get_public_key(KeyId=ALIAS)) == "DisabledException"
    owner.enable_key(KeyId=key)
    assert sign(owner, ALIAS)


def test_a_key_that_waits_for_its_deletion_is_of_no_use(owner: KMS) -> None:
    """Guide, "Key states": all but its description, and an alias that is taken from it."""
    key = signing_key(owner, ALIAS)
    owner.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    assert owner.describe_key(KeyId=ALIAS)["KeyMetadata"]["KeyState"] == "PendingDeletion"
    for call in (
        lambda: sign(owner, ALIAS),
        lambda: owner.get_public_key(KeyId=key),
        lambda: owner.enable_key(KeyId=key),
        lambda: owner.disable_key(KeyId=key),
        lambda: owner.schedule_key_deletion(KeyId=key, PendingWindowInDays=7),
        lambda: owner.create_alias(AliasName=OF_B, TargetKeyId=key),
        lambda: owner.tag_resource(KeyId=key, Tags=[{"TagKey": "k", "TagValue": "v"}]),
    ):
        assert denial(call) == "KMSInvalidStateException"
    owner.update_alias(AliasName=ALIAS, TargetKeyId=signing_key(owner))
    assert sign(owner, ALIAS)


def test_a_deletion_can_be_cancelled_once(owner: KMS) -> None:
    """API Reference, CancelKeyDeletion: the key is Disabled afterwards."""
    key = signing_key(owner)
    owner.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    owner.cancel_key_deletion(KeyId=key)
    assert owner.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Disabled"
    assert denial(lambda: owner.cancel_key_deletion(KeyId=key)) == "KMSInvalidStateException"


def test_an_alias_that_is_nowhere_is_told_so_whoever_asks(
    owner: KMS,
    permitted: Callable[..., KMS],
) -> None:
    signer = permitted(when("StringLike", RequestAlias="alias/oauth/credentials/*"))
    for client in (owner, signer):
        assert denial(lambda client=client: sign(client, ALIAS)) == "NotFoundException"  # type: ignore[misc]


def test_an_alias_moves_and_goes(owner: KMS) -> None:
    old, new = signing_key(owner, ALIAS), signing_key(owner)
    owner.update_alias(AliasName=ALIAS, TargetKeyId=new)
    assert owner.describe_key(KeyId=ALIAS)["KeyMetadata"]["Arn"] == new
    assert not owner.list_aliases(KeyId=old)["Aliases"]
    assert [each["AliasName"] for each in owner.list_aliases(KeyId=new)["Aliases"]] == [ALIAS]
    owner.delete_alias(AliasName=ALIAS)
    assert denial(lambda: owner.describe_key(KeyId=ALIAS)) == "NotFoundException"
    assert denial(lambda: owner.delete_alias(AliasName=ALIAS)) == "NotFoundException"


def test_an_alias_is_made_once(owner: KMS) -> None:
    key = signing_key(owner, ALIAS)
    assert denial(lambda: owner.create_alias(AliasName=ALIAS, TargetKeyId=key)) == (
        "AlreadyExistsException"
    )


@pytest.mark.parametrize(
    ("name", "code"),
    [
        pytest.param("alias/oauth/credentials/a.b", "ValidationException", id="a dot"),
        pytest.param("alias/oauth/credentials/a@b", "ValidationException", id="an at sign"),
        pytest.param("alias/oauth/credentials:a", "ValidationException", id="a colon"),
        pytest.param("alias/" + 251 * "a", "ValidationException", id="257 characters"),
        pytest.param("alias/aws/a", "NotAuthorizedException", id="reserved"),
    ],
)
def test_not_every_name_can_be_an_alias(owner: KMS, name: str, code: str) -> None:
    """API Reference, CreateAlias: at most 256 letters, digits, slashes, underscores and dashes.

    Its pattern has a colon too, but AWS refuses one (terraform-provider-aws, issue 12891). The code
    for what is reserved is not told there.
    """
    key = signing_key(owner)
    assert denial(lambda: owner.create_alias(AliasName=name, TargetKeyId=key)) == code


def test_an_alias_leads_to_a_key_and_not_to_another_alias(owner: KMS) -> None:
    """API Reference, CreateAlias and UpdateAlias: TargetKeyId is the key's id or its ARN."""
    signing_key(owner, ALIAS)
    for name in (ALIAS, ALIAS_ARN):
        for call in (owner.create_alias, owner.update_alias):
            assert denial(lambda: call(AliasName=OF_B, TargetKeyId=name)) == (  # noqa: B023
                "ValidationException"
            )


@pytest.mark.parametrize(
    "made_for",
    [
        pytest.param({}, id="symmetric"),
        pytest.param({"KeySpec": "RSA_2048", "KeyUsage": "ENCRYPT_DECRYPT"}, id="another usage"),
    ],
)
def test_an_alias_moves_only_to_a_key_of_the_same_kind(
    owner: KMS,
    made_for: dict[str, str],
) -> None:
    """API Reference, UpdateAlias; by which code it is refused is not told there."""
    signing_key(owner, ALIAS)
    other = owner.create_key(**made_for)["KeyMetadata"]["KeyId"]
    assert denial(lambda: owner.update_alias(AliasName=ALIAS, TargetKeyId=other))


def test_an_alias_names_a_key_only_where_it_is_used(owner: KMS) -> None:
    """Guide, "About aliases": for cryptographic operations, DescribeKey and GetPublicKey."""
    signing_key(owner, ALIAS)
    assert owner.describe_key(KeyId=ALIAS_ARN)["KeyMetadata"]["KeyUsage"] == "SIGN_VERIFY"
    tags = [{"TagKey": "k", "TagValue": "v"}]
    for name in (ALIAS, ALIAS_ARN):
        for call in (
            lambda name=name: owner.schedule_key_deletion(KeyId=name),
            lambda name=name: owner.disable_key(KeyId=name),
            lambda name=name: owner.tag_resource(KeyId=name, Tags=tags),
            lambda name=name: owner.list_resource_tags(KeyId=name),
            lambda name=name: owner.get_parameters_for_import(
                KeyId=name,
                WrappingAlgorithm="RSA_AES_KEY_WRAP_SHA_256",
                WrappingKeySpec="RSA_4096",
            ),
        ):
            assert denial(call) == "NotFoundException"


def test_a_key_has_tags(owner: KMS) -> None:
    tag = {"TagKey": "token-refresher:account", "TagValue": "a"}
    key = owner.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY", Tags=[tag])["KeyMetadata"]
    assert owner.list_resource_tags(KeyId=key["KeyId"])["Tags"] == [tag]


# Importing key material.


def imported(owner: KMS, material: bytes, *, spec: str, wrapping: str) -> str:
    """Import a private key, wrapped as the guide tells ("Encrypt key material").

    An AES key of the moment wraps it (RFC 5649), and RSA-OAEP with SHA-256 the AES key.
    """
    made = owner.create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY", Origin="EXTERNAL")["KeyMetadata"]
    asked = owner.get_parameters_for_import(
        KeyId=made["KeyId"],
        WrappingAlgorithm="RSA_AES_KEY_WRAP_SHA_256",
        WrappingKeySpec=wrapping,
    )
    once = os.urandom(32)
    oaep = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
    by_rsa = load_der_public_key(asked["PublicKey"])
    assert isinstance(by_rsa, rsa.RSAPublicKey)
    owner.import_key_material(
        KeyId=made["KeyId"],
        ImportToken=asked["ImportToken"],
        EncryptedKeyMaterial=by_rsa.encrypt(once, oaep)
        + keywrap.aes_key_wrap_with_padding(once, material),
        ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE",
    )
    arn: str = made["Arn"]
    return arn


def der(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize("wrapping", ["RSA_3072", "RSA_4096"])
def test_an_imported_key_signs_as_itself(owner: KMS, wrapping: str) -> None:
    material = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    key = imported(owner, der(material), spec="RSA_2048", wrapping=wrapping)
    theirs = material.public_key()
    theirs.verify(sign(owner, key), DIGEST, padding.PKCS1v15(), PREHASHED)
    told = theirs.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert owner.get_public_key(KeyId=key)["PublicKey"] == told
    assert owner.describe_key(KeyId=key)["KeyMetadata"]["Origin"] == "EXTERNAL"


def test_an_imported_key_on_a_curve_signs_as_itself(owner: KMS) -> None:
    material = ec.generate_private_key(ec.SECP256R1())
    key = imported(owner, der(material), spec="ECC_NIST_P256", wrapping="RSA_3072")
    signature = sign(owner, key, SigningAlgorithm="ECDSA_SHA_256")
    material.public_key().verify(signature, DIGEST, ec.ECDSA(PREHASHED))


def test_material_must_be_of_the_key_s_kind(owner: KMS) -> None:
    material = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    assert denial(lambda: imported(owner, der(material), spec="RSA_2048", wrapping="RSA_3072")) == (
        "IncorrectKeyMaterialException"
    )


def test_a_key_that_waits_for_its_material_is_of_no_use(owner: KMS) -> None:
    made = owner.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY", Origin="EXTERNAL")
    key = made["KeyMetadata"]["Arn"]
    owner.create_alias(AliasName=ALIAS, TargetKeyId=key)
    for call in (
        lambda: sign(owner, ALIAS),
        lambda: owner.get_public_key(KeyId=key),
        lambda: owner.enable_key(KeyId=key),
    ):
        assert denial(call) == "KMSInvalidStateException"


# Who may. Most of it is told under "AWS KMS condition keys".


def test_without_a_permission_nobody_signs(
    owner: KMS,
    permitted: Callable[..., KMS],
) -> None:
    signing_key(owner, ALIAS)
    stranger = permitted(allow("secretsmanager:*"))
    for call in (
        lambda: sign(stranger, ALIAS),
        lambda: stranger.describe_key(KeyId=ALIAS),
        lambda: stranger.get_public_key(KeyId=ALIAS),
        stranger.create_key,
        stranger.list_keys,
        stranger.list_aliases,
    ):
        assert denial(call) == DENIED


def test_an_alias_in_a_policy_s_resource_is_no_key(
    owner: KMS,
    permitted: Callable[..., KMS],
) -> None:
    """Guide, "Use aliases to control access": it is about the alias, not about its key."""
    key = signing_key(owner, ALIAS)
    by_alias = permitted(allow("kms:Sign", on=ALIAS_ARN))
    assert denial(lambda: sign(by_alias, ALIAS)) == DENIED
    by_key = permitted(allow("kms:Sign", on=key))
    assert sign(by_key, ALIAS)
    assert sign(by_key, ALIAS_ARN)


def test_the_alias_in_the_request_decides(
    owner: KMS,
    permitted: Callable[..., KMS],
) -> None:
    """kms:RequestAlias: met by the alias or its ARN, and by no other name of the same key."""
    key = signing_key(owner, ALIAS)
    signing_key(owner, OF_B)
    signer = permitted(when("StringEquals", RequestAlias=ALIAS))
    assert sign(signer, ALIAS)
    assert sign(signer, ALIAS_ARN)
    for other in (key, key.rpartition("/")[2], OF_B):
        assert denial(lambda other=other: sign(signer, other)) == DENIED  # type: ignore[misc]


def test_a_pattern_of_aliases_leaves_out_all_others(
    owner: KMS,
    permitted: Callable[..., KMS],
) -> None:
    key = signing_key(owner, ALIAS)
    for other in ("alias/oauth/credentials-next/a", "alias/oauth/credential", "alias/a"):
        owner.create_alias(AliasName=other, TargetKeyId=key)
    signer = permitted(when("StringLike", RequestAlias="alias/oauth/credentials/*"))
    assert sign(signer, ALIAS)
    for other in ("alias/oauth/credentials-next/a", "alias/oauth/credential", "alias/a"):
        assert denial(lambda other=other: sign(signer, other)) == DENIED  # type: ignore[misc]


def test_the_alias_counts_for_the_public_key_and_the_description_too(
    owner: KMS,
    permitted: Callable[..., KMS],
) -> None:
    key = signing_key(owner, ALIAS)
    condition = {"StringEquals": {"kms:RequestAlias": ALIAS}}
    reader = permitted(
        {**allow("kms:DescribeKey", "kms:GetPublicKey", on=ANY_KEY), "Condition": condition}
    )
    assert reader.describe_key(KeyId=ALIAS)
    assert reader.get_public_key(KeyId=ALIAS)
    assert denial(lambda: reader.describe_key(KeyId=key)) == DENIED
    assert denial(lambda: reader.get_public_key(KeyId=key)) == DENIED


def test_the_aliases_of_the_key_decide_however_it_is_named(
    owner: KMS,
    permitted: Callable[..., KMS],
) -> None:
    """kms:ResourceAliases."""
    key = signing_key(owner, ALIAS)
    other = signing_key(owner)
    signer = permitted(when("ForAnyValue:StringEquals", ResourceAliases=ALIAS))
    assert sign(signer, ALIAS)
    assert sign(signer, key)
    assert denial(lambda: sign(signer, other)) == DENIED
    owner.create_alias(AliasName=OF_B, TargetKeyId=key)
    assert sign(signer, OF_B)
    alone = permitted(when("ForAllValues:StringEquals", ResourceAliases=ALIAS))
    assert denial(lambda: sign(alone, ALIAS)) == DENIED


def test_a_digest_may_be_demanded(
    owner: KMS,
    permitted: Callable[..., KMS],
) -> None:
    """kms:MessageType; a request that names none has RAW, the parameter's default."""
    signing_key(owner, ALIAS)
    request = {
        "KeyId": ALIAS,
        "Message": MESSAGE,
        "SigningAlgorithm": "RSASSA_PKCS1_V1_5_SHA_256",
    }
    digests = permitted(when("StringEquals", MessageType="DIGEST"))
    assert sign(digests, ALIAS)
    assert denial(lambda: digests.sign(**request)) == DENIED
    messages = permitted(when("StringEquals", MessageType="RAW"))
    assert messages.sign(**request)
    assert denial(lambda: sign(messages, ALIAS)) == DENIED


def test_an_algorithm_may_be_demanded(
    owner: KMS,
    permitted: Callable[..., KMS],
) -> None:
    """kms:SigningAlgorithm."""
    signing_key(owner, ALIAS)
    signer = permitted(when("StringLike", SigningAlgorithm="RSASSA_PSS*"))
    assert sign(signer, ALIAS, SigningAlgorithm="RSASSA_PSS_SHA_256")
    assert denial(lambda: sign(signer, ALIAS)) == DENIED


def test_a_key_s_own_policy_may_keep_iam_out(
    owner: KMS,
    permitted: Callable[..., KMS],
) -> None:
    """Guide, "Default key policy": it names the account, so IAM's policies decide."""
    key = signing_key(owner, ALIAS)
    signer = permitted(allow("kms:Sign", on=key))
    assert sign(signer, ALIAS)
    named = '{"Statement": [{"Effect": "Allow", "Principal": {"AWS": "%s"}, %s}]}'
    what = '"Action": "kms:*", "Resource": "*"'
    other = f"arn:aws:iam::{ACCOUNT}:role/another"
    owner.put_key_policy(KeyId=key, PolicyName="default", Policy=named % (other, what))
    assert denial(lambda: sign(signer, ALIAS)) == DENIED


def on(*arns: str) -> list[dict[str, Any]]:
    operations = ("kms:CreateAlias", "kms:UpdateAlias", "kms:DeleteAlias")
    return [allow(*operations, on=arn) for arn in arns]


def test_to_make_an_alias_needs_a_permission_on_it_and_on_its_key(
    owner: KMS,
    permitted: Callable[..., KMS],
) -> None:
    """Guide, "Controlling access to aliases", kms:CreateAlias and kms:DeleteAlias."""
    key = signing_key(owner)
    for statements in (on(ALIAS_ARN), on(key)):
        one = permitted(*statements)
        assert (
            denial(
                lambda one=one: one.create_alias(AliasName=ALIAS, TargetKeyId=key)  # type: ignore[misc]
            )
            == DENIED
        )
    both = permitted(*on(ALIAS_ARN, key))
    both.create_alias(AliasName=ALIAS, TargetKeyId=key)
    for statements in (on(ALIAS_ARN), on(key)):
        one = permitted(*statements)
        assert denial(lambda one=one: one.delete_alias(AliasName=ALIAS)) == DENIED  # type: ignore[misc]
    permitted(*on(ALIAS_ARN, key)).delete_alias(AliasName=ALIAS)


def test_to_move_an_alias_needs_a_permission_on_it_and_on_both_keys(
    owner: KMS,
    permitted: Callable[..., KMS],
) -> None:
    """Guide, "Controlling access to aliases", kms:UpdateAlias."""
    old, new = signing_key(owner, ALIAS), signing_key(owner)
    for too_few in ((ALIAS_ARN, old), (ALIAS_ARN, new), (old, new)):
        mover = permitted(*on(*too_few))
        assert (
            denial(
                lambda mover=mover: mover.update_alias(AliasName=ALIAS, TargetKeyId=new)  # type: ignore[misc]
            )
            == DENIED
        )
    permitted(*on(ALIAS_ARN, old, new)).update_alias(AliasName=ALIAS, TargetKeyId=new)
    assert owner.describe_key(KeyId=ALIAS)["KeyMetadata"]["Arn"] == new


def test_to_make_a_key_with_tags_needs_a_permission_to_tag(
    permitted: Callable[..., KMS],
) -> None:
    """API Reference, CreateKey, of its parameter Tags: kms:TagResource in an IAM policy."""
    tags = [{"TagKey": "token-refresher:account", "TagValue": "a"}]
    maker = permitted(allow("kms:CreateKey"))
    assert maker.create_key()
    assert denial(lambda: maker.create_key(Tags=tags)) == DENIED
    assert permitted(allow("kms:CreateKey"), allow("kms:TagResource", on=ANY_KEY)).create_key(
        Tags=tags
    )


def test_the_tags_of_a_request_and_of_a_key_may_decide(
    owner: KMS,
    permitted: Callable[..., KMS],
) -> None:
    """Guide, "Use tags to control access": aws:RequestTag, aws:ResourceTag."""
    ours = [{"TagKey": "project", "TagValue": "ours"}]
    theirs = [{"TagKey": "project", "TagValue": "theirs"}]
    key = signing_key(owner, ALIAS)
    tagger = permitted(allow("kms:TagResource", when={"aws:RequestTag/project": "ours"}))
    assert denial(lambda: tagger.tag_resource(KeyId=key, Tags=theirs)) == DENIED
    signer = permitted(allow("kms:Sign", when={"aws:ResourceTag/project": "ours"}))
    assert denial(lambda: sign(signer, ALIAS)) == DENIED
    owner.tag_resource(KeyId=key, Tags=ours)
    assert sign(signer, ALIAS)


def test_administration_is_authorised_on_the_key(
    owner: KMS,
    permitted: Callable[..., KMS],
) -> None:
    key, other = signing_key(owner), signing_key(owner)
    keeper = permitted(allow("kms:*", on=key))
    keeper.disable_key(KeyId=key)
    keeper.enable_key(KeyId=key)
    keeper.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    keeper.cancel_key_deletion(KeyId=key)
    for call in (
        lambda: keeper.disable_key(KeyId=other),
        lambda: keeper.enable_key(KeyId=other),
        lambda: keeper.schedule_key_deletion(KeyId=other, PendingWindowInDays=7),
        lambda: keeper.list_resource_tags(KeyId=other),
    ):
        assert denial(call) == DENIED
