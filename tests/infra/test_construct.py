"""The CDK construct compiles, synthesises without AWS, and hands over what it is given."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest

from local.stack import Stack
from tests.infra.samples import DEPLOYABLES, refused, text_of, value_of
from tools.modules import CDK, NODE_MODULES, compile_typescript, construct_files, write

if TYPE_CHECKING:
    from pathlib import Path

    from tools.modules import Deployable

NODE: Final = shutil.which("node") or "node"
EACH = pytest.mark.parametrize("template", DEPLOYABLES, ids=lambda template: template.name)
pytestmark = [
    pytest.mark.slow,  # a compiler, and the CDK
    pytest.mark.skipif(not NODE_MODULES.is_dir(), reason="this machine has no npm"),
    pytest.mark.timeout(900),  # on a slow machine
]

# Each prop as it is written in TypeScript, and what its types refuse.
TYPED: Final = """
import {{ App, Stack }} from "aws-cdk-lib";
import {{ {names} }} from "token-refresher-cdk";

const stack = new Stack(new App(), "Typed");
{constructs}
// @ts-expect-error - the bucket must be named
new TokenRefresher(stack, "A", {{}});
// @ts-expect-error - no such schedule
new TokenRefresher(stack, "B", {{ artifactBucket: "a-bucket", scheduleMinutes: 7 }});
// @ts-expect-error - misspelt
new TokenRefresher(stack, "C", {{ artifactBucket: "a-bucket", secretsPrefix: "oauth" }});
"""
# What each construct hands over, or says; and what it does with what is known at deployment alone.
SYNTHESISED: Final = """
const { App, Fn, Stack } = require("aws-cdk-lib");
const lib = require("token-refresher-cdk");
const tried = JSON.parse(require("fs").readFileSync(0)).map(([name, props, stackName]) => {
  try {
    const app = new App();
    const stack = new Stack(app, "S", { stackName });
    const later = Object.entries(props).map(([key, value]) =>
      [key, value === "LATER" ? Fn.importValue(key) : value]);
    new lib[name](stack, "R", Object.fromEntries(later));
    return Object.values(app.synth().getStackArtifact("S").template.Resources);
  } catch (error) {
    return error.message;
  }
});
process.stdout.write(JSON.stringify(tried));
"""


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    """What a release holds of it."""
    return construct_files("1.2.3")


@pytest.fixture(scope="module")
def app(files: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An app that has installed the release's package, and is compiled."""
    directory = tmp_path_factory.mktemp("app")
    packages = directory / "node_modules"
    write(packages / "token-refresher-cdk", files)
    for each in NODE_MODULES.iterdir():
        (packages / each.name).symlink_to(each)
    shutil.copy(CDK / "example" / "app.ts", directory)
    constructs = "\n".join(
        f'new {each.name}(stack, "{each.name}", {json.dumps(everything(each))});'
        for each in DEPLOYABLES
    )
    names = ", ".join(each.name for each in DEPLOYABLES)
    (directory / "typed.ts").write_text(TYPED.format(names=names, constructs=constructs))
    compile_typescript(directory)
    return directory


