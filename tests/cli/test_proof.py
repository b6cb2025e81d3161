"""Accounts that sign or show a certificate: what commands tell of their keys and certificates."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest
import trustme
from cryptography.hazmat.primitives import serialization as form
from joserfc.jwk import RSAKey

from tests.cli.deployed import STACK, Deployed
from tests.cli.relay import Instead
from tests.integration.test_emulator_iam import allow, create_role
from token_refresher.aws.signing import Signer
from token_refresher.credentials import JWT_BEARER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from local.clock import DrivenClock
    from local.embedded_cloud import EmbeddedCloud
    from tests.cli.operator import Operator
    from tests.cli.relay import Relay

NAME: Final = "dealer-17"
ALIAS: Final = f"alias/oauth/{NAME}"
DOCTOR: Final = f"doctor {NAME} --stack {STACK}"
AUDIENCE: Final = "api://AzureADTokenExchange"
SIGNS: Final[dict[str, Any]] = {
    "client_secret": None,
    "token_endpoint_auth_method": "private_key_jwt",
}
BY_STS: Final[dict[str, Any]] = {**SIGNS, "assertion": {"signer": "sts", "audience": AUDIENCE}}


def onboard(operator: Operator, name: str = NAME, **fields: Any) -> None:  # noqa: ANN401
    """Store credentials as a tool would, whether or not the account could ever get a token."""
    text = operator.document(name, **fields)
    operator.secrets.create_secret(Name=f"oauth/credentials/{name}", SecretString=text)


def key(cloud: EmbeddedCloud, *, spec: str = "RSA_2048", alias: str = ALIAS, **more: str) -> str:
    """Make a key that an account signs with, unless told otherwise; its ARN."""
    kms = cloud.client("kms")
    made = kms.create_key(**{"KeySpec": spec, "KeyUsage": "SIGN_VERIFY", **more})["KeyMetadata"]
    kms.create_alias(AliasName=alias, TargetKeyId=made["KeyId"])
    arn: str = made["Arn"]
    return arn


def found(operator: Operator, line: str = DOCTOR) -> tuple[str, str, str]:
    """Name the step that a doctor ends with, what it has found, and what it advises."""
    told = operator.tells(line)["steps"][-1]
    assert told["verdict"] == "wrong", told
    return told["step"], told["found"], told["fix"]


def thumbprint(operator: Operator, name: str = NAME) -> str:
    """By what a server finds the account's key, as it was registered there."""
    kid: str = json.loads(operator.says(f"key jwks {name}"))["keys"][0]["kid"]
    return kid


def stored(operator: Operator, name: str = NAME) -> dict[str, Any]:
    """What is kept as the account's credentials."""
    secret = operator.secrets.get_secret_value(SecretId=f"oauth/credentials/{name}")
    content: dict[str, Any] = json.loads(secret["SecretString"])
    return content


def signing(deployed: Deployed) -> Deployed:
    """The same, where the function signs by KMS."""
    signer = Signer(prefix="oauth", connections=1, user_agent="tests")
    return replace(deployed, schedule=replace(deployed.schedule, signer=lambda: signer))


@pytest.fixture
def deployed(cloud: EmbeddedCloud, operator: Operator) -> Deployed:
    """A stack in which accounts may sign."""
    return Deployed.with_parameters(cloud, operator.schedule, Signing="true")


# The doctor.


