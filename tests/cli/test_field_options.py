"""Each field of the credentials can be given; what is secret never by an option."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.cli.operator import COMMANDS, SECRET
from token_refresher.credentials import ExtensionCredentials, LoginCredentials
from token_refresher.parsing import FIELD_NAMES, NAMED_GRANTS
from token_refresher_cli.field_options import OF_FIELD, PANELS
from token_refresher_cli.fields import SECRET_FIELDS

if TYPE_CHECKING:
    from pathlib import Path

    from local.embedded_cloud import EmbeddedCloud
    from tests.cli.operator import Operator

STRUCTS: tuple[type[msgspec.Struct], ...] = (
    *NAMED_GRANTS.values(),
    ExtensionCredentials,
    LoginCredentials,
)


def stored(operator: Operator, name: str) -> dict[str, Any]:
    """What an account's credentials are."""
    secret = operator.secrets.get_secret_value(SecretId=f"oauth/credentials/{name}")
    content: dict[str, Any] = json.loads(secret["SecretString"])
    return content


def test_every_field_that_is_no_secret_has_an_option_and_no_secret_has_one() -> None:
    fields = {"grant_type", *(f.name for one in STRUCTS for f in msgspec.structs.fields(one))}
    named = [name for panel in PANELS.values() for name in panel]
    # What an assertion says is no secret, but a ready-made one is; of a key the file is named.
    optional = fields - SECRET_FIELDS | {"assertion", "private_key"}
    assert {OF_FIELD.get(name, name) for name in named} - {None} == optional
    assert set(FIELD_NAMES) == fields
    assert len(set(named)) == len(named)


@pytest.mark.parametrize("command", ["add", "correct"])
def test_every_panel_of_fields_is_in_the_help_of_a_command_that_writes(command: str) -> None:
    panels = {one.rich_help_panel for one in COMMANDS.commands[command].params}
    assert {*PANELS, "Where"} <= panels


def test_every_field_can_be_set_by_an_option(operator: Operator, tmp_path: Path) -> None:
    pem = operator.schedule.authority.certificate_file
    operator.server.register_client("erp", secret=SECRET)
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps({"client_secret": SECRET}))
    line = f"""
        add erp --from-file {secret} --token-endpoint {operator.server.token_endpoint}
        --grant-type client_credentials --client-id erp --scope 'a b'
        --token-endpoint-auth-method client_secret_post --user-agent 'erp 1.0'
        --extra-parameter audience=x --extra-parameter resource=a --extra-parameter resource=b
        --extra-parameter days:=5 --grant-parameter subject_token_type=t
        --request-header X-Tenant=acme --timeout-seconds 20 --ca-certificates {pem}
        --dialect request_format=json --dialect access_token=data.jwt --use-refresh-token false
        --assumed-expires-in 3600 --assumed-refresh-expires-in 86400
        --verify-url {operator.server.resource_url}
        --publish-entry 'AUTH=Bearer {{access_token}}' --publish-entry 'UNTIL={{expires_at}}'
    """
    operator.says(" ".join(line.split()))
    assert stored(operator, "erp") == {
        "client_secret": SECRET,
        "token_endpoint": operator.server.token_endpoint,
        "token_endpoint_auth_method": "client_secret_post",
        "grant_type": "client_credentials",
        "client_id": "erp",
        "scope": "a b",
        "user_agent": "erp 1.0",
        "timeout_seconds": 20,
        "ca_certificates": pem.read_text(),
        "use_refresh_token": False,
        "assumed_expires_in": 3600,
        "assumed_refresh_token_expires_in": 86400,
        "verify_url": operator.server.resource_url,
        "extra_parameters": {"audience": "x", "resource": ["a", "b"], "days": 5},
        "grant_parameters": {"subject_token_type": "t"},
        "request_headers": {"X-Tenant": "acme"},
        "dialect": {"request_format": "json", "access_token": "data.jwt"},
        "publish": {"as": {"AUTH": "Bearer {access_token}", "UNTIL": "{expires_at}"}},
    }


