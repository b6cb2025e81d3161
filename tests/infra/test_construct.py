"""The CDK construct compiles, synthesises without AWS, and hands over what it is given."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.infra.samples import DEPLOYABLES, refused, text_of, value_of
from tools.modules import NODE_MODULES, compile_construct, construct_files, construct_sources, write

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tools.modules import Deployable

NODE: Final = shutil.which("node") or "node"
EACH = pytest.mark.parametrize("template", DEPLOYABLES, ids=lambda template: template.name)
pytestmark = [
    pytest.mark.slow,  # a compiler, and the CDK
    pytest.mark.skipif(not NODE_MODULES.is_dir(), reason="this machine has no npm"),
    pytest.mark.timeout(180),
]

# Each prop as it is written in TypeScript, and what its types refuse.
TYPED: Final = """
import {{ App, Stack }} from "aws-cdk-lib";
import {{ {names} }} from "../lib";

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
const lib = require("./lib");
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
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled package, with what it stands on."""
    directory = tmp_path_factory.mktemp("package")
    write(directory, construct_sources("1.2.3"))
    constructs = "\n".join(
        f'new {each.name}(stack, "{each.name}", {json.dumps(everything(each))});'
        for each in DEPLOYABLES
    )
    names = ", ".join(each.name for each in DEPLOYABLES)
    typed = TYPED.format(names=names, constructs=constructs)
    write(directory, {"example/typed.ts": typed})
    compile_construct(directory)
    (directory / "node_modules").symlink_to(NODE_MODULES)
    return directory


def node(
    package: Path, *arguments: str | Path, given: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run it as on a machine that knows no AWS account."""
    return subprocess.run(  # noqa: S603
        [NODE, *arguments],
        cwd=package,
        env={"PATH": os.environ["PATH"], "HOME": str(package)},
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )


def everything(template: Deployable) -> dict[str, Any]:
    return {each.camel: value_of(each, text_of(each)) for each in template.parameters}


def needed(template: Deployable) -> dict[str, Any]:
    return {each.camel: text_of(each) for each in template.parameters if each.required}


def synthesised(package: Path, *tried: Sequence[Any]) -> list[Any]:
    """Each stack's resources, or the error."""
    done = node(package, "-e", SYNTHESISED, given=json.dumps(tried))
    assert done.returncode == 0, done.stderr
    told: list[Any] = json.loads(done.stdout)
    return told


def test_the_example_synthesises_without_aws_to_one_stack_of_each_template(package: Path) -> None:
    cdk = NODE_MODULES / "aws-cdk" / "bin" / "cdk"
    out = package / "cdk.out"
    options = ("--quiet", "--no-notices", "--no-version-reporting", "--no-asset-metadata")
    done = node(package, cdk, "synth", "--app", "node example/app.js", "--output", out, *options)
    assert done.returncode == 0, done.stderr
    template = json.loads((out / "Tokens.template.json").read_text())
    stacks = list(template["Resources"].values())
    assert [each["Type"] for each in stacks] == ["AWS::CloudFormation::Stack"] * 2
    assert [each["Properties"]["Parameters"].keys() for each in stacks] == [
        {"ArtifactBucket", "ArtifactPrefix", "AllowedTokenHosts", "Triggers"},
        {"FunctionStackName", "AlarmEmail"},
    ]
    assets = json.loads((out / "Tokens.assets.json").read_text())["files"].values()
    published = [(out / each["source"]["path"]).read_text() for each in assets]
    sources = construct_sources("1.2.3")
    assert {sources["template.yaml"], sources["monitoring.yaml"]} <= set(published)


@EACH
def test_each_prop_reaches_its_parameter(package: Path, template: Deployable) -> None:
    ((stack,),) = synthesised(package, [template.name, everything(template)])
    texts = {each.name: text_of(each) for each in template.parameters}
    assert stack["Type"] == "AWS::CloudFormation::Stack"
    assert stack["Properties"]["Parameters"] == texts


@EACH
def test_what_is_not_given_is_left_to_the_template(package: Path, template: Deployable) -> None:
    ((stack,),) = synthesised(package, [template.name, needed(template)])
    names = {each.name for each in template.parameters if each.required}
    assert stack["Properties"]["Parameters"].keys() == names


@EACH
def test_each_check_refuses_what_cloudformation_would_refuse_and_names_the_prop(
    package: Path, template: Deployable
) -> None:
    wrong = [(each.camel, value) for each in template.parameters for value in refused(each)]
    tried = [[template.name, needed(template) | {prop: value}] for prop, value in wrong]
    for (prop, _), told in zip(wrong, synthesised(package, *tried), strict=True):
        assert str(told).startswith(f"S/R: {prop} must "), told


def test_what_is_known_at_deployment_alone_is_not_checked_before(package: Path) -> None:
    props = {"artifactBucket": "LATER", "secretPrefix": "LATER"}
    ((stack,),) = synthesised(package, ["TokenRefresher", props])
    assert stack["Properties"]["Parameters"] == {
        "ArtifactBucket": {"Fn::ImportValue": "artifactBucket"},
        "SecretPrefix": {"Fn::ImportValue": "secretPrefix"},
    }


@pytest.mark.parametrize(("props", "longest"), [({}, 40), ({"triggers": True}, 31)])
def test_a_stack_whose_function_could_not_have_its_name_is_refused_before_it_is_deployed(
    package: Path, props: dict[str, bool], longest: int
) -> None:
    given = {"artifactBucket": "a-bucket", **props}
    fits, too_long = synthesised(
        package,
        ["TokenRefresher", given, "s" * longest],
        ["TokenRefresher", given, "s" * (longest + 1)],
    )
    assert isinstance(fits, list), fits
    assert f"a stackName of at most {longest}" in too_long


def test_a_release_holds_the_package_as_npm_installs_it() -> None:
    files = construct_files("1.2.3")
    package = json.loads(files["package.json"])
    assert package["version"] == "1.2.3"
    assert {package["main"], package["types"], "template.yaml", "monitoring.yaml"} <= files.keys()
    assert "token-refresher-1.2.3-${Architecture}.zip" in files["template.yaml"]
    assert not {"private", "devDependencies"} & package.keys()
