"""The consumers' examples do what their pages say, each on its own runtime."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import botocore.session
import pytest
import yaml
from botocore.validate import ParamValidator

from local.function import Function
from tests.docs.consumers_world import (
    ADDED_FIELDS,
    AGENT_TOKEN,
    ODD_ENDING,
    TOKEN_SECRET,
    ConsumersWorld,
    SecretsFront,
)
from tests.unit.fakes import CLIENT_CREDENTIALS, TICK, World, unavailable
from token_refresher.settings import Settings
from tools import templates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.authority import Authority
    from local.authorization_server import AuthorizationServer
    from local.clock import DrivenClock
    from local.embedded_cloud import EmbeddedCloud

ROOT: Final = Path(__file__).resolve().parents[2]
CONSUMERS: Final = ROOT / "docs" / "consumers"
# Made by `make`, as the other environments are; the CLI is the one that the deployment uses.
NODE_MODULES: Final = ROOT / ".node" / "node_modules"
DEPLOY_TOOLS: Final = ROOT / ".venv-deploy" / "bin"

REFUSED: Final = "it was refused, and there is no newer one"


@dataclass(frozen=True, slots=True)
class Example:
    """One example, and how it is run.

    Attributes:
        path: Beneath docs/consumers.
        page: The page that shows what it prints.
        command: What runs it; ``{}`` stands for its path.
        tools: The programs that it needs.
        modules: The Python modules that it needs.
        packages: Whether it needs what docs/consumers/node/package.json names.
    """

    path: str
    page: str
    command: tuple[str, ...] = (sys.executable, "{}")
    tools: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    packages: bool = False

    @property
    def file(self) -> Path:
        return CONSUMERS / self.path

    def missing(self) -> list[str]:
        """What this machine lacks to run it."""
        needs = {
            **{tool: which(tool) is not None for tool in self.tools},
            **{f"Python's {name}": find_spec(name) is not None for name in self.modules},
            "the packages of docs/consumers/node": NODE_MODULES.is_dir() or not self.packages,
        }
        return [need for need, is_here in needs.items() if not is_here]


def which(tool: str) -> str | None:
    return shutil.which(tool, path=str(DEPLOY_TOOLS)) or shutil.which(tool)


LAMBDA = "import lambda_extension; lambda_extension.handler({}, None)"
SHELL = ("bash", "curl", "jq")
EXAMPLES: Final = (
    Example(
        "python_powertools.py", "python_powertools.md", modules=("aws_lambda_powertools", "urllib3")
    ),
    Example("python_authlib.py", "python_authlib.md", modules=("authlib", "requests")),
    Example(
        "python_requests_oauthlib.py", "python_requests_oauthlib.md", modules=("requests_oauthlib",)
    ),
    Example("lambda_extension.py", "lambda_extension.md", command=(sys.executable, "-c", LAMBDA)),
    Example("agent.sh", "agent.md", command=("bash", "{}"), tools=SHELL),
    Example("shell.sh", "shell.md", command=("bash", "{}"), tools=(*SHELL, "aws")),
    Example("node/agent.mjs", "node.md", command=("node", "{}"), tools=("node",)),
    Example(
        "node/powertools.mjs", "node.md", command=("node", "{}"), tools=("node",), packages=True
    ),
    Example("Token.java", "java.md", command=("java", "{}"), tools=("java", "javac", "keytool")),
)
EVERY_EXAMPLE = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.path)


@pytest.fixture
def world(
    cloud: EmbeddedCloud,
    authority: Authority,
    authorization_server: AuthorizationServer,
    clock: DrivenClock,
) -> Iterator[ConsumersWorld]:
    settings = {
        **cloud.environment(),
        "SSL_CERT_FILE": str(authority.certificate_file),
        "ALLOWED_TOKEN_HOSTS": authorization_server.host,
    }
    with SecretsFront(cloud) as front, Function(clock, settings) as function:
        yield ConsumersWorld(cloud, authorization_server, clock, front, function)


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs an example as its page says, where this machine can."""

    world: ConsumersWorld
    authority: Authority
    directory: Path

    def run(self, example: Example) -> subprocess.CompletedProcess[str]:
        missing = example.missing()
        if missing:
            pytest.skip(f"{example.path} is not run, since this machine lacks {', '.join(missing)}")
        file = example.file
        if example.packages:
            # Node looks for packages beside the file that names them.
            file = Path(shutil.copy(file, self.directory))
            (self.directory / "node_modules").symlink_to(NODE_MODULES)
        program, *words = example.command
        trust = self._java_trust() if program == "java" else []
        ran = subprocess.run(  # noqa: S603
            [
                which(program) or program,
                *trust,
                *(str(file) if word == "{}" else word for word in words),
            ],
            cwd=example.file.parent,
            env=self.environment(example),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        printed = ran.stdout + ran.stderr
        assert [token for token in self.world.tokens if token in printed] == []
        return ran

    def environment(self, example: Example) -> dict[str, str]:
        """What the example finds, and nothing of what this shell says of AWS."""
        agent_token = self.directory / "agent-token"
        agent_token.write_text(AGENT_TOKEN + "\n")
        trusted = str(self.authority.certificate_file)
        tools = [Path(found).parent for tool in example.tools if (found := which(tool))]
        return {
            **self.world.cloud.environment(),
            "AWS_ENDPOINT_URL": self.world.front.url,
            "HOME": str(self.directory),
            "PATH": os.pathsep.join([*map(str, tools), os.defpath]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TOKEN_SECRET": TOKEN_SECRET,
            "API_URL": self.world.server.resource_url,
            "AGENT_PORT": str(self.world.front.port),
            "AGENT_TOKEN_FILE": str(agent_token),
            "PARAMETERS_SECRETS_EXTENSION_HTTP_PORT": str(self.world.front.port),
            "AWS_SESSION_TOKEN": AGENT_TOKEN,
            # Every runtime has a word of its own for whom it trusts.
            "SSL_CERT_FILE": trusted,
            "REQUESTS_CA_BUNDLE": trusted,
            "CURL_CA_BUNDLE": trusted,
            "NODE_EXTRA_CA_CERTS": trusted,
            # Node 20 works, and the SDK would say that its next releases ask for a later one.
            "AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED": "true",
        }

    def _java_trust(self) -> list[str]:
        store = self.directory / "trusted.p12"
        made = templates.run(
            which("keytool") or "keytool",
            *("-importcert", "-noprompt", "-alias", "authority", "-storepass", "changeit"),
            *("-file", self.authority.certificate_file, "-keystore", store),
        )
        assert made.returncode == 0, made.stderr
        trust = {"trustStore": store, "trustStorePassword": "changeit"}
        return [f"-Djavax.net.ssl.{name}={value}" for name, value in trust.items()]


@pytest.fixture
def runner(world: ConsumersWorld, authority: Authority, tmp_path: Path) -> Runner:
    return Runner(world, authority, tmp_path)


def shown(page: str) -> list[str]:
    """The outputs that a page shows."""
    return re.findall(r"```text\n(.*?)```", (CONSUMERS / page).read_text(), re.DOTALL)


@EVERY_EXAMPLE
def test_two_calls_cost_one_read_and_print_what_the_page_shows(
    example: Example, runner: Runner, world: ConsumersWorld
) -> None:
    world.onboard(is_odd=False)
    ran = runner.run(example)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == shown(example.page)[0]
    assert (world.front.reads, world.calls) == (1, (2, 0))


@EVERY_EXAMPLE
def test_a_token_that_was_replaced_since_it_was_read_is_read_once_more(
    example: Example, runner: Runner, world: ConsumersWorld
) -> None:
    world.onboard()
    world.front.after_read = world.replace_token
    ran = runner.run(example)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == shown(example.page)[1]
    assert (world.front.reads, world.calls) == (2, (2, 1))


@EVERY_EXAMPLE
def test_a_refused_token_that_nobody_replaced_ends_it_after_one_call_and_two_reads(
    example: Example, runner: Runner, world: ConsumersWorld
) -> None:
    world.onboard()
    world.revoke_token()
    ran = runner.run(example)
    assert ran.returncode != 0
    assert REFUSED in ran.stderr
    assert (world.front.reads, world.calls) == (2, (0, 1))


def test_what_the_examples_read_has_added_fields_and_characters_of_any_provider(
    world: ConsumersWorld,
) -> None:
    world.onboard()
    value = world.cloud.client().get_secret_value(SecretId=TOKEN_SECRET)
    published = json.loads(value["SecretString"])
    assert published["access_token"].endswith(ODD_ENDING)
    assert {name: published[name] for name in ADDED_FIELDS} == ADDED_FIELDS


def test_java_reads_json_that_others_have_written(tmp_path: Path) -> None:
    javac = which("javac")
    if javac is None:
        pytest.skip("Token.java is not compiled, since this machine lacks javac")
    (tmp_path / "Read.java").write_text(
        "import static java.nio.charset.StandardCharsets.UTF_8;\n"
        "class Read { public static void main(String[] names) throws Exception {\n"
        " String json = new String(System.in.readAllBytes(), UTF_8);\n"
        " for (String name : names) json = Token.member(json, name);\n"
        " System.out.write(json.getBytes(UTF_8)); System.out.flush(); } }\n"
    )
    compiled = templates.run(
        javac, "-d", tmp_path, CONSUMERS / "Token.java", tmp_path / "Read.java"
    )
    assert compiled.returncode == 0, compiled.stderr
    secret = (
        r'{"note":"}\",\"access_token\":\"no","in":{"access_token":"no","of":[1,"access_token"]},'
        r'"kind":"access_token", "new":true , "access_token" : "a\/b\u0026c|!^#\\}{\u00e9é\t"}'
    )
    answer = json.dumps({"ARN": "made-up", "VersionStages": ["AWSCURRENT"], "SecretString": secret})
    ran = subprocess.run(  # noqa: S603
        [which("java") or "java", "-cp", tmp_path, "Read", "SecretString", "access_token"],
        input=answer.encode(),
        capture_output=True,
        check=False,
    )
    assert ran.stdout.decode() == json.loads(secret)["access_token"], ran.stderr
    assert ran.stdout.decode() == "a/b&c|!^#\\}{éé\t"


@pytest.mark.parametrize(
    "example", [each for each in EXAMPLES if "auth" in each.path], ids=lambda example: example.path
)
def test_a_library_that_minds_the_expiry_sends_no_expired_token(
    example: Example, runner: Runner, world: ConsumersWorld
) -> None:
    world.onboard(published_ago=timedelta(hours=13))
    ran = runner.run(example)
    assert ran.returncode != 0
    assert REFUSED in ran.stderr
    assert (world.front.reads, world.calls) == (2, (0, 0))


def test_the_readme_shows_what_a_refusal_ends_with() -> None:
    assert shown("README.md") == [f"the token was refused; reading it again\n{REFUSED}\n"]


def test_every_example_has_a_page_and_every_page_its_row() -> None:
    pages = {page.name for page in CONSUMERS.glob("*.md")} - {"README.md"}
    readme = (CONSUMERS / "README.md").read_text()
    assert {page for page in pages if f"({page})" not in readme} == set()
    text = "\n".join((CONSUMERS / page).read_text() for page in pages)
    files = {
        str(file.relative_to(CONSUMERS))
        for file in CONSUMERS.rglob("*")
        if file.is_file() and file.suffix != ".md" and "__pycache__" not in file.parts
    }
    named = set(re.findall(r"\]\(((?:node/)?[\w.-]+)\)", text))
    assert files - named == {"node/package.json", "node/package-lock.json"}
    assert {name for name in named if not (CONSUMERS / name).is_file()} == set()


# How long a token may be kept.

MARGIN: Final = Settings().refresh_before
MINUTE: Final = timedelta(minutes=1)


def due_with(lifetime: timedelta) -> timedelta:
    """What is left of a token's life when it becomes due."""
    return min(MARGIN, lifetime / 2)


def kept_at_most(lifetime: timedelta) -> timedelta:
    return due_with(lifetime) - 2 * TICK


def rows(table_after: str) -> list[list[str]]:
    """The cells of the first table after some words of the README."""
    text = (CONSUMERS / "README.md").read_text().split(table_after)[1]
    lines = text[text.index("|") :].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def duration(cell: str) -> timedelta:
    number, unit = cell.split()[:2]
    return int(number) * {"s": timedelta(seconds=1), "min": MINUTE, "h": 60 * MINUTE}[unit]


def test_the_derivation_is_of_the_settings_that_are_deployed() -> None:
    parameters = templates.load(templates.FUNCTION)["Parameters"]
    assert parameters["ScheduleMinutes"]["Default"] * MINUTE == TICK
    assert parameters["RefreshBeforeSeconds"]["Default"] == MARGIN.total_seconds()
    shown_rows = rows("What is kept must not outlive the rest")
    for lives, due, kept, spare in shown_rows:
        lifetime = duration(lives)
        assert duration(due) == due_with(lifetime)
        assert duration(kept) == kept_at_most(lifetime)
        assert duration(spare) == kept_at_most(lifetime) - 5 * MINUTE
    assert len(shown_rows) == 4


def test_every_consumer_is_judged_by_the_same_derivation() -> None:
    judged = 0
    for _, _, kept, safe_from, spare in rows("and never the token"):
        if kept == "for ever":
            assert (safe_from, spare) == ("never", "none")
            continue
        judged += 1
        shortest = duration(safe_from)
        assert kept_at_most(shortest) == duration(kept)
        assert kept_at_most(shortest - MINUTE) < duration(kept)
        spared = kept_at_most(timedelta(hours=12)) - duration(kept)
        # After longer failing an attempt is made every half hour, and ten minutes before the end.
        assert duration(spare) == (spared if duration(kept) <= 10 * MINUTE else 15 * MINUTE)
    assert judged == 10


@pytest.mark.parametrize("minutes", [30, 60, 180, 720])
def test_what_may_be_kept_outlives_no_token_when_a_tick_is_missed(minutes: int) -> None:
    # It becomes due a second after a tick, which is the worst moment, and the next tick is missed.
    lifetime = minutes * MINUTE + timedelta(seconds=1)
    world = published(lifetime)
    due_at = world.now + lifetime - due_with(lifetime)
    while world.now + TICK < due_at:
        world.sweep(after=TICK)
    expires_at = expiry(world)
    world.sweep(after=2 * TICK)
    left = expires_at - world.now
    assert expiry(world) > expires_at
    assert left >= kept_at_most(minutes * MINUTE)
    assert left < kept_at_most(minutes * MINUTE) + TICK


@pytest.mark.parametrize(("kept", "spare"), [(5, 75), (7, 73), (60, 15)])
def test_an_outage_of_what_is_to_spare_leaves_no_consumer_a_dead_token(
    kept: int, spare: int
) -> None:
    lifetime = timedelta(hours=12, seconds=1)
    world = published(lifetime)
    due_at = world.now + lifetime - MARGIN
    expires_at = expiry(world)
    world.endpoint.fail(unavailable)
    while world.now < due_at:
        world.sweep(after=TICK)
    # It went down right before the first attempt.
    down_until = world.now + spare * MINUTE
    while world.now + TICK < down_until:
        world.sweep(after=TICK)
    world.endpoint.fail(None)
    while expiry(world) == expires_at:
        world.sweep(after=TICK)
    assert expires_at - world.now >= kept * MINUTE


def published(lifetime: timedelta) -> World:
    """A world in which a token was just published."""
    world = World()
    world.endpoint.lifetime = lifetime
    world.add(CLIENT_CREDENTIALS)
    world.sweep()
    return world


def expiry(world: World) -> datetime:
    token = world.token()
    assert token is not None
    return datetime.fromtimestamp(token["expires_at"], UTC)


# What no runtime of this machine runs.


def test_the_task_definition_is_one_that_ecs_takes_and_holds_no_secret() -> None:
    definition = json.loads((CONSUMERS / "ecs-task-definition.json").read_text())
    ecs = botocore.session.get_session().get_service_model("ecs")
    shape = ecs.operation_model("RegisterTaskDefinition").input_shape
    assert shape is not None
    report = ParamValidator().validate(definition, shape)
    assert not report.has_errors(), report.generate_report()
    (container,) = definition["containerDefinitions"]
    assert "secrets" not in container
    assert {"name": "TOKEN_SECRET", "value": TOKEN_SECRET} in container["environment"]


def test_the_manifest_copies_the_token_every_five_minutes_into_a_volume() -> None:
    text = (CONSUMERS / "external-secret.yaml").read_text()
    store, copy, pod = yaml.safe_load_all(text)
    assert copy["spec"]["secretStoreRef"]["name"] == store["metadata"]["name"]
    assert copy["spec"]["refreshInterval"] == "5m0s"
    assert [each["remoteRef"]["key"] for each in copy["spec"]["data"]] == [TOKEN_SECRET]
    (volume,) = pod["spec"]["volumes"]
    (mount,) = pod["spec"]["containers"][0]["volumeMounts"]
    assert volume["secret"]["secretName"] == copy["spec"]["target"]["name"]
    assert (mount["name"], "subPath" in mount) == (volume["name"], False)


@pytest.mark.parametrize("path", ["workload.tf", "cdk_app.py"])
def test_what_wires_a_workload_names_the_secret_and_holds_no_value(path: str) -> None:
    text = (CONSUMERS / path).read_text().replace("${local.account}", "dealer-17")
    assert TOKEN_SECRET in text
    for value in ("aws_secretsmanager_secret_version", "resolve:secretsmanager", "secret_value"):
        assert value not in text


def test_terraform_reads_its_example(tmp_path: Path) -> None:
    terraform = which("terraform")
    if terraform is None:
        pytest.skip("workload.tf is not read, since this machine lacks terraform")
    ran = subprocess.run(  # noqa: S603
        [terraform, "fmt", "-check", "-diff", CONSUMERS / "workload.tf"],
        env={"HOME": str(tmp_path), "CHECKPOINT_DISABLE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, ""), ran.stderr


def test_terraform_grants_what_the_accounts_template_grants() -> None:
    resources = templates.resolved(templates.ACCOUNT)["Resources"]
    (statement,) = resources["ReadToken"]["Properties"]["PolicyDocument"]["Statement"]
    text = (CONSUMERS / "workload.tf").read_text()
    (granted,) = re.findall(r"actions = (\[.*\])", text)
    assert json.loads(granted) == statement["Action"]
    assert statement["Resource"].endswith("-??????")
    assert "${local.token_secret}-??????" in text


def test_the_cdk_synthesises_its_example_and_grants_no_more(tmp_path: Path) -> None:
    if find_spec("aws_cdk") is None or which("node") is None:
        pytest.skip("cdk_app.py is not synthesised, since this machine lacks Python's aws_cdk")
    ran = subprocess.run(  # noqa: S603
        [sys.executable, CONSUMERS / "cdk_app.py"],
        env={"CDK_OUTDIR": str(tmp_path), "HOME": str(tmp_path), "PATH": node_path()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    resources = json.loads((tmp_path / "Adverts.template.json").read_text())["Resources"]
    (policy,) = (each for each in resources.values() if each["Type"] == "AWS::IAM::Policy")
    (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
    assert set(statement["Action"]) == {
        "secretsmanager:DescribeSecret",
        "secretsmanager:GetSecretValue",
    }
    assert json.dumps(statement["Resource"]).count(f":secret:{TOKEN_SECRET}-??????") == 1


def node_path() -> str:
    return os.pathsep.join([str(Path(which("node") or "").parent), os.defpath])