SIGNING = f"""
    --token-endpoint https://api.example.com/token --grant-type client_credentials --client-id erp
    --token-endpoint-auth-method private_key_jwt --assertion alg=ES256 --assertion kid=2026
    --assertion x5t#S256={"a" * 43} --assertion expires_in=120 --assertion signer=kms
    --claim sub=robot@example.com --claim 'admin:=true' --claim iss:=null
    --claim 'https://api.example.com/tenant=acme'
"""


@pytest.fixture
def anywhere(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> Operator:
    """An operator whose settings allow the servers of these tests."""
    monkeypatch.setenv("ALLOWED_TOKEN_HOSTS", "api.example.com")
    return operator


def test_what_is_signed_is_set_field_by_field_and_claim_by_claim(anywhere: Operator) -> None:
    anywhere.says(f"add erp {' '.join(SIGNING.split())}")
    assertion = {
        "signer": "kms",
        "alg": "ES256",
        "kid": "2026",
        "x5t#S256": "a" * 43,
        "expires_in": 120,
        "claims": {
            "sub": "robot@example.com",
            "admin": True,
            "iss": None,
            "https://api.example.com/tenant": "acme",
        },
    }
    assert stored(anywhere, "erp") == {
        "token_endpoint": "https://api.example.com/token",
        "grant_type": "client_credentials",
        "client_id": "erp",
        "token_endpoint_auth_method": "private_key_jwt",
        "assertion": assertion,
    }
    anywhere.says(
        "correct erp --assertion kid=2027 --claim sub=another@example.com --unset assertion.alg "
        "--unset assertion.claims.https://api.example.com/tenant --unset assertion.claims.iss"
    )
    del assertion["alg"]
    claims = {"sub": "another@example.com", "admin": True}
    assert stored(anywhere, "erp")["assertion"] == {**assertion, "kid": "2027", "claims": claims}
    anywhere.says("correct erp --unset assertion")
    assert "assertion" not in stored(anywhere, "erp")


def test_a_secret_that_nothing_uses_any_more_is_taken_out_and_that_is_told(
    anywhere: Operator,
) -> None:
    anywhere.secrets.create_secret(
        Name="oauth/credentials/erp",
        SecretString=anywhere.document("erp", token_endpoint="https://api.example.com/token"),
    )
    told = anywhere.run("correct erp --token-endpoint-auth-method private_key_jwt").stderr
    assert "Taken out, as nothing uses it any more: client_secret\n" in told
    assert "client_secret" not in stored(anywhere, "erp")
    assert "Taken out" not in anywhere.run("correct erp --assertion kid=1").stderr
    assert "Taken out" not in anywhere.run("correct erp --unset assertion").stderr


def test_an_option_that_is_no_pair_says_what_it_takes(operator: Operator) -> None:
    jwt = operator.run("correct erp --assertion made-up.made-up.made-up").stderr
    assert "a whole" in jwt
    assert "--from-file" in jwt
    assert "NAME=TEXT, or NAME:=JSON" in operator.run("correct erp --claim sub").stderr


def test_who_signs_is_told_which_key_does_and_how_it_is_made(
    anywhere: Operator, cloud: EmbeddedCloud
) -> None:
    signing = " ".join(SIGNING.split())
    told = anywhere.run(f"add erp {signing}").stderr
    assert "There is no KMS key alias/oauth/erp." in told
    assert "Make it, and register the public one: token-refresher key create erp" in told
    assert "--alg ES256" in told
    kms = cloud.client("kms")
    made = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
    kms.create_alias(AliasName="alias/oauth/erp", TargetKeyId=made)
    told = anywhere.run("correct erp --assertion kid=2027").stderr
    assert "The KMS key alias/oauth/erp signs, by ES256.\n" in told
    told = anywhere.run("correct erp --assertion alg=RS256").stderr
    assert "The KMS key alias/oauth/erp does not sign by RS256, but by ES256.\n" in told
    assert "Say so: token-refresher correct erp --assertion alg=ES256" in told


def test_a_name_that_no_key_can_have_is_refused_before_anything_is_written(
    anywhere: Operator,
) -> None:
    refused = anywhere.run(f"add dealer.17 {' '.join(SIGNING.split())}")
    assert (refused.exit_code, refused.stdout) == (3, "")
    assert "an account that signs has a name, and a SecretPrefix, of the characters" in (
        " ".join(refused.stderr.split())
    )
    assert anywhere.secrets.list_secrets()["SecretList"] == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--assertion kidd=1", "did you mean `assertion.kid`?"),
        ("--assertion key_id=alias/oauth/other", "signs with the key of its own name alone"),
        (
            "--assertion alg=none",
            "`assertion.alg` must be RS256, PS256 or ES256; of the signer sts",
        ),
        ("--assertion expires_in=3600", "`assertion.expires_in` must be a whole number of seconds"),
        ("--assertion expires_in=soon", "`assertion.expires_in` must be a whole number of seconds"),
        ("--assertion x5t=1", "`assertion.x5t` must be the certificate's SHA-1 in base64url"),
        ("--claim jti=1", "`assertion.claims` must not hold `jti`"),
        ("--assertion expires_in=²", "`assertion.expires_in` must be a whole number"),
        ("--assertion signer=sts", "`assertion` of the signer `sts` has `audience`"),
    ],
)
def test_what_cannot_be_signed_is_told_by_its_field(
    anywhere: Operator, options: str, told: str
) -> None:
    refused = anywhere.run(
        "add erp --token-endpoint https://api.example.com/token --grant-type client_credentials "
        f"--client-id erp --token-endpoint-auth-method private_key_jwt {options}"
    )
    assert (refused.exit_code, refused.stdout) == (3, "")
    assert told in " ".join(refused.stderr.split())