def node(app: Path, *arguments: str | Path, given: str = "") -> str:
    """Run it as on a machine that knows no AWS account."""
    done = subprocess.run(  # noqa: S603
        [NODE, *arguments],
        cwd=app,
        env={**Stack.clean_environment(), "HOME": str(app)},
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def everything(template: Deployable) -> dict[str, Any]:
    return {each.camel: value_of(each, text_of(each)) for each in template.parameters}


def needed(template: Deployable) -> dict[str, Any]:
    return {each.camel: text_of(each) for each in template.parameters if each.required}


@pytest.fixture(scope="module")
def synthesised(app: Path) -> dict[str, list[Any]]:
    """By what is tried: each stack's resources, or the error. One run: the CDK starts slowly."""
    later = {"artifactBucket": "LATER", "secretPrefix": "LATER"}
    bucket = {"artifactBucket": "a-bucket"}
    triggers = bucket | {"triggers": True}
    tried: dict[str, list[list[Any]]] = {
        "later": [["TokenRefresher", later]],
        "names": [["TokenRefresher", bucket, "s" * length] for length in (40, 41)],
        "names with triggers": [["TokenRefresher", triggers, "s" * length] for length in (31, 32)],
    }
    for each in DEPLOYABLES:
        tried[f"all of {each.name}"] = [[each.name, everything(each)]]
        tried[f"least of {each.name}"] = [[each.name, needed(each)]]
        tried[f"wrong of {each.name}"] = [
            [each.name, needed(each) | {prop: value}] for prop, value in wrong(each)
        ]
    every = [one for group in tried.values() for one in group]
    results = iter(json.loads(node(app, "-e", SYNTHESISED, given=json.dumps(every))))
    return {name: [next(results) for _ in group] for name, group in tried.items()}


def wrong(template: Deployable) -> list[tuple[str, Any]]:
    return [(each.camel, value) for each in template.parameters for value in refused(each)]


def parameters(synthesised: dict[str, list[Any]], name: str) -> dict[str, Any]:
    """What the one stack is given that was synthesised."""
    (resources,) = synthesised[name]
    (stack,) = resources
    assert stack["Type"] == "AWS::CloudFormation::Stack"
    given: dict[str, Any] = stack["Properties"]["Parameters"]
    return given


def test_the_example_synthesises_without_aws_to_one_stack_of_each_template(
    app: Path, files: dict[str, str]
) -> None:
    cdk = NODE_MODULES / "aws-cdk" / "bin" / "cdk"
    out = app / "cdk.out"
    options = ("--quiet", "--no-notices", "--no-version-reporting")
    node(app, cdk, "synth", "--app", "node app.js", "--output", out, *options)
    template = json.loads((out / "Tokens.template.json").read_text())
    stacks = list(template["Resources"].values())
    assert [each["Type"] for each in stacks] == ["AWS::CloudFormation::Stack"] * 2
    assert [each["Properties"]["Parameters"].keys() for each in stacks] == [
        {"ArtifactBucket", "ArtifactPrefix", "AllowedTokenHosts", "Triggers"},
        {"FunctionStackName", "AlarmEmail"},
    ]
    assets = json.loads((out / "Tokens.assets.json").read_text())["files"].values()
    published = [(out / each["source"]["path"]).read_text() for each in assets]
    assert {files["template.yaml"], files["monitoring.yaml"]} <= set(published)


@EACH
def test_each_prop_reaches_its_parameter(
    synthesised: dict[str, list[Any]], template: Deployable
) -> None:
    texts = {each.name: text_of(each) for each in template.parameters}
    assert parameters(synthesised, f"all of {template.name}") == texts


def test_what_the_function_creates_and_what_the_stack_creates_are_tagged_alike(
    synthesised: dict[str, list[Any]],
) -> None:
    (resources,) = synthesised["all of TokenRefresher"]
    (stack,) = resources
    tags = {each["Key"]: each["Value"] for each in stack["Properties"]["Tags"]}
    told = parameters(synthesised, "all of TokenRefresher")["ResourceTags"]
    assert ",".join(f"{key}={tags[key]}" for key in sorted(tags)) == told


@EACH
def test_what_is_not_given_is_left_to_the_template(
    synthesised: dict[str, list[Any]], template: Deployable
) -> None:
    names = {each.name for each in template.parameters if each.required}
    assert parameters(synthesised, f"least of {template.name}").keys() == names


@EACH
def test_each_check_refuses_what_cloudformation_would_refuse_and_names_the_prop(
    synthesised: dict[str, list[Any]], template: Deployable
) -> None:
    told = synthesised[f"wrong of {template.name}"]
    for (prop, _), each in zip(wrong(template), told, strict=True):
        assert str(each).startswith(f"S/R: {prop} must ")


def test_what_is_known_at_deployment_alone_is_not_checked_before(
    synthesised: dict[str, list[Any]],
) -> None:
    assert parameters(synthesised, "later") == {
        "ArtifactBucket": {"Fn::ImportValue": "artifactBucket"},
        "SecretPrefix": {"Fn::ImportValue": "secretPrefix"},
    }


@pytest.mark.parametrize(("names", "longest"), [("names", 40), ("names with triggers", 31)])
def test_a_stack_whose_function_could_not_have_its_name_is_refused_before_it_is_deployed(
    synthesised: dict[str, list[Any]], names: str, longest: int
) -> None:
    fits, too_long = synthesised[names]
    assert isinstance(fits, list), fits
    assert f"a stackName of at most {longest}" in too_long


def test_a_release_holds_the_package_as_npm_installs_it(files: dict[str, str]) -> None:
    package = json.loads(files["package.json"])
    assert package["version"] == "1.2.3"
    assert {package["main"], package["types"], "template.yaml", "monitoring.yaml"} <= files.keys()
    assert "token-refresher-1.2.3-${Architecture}.zip" in files["template.yaml"]
    assert not {"private", "devDependencies"} & package.keys()
    # Whoever installs it compiles nothing of it.
    assert [name for name in files if name.endswith(".ts") and not name.endswith(".d.ts")] == []
