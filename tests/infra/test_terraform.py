"""The Terraform module hands over what it is given, and has the provider's words for it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from itertools import zip_longest
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.infra.samples import DEPLOYABLES, refused, text_of, value_of
from tools.modules import NODE_MODULES, ROOT, TERRAFORM, Deployable, Kind, terraform_files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PROGRAM: Final = shutil.which("terraform") or shutil.which("tofu")
NODE: Final = shutil.which("node") or "node"
pytestmark = pytest.mark.timeout(900)  # other programs, on a slow machine
NEEDS_TERRAFORM = pytest.mark.skipif(PROGRAM is None, reason="this machine has no terraform")
NEEDS_NPM = pytest.mark.skipif(not NODE_MODULES.is_dir(), reason="this machine has no npm")
EACH = pytest.mark.parametrize("template", DEPLOYABLES, ids=lambda template: template.name)

# What the provider takes, as the published package of its bindings says; `make` fetches it.
BINDINGS: Final = ROOT / ".node-infra" / "cloudformation-stack.d.ts"
SHA256: Final = "83ae2b82ca5be2fa7bf585dd4bbe125f1a480720eb42616867a63ce609a93436"
IN_TYPESCRIPT: Final = {"list": "string[]", "map": "{ [key: string]: string; }", "string": "string"}
DOCUMENTS: Final = (ROOT / "docs" / "ways-to-deploy.md", TERRAFORM / "README.md")
DIRECTORY: Final[Mapping[str, Path]] = {
    "TokenRefresher": TERRAFORM,
    "TokenRefresherMonitoring": TERRAFORM / "monitoring",
}
FORMAT: Final = """
const {format} = require("@cdktn/hcl-tools");
const texts = JSON.parse(require("fs").readFileSync(0));
Promise.all(texts.map(format)).then(each => process.stdout.write(JSON.stringify(each)));
"""


def terraform(*arguments: str | Path, within: Path) -> subprocess.CompletedProcess[str]:
    assert PROGRAM is not None
    return subprocess.run(  # noqa: S603
        [PROGRAM, *arguments],
        cwd=within,
        env={"PATH": os.defpath, "HOME": str(within), "CHECKPOINT_DISABLE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def apply(
    template: Deployable, values: Mapping[str, Any], directory: Path
) -> subprocess.CompletedProcess[str]:
    """Let Terraform evaluate the module as it is released, and keep what the provider would get.

    A resource of Terraform's own takes the place of the provider's, with the same arguments.
    """
    folder = DIRECTORY[template.name].relative_to(TERRAFORM)
    for path, text in ((PurePath(name), text) for name, text in terraform_files("1.2.3").items()):
        if path.parent == folder and path.name not in {"outputs.tf", "versions.tf"}:
            (directory / path.name).write_text(text)
    main = directory / "main.tf"
    resource = resource_of(main.read_text())
    arguments = re.sub(r"(?ms)^  (timeouts|lifecycle) {.*?^  }$", "", resource).splitlines()[1:-1]
    lifecycle = re.search(r"(?ms)^  lifecycle {.*?^  }$", resource)
    main.write_text(
        f"{main.read_text().partition(resource)[0]}"
        'resource "terraform_data" "stack" {\n  input = {\n'
        + "\n".join(arguments)
        + "\n  }\n"
        + (lifecycle[0] if lifecycle else "")
        + '\n}\noutput "stack" {\n  value = terraform_data.stack.input\n}\n'
    )
    (directory / "terraform.tfvars.json").write_text(json.dumps(values))
    return terraform("apply", "-auto-approve", "-input=false", "-no-color", within=directory)


def stack_of(template: Deployable, values: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """Return the arguments of the stack."""
    done = apply(template, values, directory)
    assert done.returncode == 0, done.stderr
    stack: dict[str, Any]
    stack = json.loads(terraform("output", "-json", "stack", within=directory).stdout)
    return stack


def resource_of(text: str) -> str:
    """The one resource of a module."""
    (found,) = re.findall(r'(?ms)^resource "aws_cloudformation_stack" .*?^}$', text)
    return str(found)


def needed(template: Deployable) -> dict[str, str]:
    return {each.snake: text_of(each) for each in template.parameters if each.required}


@NEEDS_TERRAFORM
def test_terraform_would_format_nothing_otherwise() -> None:
    done = terraform("fmt", "-check", "-diff", "-recursive", TERRAFORM, within=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@NEEDS_NPM
def test_nor_would_the_library_that_terraform_formats_by() -> None:
    texts = [path.read_text("utf-8") for path in sorted(TERRAFORM.rglob("*.tf"))]
    formatted = subprocess.run(  # noqa: S603
        [NODE, "-e", FORMAT],
        input=json.dumps(texts),
        cwd=NODE_MODULES.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(formatted.stdout) == texts


@NEEDS_TERRAFORM
@EACH
def test_each_variable_reaches_its_parameter(template: Deployable, tmp_path: Path) -> None:
    texts = {each.name: text_of(each) for each in template.parameters}
    values = {each.snake: value_of(each, texts[each.name]) for each in template.parameters}
    assert stack_of(template, values, tmp_path)["parameters"] == texts


@NEEDS_TERRAFORM
@EACH
def test_what_is_not_given_is_left_to_the_template(template: Deployable, tmp_path: Path) -> None:
    given = stack_of(template, needed(template), tmp_path)["parameters"]
    assert given.keys() == {each.name for each in template.parameters if each.required}


@NEEDS_TERRAFORM
@EACH
def test_each_check_refuses_what_cloudformation_would_refuse_and_names_the_variable(
    template: Deployable, tmp_path: Path
) -> None:
    checked = [(each.snake, list(refused(each))) for each in template.parameters]
    rounds = zip_longest(*([(name, value) for value in values] for name, values in checked))
    for number, pairs in enumerate(rounds):
        wrong = dict(pair for pair in pairs if pair)
        directory = tmp_path / str(number)
        directory.mkdir()
        done = apply(template, needed(template) | wrong, directory)
        named = set(re.findall(r"^│? ?(\w+) must\b", done.stderr, re.MULTILINE))
        assert named == wrong.keys(), done.stderr


@NEEDS_TERRAFORM
@EACH
def test_the_stack_is_the_release_s_template_under_the_name_that_was_given(
    template: Deployable, tmp_path: Path
) -> None:
    is_function = template.name == "TokenRefresher"
    given = {"name": "cell-2"} if is_function else {"function_stack_name": "cell-2"}
    stack = stack_of(template, needed(template) | given | {"tags": {"team": "a"}}, tmp_path)
    assert stack["name"] == ("cell-2" if is_function else "cell-2-monitoring")
    files = terraform_files("1.2.3")
    (body,) = (text for name, text in files.items() if name.endswith(template.file))
    assert (stack["template_body"], stack["tags"]) == (body, {"team": "a"})
    if is_function:
        tags = {"resource_tags": {"team": "a", "owner": "b"}, "tags": {"owner": "c"}}
        stack = stack_of(template, needed(template) | given | tags, tmp_path)
        assert stack["tags"] == {"team": "a", "owner": "c"}
    # What is needed for roles, and for what CloudFormation expands by itself.
    wanted = ["CAPABILITY_AUTO_EXPAND", "CAPABILITY_IAM"] if is_function else None
    assert stack.get("capabilities") == wanted


@NEEDS_TERRAFORM
@pytest.mark.parametrize("also", ["triggers", "rotation"])
def test_a_name_that_a_second_function_could_not_have_is_refused(also: str, tmp_path: Path) -> None:
    template, *_ = DEPLOYABLES
    done = apply(template, needed(template) | {"name": "s" * 56, also: True}, tmp_path)
    assert "name must have 55 characters at most" in " ".join(done.stderr.split())


@EACH
def test_each_attribute_of_the_stack_is_one_of_the_provider_and_of_its_type(
    template: Deployable,
) -> None:
    if not BINDINGS.exists():
        pytest.skip("this machine has no npm, which the provider's bindings come by")
    published = BINDINGS.read_bytes()
    assert hashlib.sha256(published).hexdigest() == SHA256
    types, needed = interface(published.decode(), "CloudformationStackConfig")
    text = (DIRECTORY[template.name] / "main.tf").read_text("utf-8")
    resource = resource_of(text)
    given = dict(re.findall(r"^  (\w+) += (.*)", resource, re.MULTILINE))
    assert {name: types[camel_of(name)] for name in given} == {
        name: IN_TYPESCRIPT[kind_of(value, text)] for name, value in given.items()
    }
    assert needed <= {camel_of(name) for name in given}
    limits, _ = interface(published.decode(), "CloudformationStackTimeouts")
    for block in re.findall(r"^  timeouts {\n(.*?)^  }", resource, re.DOTALL | re.MULTILINE):
        assert set(re.findall(r"^    (\w+) +=", block, re.MULTILINE)) <= limits.keys()


def interface(text: str, name: str) -> tuple[dict[str, str], set[str]]:
    """The types of an interface's members, and those that must be given."""
    body = text.split(f"export interface {name} ")[1].split("\n}\n", maxsplit=1)[0]
    plain = re.sub(r"/\*.*?\*/", "", body, flags=re.DOTALL)
    found = re.findall(r"readonly (\w+)(\??): ((?:{.*?}|[^;{])+);", plain, re.DOTALL)
    types = {member: " ".join(kind.split()) for member, _, kind in found}
    return types, {member for member, optional, _ in found if not optional}