def test_a_correction_sets_parts_and_removes_what_it_is_told_to(operator: Operator) -> None:
    operator.server.register_client("erp", secret=SECRET)
    document = operator.document(
        "erp", scope="a", extra_parameters={"audience": "x", "resource": "r"}, timeout_seconds=20
    )
    operator.says("add erp --from-file -", stdin=document)
    operator.says(
        "correct erp --extra-parameter audience=y --unset extra_parameters.resource "
        "--unset timeout_seconds --publish-field instance_url"
    )
    assert stored(operator, "erp") == {
        **json.loads(operator.document("erp", scope="a")),
        "extra_parameters": {"audience": "y"},
        "publish": {"fields": ["instance_url"]},
    }
    operator.says("correct erp --publish-as 'Bearer {access_token}' --use-refresh-token true")
    assert stored(operator, "erp")["publish"] == {"as": "Bearer {access_token}"}
    refused = operator.run("correct erp --unset scpe")
    assert (refused.exit_code, refused.stdout) == (3, "")
    assert "did you mean scope?" in refused.stderr


@pytest.mark.parametrize(
    "options",
    [
        "--extra-parameter client_key=made-up",
        "--extra-parameter api_key:=7",
        "--grant-parameter password=made-up",
        """--grant-parameter 'deep:={"a": {"secret": "made-up"}}'""",
        """--grant-parameter 'credentials:={"a": "made-up"}'""",
        """--grant-parameter 'credentials:={"a": {"b": "made-up"}}'""",
        """--grant-parameter 'auth:=[{"password": "made-up"}]'""",
        "--request-header 'Authorization=Token made-up'",
        "--request-header X-Api-Key=made-up",
        "--token-endpoint 'https://e.example/t?api_key=made-up'",
        "--verify-url 'https://e.example/me?token=made-up'",
        # Of a field that has no option.
        "--client-secret made-up",
        "--password=made-up",
    ],
)
@pytest.mark.parametrize("command", ["add erp", "correct erp"])
def test_a_secret_is_taken_from_no_option(operator: Operator, command: str, options: str) -> None:
    operator.add("erp")
    refused = operator.run(f"{command} {options}")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "never taken from an option" in " ".join(refused.stderr.replace("\u2502", " ").split())
    assert "made-up" not in refused.stderr