@pytest.mark.usefixtures("deployed")
def test_a_key_that_is_not_there_is_found_with_the_command_that_makes_it(
    operator: Operator,
) -> None:
    onboard(operator, **SIGNS, assertion={"alg": "ES256"})
    step, said, fix = found(operator)
    assert (step, said) == ("signature", f"there is no KMS key {ALIAS}")
    assert f"token-refresher key create {NAME} --alg ES256" in fix


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize(
    ("state", "told", "command"),
    [
        ("Disabled", "is disabled", "aws kms enable-key --key-id arn:"),
        ("PendingDeletion", "is to be deleted", "aws kms cancel-key-deletion --key-id arn:"),
        (
            "PendingImport",
            "waits for its material",
            f"token-refresher key import {NAME} --pem FILE",
        ),
    ],
)
def test_a_key_that_cannot_be_used_is_found_with_its_state(
    operator: Operator, cloud: EmbeddedCloud, state: str, told: str, command: str
) -> None:
    onboard(operator, **SIGNS)
    kms = cloud.client("kms")
    arn = key(cloud, Origin="EXTERNAL" if state == "PendingImport" else "AWS_KMS")
    if state == "Disabled":
        kms.disable_key(KeyId=arn)
    if state == "PendingDeletion":
        kms.schedule_key_deletion(KeyId=arn, PendingWindowInDays=7)
    step, said, fix = found(operator)
    assert (step, said) == ("signature", f"the KMS key {ALIAS} {told}")
    assert command in fix


@pytest.mark.usefixtures("deployed")
def test_a_key_that_signs_otherwise_is_found_with_what_it_signs_by(
    operator: Operator, cloud: EmbeddedCloud
) -> None:
    onboard(operator, **SIGNS)
    key(cloud, spec="ECC_NIST_P256")
    step, said, fix = found(operator)
    assert (step, said) == (
        "signature",
        f"the KMS key {ALIAS} does not sign by RS256, but by ES256",
    )
    assert f"token-refresher correct {NAME} --assertion alg=ES256" in fix


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize(
    ("spec", "usage", "told"),
    [
        ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT, for ENCRYPT_DECRYPT"),
        ("RSA_2048", "ENCRYPT_DECRYPT", "RSA_2048, for ENCRYPT_DECRYPT"),
        ("ECC_NIST_P384", "SIGN_VERIFY", "ECC_NIST_P384, for ECDSA_SHA_384"),
        ("ECC_SECG_P256K1", "SIGN_VERIFY", "ECC_SECG_P256K1, for ECDSA_SHA_256"),
    ],
)
def test_a_key_that_signs_no_assertion_is_found_with_what_it_is(
    operator: Operator, cloud: EmbeddedCloud, spec: str, usage: str, told: str
) -> None:
    onboard(operator, **SIGNS)
    key(cloud, spec=spec, KeyUsage=usage)
    step, said, fix = found(operator)
    assert (step, said) == (
        "signature",
        f"the KMS key {ALIAS} does not sign by RS256: it is {told}",
    )
    assert f"aws kms delete-alias --alias-name {ALIAS}" in fix


@pytest.mark.usefixtures("deployed")
def test_a_key_that_the_function_may_sign_with_is_well_and_nobody_signs(
    operator: Operator, cloud: EmbeddedCloud, relay: Relay
) -> None:
    onboard(operator, **SIGNS)
    key(cloud)
    with operator.by_way_of(relay):
        told = {step["step"]: step for step in operator.tells(DOCTOR)["steps"]}
    assert told["signature"]["verdict"] == "ok"
    assert told["signature"]["found"] == (
        f"the KMS key {ALIAS} can sign, by RS256; its thumbprint is {thumbprint(operator)}, "
        "and no kid is sent"
    )
    assert told["TLS"]["verdict"] == "ok"
    assert "certificate" not in told
    assert "Sign" not in relay.calls


def test_a_stack_that_lets_no_account_sign_is_found(
    operator: Operator, cloud: EmbeddedCloud
) -> None:
    Deployed.with_parameters(cloud, operator.schedule)
    onboard(operator, **SIGNS)
    key(cloud)
    step, said, fix = found(operator)
    assert (step, said) == ("signature", "the stack lets no account sign")
    assert fix.endswith(f"make deploy AWS_REGION=eu-west-1 STACK={STACK} PARAMETERS=Signing=true")


