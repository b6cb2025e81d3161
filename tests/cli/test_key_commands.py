"""The keys that accounts sign with: KMS makes one, takes one in, and shows its public half.

What is signed is what the function signs with, and a JOSE library verifies it.
"""

from __future__ import annotations

import base64
import json
import os
import shlex
import signal
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pytest
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc.jwk import ECKey, KeySet, RSAKey

from tests.cli.key_files import EMAIL, PASSPHRASE, pieces_of, service_account, signed, verifies
from tests.cli.operator import pasted
from tests.cli.relay import LOST, Instead
from token_refresher_cli.kms_keys import Role, aliases_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from local.embedded_cloud import EmbeddedCloud
    from tests.cli.operator import Operator
    from tests.cli.relay import Relay
    from tests.cli.terminal import Shell

Kms: TypeAlias = Any  # there are no stubs of it here

PEM: Final = serialization.Encoding.PEM
PKCS1: Final = serialization.PrivateFormat.TraditionalOpenSSL
PKCS8: Final = serialization.PrivateFormat.PKCS8
OPEN: Final = serialization.NoEncryption()
LOCKED: Final = serialization.BestAvailableEncryption(PASSPHRASE.encode())
RSA_KEY: Final = rsa.generate_private_key(65537, 2048)
EC_KEY: Final = ec.generate_private_key(ec.SECP256R1())
DENIED: Final = Instead(400, b'{"__type": "AccessDeniedException"}')
NOT_FOUND: Final = Instead(400, b'{"__type": "NotFoundException"}')
ALIAS: Final = "alias/oauth/dealer-17"


@pytest.fixture
def kms(cloud: EmbeddedCloud) -> Kms:
    """The owner's way to KMS, past any command."""
    return cloud.client("kms")


@pytest.fixture
def google(tmp_path: Path) -> Path:
    """A service account's file, as Google hands it out."""
    file = tmp_path / "reports.json"
    file.write_text(service_account(RSA_KEY))
    return file


@pytest.fixture
def _nothing_of_a_key_is_shown(operator: Operator) -> Iterator[None]:
    yield
    told = "\n".join(operator.printed)
    for key in (RSA_KEY, EC_KEY):
        assert not [piece for piece in pieces_of(key) if piece in told]
    assert PASSPHRASE not in told


pytestmark = pytest.mark.usefixtures("_nothing_of_a_key_is_shown")


def keys_in(kms: Kms) -> dict[str, str]:
    """All keys by their ids, with their states."""
    found = [each["KeyId"] for each in kms.list_keys()["Keys"]]
    described = [kms.describe_key(KeyId=each)["KeyMetadata"] for each in found]
    return {each["KeyId"]: each["KeyState"] for each in described}


def jwks_of(printed: str) -> KeySet:
    """Read what is pasted at a provider."""
    return KeySet.import_key_set(json.loads(printed))


@pytest.mark.parametrize(
    ("options", "alg", "spec"),
    [
        ("", "RS256", "RSA_2048"),
        ("--alg PS256 --bits 3072", "PS256", "RSA_3072"),
        ("--alg ES256", "ES256", "ECC_NIST_P256"),
    ],
)
def test_what_an_account_signs_is_verified_by_what_create_has_shown(
    operator: Operator,
    kms: Kms,
    options: str,
    alg: str,
    spec: str,
) -> None:
    shown = operator.run(f"key create dealer-17 {options}")
    assert shown.exit_code == 0
    [key] = jwks_of(shown.stdout).keys
    assert (key.alg, key.get("use"), key.kid) == (alg, "sig", key.thumbprint())
    assert verifies(signed("dealer-17", alg), key)
    assert jwks_of(operator.says("key jwks dealer-17")).as_dict() == json.loads(shown.stdout)
    described = kms.describe_key(KeyId=ALIAS)["KeyMetadata"]
    assert (described["KeySpec"], described["KeyUsage"]) == (spec, "SIGN_VERIFY")
    assert described["Description"] == "Signs for the Token Refresher's account dealer-17"
    tags = kms.list_resource_tags(KeyId=described["KeyId"])["Tags"]
    assert {each["TagKey"]: each["TagValue"] for each in tags} == {
        "token-refresher:account": "dealer-17",
        "token-refresher:prefix": "oauth",
        "token-refresher:alg": alg,
    }