def camel_of(name: str) -> str:
    return re.sub(r"_(\w)", lambda match: match[1].upper(), name)


def kind_of(expression: str, module: str) -> str:
    """Tell the type of an expression in main.tf."""
    if expression.startswith("["):
        return "list"
    if expression == "local.parameters" or expression.startswith("merge("):
        return "map"
    if expression.startswith("var."):
        name = expression.removeprefix("var.")
        told = re.search(rf'variable "{name}" {{.*?type += (\w+)', module, re.DOTALL)
        assert told
        return told[1]
    assert expression.startswith(("file(", '"'))
    return "string"


def test_the_names_and_patterns_of_parameters_decide_what_people_give() -> None:
    kinds = {each.name: each.kind for each in DEPLOYABLES[0].parameters}
    assert kinds["SecretPrefix"] is Kind.STRING
    assert kinds["Signing"] is Kind.BOOL
    assert kinds["ScheduleMinutes"] is Kind.NUMBER
    assert kinds["AllowedTokenHosts"] is kinds["VpcSubnetIds"] is Kind.LIST
    assert {each.name for each in DEPLOYABLES[0].parameters if each.required} == {"ArtifactBucket"}


def test_a_release_holds_each_template_beside_the_files_that_read_it() -> None:
    files = terraform_files("1.2.3")
    for name, text in files.items():
        for read in re.findall(r'file\("\$\{path\.module}/(.+?)"\)', text):
            beside = name.rpartition("/")[0]
            template = files[f"{beside}/{read}".removeprefix("/")]
            # CloudFormation takes no longer text than this by itself.
            assert len(template.encode()) <= 51_200
    assert "token-refresher-1.2.3-${Architecture}.zip" in files["template.yaml"]
    assert {"README.md", "versions.tf", "monitoring/versions.tf"} <= files.keys()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.parent.name)
def test_a_document_shows_modules_with_variables_that_they_have(path: Path) -> None:
    blocks = re.findall(r"```hcl\n(.*?)```", path.read_text("utf-8"), re.DOTALL)
    modules = re.findall(r'source = "([^"]+)"\n(.*?)\n}', "".join(blocks), re.DOTALL)
    assert len(modules) == len(DEPLOYABLES)
    for template, (source, body) in zip(DEPLOYABLES, modules, strict=True):
        assert source.endswith("/monitoring") == (template.name == "TokenRefresherMonitoring")
        names = set(re.findall(r"^  (\w+) +=", body, re.MULTILINE))
        assert names <= {each.snake for each in template.parameters}
        assert {each.snake for each in template.parameters if each.required} <= names