def test_who_gives_the_secret_as_an_option_is_told_how_it_is_given(operator: Operator) -> None:
    refused = operator.run("add erp --client-secret made-up")
    told = " ".join(refused.stderr.replace("\u2502", " ").split())
    assert "--client-secret: a secret is never taken from an option: it is asked for" in told
    assert "by --from-file, where - reads the standard input" in told
    # A command that takes no credentials knows nothing of it.
    assert "No such option" in operator.run("refresh erp --client-secret made-up").stderr


@pytest.mark.parametrize(
    "options",
    [
        "--extra-parameter =x",
        "--extra-parameter a:=made-up",
        "--extra-parameter a:=NaN",
        "--extra-parameter a:=1e999",
        "--extra-parameter a:=1 --extra-parameter a:=2",
        "--request-header a:=1",
        "--request-header a=1 --request-header a=2",
        "--dialect access_token",
        "--dialect error=a --dialect error=b",
        "--publish-entry x",
        "--publish-field a --publish-as b",
        "--use-refresh-token maybe",
        "--assertion kid",
        "--assertion kid=1 --assertion kid=2",
        "--assertion claims=x",
        "--claim sub",
        "--claim sub=1 --claim sub=2",
        "--claim sub:=made-up",
        "--claim password=made-up",
        '--claim a:=\'{"client_secret":"made-up"}\'',
    ],
)
def test_what_an_option_does_not_take_is_a_usage_problem(operator: Operator, options: str) -> None:
    refused = operator.run(f"add erp {options}")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "made-up" not in refused.stderr


def test_a_template_for_a_secret_is_none(operator: Operator) -> None:
    refused = operator.run(
        "add erp --token-endpoint https://e.example/t --request-header 'X-Key=Bearer {assertion}' "
        "--grant-parameter token={refresh_token}"
    )
    assert refused.exit_code == 3
    assert "never taken from an option" not in refused.stderr


def test_a_name_alone_needs_somebody_to_be_asked(operator: Operator) -> None:
    refused = operator.run(
        "add erp --token-endpoint https://e.example/t --grant-parameter user=u "
        "--grant-parameter password --request-header X-Key"
    )
    assert refused.exit_code == 3
    assert refused.stderr == (
        "Not given: grant_parameters.password, request_headers.X-Key.\n"
        "Nobody can be asked here: give it in a file by --from-file, or by - in the standard input."
        "\n"
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "no-such.pem: No such file"),
        (b"\x30\x82\xff", "certificates in PEM (the text with -----BEGIN CERTIFICATE-----)"),
        (b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----", "and no key"),
    ],
)
def test_a_file_that_holds_no_certificates_is_told(
    operator: Operator, tmp_path: Path, content: bytes | None, told: str
) -> None:
    path = tmp_path / "no-such.pem"
    if content is not None:
        path.write_bytes(content)
    refused = operator.run(f"add erp --ca-certificates {shlex.quote(str(path))}")
    assert (refused.exit_code, refused.stdout) == (3, "")
    assert told in refused.stderr


def test_whoever_adds_what_is_there_is_told_before_anything_is_asked(operator: Operator) -> None:
    operator.add("erp")
    refused = operator.run("add erp")
    assert (refused.exit_code, refused.stdout) == (3, "")
    assert refused.stderr.startswith("erp has credentials already; nothing was written.")
    operator.secrets.delete_secret(SecretId="oauth/credentials/erp")
    refused = operator.run("add erp")
    assert refused.stderr.startswith("oauth/credentials/erp is scheduled for deletion.")
    assert "token-refresher restore erp" in refused.stderr


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("add erp --assumed-expires-in 1h", "it takes a whole number, without a unit"),
        ("remove erp --recovery-days 3", "it must be at least 7"),
        ("remove erp --recovery-days 31", "it must be at most 30"),
    ],
)
def test_a_number_that_an_option_does_not_take_is_told_in_plain_words(
    operator: Operator, line: str, told: str
) -> None:
    refused = operator.run(line)
    assert refused.exit_code == 2
    assert told in " ".join(refused.stderr.replace("│", " ").split())