def test_a_role_that_lost_its_permission_to_sign_is_found(
    operator: Operator, deployed: Deployed
) -> None:
    onboard(operator, **SIGNS)
    key(deployed.cloud)
    role = create_role(deployed.cloud, allow("kms:Decrypt"), name="less")
    deployed.cloud.client("lambda").update_function_configuration(FunctionName=STACK, Role=role)
    step, said, _ = found(operator)
    assert (step, said) == ("signature", f"the function's role may not sign with {ALIAS}")


@pytest.mark.usefixtures("deployed")
def test_a_name_that_no_key_can_have_is_found(operator: Operator) -> None:
    onboard(operator, "dealer.17", **SIGNS)
    step, said, fix = found(operator, f"doctor dealer.17 --stack {STACK}")
    assert (step, said.startswith("an account that signs has a name")) == ("signature", True)
    assert "token-refresher add NAME" in fix


def test_an_audience_that_the_stack_does_not_name_is_found_and_added_to_the_others(
    operator: Operator, cloud: EmbeddedCloud
) -> None:
    cloud.client("iam").enable_outbound_web_identity_federation()
    Deployed.with_parameters(cloud, operator.schedule, WebIdentityAudiences="api://Other")
    onboard(operator, **BY_STS)
    step, said, fix = found(operator)
    assert (step, AUDIENCE in said) == ("signature", True)
    assert fix.endswith(f"PARAMETERS=WebIdentityAudiences=api://Other,{AUDIENCE}")


def test_an_aws_account_that_hands_out_no_identity_tokens_is_found(
    operator: Operator, cloud: EmbeddedCloud
) -> None:
    Deployed.with_parameters(cloud, operator.schedule, WebIdentityAudiences=AUDIENCE)
    onboard(operator, **BY_STS)
    step, said, fix = found(operator)
    assert (step, said) == ("signature", "the AWS account hands out no identity tokens")
    assert "aws iam enable-outbound-web-identity-federation" in fix
    cloud.client("iam").enable_outbound_web_identity_federation()
    told = {step["step"]: step for step in operator.tells(DOCTOR)["steps"]}
    assert told["signature"]["found"] == f"AWS STS tells {AUDIENCE} who runs there"
    told = {step["step"]: step for step in operator.tells(f"doctor {NAME}")["steps"]}
    assert told["signature"]["verdict"] == "not known"


# What a server knows of a key.


@pytest.mark.usefixtures("deployed")
def test_check_and_doctor_say_by_what_the_server_finds_the_key(
    operator: Operator, cloud: EmbeddedCloud, relay: Relay
) -> None:
    key(cloud)
    onboard(operator, "dealer-18", **SIGNS)
    known = thumbprint(operator)
    onboard(operator, **SIGNS, assertion={"kid": known})
    line = f"its thumbprint is {known}, and is sent as kid"
    assert f"{NAME}: {line}\n" in operator.says(f"check {NAME}")
    told = {step["step"]: step for step in operator.tells(DOCTOR)["steps"]}
    assert told["signature"]["found"].endswith(f"; {line}")
    operator.says(f"correct {NAME} --assertion kid=of-another-key")
    checked = operator.run(f"check {NAME}")
    assert checked.exit_code == 0
    assert f"its thumbprint is {known}, and the kid of-another-key is sent\n" in checked.stdout
    doubt = "nless the provider gave that kid, send the thumbprint: "
    assert f"U{doubt}token-refresher correct {NAME} --assertion kid={known}" in checked.stderr
    found = {step["step"]: step for step in operator.tells(DOCTOR)["steps"]}["signature"]["found"]
    assert f"u{doubt}token-refresher correct {NAME} --assertion kid={known}" in found
    refusal = Instead(400, b'{"__type": "AccessDeniedException"}')
    relay.illness = lambda called: refusal if called == "GetPublicKey" else None
    with operator.by_way_of(relay):
        unseen = operator.says(f"check {NAME}")
    assert "its thumbprint was not seen: Your AWS identity may not kms:GetPublicKey" in unseen