def test_create_says_the_next_command_whether_or_not_the_account_is_there(
    operator: Operator,
) -> None:
    operator.add("dealer-17")
    *_, certificate, there = pasted(operator.run("key create dealer-17").stderr)
    assert certificate[1:6] == ["key", "jwks", "dealer-17", "--format", "certificate"]
    assert there[1:3] == ["refresh", "dealer-17"]
    created = operator.run("key create new --alg ES256")
    *_, add = pasted(created.stderr)
    [key] = jwks_of(created.stdout).keys
    assert add[1:9] == [
        *("add", "new", "--token-endpoint-auth-method", "private_key_jwt"),
        *("--assertion", f"kid={key.kid}", "--assertion", "alg=ES256"),
    ]


def test_a_second_create_makes_nothing_and_shows_the_key_that_is_there(
    operator: Operator,
    kms: Kms,
) -> None:
    first = operator.says("key create dealer-17")
    again = operator.run("key create dealer-17 --alg ES256")
    assert (again.exit_code, again.stdout) == (3, first)
    assert "dealer-17 has a signing key already" in again.stderr
    assert pasted(again.stderr)[-1][1:4] == ["key", "rotate", "dealer-17"]
    assert len(keys_in(kms)) == 1


@pytest.mark.parametrize("command", ["create", "jwks", "rotate", "import --pem nothing.pem"])
@pytest.mark.parametrize("name", ["dealer.17", "clients/dealer-17", "d" * 250])
def test_a_name_that_no_alias_can_hold_is_refused_and_never_changed(
    operator: Operator,
    kms: Kms,
    name: str,
    command: str,
) -> None:
    verb, _, flags = command.partition(" ")
    refused = operator.run(f"key {verb} {name} {flags}")
    assert refused.exit_code == 3
    assert f"{name}: an account that signs has a name" in refused.stderr
    assert "two accounts must never have one key" in refused.stderr
    assert keys_in(kms) == {}


def test_a_key_that_gets_no_alias_is_to_be_deleted_and_told(
    operator: Operator,
    relay: Relay,
    kms: Kms,
) -> None:
    relay.illness = lambda operation: DENIED if operation == "CreateAlias" else None
    with operator.by_way_of(relay):
        failed = operator.run("key create dealer-17")
    [(key, state)] = keys_in(kms).items()
    assert (failed.exit_code, state) == (3, "PendingDeletion")
    assert f"made the KMS key {key}" in failed.stderr
    assert f"may not kms:CreateAlias on {ALIAS}" in failed.stderr
    assert f"The KMS key {key} is to be deleted on " in failed.stderr
    assert "no alias: a run was cut short" not in operator.run("key create dealer-17").stderr


def test_a_key_that_cannot_even_be_deleted_is_told_then_and_by_the_next_run(
    operator: Operator,
    relay: Relay,
    kms: Kms,
) -> None:
    ill = {"CreateAlias", "ScheduleKeyDeletion"}
    relay.illness = lambda operation: DENIED if operation in ill else None
    with operator.by_way_of(relay):
        failed = operator.run("key create dealer-17")
    [(key, state)] = keys_in(kms).items()
    delete = ["aws", "kms", "schedule-key-deletion", "--key-id", key]
    assert (failed.exit_code, state) == (1, "Enabled")
    assert f"The KMS key {key} was made, and costs." in failed.stderr
    assert pasted(failed.stderr)[-1][:5] == delete
    after = operator.run("key create dealer-17")
    assert after.exit_code == 3
    assert f"The KMS key {key} was made for dealer-17 on " in after.stderr
    # Where KMS has not told of its tags yet, another is made.
    relay.illness = lambda operation: DENIED if operation == "GetResources" else None
    with operator.by_way_of(relay):
        assert operator.run("key create dealer-17").exit_code == 0
    for command in ("create", "jwks", "rotate"):
        assert pasted(operator.run(f"key {command} dealer-17").stderr)
        assert f"{key} was made for" in operator.printed[-1]
    # Of another account nothing is said.
    assert key not in operator.run("key create dealer-18").stderr


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_key_that_has_lost_its_alias_is_replaced_by_no_other_unasked(
    operator: Operator, kms: Kms, *, is_kept: bool
) -> None:
    [known] = jwks_of(operator.says("key create dealer-17")).keys
    [key] = keys_in(kms)
    kms.delete_alias(AliasName=ALIAS)
    refused = operator.run("key create dealer-17")
    assert refused.exit_code == 3
    assert f"its kid is {known.kid}." in refused.stderr
    assert "cut short" not in refused.stderr
    assert keys_in(kms) == {key: "Enabled"}
    back, delete = pasted(refused.stderr)
    assert back[2:7] == ["create-alias", "--alias-name", ALIAS, "--target-key-id", key]
    assert delete[2:5] == ["schedule-key-deletion", "--key-id", key]
    if is_kept:
        kms.create_alias(AliasName=back[4], TargetKeyId=back[6])
        assert verifies(signed("dealer-17", "RS256"), known)
    else:
        kms.schedule_key_deletion(KeyId=delete[4])
        [other] = jwks_of(operator.says("key create dealer-17")).keys
        assert other.kid != known.kid


