"""What is deployed holds what runs, for the right machine, and the same bytes every time."""

from __future__ import annotations

import json
import platform
import re
import shutil
import ssl
import subprocess
import sys
import time
import zipfile
from contextlib import closing
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import urllib3
from joserfc.jwk import KeySet

from local.runtime_api import LambdaRuntime, link_runtime_client
from local.stack import utc_now
from tests.clones import copy_project
from tests.deployment.signed_clients import BY_JWT, SignedClient, SigningServer, public_key
from tools import artifact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.authority import Authority
    from local.embedded_cloud import EmbeddedCloud

ROOT: Final = Path(__file__).parents[2]
MAKE: Final = shutil.which("make") or "make"
SAM: Final = ROOT / ".venv-deploy" / "bin" / "sam"
RUNNING: Final = f"{sys.version_info.major}.{sys.version_info.minor}"

ELF_MACHINES: Final = {"arm64": b"\xb7\x00", "x86_64": b"\x3e\x00"}
THIS_ARCHITECTURE: Final = "x86_64" if platform.machine() == "x86_64" else "arm64"
HANDLER: Final = "token_refresher.handler.lambda_handler"
UNCHECKED_HASH: Final = b"\x01\x00\x00\x00"
LONGEST_ZIP_MB: Final = 6

TOP_LEVEL: Final = {
    "aws_lambda_powertools",
    "aws_xray_sdk",
    "boto3",
    "botocore",
    "dateutil",
    "jmespath",
    "msgspec",
    "s3transfer",
    "six.py",
    "token_refresher",
    "typing_extensions.py",
    "urllib3",
    "wrapt",
}


@dataclass(frozen=True, slots=True)
class Build:
    """An artifact, and what was said when it was built."""

    directory: Path
    said: str

    @property
    def has_bytecode(self) -> bool:
        return "== With bytecode\n" in self.said

    def paths(self, pattern: str = "*") -> list[Path]:
        return [path for path in artifact.files(self.directory) if path.match(pattern)]