@pytest.mark.parametrize(
    ("grant", "code"),
    [
        ({"token_endpoint_auth_method": "private_key_jwt"}, "invalid_client"),
        ({"grant_type": JWT_BEARER, "assertion": {"signer": "kms"}}, "invalid_grant"),
    ],
)
def test_a_server_that_does_not_know_the_key_leads_to_the_key_that_it_is_to_know(
    operator: Operator, deployed: Deployed, grant: dict[str, Any], code: str
) -> None:
    key(deployed.cloud)
    grants = ["client_credentials", JWT_BEARER]
    another = RSAKey.generate_key(2048)
    operator.server.register_client(NAME, secret="", grants=grants, public_keys=[another])
    onboard(operator, client_secret=None, **grant)
    signing(deployed).sweep()
    place = f"--region eu-west-1 --stack {STACK}"
    jwks = f"See whether the server knows this key: token-refresher key jwks {NAME} {place}"
    step, said, fix = found(operator)
    assert (step, said.partition(" ")[0]) == ("client and grant", code)
    correct, again = fix.splitlines()
    assert correct.endswith(f"token-refresher correct {NAME} {place}")
    assert again == jwks
    checked = operator.run(f"check {NAME} --stack {STACK}")
    assert checked.exit_code == 1
    assert f"\n{jwks}\n" in checked.stderr
    refreshed = operator.run(f"refresh {NAME} --force --stack {STACK}")
    assert refreshed.exit_code == 1
    assert f"\n{jwks}\n" in refreshed.stderr


def test_whoever_signs_nothing_is_not_led_to_a_key(operator: Operator, deployed: Deployed) -> None:
    operator.add(NAME, client_secret="made-up-wrong")
    deployed.sweep()
    _, said, fix = found(operator)
    assert said.startswith("invalid_client")
    assert "key jwks" not in fix
    operator.secrets.put_secret_value(SecretId=f"oauth/credentials/{NAME}", SecretString="{")
    assert "key jwks" not in operator.run(f"check {NAME}").output


@pytest.mark.parametrize(
    ("state", "code"),
    [("disabled", "signing_key_disabled"), ("missing", "signing_key_missing")],
)
def test_a_key_that_is_in_order_again_is_told_with_the_command_that_tries_it(
    operator: Operator, deployed: Deployed, state: str, code: str
) -> None:
    kms = deployed.cloud.client("kms")
    onboard(operator, **SIGNS)
    arn = key(deployed.cloud)
    if state == "disabled":
        kms.disable_key(KeyId=arn)
    else:
        kms.delete_alias(AliasName=ALIAS)
    signing(deployed).sweep()
    assert found(operator)[0] == "signature"
    if state == "disabled":
        kms.enable_key(KeyId=arn)
    else:
        kms.create_alias(AliasName=ALIAS, TargetKeyId=arn)
    place = f"--region eu-west-1 --stack {STACK}"
    over = (
        "The key is in order by now, as far as it is seen from here; at once: "
        f"token-refresher refresh {NAME} --remote --force {place}"
    )
    step, said, fix = found(operator)
    assert (step, fix) == ("client and grant", over)
    assert said.startswith(f"{code} (action required)")
    assert "; tried again next sweep" in said
    checked = operator.run(f"check {NAME} --stack {STACK}")
    assert checked.exit_code == 1
    assert "; the next attempt is at the next sweep" in checked.stderr
    assert checked.stderr.endswith(f"{over}\n")
    assert f"token-refresher refresh {NAME} --force" in operator.run(f"check {NAME}").stderr


# A stack that does not let accounts sign.