@pytest.mark.parametrize("stored", ["another", None])
def test_credentials_that_name_another_key_than_the_new_one_are_told(
    operator: Operator, stored: str | None
) -> None:
    said = {"assertion": {"kid": stored}} if stored else {}
    content = operator.document(
        "dealer-17", client_secret=None, token_endpoint_auth_method="private_key_jwt", **said
    )
    operator.secrets.create_secret(Name="oauth/credentials/dealer-17", SecretString=content)
    created = operator.run("key create dealer-17")
    [key] = jwks_of(created.stdout).keys
    told = [each[1:5] for each in pasted(created.stderr)]
    assert (["correct", "dealer-17", "--assertion", f"kid={key.kid}"] in told) is bool(stored)


def test_credentials_that_cannot_be_read_are_no_hindrance_to_a_key(
    operator: Operator, kms: Kms
) -> None:
    operator.secrets.create_secret(Name="oauth/credentials/dealer-17", SecretString="no JSON")
    assert operator.run("key create dealer-17").exit_code == 0
    assert list(keys_in(kms).values()) == ["Enabled"]


def test_a_run_that_is_killed_has_shown_the_key_that_it_left(
    operator: Operator,
    relay: Relay,
    kms: Kms,
) -> None:
    relay.illness = lambda operation: None if operation in {"CreateKey", "DescribeKey"} else DENIED
    with operator.by_way_of(relay):
        killed = operator.run("key create dealer-17")
    [key] = keys_in(kms)
    assert killed.stderr.splitlines()[0] == f"made the KMS key {key}"


def test_an_alias_whose_making_was_not_answered_keeps_its_key(
    operator: Operator,
    relay: Relay,
    kms: Kms,
) -> None:
    def ill(operation: str) -> Instead | None:
        if operation != "CreateAlias":
            return None
        [key] = keys_in(kms)
        if not kms.list_aliases()["Aliases"]:
            kms.create_alias(AliasName=ALIAS, TargetKeyId=key)
        return Instead(400, b'{"__type": "AlreadyExistsException"}')

    relay.illness = ill
    with operator.by_way_of(relay):
        made = operator.run("key create dealer-17")
    assert made.exit_code == 0
    assert list(keys_in(kms).values()) == ["Enabled"]
    assert verifies(signed("dealer-17", "RS256"), jwks_of(made.stdout).keys[0])


def test_a_key_is_asked_for_once_and_what_was_not_answered_may_be_there(
    operator: Operator, relay: Relay
) -> None:
    relay.illness = lambda operation: LOST if operation == "CreateKey" else None
    with operator.by_way_of(relay):
        lost = operator.run("key create dealer-17")
    assert lost.exit_code == 1
    assert "it may have made a key all the same" in lost.stderr
    assert relay.calls.count("CreateKey") == 1


