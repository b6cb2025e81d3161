"""What is wrong on a person's machine is named, with the fix, and nothing is recorded."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import pytest

from local.authority import Authority
from local.authorization_server import unavailable
from tests.cli.relay import Instead
from tests.cli.test_commands import everything

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from local.embedded_cloud import EmbeddedCloud
    from tests.cli.operator import Operator
    from tests.cli.relay import Relay

Answer: TypeAlias = "Callable[[str], Instead | None]"
CONFIGURATION: Final = """
[profile loop]
role_arn = arn:aws:iam::000000000000:role/made-up
source_profile = way
[profile way]
role_arn = arn:aws:iam::000000000000:role/made-up
source_profile = loop
[profile process]
credential_process = false
"""
NOBODY: Final = "http://127.0.0.1:9"  # a port that is closed

REFRESH: Final = "refresh dealer-17 dealer-18"
FORCE: Final = f"{REFRESH} --force"
STATUS: Final = "status"
NAMED: Final = "status dealer-17"
PLAN: Final = "plan"
ADD: Final = "add new --from-file -"
CORRECT: Final = "correct dealer-17 --scope read --from-file -"
CHECK: Final = "check dealer-17"
TRY: Final = "check dealer-17 --try --yes"
HISTORY: Final = "history dealer-17"
TOKEN: Final = "token dealer-17"
DOCTOR: Final = "doctor"
DOCTOR_OF: Final = "doctor dealer-17"
COMMANDS: Final = (
    *(REFRESH, FORCE, STATUS, NAMED, PLAN, ADD, CORRECT, CHECK, TRY, HISTORY, TOKEN),
    *(DOCTOR, DOCTOR_OF),
)


class Fault(NamedTuple):
    """Something that is wrong with a machine.

    Attributes:
        told: What is wrong.
        fix: What to do about it.
        commands: Those that meet it; others are not tried, since they write by right.
        code: Their exit code.
        variables: Of the shell; None takes one out.
        aws: What AWS answers; None passes a call on.
    """

    told: str
    fix: str
    commands: tuple[str, ...] = COMMANDS
    code: int = 3
    variables: Mapping[str, str | None] = MappingProxyType({})
    aws: Answer | None = None


def refuses(code: str, *operations: str) -> Answer:
    body = json.dumps({"__type": code, "message": "made-up-message"}).encode()
    # STS names no operation in a header, and speaks XML.
    xml = f"<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>".encode()
    return lambda called: (
        Instead(400, body if called.isalpha() else xml)
        if called in operations or not operations
        else None
    )


NO_CREDENTIALS: Final[dict[str, str | None]] = {
    **dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")),
    "AWS_EC2_METADATA_DISABLED": "true",
}
NO_REGION: Final = dict.fromkeys(("AWS_REGION", "AWS_DEFAULT_REGION"))
READERS: Final = (CORRECT, CHECK, TRY, TOKEN)
# But for `add`, which has nothing to look for in the wrong place.
SEEKERS: Final = tuple(each for each in COMMANDS if each != ADD)
# `doctor` says what it may not see in its table, and goes on.
DOCTORS: Final = (DOCTOR, DOCTOR_OF)
NO_DOCTORS: Final = tuple(each for each in COMMANDS if each not in DOCTORS)

# Each command waits for what does not come.
SLOW: Final = {"an account that is throttled", "names that are not resolved"}

FAULTS: Final = {
    "an expired session": Fault(
        "Your AWS session has expired.", "aws sso login", aws=refuses("ExpiredTokenException")
    ),
    "a clock that is wrong": Fault(
        "this machine's clock is wrong by minutes",
        "aws sts get-caller-identity",
        aws=refuses("InvalidSignatureException"),
    ),
    "keys that were deleted": Fault(
        "AWS does not know these credentials",
        "aws sts get-caller-identity",
        aws=refuses("UnrecognizedClientException"),
    ),
    "a page in the place of AWS": Fault(
        "What answered is not AWS",
        "A proxy or a network's sign-in page may stand between",
        commands=(STATUS, CHECK, DOCTOR, DOCTOR_OF),
        aws=lambda _: Instead(400, b"<html>made up</html>"),
    ),
    "no permission to read, for doctor": Fault(
        "Your AWS identity may not secretsmanager:GetSecretValue on oauth/credentials/dealer-17",
        "",
        commands=(DOCTOR_OF,),
        code=0,
        aws=refuses("AccessDeniedException", "GetSecretValue"),
    ),
    "a trust store that is not there, for doctor": Fault(
        "SSL_CERT_FILE names /nowhere.pem, which cannot be read",
        "",
        commands=(DOCTOR_OF,),
        code=0,
        variables={"SSL_CERT_FILE": "/nowhere.pem"},
    ),
    "an account that is throttled": Fault(
        "AWS is throttling this account's calls.",
        "Try again in a minute.",
        # Each tries again for seconds, a random number of them, before it says so.
        commands=(STATUS, FORCE, ADD, DOCTOR),
        aws=refuses("ThrottlingException"),
    ),
    "no permission at all": Fault(
        "Your AWS identity may not secretsmanager:",
        "docs/command-line.md has the whole policy",
        commands=NO_DOCTORS,
        aws=refuses("AccessDeniedException"),
    ),
    "no permission to read": Fault(
        "Your AWS identity may not secretsmanager:GetSecretValue on oauth/",
        "docs/command-line.md has the whole policy",
        commands=READERS,
        aws=refuses("AccessDeniedException", "GetSecretValue"),
    ),
    "no permission to read, and a refresh": Fault(
        "Your AWS identity may not secretsmanager:GetSecretValue on secrets under oauth/",
        "docs/command-line.md has the whole policy",
        commands=(FORCE,),
        code=1,
        aws=refuses("AccessDeniedException", "GetSecretValue"),
    ),
    "no permission to describe": Fault(
        "Your AWS identity may not secretsmanager:DescribeSecret",
        "docs/command-line.md has the whole policy",
        commands=(REFRESH, FORCE, NAMED, CHECK, TRY, HISTORY),
        aws=refuses("AccessDeniedException", "DescribeSecret"),
    ),
    "no permission to write": Fault(
        "Your AWS identity may not secretsmanager:PutSecretValue on oauth/credentials/dealer-17",
        "docs/command-line.md has the whole policy",
        commands=(CORRECT,),
        aws=refuses("AccessDeniedException", "PutSecretValue"),
    ),
    "a key that is not this person's": Fault(
        "The KMS key of a secret cannot be used",
        "aws secretsmanager describe-secret --secret-id oauth/",
        commands=READERS,
        aws=refuses("DecryptionFailure", "GetSecretValue"),
    ),
    "a key that is not this person's, and a refresh": Fault(
        "The KMS key of a secret cannot be used",
        "aws secretsmanager describe-secret --secret-id oauth/credentials/dealer-17",
        commands=(FORCE,),
        code=1,
        aws=refuses("DecryptionFailure", "GetSecretValue"),
    ),
    "another Region": Fault(
        "eu-north-1",
        "",
        commands=SEEKERS,
        variables={"AWS_REGION": "eu-north-1", "AWS_DEFAULT_REGION": "eu-north-1"},
    ),
    "no Region": Fault(
        "No AWS Region is named.", "Give --region, or set AWS_REGION.", variables=NO_REGION
    ),
    "a profile that there is not": Fault(
        "There is no such profile", "aws configure list-profiles", variables={"AWS_PROFILE": "no"}
    ),
    "a name that is no Region's": Fault(
        "That is no name of an AWS Region.",
        "Correct --region",
        variables={"AWS_REGION": "eu west 1", "AWS_DEFAULT_REGION": None},
    ),
    "a profile that leads to itself": Fault(
        "Your AWS configuration cannot be used: InfiniteLoopConfigError.",
        "aws sts get-caller-identity --profile loop",
        variables={**NO_CREDENTIALS, "AWS_CONFIG_FILE": "config", "AWS_PROFILE": "loop"},
    ),
    "a configuration that is none": Fault(
        "Your AWS configuration cannot be used: ConfigParseError.",
        "aws sts get-caller-identity",
        variables={"AWS_CONFIG_FILE": "garbage.pem"},
    ),
    "a mode that is not known": Fault(
        "Your AWS configuration cannot be used: InvalidDefaultsMode.",
        "aws sts get-caller-identity",
        variables={"AWS_DEFAULTS_MODE": "made-up"},
    ),
    "an address that is none": Fault(
        "Your AWS configuration cannot be used: ValueError.",
        "aws sts get-caller-identity",
        variables={"AWS_ENDPOINT_URL": "made up"},
    ),
    "a role's token that is not there": Fault(
        "Your AWS configuration cannot be used: FileNotFoundError.",
        "aws sts get-caller-identity",
        variables={
            **NO_CREDENTIALS,
            "AWS_WEB_IDENTITY_TOKEN_FILE": "nowhere",
            "AWS_ROLE_ARN": "arn:aws:iam::000000000000:role/made-up",
        },
    ),
    "a process for credentials that fails": Fault(
        "Your AWS credentials could not be fetched.",
        "aws sts get-caller-identity --profile process",
        variables={**NO_CREDENTIALS, "AWS_CONFIG_FILE": "config", "AWS_PROFILE": "process"},
    ),
    "a proxy that is no address": Fault(
        "AWS did not answer at ",
        "the network and its proxy",
        variables={"HTTP_PROXY": "::::", "NO_PROXY": None, "no_proxy": None},
    ),
    "an ARN for a stack": Fault(
        "That is no name of a stack.",
        "--stack takes a name, and no ARN.",
        variables={
            "TOKEN_REFRESHER_STACK": "arn:aws:lambda:eu-west-1:111111111111:function:made-up"
        },
    ),
    "no credentials": Fault(
        "There are no AWS credentials.", "Choose a --profile", variables=NO_CREDENTIALS
    ),
    "names that are not resolved": Fault(
        "AWS did not answer at nowhere.invalid.",
        "Check the Region, AWS_ENDPOINT_URL, the network",
        variables={"AWS_ENDPOINT_URL": "http://nowhere.invalid"},
    ),
    "a local cloud that has ended": Fault(
        f"AWS did not answer at {NOBODY.removeprefix('http://')}.",
        "Is the local cloud still running?",
        variables={"AWS_ENDPOINT_URL": NOBODY},
    ),
    "a proxy that is not there": Fault(
        "The proxy on the way to AWS did not answer.",
        "Correct HTTPS_PROXY and HTTP_PROXY",
        variables={"HTTP_PROXY": NOBODY, "NO_PROXY": None, "no_proxy": None},
    ),
    "a setting out of bounds": Fault(
        "MAX_WORKERS takes a whole number", "", variables={"MAX_WORKERS": "many"}
    ),
    "a trust store that is not there": Fault(
        "SSL_CERT_FILE names /nowhere.pem, which cannot be read",
        "correct or unset it",
        commands=(FORCE, TRY),
        code=1,
        variables={"SSL_CERT_FILE": "/nowhere.pem"},
    ),
    "a trust store without a certificate": Fault(
        f"SSL_CERT_FILE names {os.devnull}, which has no certificate in PEM",
        "correct or unset it",
        commands=(FORCE, TRY),
        code=1,
        variables={"SSL_CERT_FILE": os.devnull},
    ),
    "a trust store that is no text": Fault(
        "which has no certificate in PEM",
        "correct or unset it",
        commands=(FORCE, TRY),
        code=1,
        variables={"SSL_CERT_FILE": "garbage.pem"},
    ),
    "another trust store": Fault(
        "the token endpoint's certificate is of an unknown authority",
        "the certificate authorities that SSL_CERT_FILE names",
        commands=(FORCE, TRY),
        code=1,
        variables={"SSL_CERT_FILE": "another.pem"},
    ),
    "a proxy to token endpoints that is not there": Fault(
        "no connection to the proxy that TOKEN_ENDPOINT_PROXY names",
        "this machine may be all that is wrong",
        commands=(FORCE, TRY),
        code=1,
        variables={"TOKEN_ENDPOINT_PROXY": NOBODY},
    ),
    "other settings than the function's": Fault(
        "which the setting ALLOWED_TOKEN_HOSTS does not allow",
        "with --stack those of the function count",
        commands=(FORCE, CHECK, TRY),
        code=1,
        variables={"ALLOWED_TOKEN_HOSTS": "elsewhere.example"},
    ),
    "other settings, and nothing is written": Fault(
        "which the setting ALLOWED_TOKEN_HOSTS does not allow",
        "with --stack those of the function count",
        commands=(ADD, CORRECT),
        variables={"ALLOWED_TOKEN_HOSTS": "elsewhere.example"},
    ),
}


@pytest.fixture(scope="module")
def another_authority() -> Iterator[str]:
    """The certificate of an authority that signed no server here."""
    with Authority() as authority:
        yield authority.certificate_file.read_text()


@pytest.fixture(params=["nothing", "a failure"])
def recorded(operator: Operator, request: pytest.FixtureRequest) -> None:
    """Two accounts that are served; or that were, and have failed since."""
    for name in ("dealer-17", "dealer-18"):
        operator.add(name, use_refresh_token=False)
    operator.schedule.sweep()
    if request.param != "nothing":
        operator.clock.advance(timedelta(hours=11))
        with operator.server.failing(unavailable()):
            operator.schedule.sweep()


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(fault, id=name, marks=[pytest.mark.slow] if name in SLOW else [])
        for name, fault in FAULTS.items()
    ],
)
def test_what_is_wrong_on_a_machine_is_named_and_nothing_is_recorded(
    operator: Operator,
    cloud: EmbeddedCloud,
    relay: Relay,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    another_authority: str,
    fault: Fault,
) -> None:
    before = everything(cloud)
    (tmp_path / "garbage.pem").write_bytes(b"\x00\xff made up")
    (tmp_path / "another.pem").write_text(another_authority)
    (tmp_path / "config").write_text(CONFIGURATION)
    monkeypatch.chdir(tmp_path)
    for line in fault.commands:
        with monkeypatch.context() as shell:
            if fault.aws is not None:
                relay.illness = fault.aws
                shell.setenv("AWS_ENDPOINT_URL", relay.url)
            for name, value in fault.variables.items():
                if value is None:
                    shell.delenv(name, raising=False)
                else:
                    shell.setenv(name, value)
            run = operator.run(line, stdin=operator.document("new"))
        # What is wrong with the account itself is told as well, where nothing else is.
        is_failing = line == DOCTOR_OF and fault.code == 0 and "status_503" in run.output
        assert run.exit_code == (1 if is_failing else fault.code), (line, run.output)
        assert fault.told.removesuffix(".") in run.output, (line, run.output)
        assert fault.fix in run.stderr, (line, run.output)
        # Of two accounts, too.
        is_told_once = run.stderr.count(fault.told) == 1
        assert is_told_once or line in DOCTORS or fault.told == "eu-north-1", (line, run.output)
        assert "made-up" not in run.output
        if line == FORCE and fault.code == 1:
            assert "A failure on this machine is not recorded" in run.stderr
    assert everything(cloud) == before


def test_every_command_is_tried_on_such_a_machine() -> None:
    tried: set[Any] = {line for fault in FAULTS.values() for line in fault.commands}
    assert tried == set(COMMANDS)


def test_an_issuer_that_is_not_believed_says_what_is_wrong_with_the_trust_store(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)
    refused = operator.run(
        f"add new --issuer {operator.server.url} --grant-type client_credentials --client-id new"
    )
    assert (refused.exit_code, operator.secrets.list_secrets()["SecretList"]) == (3, [])
    assert f"SSL_CERT_FILE names {os.devnull}, which has no certificate in PEM" in refused.stderr


ALIASES: Final = "alias/oauth/"
# Of accounts that sign. KMS and STS are AWS as well: what is wrong there on this machine, or with
# whoever is at it, says nothing of an account whose function has a permission of its own.
SIGNING_FAULTS: Final = {
    "no permission to sign": Fault(
        "Your AWS identity may not kms:Sign on alias/oauth/*.",
        "The function has a permission of its own.",
        commands=(FORCE, TRY),
        aws=refuses("AccessDeniedException", "Sign"),
    ),
    "no permission to see keys": Fault(
        "Your AWS identity may not kms:DescribeKey on alias/oauth/dealer-17.",
        "Whether the key can sign was not seen",
        commands=(CHECK,),
        code=0,
        aws=refuses("AccessDeniedException", "DescribeKey"),
    ),
    "no way to KMS": Fault(
        "AWS did not answer",
        "AWS_ENDPOINT_URL, the network and its proxy",
        commands=(FORCE, TRY),
        variables={"AWS_ENDPOINT_URL_KMS": NOBODY},
    ),
    "a session that KMS knows to be over": Fault(
        "Your AWS session has expired.",
        "aws sso login",
        commands=(FORCE, TRY),
        aws=refuses("ExpiredTokenException", "Sign"),
    ),
    "a KMS that throttles this AWS account": Fault(
        "AWS is throttling this account's calls.",
        "Try again in a minute.",
        commands=(FORCE, TRY),
        aws=refuses("ThrottlingException", "Sign"),
    ),
    "a key that is not there": Fault(
        f"the KMS key {ALIASES}dealer-17 is not there, or is an alias without a key",
        "token-refresher key create dealer-17",
        commands=(TRY,),
        code=1,
        aws=refuses("NotFoundException", "Sign"),
    ),
    "a key that is disabled": Fault(
        f"the KMS key {ALIASES}dealer-17 is disabled",
        "token-refresher doctor dealer-17",
        commands=(TRY,),
        code=1,
        aws=refuses("DisabledException", "Sign"),
    ),
    "keys that are not there, and a refresh": Fault(
        "signing_key_missing (action required)",
        "token-refresher key create dealer-17",
        commands=(FORCE,),
        code=1,
        aws=refuses("NotFoundException", "Sign"),
    ),
}


@pytest.fixture
def signing(operator: Operator, cloud: EmbeddedCloud) -> None:
    """Two accounts that sign, each with its key."""
    kms = cloud.client("kms")
    for name in ("dealer-17", "dealer-18"):
        fields = {"client_secret": None, "token_endpoint_auth_method": "private_key_jwt"}
        operator.secrets.create_secret(
            Name=f"oauth/credentials/{name}", SecretString=operator.document(name, **fields)
        )
        operator.secrets.create_secret(Name=f"oauth/tokens/{name}")
        made = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]
        kms.create_alias(AliasName=f"{ALIASES}{name}", TargetKeyId=made["KeyId"])


@pytest.mark.usefixtures("signing")
@pytest.mark.parametrize("fault", SIGNING_FAULTS.values(), ids=SIGNING_FAULTS)
def test_what_a_person_cannot_sign_is_told_as_theirs_or_as_the_key_s_and_nothing_is_recorded(
    operator: Operator,
    cloud: EmbeddedCloud,
    relay: Relay,
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault,
) -> None:
    before = everything(cloud)
    for line in fault.commands:
        with monkeypatch.context() as shell:
            if fault.aws is not None:
                relay.illness = fault.aws
                shell.setenv("AWS_ENDPOINT_URL", relay.url)
            for name, value in fault.variables.items():
                shell.setenv(name, str(value))
            run = operator.run(line)
        # One of a refresh's accounts failed, whoever is to blame.
        assert run.exit_code == (1 if line == FORCE else fault.code), (line, run.output)
        shown = " ".join(run.output.split())
        assert shown.count(fault.told) == (2 if "signing_key_missing" in fault.told else 1), shown
        assert fault.fix in shown, (line, run.output)
        assert "made-up" not in run.output
        if line == FORCE:
            assert "A failure on this machine is not recorded" in run.stderr
            is_persons = "signing_key" not in fault.told
            assert run.output.count("(on this machine)") == (2 if is_persons else 0), run.output
    assert everything(cloud) == before
    assert operator.server.requests == []


@pytest.mark.parametrize(
    ("code", "told", "fix", "exit_code"),
    [
        (
            "AccessDenied",
            "Your AWS identity may not sts:GetWebIdentityToken on its audience.",
            "The function has a permission of its own.",
            3,
        ),
        (
            "OutboundWebIdentityFederationDisabled",
            "identity_federation_disabled (action required)",
            "enable outbound web identity federation in the AWS account's IAM settings",
            1,
        ),
    ],
)
def test_what_sts_does_not_say_for_a_person_is_told_apart_from_what_it_says_for_nobody(
    operator: Operator,
    cloud: EmbeddedCloud,
    relay: Relay,
    code: str,
    told: str,
    fix: str,
    exit_code: int,
) -> None:
    fields = {"client_secret": None, "token_endpoint_auth_method": "private_key_jwt"}
    assertion = {"signer": "sts", "audience": "api://AzureADTokenExchange"}
    text = operator.document("dealer-17", **fields, assertion=assertion)
    operator.secrets.create_secret(Name="oauth/credentials/dealer-17", SecretString=text)
    before = everything(cloud)
    xml = f"<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>".encode()
    # STS names no operation in a header.
    relay.illness = lambda called: Instead(400, xml) if not called.isalpha() else None
    with operator.by_way_of(relay):
        run = operator.run(TRY)
    assert run.exit_code == exit_code, run.output
    assert told in run.stderr
    assert fix in " ".join(run.stderr.split())
    assert everything(cloud) == before