def test_what_the_stack_lets_nobody_sign_is_refused_before_it_is_written(
    operator: Operator, cloud: EmbeddedCloud, tmp_path: Path
) -> None:
    Deployed.with_parameters(cloud, operator.schedule)
    key(cloud)
    file = tmp_path / "one.json"
    for fields, setting in (
        (SIGNS, "Signing=true"),
        (BY_STS, f"WebIdentityAudiences={AUDIENCE}"),
    ):
        file.write_text(operator.document(NAME, **fields))
        refused = operator.run(f"add {NAME} --from-file {file} --stack {STACK}")
        assert (refused.exit_code, refused.stdout) == (3, "")
        assert "; nothing was written.\n" in refused.stderr
        deploy = f"make deploy AWS_REGION=eu-west-1 STACK={STACK} PARAMETERS={setting}\n"
        assert refused.stderr.endswith(deploy)
        many = tmp_path / "many.jsonl"
        content = {"account": NAME, **json.loads(operator.document(NAME, **fields))}
        many.write_text(json.dumps(content))
        refused = operator.run(f"add --from-file {many} --stack {STACK}")
        assert refused.exit_code == 3
        assert f"PARAMETERS={setting}" in refused.stderr
        assert operator.secrets.list_secrets()["SecretList"] == []
    operator.says(f"add {NAME} --from-file {file}")
    onboard(operator, "dealer-18")
    refused = operator.run(
        f"correct dealer-18 --unset client_secret --token-endpoint-auth-method private_key_jwt "
        f"--stack {STACK}"
    )
    assert refused.exit_code == 3
    assert "dealer-18: the stack lets no account sign; nothing was written." in refused.stderr
    assert "client_secret" in stored(operator, "dealer-18")


def test_check_says_that_the_stack_does_not_let_the_account_sign(
    operator: Operator, cloud: EmbeddedCloud
) -> None:
    Deployed.with_parameters(cloud, operator.schedule)
    key(cloud)
    onboard(operator, **SIGNS)
    onboard(operator, "dealer-18", **BY_STS)
    for name, setting in (
        (NAME, "Signing=true"),
        ("dealer-18", f"WebIdentityAudiences={AUDIENCE}"),
    ):
        checked = operator.run(f"check {name} --stack {STACK}")
        assert checked.exit_code == 1
        assert f"{name}: the stack lets " in checked.stderr
        assert checked.stderr.endswith(f" STACK={STACK} PARAMETERS={setting}\n")
        assert operator.run(f"check {name}").exit_code == 0


def test_where_the_stack_may_not_be_seen_an_account_that_signs_is_added_all_the_same(
    operator: Operator, cloud: EmbeddedCloud, relay: Relay, tmp_path: Path
) -> None:
    Deployed.with_parameters(cloud, operator.schedule)
    key(cloud)
    file = tmp_path / "one.json"
    file.write_text(operator.document(NAME, **SIGNS))
    refusal = Instead(
        403, b"<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"
    )
    relay.illness = lambda called: refusal if called == "/" else None
    with operator.by_way_of(relay):
        added = operator.run(f"add {NAME} --from-file {file} --stack {STACK}")
    assert added.exit_code == 0, added.output
    assert "DescribeStacks" in relay.calls


# Certificates.


@pytest.fixture(scope="module")
def another_authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def pem(
    tmp_path: Path, another_authority: trustme.CA, clock: DrivenClock
) -> Callable[..., tuple[Path, Path]]:
    """Have a certificate issued that is valid for some days from the test's own present on."""

    def issue(
        *, days: int = 400, since: int = 1, common_name: str | None = None
    ) -> tuple[Path, Path]:
        now = clock.now()
        issued = another_authority.issue_cert(
            "dealer-17.example",
            common_name=common_name,
            not_before=now - timedelta(days=since),
            not_after=now + timedelta(days=days),
        )
        files = tmp_path / f"{days}.crt", tmp_path / f"{days}.key"
        issued.cert_chain_pems[0].write_to_path(str(files[0]))
        issued.private_key_pem.write_to_path(str(files[1]))
        return files

    return issue


def shows(operator: Operator, certificate: Path, private_key: Path) -> str:
    """The options of an account at this server that shows a certificate."""
    return (
        f"--token-endpoint {operator.server.token_endpoint} --grant-type client_credentials "
        f"--client-id {NAME} --token-endpoint-auth-method tls_client_auth "
        f"--certificate {certificate} --private-key {private_key}"
    )