def test_ctrl_c_does_not_come_between_a_key_and_its_alias(
    operator: Operator,
    relay: Relay,
    kms: Kms,
) -> None:
    def ill(operation: str) -> None:
        if operation == "GetPublicKey":
            os.kill(os.getpid(), signal.SIGINT)

    relay.illness = ill
    with operator.by_way_of(relay):
        interrupted = operator.run("key create dealer-17")
    assert interrupted.exit_code == 130
    assert f"created {ALIAS}" in interrupted.stderr
    assert kms.describe_key(KeyId=ALIAS)["KeyMetadata"]["KeyState"] == "Enabled"


def test_a_key_that_kms_does_not_find_at_once_is_looked_for_again(
    operator: Operator, relay: Relay
) -> None:
    answers = [NOT_FOUND, NOT_FOUND]

    def ill(operation: str) -> Instead | None:
        return answers.pop() if operation == "GetPublicKey" and answers else None

    relay.illness = ill
    with operator.by_way_of(relay):
        assert operator.run("key create dealer-17").exit_code == 0
    assert relay.calls.count("GetPublicKey") == 3


def test_a_key_that_kms_never_finds_is_to_be_deleted(
    operator: Operator, relay: Relay, kms: Kms
) -> None:
    relay.illness = lambda operation: NOT_FOUND if operation == "GetPublicKey" else None
    with operator.by_way_of(relay):
        failed = operator.run("key create dealer-17")
    assert failed.exit_code == 3
    assert "kms:GetPublicKey failed" in failed.stderr
    assert list(keys_in(kms).values()) == ["PendingDeletion"]


# Keys that were made elsewhere.


def test_a_service_account_signs_by_its_own_key_and_its_add_command_is_told(
    operator: Operator, google: Path
) -> None:
    imported = operator.run(f"key import reports --pem {google}")
    assert (imported.exit_code, imported.stdout) == (0, "")
    assert "created alias/oauth/reports" in imported.stderr
    [add] = pasted(imported.stderr)
    assert add[1:9] == [
        *("add", "reports", "--provider", "google-service-account", "--client-id", EMAIL),
        *("--assertion", "kid=0123456789abcdef"),
    ]
    assert f"Delete the file: rm {shlex.quote(str(google))}" in imported.stderr
    assert google.exists()
    original = RSAKey.import_key(RSA_KEY.public_key())
    assert verifies(signed("reports", "RS256"), original)


@pytest.mark.parametrize(
    ("key", "form", "name", "told", "alg"),
    [
        pytest.param(
            *(RSA_KEY, PKCS1, "app.2026-11-30.private-key.pem"),
            *(["--provider", "github-app"], "RS256"),
            id="a GitHub App's",
        ),
        pytest.param(EC_KEY, PKCS1, "ec.pem", ["--assertion", "alg=ES256"], "ES256", id="SEC 1"),
    ],
)
def test_what_an_imported_key_signs_is_verified_by_the_original(
    operator: Operator,
    tmp_path: Path,
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    form: serialization.PrivateFormat,
    name: str,
    told: list[str],
    alg: str,
) -> None:
    (tmp_path / name).write_bytes(key.private_bytes(PEM, form, OPEN))
    imported = operator.run(f"key import dealer-17 --pem {tmp_path / name}")
    add, *others = pasted(imported.stderr)
    assert add[1:5] == ["add", "dealer-17", *told]
    # A provider whose entry is known says by itself how its clients sign.
    by_key = ["add", "dealer-17", "--token-endpoint-auth-method", "private_key_jwt"]
    assert [each[1:5] for each in others] == ([] if "--provider" in told else [by_key])
    public: Any = key.public_key()
    original = (ECKey if alg == "ES256" else RSAKey).import_key(public)
    assert verifies(signed("dealer-17", alg), original)


def test_an_imported_rsa_key_signs_by_what_is_asked_for(operator: Operator, google: Path) -> None:
    imported = operator.run(f"key import reports --alg PS256 --pem {google}")
    assert pasted(imported.stderr)[0][9:11] == ["--assertion", "alg=PS256"]
    [key] = jwks_of(operator.says("key jwks reports")).keys
    assert key.alg == "PS256"
    assert verifies(signed("reports", "PS256"), key)