def run(*command: str | Path, within: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        command,
        cwd=within,
        text=True,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def build(directory: Path, architecture: str, *variables: str) -> Build:
    """Build as ``sam build`` does, for a target that need not be the template's."""
    done = run(
        *(MAKE, "artifact", f"ARTIFACTS_DIR={directory}", f"ARCHITECTURE={architecture}"),
        *variables,
    )
    assert done.returncode == 0, done.stdout
    return Build(directory, done.stdout)


@pytest.fixture(scope="module", autouse=True)
def _a_shell_of_its_own() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment:
        for name in ("ARCHITECTURE", "ARTIFACTS_DIR", "MAKEFLAGS", "MAKELEVEL", "TARGET_PYTHON"):
            environment.delenv(name, raising=False)
        environment.setenv("SAM_CLI_TELEMETRY", "0")
        yield


@pytest.fixture(scope="module")
def arm64(tmp_path_factory: pytest.TempPathFactory) -> Build:
    return build(tmp_path_factory.mktemp("arm64"), "arm64")


@pytest.fixture(scope="module")
def x86_64(tmp_path_factory: pytest.TempPathFactory) -> Build:
    return build(tmp_path_factory.mktemp("x86_64"), "x86_64")


@pytest.fixture(params=["arm64", "x86_64"])
def architecture(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def built(architecture: str, request: pytest.FixtureRequest) -> Build:
    found = request.getfixturevalue(architecture)
    assert isinstance(found, Build)
    return found


@pytest.fixture(scope="module")
def runs_here(tmp_path_factory: pytest.TempPathFactory) -> Build:
    directory = tmp_path_factory.mktemp("here")
    return build(directory, THIS_ARCHITECTURE, f"TARGET_PYTHON={RUNNING}")


@pytest.fixture(scope="module")
def cloned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository as a stranger gets it, without any environment."""
    made = run(MAKE, ".venv-deploy/.ready")
    assert made.returncode == 0, made.stdout
    return copy_project(tmp_path_factory.mktemp("a stranger's") / "clone")


@pytest.fixture(scope="module")
def built_by_sam(cloned: Path) -> Build:
    done = run(SAM, "build", within=cloned)
    assert done.returncode == 0, done.stdout
    return Build(cloned / ".aws-sam" / "build" / "TokenRefresherFunction", done.stdout)


def test_compiled_code_is_for_the_architecture_and_the_python(
    built: Build, architecture: str
) -> None:
    extensions = built.paths("*.so")

    assert extensions
    assert {path.read_bytes()[18:20] for path in extensions} == {ELF_MACHINES[architecture]}
    assert [path.name for path in extensions if "cpython-313" not in path.name] == []


def test_only_what_runs_is_inside(built: Build) -> None:
    data = built.directory / "botocore/data"
    top_level = {path.name for path in built.directory.iterdir() if path.suffix != ".dist-info"} - {
        "__pycache__"
    }
    suffixes = {path.suffix for path in built.paths() if ".dist-info" not in str(path)}
    services = {path.name for path in data.iterdir() if path.is_dir()}
    tests = [path for path in built.paths() if {"test", "tests"} & set(path.parts[-3:-1])]

    assert top_level == TOP_LEVEL
    assert suffixes - {".pyc"} == {".py", ".so", ".json", ".gz", ".pem"}
    assert services == {"events", "kms", "secretsmanager", "sts"}
    assert tests == []


def test_the_dependencies_are_the_pinned_versions(built: Build) -> None:
    pins = dict(re.findall(r"^([\w-]+)==(\S+)", artifact.PINS.read_text(), flags=re.MULTILINE))
    inside = {
        re.sub(r"[-_.]+", "-", found.name.lower()): found.version
        for found in metadata.distributions(path=[str(built.directory)])
    }

    assert inside == pins


def test_nothing_of_the_command_line_is_inside(built: Build) -> None:
    of_the_command_line = {"token_refresher_cli", "typer", "rich"}

    assert {path.name for path in built.directory.iterdir()} & of_the_command_line == set()


def test_every_dependency_brings_its_licence(built: Build) -> None:
    without = [
        path.name for path in built.directory.glob("*.dist-info") if not [*path.rglob("LICENSE*")]
    ]

    assert without == []


def test_the_program_and_its_providers_are_inside_as_they_are_here(built: Build) -> None:
    def content(program: Path) -> dict[Path, bytes]:
        paths = [*program.rglob("*.py"), *program.rglob("*.json")]
        return {path.relative_to(program): path.read_bytes() for path in paths}

    assert content(built.directory / "token_refresher") == content(artifact.PROGRAM)


def test_bytecode_is_shipped_for_every_module_or_its_absence_is_told(built: Build) -> None:
    compiled = built.paths("__pycache__/*.cpython-313.pyc")

    assert built.has_bytecode or "== Without bytecode" in built.said
    assert built.has_bytecode or not (RUNNING == "3.13" or (ROOT / ".venv-3.13/.ready").exists())
    assert len(compiled) == (len(built.paths("*.py")) if built.has_bytecode else 0)
    assert built.paths("*.pyc") == compiled
    assert [path for path in compiled if path.read_bytes()[4:8] != UNCHECKED_HASH] == []


def test_bytecode_missing_for_want_of_an_interpreter_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = tmp_path / "nothing"
    for name in ("PATH", "PYENV_ROOT", "UV_PYTHON_INSTALL_DIR"):
        monkeypatch.setenv(name, str(nothing))
    builder = run(
        ROOT / ".venv/bin/python", "-c", "import sys; print(*sys.version_info[:2])"
    ).stdout
    absent = "3.12" if builder.split() == ["3", "13"] else "3.13"

    built = build(
        tmp_path / "built", "arm64", f"TARGET_PYTHON={absent}", f"PYTHON={sys.executable}"
    )

    assert f"== Without bytecode, as this machine has no Python {absent}:" in built.said
    assert built.paths("*.pyc") == []


def test_the_certificates_that_aws_is_checked_against_are_inside(built: Build) -> None:
    trust = ssl.create_default_context(cafile=built.directory / "botocore/cacert.pem")

    assert trust.get_ca_certs()


def test_nothing_of_the_machine_that_built_it_is_inside(built: Build) -> None:
    places = {str(place).encode() for place in (ROOT, built.directory, Path.home() / ".pyenv")}
    telling = [path for path in built.paths() for place in places if place in path.read_bytes()]

    assert telling == []
    assert {path.stat().st_mode & 0o777 for path in built.paths()} == {0o644}
    assert {path.stat().st_mtime for path in built.directory.rglob("*")} == {
        artifact.EARLIEST_IN_A_ZIP
    }


def test_any_tool_can_zip_it_wherever_it_is_noon_last(arm64: Build) -> None:
    try:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("TZ", "UTC+12")
            time.tzset()
            times = {zipfile.ZipInfo.from_file(path).date_time for path in arm64.paths()}
    finally:
        time.tzset()
    assert times == {(1980, 1, 1, 12, 0, 0)}


def test_the_zip_is_small_and_its_size_is_told(built: Build) -> None:
    assert len(artifact.zipped(built.directory)) < LONGEST_ZIP_MB * 1e6
    assert artifact.size(built.directory) in built.said


def test_sam_build_alone_makes_the_same_bytes_in_another_directory(
    built_by_sam: Build, arm64: Build
) -> None:
    assert artifact.digest(built_by_sam.directory) == artifact.digest(arm64.directory)
    assert artifact.digest(built_by_sam.directory) in built_by_sam.said


def test_all_functions_share_one_build_and_the_disk_that_it_takes(built_by_sam: Build) -> None:
    assert built_by_sam.said.count("== Built for ") == 1
    copies = list(built_by_sam.directory.parent.glob("*/token_refresher/handler.py"))
    assert (len(copies), len({path.stat().st_ino for path in copies})) == (3, 1)


# What follows builds in the same place again.


@pytest.mark.usefixtures("built_by_sam")
def test_the_template_s_parameter_chooses_the_architecture(cloned: Path, x86_64: Build) -> None:
    done = run(SAM, "build", "--parameter-overrides", "Architecture=x86_64", within=cloned)

    assert done.returncode == 0, done.stdout
    assert artifact.digest(x86_64.directory) in done.stdout


@pytest.mark.usefixtures("built_by_sam")
def test_an_architecture_that_is_not_the_template_s_is_refused(
    cloned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARCHITECTURE", "x86_64")
    done = run(SAM, "build", within=cloned)

    assert done.returncode != 0
    assert "ARCHITECTURE is x86_64, but the template says arm64" in done.stdout
    # What serves whoever runs SAM, with a variable of the local AWS in the shell.
    assert "sam build --parameter-overrides Architecture=x86_64" in done.stdout


def test_an_architecture_that_nobody_names_is_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(artifact.BuildError, match="set ARCHITECTURE to arm64 or x86_64"):
        artifact.choose_target(tmp_path, architecture=None, python=None)


def test_the_plan_of_an_earlier_build_is_not_believed(tmp_path: Path) -> None:
    directory = tmp_path / "build" / "TokenRefresherFunction"
    directory.mkdir(parents=True)
    (tmp_path / "build.toml").write_text(
        '[function_build_definitions.one]\narchitecture = "x86_64"\nruntime = "python3.13"\n'
        'functions = ["TokenRefresherFunction"]\n'
    )
    fresh = artifact.planned_by_sam(directory)
    (directory.parent / "template.yaml").touch()

    assert fresh == artifact.Target("x86_64", "3.13")
    assert artifact.planned_by_sam(directory) is None


PLANNED: Final = """\
[function_build_definitions.one]
architecture = "x86_64"
runtime = "python3.13"
functions = ["One", "Another"]
[function_build_definitions.two]
architecture = "arm64"
runtime = "python3.13"
functions = ["Else"]
"""


def test_an_artifact_is_taken_for_each_function_that_is_planned_alike(tmp_path: Path) -> None:
    one, another, other = (tmp_path / "build" / name for name in ("One", "Another", "Else"))
    for directory in (one, another, other):
        directory.mkdir(parents=True)
    (tmp_path / "build.toml").write_text(PLANNED)
    assert artifact.built_before(one) is None
    (one / "six.py").touch()
    assert artifact.built_before(another) == one
    assert artifact.built_before(other) is None


@pytest.fixture
def alone(runs_here: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment in which there is nothing but the artifact and Lambda's runtime client."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.chdir(runs_here.directory)
    client = tmp_path / "client"
    client.mkdir()
    link_runtime_client(client)
    return {
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(client),
    }


def test_the_artifact_alone_refuses_an_event_that_is_not_ours(alone: dict[str, str]) -> None:
    with LambdaRuntime(HANDLER, alone) as runtime:
        refused = runtime.invoke({"detail": {}})

    assert (refused.kind, refused.content["errorType"]) == ("error", "EventError")


@pytest.mark.parametrize("tracing", ["with tracing", "without tracing"])
def test_the_artifact_alone_sweeps(
    alone: dict[str, str], cloud: EmbeddedCloud, tracing: str
) -> None:
    environment = {
        **alone,
        "AWS_ENDPOINT_URL": cloud.endpoint_url,
        "LAMBDA_TASK_ROOT": str(Path.cwd()),  # without it nothing is ever traced
        "POWERTOOLS_TRACE_DISABLED": str(tracing == "without tracing").lower(),
    }
    with LambdaRuntime(HANDLER, environment) as runtime:
        swept = runtime.invoke({})

    assert (swept.kind, swept.content.get("accounts_managed")) == ("response", 0)


def test_the_artifact_alone_signs(
    alone: dict[str, str], cloud: EmbeddedCloud, authority: Authority
) -> None:
    server, clients = SigningServer(authority.server_context(), utc_now), _signing_clients(cloud)
    for account, (client, credentials) in clients.items():
        server.clients[f"/{account}"] = client
        told = {**credentials, "token_endpoint": server.url(f"/{account}")}
        cloud.client().create_secret(
            Name=f"oauth/credentials/{account}", SecretString=json.dumps(told)
        )
    environment = {
        **alone,
        "ALLOWED_TOKEN_HOSTS": server.host,
        "AWS_ENDPOINT_URL": cloud.endpoint_url,
        "POWERTOOLS_TRACE_DISABLED": "true",
        "SSL_CERT_FILE": str(authority.certificate_file),
    }
    with closing(server), LambdaRuntime(HANDLER, environment) as runtime:
        swept = runtime.invoke({})

    assert swept.content["outcomes"]["published"] == len(clients)
    assert server.refused == []


def _signing_clients(cloud: EmbeddedCloud) -> dict[str, tuple[SignedClient, dict[str, object]]]:
    """A client of whom KMS has the key, and one of whom AWS has the issuer."""
    kms = cloud.client("kms")
    key_id = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/oauth/by-kms", TargetKeyId=key_id)
    issuer = cloud.client("iam").enable_outbound_web_identity_federation()["IssuerIdentifier"]
    keys = urllib3.request("GET", f"{issuer}/.well-known/jwks.json").json()
    usual = {"grant_type": "client_credentials", "client_id": "invented"}
    form = {**usual, "client_assertion_type": BY_JWT}
    credentials: dict[str, object]
    credentials = {**usual, "token_endpoint_auth_method": "private_key_jwt"}
    return {
        "by-kms": (
            SignedClient(
                key=public_key(kms.get_public_key(KeyId=key_id)["PublicKey"]),
                claims={"iss": "invented", "sub": "invented"},
                form=form,
            ),
            credentials,
        ),
        "by-sts": (
            SignedClient(
                key=KeySet.import_key_set(keys),
                claims={"iss": issuer, "aud": "api://invented"},
                account="by-sts",
                form=form,
            ),
            {**credentials, "assertion": {"signer": "sts", "audience": "api://invented"}},
        ),
    }