def test_certificate_and_key_are_taken_from_their_files_and_are_on_no_screen(
    operator: Operator, pem: Callable[..., tuple[Path, Path]]
) -> None:
    certificate, private_key = pem()
    operator.says(f"add {NAME} {shows(operator, certificate, private_key)}")
    secret = operator.secrets.get_secret_value(SecretId=f"oauth/credentials/{NAME}")
    stored = json.loads(secret["SecretString"])
    assert stored["certificate"] == certificate.read_text()
    assert stored["private_key"] == private_key.read_text()
    told = operator.says(f"check {NAME}")
    assert f"{NAME}: the certificate " in told
    assert "which ends on 2027-12-29" in told
    told_steps = {step["step"]: step for step in operator.tells(f"doctor {NAME}")["steps"]}
    assert told_steps["certificate"]["verdict"] == "ok"
    assert told_steps["certificate"]["found"].endswith("until 2027-12-29")
    assert "signature" not in told_steps
    body = stored["private_key"].splitlines()[1]
    assert not any(body in each for each in operator.printed)


def test_a_chain_with_its_authority_first_is_told_by_the_client_s_own(
    operator: Operator, pem: Callable[..., tuple[Path, Path]], another_authority: trustme.CA
) -> None:
    certificate, private_key = pem(common_name="own")
    authority = another_authority.cert_pem.bytes().decode()
    certificate.write_text(f"{authority}{certificate.read_text()}")
    operator.says(f"add {NAME} {shows(operator, certificate, private_key)}")
    told = operator.says(f"check {NAME}")
    assert f"{NAME}: the certificate CN=own," in told
    assert "which ends on 2027-12-29" in told


def test_both_are_taken_out_of_one_file_with_notes(
    operator: Operator, pem: Callable[..., tuple[Path, Path]], tmp_path: Path
) -> None:
    certificate, private_key = pem()
    both = tmp_path / "both.pem"
    notes = "Bag Attributes\r\n    friendlyName: dealer\r\n"
    both.write_text(f"{notes}{private_key.read_text()}{notes}{certificate.read_text()}")
    operator.says(f"add {NAME} {shows(operator, both, both)}")
    secret = operator.secrets.get_secret_value(SecretId=f"oauth/credentials/{NAME}")
    assert json.loads(secret["SecretString"])["private_key"] == private_key.read_text()


def encrypted(private_key: Path) -> bytes:
    """The same key, as openssl writes it for whoever gives a passphrase."""
    key = form.load_pem_private_key(private_key.read_bytes(), password=None)
    locked = form.BestAvailableEncryption(b"made-up")
    return key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, locked)


@pytest.mark.parametrize(
    ("swap", "told"),
    [
        ("both", "and it has a private key: give it by --private-key"),
        ("key", "and it has a certificate: give it by --certificate"),
        ("another", "`private_key` does not belong to `certificate`"),
        ("nothing", "with its marks such as -----BEGIN CERTIFICATE-----"),
        ("gone", "No such file"),
        ("der", "which `openssl x509 -inform der -in"),
        ("p12", "which `openssl pkcs12 -nodes -in"),
        ("request", "it has the request for one"),
        ("encrypted", "a private key that is encrypted: decrypt it first, such as by `openssl"),
    ],
)
def test_files_that_cannot_be_shown_are_told_apart_and_nothing_is_written(
    operator: Operator,
    pem: Callable[..., tuple[Path, Path]],
    tmp_path: Path,
    swap: str,
    told: str,
) -> None:
    certificate, private_key = pem()
    other = tmp_path / f"other.{swap}"
    contents = {
        "nothing": b"made up",
        "der": b"\x30\x82\x01\x00",
        "p12": b"\x30\x82\x01\x00",
        "request": b"-----BEGIN CERTIFICATE REQUEST-----\nAA==\n-----END CERTIFICATE REQUEST-----",
        "encrypted": encrypted(private_key),
    }
    if swap in contents:
        other.write_bytes(contents[swap])
    files = {
        "both": (private_key, certificate),
        "key": (certificate, certificate),
        "another": (certificate, pem(days=401)[1]),
        "encrypted": (certificate, other),
    }.get(swap, (other, private_key))
    refused = operator.run(f"add {NAME} {shows(operator, *files)}")
    assert (refused.exit_code, refused.stdout) == (3, "")
    assert told in " ".join(refused.stderr.split())
    assert operator.secrets.list_secrets()["SecretList"] == []