def test_a_key_that_does_not_sign_by_what_is_asked_for_is_not_imported(
    operator: Operator,
    google: Path,
    kms: Kms,
) -> None:
    refused = operator.run(f"key import reports --alg ES256 --pem {google}")
    assert refused.exit_code == 3
    assert "holds an RSA key, which does not sign by ES256" in refused.stderr
    assert keys_in(kms) == {}


def test_what_is_no_key_is_refused_before_anything_is_made(
    operator: Operator,
    tmp_path: Path,
    kms: Kms,
) -> None:
    file = tmp_path / "certificate.pem"
    file.write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    refused = operator.run(f"key import dealer-17 --pem {file}")
    assert refused.exit_code == 3
    assert f"{file} is a certificate, and the private key is in another file." in refused.stderr
    assert keys_in(kms) == {}


@pytest.mark.parametrize(
    "operation",
    [
        "GetParametersForImport",
        "ImportKeyMaterial",
        "GetPublicKey",
        "ListResourceTags",
        "CreateAlias",
    ],
)
def test_an_import_that_fails_on_its_way_leaves_nothing_that_costs(
    operator: Operator,
    relay: Relay,
    google: Path,
    kms: Kms,
    operation: str,
) -> None:
    relay.illness = lambda called: DENIED if called == operation else None
    with operator.by_way_of(relay):
        failed = operator.run(f"key import reports --pem {google}")
    [(key, state)] = keys_in(kms).items()
    assert (failed.exit_code, state) == (3, "PendingDeletion")
    assert f"may not kms:{operation}" in failed.stderr
    assert f"The KMS key {key} is to be deleted on " in failed.stderr
    assert "rm " not in failed.stderr
    assert operator.run(f"key import reports --pem {google}").exit_code == 0


def test_a_key_that_waits_for_its_material_gets_it_and_no_other_is_made(
    operator: Operator,
    google: Path,
    kms: Kms,
) -> None:
    operator.run(f"key import reports --pem {google}")
    [key] = keys_in(kms)
    kms.delete_imported_key_material(KeyId=key)
    waiting = operator.run("key jwks reports")
    assert waiting.exit_code == 3
    assert "The KMS key alias/oauth/reports waits for its material." in waiting.stderr
    imported = operator.run(f"key import reports --pem {google}")
    assert imported.exit_code == 0
    assert keys_in(kms) == {key: "Enabled"}
    assert verifies(signed("reports", "RS256"), RSAKey.import_key(RSA_KEY.public_key()))


def test_a_key_that_waits_for_another_is_told_so(
    operator: Operator, google: Path, tmp_path: Path, kms: Kms
) -> None:
    operator.run(f"key import reports --pem {google}")
    [key] = keys_in(kms)
    kms.delete_imported_key_material(KeyId=key)
    other = tmp_path / "other.pem"
    other.write_bytes(EC_KEY.private_bytes(PEM, PKCS8, OPEN))
    refused = operator.run(f"key import reports --pem {other}")
    assert refused.exit_code == 3
    assert f"KMS does not take this key into {key}." in refused.stderr
    assert keys_in(kms) == {key: "PendingImport"}


def test_an_import_that_was_done_says_again_what_makes_use_of_it(
    operator: Operator, google: Path, kms: Kms
) -> None:
    first, again = (operator.run(f"key import reports --pem {google}") for _ in range(2))
    assert again.exit_code == 0
    assert "alias/oauth/reports is that key already" in again.stderr
    assert pasted(again.stderr) == pasted(first.stderr)
    assert len(keys_in(kms)) == 1


def test_a_key_that_kms_holds_otherwise_is_to_be_deleted(
    operator: Operator, relay: Relay, google: Path, kms: Kms
) -> None:
    other = base64.b64encode(
        EC_KEY.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    ).decode()
    told = Instead(200, json.dumps({"PublicKey": other}).encode())
    relay.illness = lambda operation: told if operation == "GetPublicKey" else None
    with operator.by_way_of(relay):
        failed = operator.run(f"key import reports --pem {google}")
    assert failed.exit_code == 3
    assert "KMS holds another key than the file's." in failed.stderr
    assert list(keys_in(kms).values()) == ["PendingDeletion"]