def test_what_an_authority_wrote_into_a_certificate_commands_no_terminal(
    operator: Operator, pem: Callable[..., tuple[Path, Path]]
) -> None:
    certificate, private_key = pem(common_name="dealer\x1b[2J-17\nfine")
    operator.says(f"add {NAME} {shows(operator, certificate, private_key)}")
    for told in (operator.run(f"check {NAME}").output, operator.run(f"doctor {NAME}").output):
        assert "\x1b" not in told
        assert "CN=dealer[2J-17 fine" in told


def test_a_certificate_that_has_expired_is_refused_and_one_that_ends_soon_is_told(
    operator: Operator, pem: Callable[..., tuple[Path, Path]]
) -> None:
    refused = operator.run(f"add {NAME} {shows(operator, *pem(days=-1, since=90))}")
    assert (refused.exit_code, refused.stdout) == (3, "")
    assert "`certificate` expired on 2026-11-23: give the new one by --certificate" in (
        refused.stderr
    )
    added = operator.run(f"add {NAME} {shows(operator, *pem(days=20))}")
    assert added.exit_code == 0
    soon = "its certificate ends on 2026-12-14, in 20 d: have it renewed in time"
    assert soon in added.stderr
    assert soon in operator.run(f"check {NAME}").stderr
    steps = {step["step"]: step for step in operator.tells(f"doctor {NAME}")["steps"]}
    assert steps["certificate"]["found"].endswith(soon)
    operator.clock.advance(timedelta(days=21))
    checked = operator.run(f"check {NAME}")
    assert checked.exit_code == 1
    assert "client_certificate_refused (action required)" in checked.stderr
    step, said, fix = found(operator, f"doctor {NAME}")
    assert (step, said) == ("certificate", "`certificate` expired on 2026-12-14")
    assert f"token-refresher correct {NAME} --certificate FILE --private-key FILE" in fix
    early = operator.run(f"correct {NAME} {shows(operator, *pem(days=500, since=-3))}")
    assert "its certificate is valid from 2026-12-18 on" in early.stderr


def test_a_key_of_another_certificate_is_found_by_the_doctor(
    operator: Operator, pem: Callable[..., tuple[Path, Path]]
) -> None:
    certificate, other = pem()[0], pem(days=401)[1]
    onboard(
        operator,
        client_secret=None,
        token_endpoint_auth_method="tls_client_auth",
        certificate=certificate.read_text(),
        private_key=other.read_text(),
    )
    step, said, _ = found(operator, f"doctor {NAME}")
    assert (step, "`private_key` does not belong to `certificate`" in said) == (
        "certificate",
        True,
    )


# Others.


def test_a_check_says_by_what_an_account_signs_and_what_is_wrong_with_its_key(
    operator: Operator, cloud: EmbeddedCloud, relay: Relay
) -> None:
    onboard(operator, **SIGNS, assertion={"alg": "PS256"})
    failed = operator.run(f"check {NAME}")
    assert failed.exit_code == 1
    assert f"{NAME}: signed by the KMS key {ALIAS}, by PS256\n" in failed.stdout
    assert f"{NAME}: there is no KMS key {ALIAS}\n" in failed.stderr
    key(cloud)
    well = operator.run(f"check {NAME}")
    assert (well.exit_code, well.stderr) == (0, "")
    refusal = Instead(400, b'{"__type": "AccessDeniedException"}')
    relay.illness = lambda called: refusal if called == "DescribeKey" else None
    with operator.by_way_of(relay):
        unseen = operator.run(f"check {NAME}")
    assert unseen.exit_code == 0
    assert "Whether the key can sign was not seen: Your AWS identity may not kms:DescribeKey" in (
        " ".join(unseen.stderr.split())
    )


def test_a_check_refuses_a_name_that_no_key_can_have_and_asks_nobody(operator: Operator) -> None:
    onboard(operator, "dealer.17", **SIGNS)
    for line in ("check dealer.17", "check dealer.17 --try --yes"):
        refused = operator.run(line)
        assert refused.exit_code == 1
        assert "unsignable_name (action required)" in refused.stderr
    assert operator.server.requests == []


def test_an_account_that_sts_vouches_for_says_so(operator: Operator) -> None:
    onboard(operator, **BY_STS)
    told = operator.says(f"check {NAME}")
    assert f"{NAME}: an identity token of AWS STS for {AUDIENCE}\n" in told
    onboard(operator, "by-secret", token_endpoint_auth_method="client_secret_jwt")
    assert "by-secret: signed by its client_secret, by HS256\n" in operator.says("check by-secret")


def test_what_is_removed_leaves_its_key_which_is_told_with_the_command_that_ends_it(
    operator: Operator, cloud: EmbeddedCloud
) -> None:
    onboard(operator, **SIGNS)
    arn = key(cloud)
    preview = operator.says(f"remove {NAME} --dry-run")
    assert f"KMS key          {ALIAS} stays, if it is there, at 1 USD a month\n" in preview
    removed = operator.run(f"remove {NAME} --yes")
    assert removed.exit_code == 0
    assert f"The KMS key {ALIAS} stays, as a restore needs it, and costs 1 USD a month." in (
        removed.stderr
    )
    end = f"aws kms schedule-key-deletion --key-id {arn} --pending-window-in-days 30"
    assert end in removed.stderr
    kms = cloud.client("kms")
    assert kms.describe_key(KeyId=arn)["KeyMetadata"]["KeyState"] == "Enabled"
    assert f"The KMS key {ALIAS}" not in operator.run(f"restore {NAME}").stderr
    operator.says(f"remove {NAME} --yes")
    kms.schedule_key_deletion(KeyId=arn, PendingWindowInDays=30)
    restored = operator.run(f"restore {NAME}")
    assert restored.exit_code == 0
    assert f"The KMS key {ALIAS} is to be deleted." in restored.stderr
    assert f"aws kms cancel-key-deletion --key-id {arn}" in restored.stderr


def test_who_has_no_key_is_removed_without_a_word_of_one(operator: Operator) -> None:
    onboard(operator, **SIGNS)
    assert "USD" not in operator.run(f"remove {NAME} --yes").stderr
    onboard(operator, "dealer-18")
    assert "KMS" not in operator.run("remove dealer-18 --yes").output


def test_many_who_sign_are_told_of_their_keys_once(operator: Operator, tmp_path: Path) -> None:
    file = tmp_path / "many.csv"
    endpoint = operator.server.token_endpoint
    file.write_text(
        "account,token_endpoint,grant_type,client_id,token_endpoint_auth_method,assertion,"
        "assertion.alg,assertion.claims.sub\n"
        f'a,{endpoint},client_credentials,1,private_key_jwt,"{{""kid"": ""k""}}",,\n'
        f"b,{endpoint},client_credentials,1,private_key_jwt,,ES256,robot@example.com\n"
    )
    added = operator.run(f"add --from-file {file} --assertion expires_in=30")
    assert added.exit_code == 0, added.output
    assert "2 accounts sign, each with a KMS key of its own." in added.stderr
    assert "as for the first: token-refresher key create a" in added.stderr
    stored = [
        json.loads(
            operator.secrets.get_secret_value(SecretId=f"oauth/credentials/{each}")["SecretString"]
        )["assertion"]
        for each in "ab"
    ]
    assert stored[0] == {"kid": "k", "expires_in": 30}
    assert stored[1] == {
        "alg": "ES256",
        "claims": {"sub": "robot@example.com"},
        "expires_in": 30,
    }