def test_an_account_that_has_a_key_imports_no_other_but_as_the_next(
    operator: Operator, google: Path, tmp_path: Path, kms: Kms
) -> None:
    early = operator.run(f"key import reports --next --pem {google}")
    assert "There is no KMS key alias/oauth/reports." in early.stderr
    operator.says("key create reports")
    refused = operator.run(f"key import reports --pem {google}")
    assert refused.exit_code == 3
    assert len(keys_in(kms)) == 1
    taken = operator.run(f"key import reports --next --pem {google}")
    assert pasted(taken.stderr)[0][1:7] == [
        *("key", "rotate", "reports", "--switch", "--kid", "0123456789abcdef"),
    ]
    other = tmp_path / "other.pem"
    other.write_bytes(EC_KEY.private_bytes(PEM, PKCS8, OPEN))
    again = operator.run(f"key import reports --next --pem {other}")
    assert "reports has a next signing key already" in again.stderr
    assert pasted(again.stderr)[-1][4] == "--switch"
    assert len(keys_in(kms)) == 2


def test_an_account_that_is_there_is_corrected(operator: Operator, google: Path) -> None:
    operator.add("reports")
    [correct] = pasted(operator.run(f"key import reports --pem {google}").stderr)
    assert correct[1:3] == ["correct", "reports"]


def test_a_passphrase_is_asked_for_and_not_shown(
    shell: Shell, operator: Operator, tmp_path: Path
) -> None:
    file = tmp_path / "locked.pem"
    file.write_bytes(RSA_KEY.private_bytes(PEM, PKCS8, LOCKED))
    piped = shell.run("key", "import", "dealer-17", "--pem", str(file))
    assert piped.returncode == 3
    assert "there is nobody to ask for its passphrase" in piped.stderr
    for passphrase, said in (("made-up-wrong", "That is not the passphrase"), (PASSPHRASE, "rm ")):
        with shell.open("key", "import", "dealer-17", "--pem", str(file)) as terminal:
            terminal.expect("passphrase of the file (hidden): ")
            terminal.enter(passphrase)
            terminal.expect(said)
            terminal.finish()
    operator.printed += shell.shown
    assert "made-up-wrong" not in "".join(shell.shown)
    assert verifies(signed("dealer-17", "RS256"), RSAKey.import_key(RSA_KEY.public_key()))


# What is shown.


def test_a_certificate_is_the_same_each_time_with_its_digests_beside_it(
    operator: Operator,
) -> None:
    operator.says("key create dealer-17")
    first, again = (operator.run("key jwks dealer-17 --format certificate") for _ in range(2))
    assert (first.exit_code, first.output) == (0, again.output)
    read = x509.load_pem_x509_certificate(first.stdout.encode())
    read.verify_directly_issued_by(read)
    [told] = operator.tells("key jwks dealer-17 --format certificate")["keys"]
    assert told["certificate"] == first.stdout
    for name in ("kid", "x5t", "x5t#S256"):
        assert f"{name} {told[name]}" in first.stderr
    assert told["valid_until"] == f"{read.not_valid_after_utc:%Y-%m-%d}"
    [shorter] = operator.tells("key jwks dealer-17 --format certificate --days 30")["keys"]
    assert shorter["x5t#S256"] != told["x5t#S256"]


def test_an_ec_keys_certificate_says_that_the_next_one_differs(operator: Operator) -> None:
    operator.says("key create dealer-17 --alg ES256")
    shown = operator.run("key jwks dealer-17 --format certificate")
    read = x509.load_pem_x509_certificate(shown.stdout.encode())
    read.verify_directly_issued_by(read)
    assert "An EC key signs another one each time" in shown.stderr


def test_the_pem_is_the_public_key_alone(operator: Operator) -> None:
    [key] = jwks_of(operator.says("key create dealer-17")).keys
    shown = operator.says("key jwks dealer-17 --format pem")
    assert RSAKey.import_key(shown).thumbprint() == key.kid
    [told] = operator.tells("key jwks dealer-17")["keys"]
    assert (told["pem"], told["role"], told["spec"]) == (shown, "current", "RSA_2048")
    assert "certificate" not in told


def test_an_account_without_a_key_is_told_how_to_make_one(operator: Operator) -> None:
    for command in ("jwks", "rotate", "rotate --switch", "rotate --finish"):
        verb, _, flags = command.partition(" ")
        refused = operator.run(f"key {verb} dealer-17 {flags}")
        assert refused.exit_code == 3
        assert [each[1:4] for each in pasted(refused.stderr)] == [["key", "create", "dealer-17"]]
        assert "There is no account dealer-17 under oauth/ in eu-west-1." in refused.stderr


def test_no_key_is_made_for_a_name_that_was_mistyped(operator: Operator) -> None:
    operator.add("dealer-17")
    refused = operator.run("key rotate dealer-71").stderr
    assert "There is no account dealer-71 under oauth/ in eu-west-1. Did you mean" in refused
    assert pasted(refused) == []


def test_no_key_is_made_for_an_account_that_signs_nothing(operator: Operator) -> None:
    operator.add("dealer-17")
    refused = operator.run("key jwks dealer-17").stderr
    assert "dealer-17 needs none: its credentials sign nothing by KMS." in refused
    assert [each[1:3] for each in pasted(refused)] == [["check", "dealer-17"]]


def test_a_key_that_does_not_sign_is_told_with_the_command_that_helps(
    operator: Operator,
    kms: Kms,
) -> None:
    operator.says("key create dealer-17")
    [key] = keys_in(kms)
    kms.disable_key(KeyId=key)
    disabled = operator.run("key jwks dealer-17")
    assert (disabled.exit_code, pasted(disabled.stderr)[0][:3]) == (3, ["aws", "kms", "enable-key"])
    kms.schedule_key_deletion(KeyId=key)
    for command in ("jwks dealer-17", "create dealer-17"):
        doomed = operator.run(f"key {command}")
        assert doomed.exit_code == 3
        assert pasted(doomed.stderr)[0][:3] == ["aws", "kms", "cancel-key-deletion"]


@pytest.mark.parametrize("spec", ["SYMMETRIC_DEFAULT", "RSA_2048"])
def test_a_key_of_another_kind_under_the_alias_is_named(
    operator: Operator,
    kms: Kms,
    spec: str,
) -> None:
    key = kms.create_key(KeySpec=spec, KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName=ALIAS, TargetKeyId=key)
    for command in ("create", "jwks", "rotate"):
        refused = operator.run(f"key {command} dealer-17")
        assert refused.exit_code == 3
        assert f"is a key of the kind {spec} for ENCRYPT_DECRYPT, which signs no" in refused.stderr
        assert pasted(refused.stderr) == [
            ["aws", "kms", "delete-alias", "--alias-name", ALIAS, "--region", "eu-west-1"]
        ]


def test_one_that_is_not_there_is_not_shown(operator: Operator) -> None:
    operator.says("key create dealer-17")
    refused = operator.run("key jwks dealer-17 --only previous")
    assert refused.exit_code == 3
    assert "dealer-17 has no previous key." in refused.stderr


def test_the_function_signs_with_no_key_but_the_current_one(
    operator: Operator,
    kms: Kms,
) -> None:
    operator.says("key create dealer-17")
    operator.says("key rotate dealer-17")
    aliases = aliases_of("oauth", "dealer-17")
    assert {each["AliasName"] for each in kms.list_aliases()["Aliases"]} == {
        aliases[Role.CURRENT],
        aliases[Role.NEXT],
    }
    # An account's alias has a slash behind its prefix, whatever both are.
    assert [role for role, alias in aliases.items() if alias.count("/") > 1] == [Role.CURRENT]
    # As a mark of its own kind would be, which is why they have a digest.
    key = next(iter(keys_in(kms)))
    with pytest.raises(ClientError, match="ValidationException"):
        kms.create_alias(AliasName="alias/oauth:next/dealer-17", TargetKeyId=key)


def test_other_commands_do_not_wait_for_the_library_of_keys(shell: Shell) -> None:
    source = "import sys, token_refresher_cli.app; print('cryptography' in sys.modules)"
    assert shell.python("-c", source).stdout == "False\n"
