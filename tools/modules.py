"""The Terraform module and the CDK construct: what follows in them from the templates.

Each makes one stack of a template of the release, so its permissions are the template's by
construction. What people would have to keep equal by hand is written here: variables and props,
their checks, the outputs. The rest of them is in `infra/terraform` and `infra/cdk`.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tools import packaged, templates

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT: Final = Path(__file__).resolve().parents[1]
TERRAFORM: Final = ROOT / "infra" / "terraform"
CDK: Final = ROOT / "infra" / "cdk"
# Made by `make`, where this machine has npm.
NODE_MODULES: Final = ROOT / ".node-infra" / "node_modules"

_BY_COMMAS: Final = re.compile(r"(,| and) separated by commas(,(?! or))?")
_PAIRS: Final = re.compile(r"\b[\w-]+=[\w-]+,[\w-]+=")
_LOOK_AHEAD: Final = "(?!"
_LOOKS_AROUND: Final = re.compile(r"\(\?<?!")
_WRITTEN_BY: Final = "Written by `make docs` from {}: change that instead."


class Kind(StrEnum):
    """What people give for a parameter, in the words of Terraform."""

    BOOL = "bool"
    LIST = "list(string)"
    MAP = "map(string)"
    NUMBER = "number"
    STRING = "string"


_IN_TYPESCRIPT: Final = {
    Kind.BOOL: "boolean",
    Kind.LIST: "string[]",
    Kind.MAP: "Record<string, string>",
    Kind.NUMBER: "number",
    Kind.STRING: "string",
}


@dataclass(frozen=True)
class Parameter:
    """A parameter of a template, as a module or a construct takes it.

    Attributes:
        name: The template's.
        told: What CloudFormation is told of it.
        required: Whether it must be given.
    """

    name: str
    told: Mapping[str, Any]
    required: bool

    @property
    def snake(self) -> str:
        """Its name in Terraform."""
        return snake(self.name)

    @property
    def camel(self) -> str:
        """Its name in TypeScript."""
        return camel(self.name)

    @cached_property
    def kind(self) -> Kind:
        """What people give; several values are one text in CloudFormation, as its words tell."""
        words = f"{self.told['Description']} {self.told.get('ConstraintDescription', '')}"
        if self.told.get("AllowedValues") == ["true", "false"]:
            return Kind.BOOL
        if self.told["Type"] == "Number":
            return Kind.NUMBER
        if _PAIRS.search(words):
            return Kind.MAP
        return Kind.LIST if _BY_COMMAS.search(words) else Kind.STRING

    @property
    def description(self) -> str:
        """What it is for, in one line."""
        return self._plain(self.told["Description"])

    @property
    def fix(self) -> str:
        """What fits its pattern, in words."""
        return self._plain(self.told["ConstraintDescription"])

    @property
    def values(self) -> list[Any]:
        """The values that it may have, where they are few."""
        return [] if self.kind is Kind.BOOL else self.told.get("AllowedValues", [])

    def _plain(self, words: str) -> str:
        """Leave out how CloudFormation wants several values, where they are given as several."""
        return words if self.kind is Kind.STRING else _BY_COMMAS.sub("", words)


@dataclass(frozen=True)
class Deployable:
    """A template that a module and a construct deploy.

    Attributes:
        file: Its name in a release.
        name: The construct's.
        resource: The stack's, in Terraform.
        document: The template.
        needed: The parameters that must be given though the template has a default.
    """

    file: str
    name: str
    resource: str
    document: Mapping[str, Any]
    needed: frozenset[str] = frozenset()

    @property
    def parameters(self) -> list[Parameter]:
        """Its parameters, in their order."""
        return [
            Parameter(name, told, "Default" not in told or name in self.needed)
            for name, told in self.document["Parameters"].items()
        ]

    def outputs(self) -> Iterator[tuple[str, str, str | None]]:
        """Its outputs: name, description, and the parameter without which there is none."""
        for name, told in self.document["Outputs"].items():
            condition = self.document.get("Conditions", {}).get(told.get("Condition"), {})
            match condition.get("Fn::Equals"):
                case [{"Ref": parameter}, "true"]:
                    yield name, told["Description"], parameter
                case _:
                    yield name, told["Description"], None


def function() -> Deployable:
    """The function's template, as a release holds it; which release makes no difference here."""
    document = packaged.packaged_document("any")
    return Deployable("template.yaml", "TokenRefresher", "token_refresher", document)


def monitoring() -> Deployable:
    """The template of its alarms, which are nothing without the name of what they watch."""
    return Deployable(
        "monitoring.yaml",
        "TokenRefresherMonitoring",
        "monitoring",
        templates.load(templates.MONITORING),
        frozenset({"FunctionStackName"}),
    )


def snake(name: str) -> str:
    """Spell a name as Terraform does."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def camel(name: str) -> str:
    """Spell a name as TypeScript does."""
    return name[:1].lower() + name[1:]


def generated() -> dict[Path, str]:
    """Return the files that follow from the templates, by their paths."""
    found = {CDK / "lib" / "templates.ts": typescript(function(), monitoring())}
    for template, directory in ((function(), TERRAFORM), (monitoring(), TERRAFORM / "monitoring")):
        for name, text in terraform(template).items():
            found[directory / name] = text
    return found


# Terraform.


def terraform(template: Deployable) -> dict[str, str]:
    """Write the variables of a module, what they give the stack, and its outputs."""
    source = "template.yaml" if template.file == "template.yaml" else f"infra/{template.file}"
    head = f"# {_WRITTEN_BY.format(source)}\n"
    return {
        "variables.tf": head + "".join(map(_variable, template.parameters)),
        "parameters.tf": head + _handed_over(template),
        "outputs.tf": head + "".join(_outputs(template)),
    }


def _variable(parameter: Parameter) -> str:
    default = parameter.told.get("Default", "")
    told = "" if parameter.required or default == "" else f" By default {default}."
    absent = "nullable    = false" if parameter.required else "default     = null"
    return (
        f'\nvariable "{parameter.snake}" {{\n'
        f"  description = {hcl(parameter.description + told)}\n"
        f"  type        = {parameter.kind}\n"
        f"  {absent}\n"
        f"{''.join(_validations(parameter))}"
        "}\n"
    )


def _validations(parameter: Parameter) -> Iterator[str]:
    given = f"var.{parameter.snake}"
    for condition, message in _conditions(parameter):
        checked = condition if parameter.required else f"{given} == null ? true : {condition}"
        yield (
            "\n  validation {\n"
            f"    condition     = {checked}\n"
            f"    error_message = {hcl(f'{parameter.snake} must {message}.')}\n"
            "  }\n"
        )


def _conditions(parameter: Parameter) -> Iterator[tuple[str, str]]:
    """Each check in Terraform's words, and what it demands."""
    told, given, text = parameter.told, f"var.{parameter.snake}", _as_text(parameter)
    if parameter.values:
        values = ", ".join(map(str, parameter.values))
        yield f"contains({hcl(parameter.values)}, {given})", f"be one of {values}"
    if pattern := told.get("AllowedPattern"):
        forbidden, allowed = without_look_ahead(pattern)
        if forbidden:
            yield f"!can(regex({hcl(f'^(?:{forbidden})')}, {text}))", f"be {parameter.fix}"
        yield f"can(regex({hcl(f'^(?:{in_re2(allowed)})$')}, {text}))", f"be {parameter.fix}"
    if longest := told.get("MaxLength"):
        yield f"length({text}) <= {longest}", f"have at most {longest} characters"
    if "MinValue" in told:
        least, most = told["MinValue"], told["MaxValue"]
        yield f"{given} >= {least} && {given} <= {most}", f"be from {least} to {most}"


def without_look_ahead(pattern: str) -> tuple[str, str]:
    """Split what a value may not begin with from a pattern, since RE2 cannot look ahead."""
    if pattern.startswith(_LOOK_AHEAD):
        end = _end_of_group(pattern, 0)
        return pattern[len(_LOOK_AHEAD) : end - 1], pattern[end:]
    return "", pattern


def in_re2(pattern: str) -> str:
    """Write a pattern as RE2 can read it; where it cannot look around, more will match.

    It counts to a thousand, nested repetitions multiplied; lengths are checked beside.
    """
    while found := _LOOKS_AROUND.search(pattern):
        pattern = pattern[: found.start()] + pattern[_end_of_group(pattern, found.start()) :]
    return re.sub(r"\{1,\d{3,}\}", "+", pattern)


def _end_of_group(pattern: str, start: int) -> int:
    """Where a group ends: at the first bracket by which it is a pattern of its own."""
    ends = (each.end() for each in re.finditer(r"\)", pattern[start:]))
    return start + next(end for end in ends if _is_pattern(pattern[start : start + end]))


def _is_pattern(text: str) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    return True


def _as_text(parameter: Parameter) -> str:
    """What CloudFormation gets of a variable that is given."""
    given = f"var.{parameter.snake}"
    match parameter.kind:
        case Kind.LIST:
            return f'join(",", {given})'
        case Kind.MAP:
            return f'join(",", [for name, value in {given} : "${{name}}=${{value}}"])'
        case _:
            return given


def _handed_over(template: Deployable) -> str:
    width = max(len(each.name) for each in template.parameters)
    lines = []
    for each in template.parameters:
        given = _as_text(each)
        if each.kind in {Kind.LIST, Kind.MAP} and not each.required:
            given = f"var.{each.snake} == null ? null : {given}"
        lines.append(f"    {each.name:{width}} = {given}\n")
    return (
        "\nlocals {\n"
        "  # What is not given keeps the template's default.\n"
        "  parameters = { for name, value in {\n"
        f"{''.join(lines)}"
        "  } : name => tostring(value) if value != null }\n"
        "}\n"
    )


def _outputs(template: Deployable) -> Iterator[str]:
    outputs = f"aws_cloudformation_stack.{template.resource}.outputs"
    for name, description, parameter in template.outputs():
        only = f" Only with {snake(parameter)}." if parameter else ""
        value = f'lookup({outputs}, "{name}", null)' if parameter else f'{outputs}["{name}"]'
        yield (
            f'\noutput "{snake(name)}" {{\n'
            f"  description = {hcl(description + only)}\n"
            f"  value       = {value}\n"
            "}\n"
        )


def hcl(value: Any) -> str:  # noqa: ANN401 - a template's
    """Write a literal of Terraform, in which nothing is interpolated."""
    text = json.dumps(value, ensure_ascii=False)
    return text.replace("${", "$${").replace("%{", "%%{")


# TypeScript.


def typescript(*of: Deployable) -> str:
    """Write the props of the constructs, their checks, and the outputs."""
    head = f"// {_WRITTEN_BY.format('template.yaml and infra/monitoring.yaml')}\n"
    return head + _TYPES + "".join(map(_construct, of))


_TYPES: Final = """
import { Construct } from "constructs";

/** What a parameter of a template takes. */
export interface Parameter {
  readonly name: string;
  readonly pattern?: string;
  /** What fits the pattern. */
  readonly fix?: string;
  readonly maxLength?: number;
  readonly minValue?: number;
  readonly maxValue?: number;
  readonly values?: ReadonlyArray<string | number>;
}

export interface Template {
  /** Its file, in this package. */
  readonly file: string;
  /** By the name of the prop. */
  readonly parameters: Readonly<Record<string, Parameter>>;
}
"""


def _construct(template: Deployable) -> str:
    name = template.name
    constant = snake(name).upper()
    return (
        f"\nexport interface {name}Props {{\n"
        f"{''.join(map(_prop, template.parameters))}"
        "}\n"
        f"\nexport const {constant}: Template = {{\n"
        f"  file: {json.dumps(template.file)},\n"
        "  parameters: {\n"
        f"{''.join(map(_check, template.parameters))}"
        "  },\n"
        "};\n"
        f"\nexport abstract class {name}Outputs extends Construct {{\n"
        "  protected abstract output(name: string, onlyWith?: string): string;\n"
        f"{''.join(_getters(template))}"
        "}\n"
    )


def _prop(parameter: Parameter) -> str:
    kind = " | ".join(map(json.dumps, parameter.values)) or _IN_TYPESCRIPT[parameter.kind]
    default = parameter.told.get("Default", "")
    told = "" if parameter.required or default == "" else f" By default {default}."
    mark = "" if parameter.required else "?"
    return (
        f"  {_comment(parameter.description + told)}\n  readonly {parameter.camel}{mark}: {kind};\n"
    )


def _check(parameter: Parameter) -> str:
    told = parameter.told
    facts: dict[str, Any] = {"name": parameter.name}
    if pattern := told.get("AllowedPattern"):
        facts |= {"pattern": pattern, "fix": parameter.fix}
    for key in ("MaxLength", "MinValue", "MaxValue"):
        if key in told:
            facts[camel(key)] = told[key]
    if parameter.values:
        facts["values"] = parameter.values
    written = ", ".join(
        f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in facts.items()
    )
    return f"    {parameter.camel}: {{ {written} }},\n"


def _getters(template: Deployable) -> Iterator[str]:
    for name, description, parameter in template.outputs():
        only = f" Only with {camel(parameter)}." if parameter else ""
        arguments = ", ".join(
            json.dumps(each) for each in (name, parameter and camel(parameter)) if each
        )
        yield (
            f"\n  {_comment(description + only)}\n"
            f"  public get {camel(name)}(): string {{\n"
            f"    return this.output({arguments});\n"
            "  }\n"
        )


def _comment(words: str) -> str:
    inside = words.replace("*/", r"*\/")
    return f"/** {inside} */"


# What a release holds of them.


class CompilerError(Exception):
    """The construct cannot be compiled; the message says why."""


def terraform_files(version: str) -> dict[str, str]:
    """Return the whole Terraform module of a release, by path."""
    return {
        **_sources(TERRAFORM, "*.tf", "monitoring/*.tf", "README.md"),
        "template.yaml": packaged.packaged_template(version),
        "monitoring/monitoring.yaml": templates.MONITORING.read_text("utf-8"),
    }


def construct_files(version: str) -> dict[str, str]:
    """Return the whole npm package of a release, by path, with what TypeScript made of it.

    Raises:
        CompilerError: There is no npm here, or the construct does not compile.
    """
    package = {
        **_sources(CDK, "README.md"),
        "package.json": _package(version),
        "template.yaml": packaged.packaged_template(version),
        "monitoring.yaml": templates.MONITORING.read_text("utf-8"),
    }
    with tempfile.TemporaryDirectory() as directory:
        compiled = Path(directory)
        # Not a part of the package: whoever installs it would compile them again.
        write(compiled, _sources(CDK, "lib/*.ts"))
        (compiled / "node_modules").symlink_to(NODE_MODULES)
        compile_typescript(compiled)
        return package | _sources(compiled, "lib/*.js", "lib/*.d.ts")


def compile_typescript(directory: Path) -> None:
    """Compile what is in a directory, with the construct's settings.

    Raises:
        CompilerError: There is no npm here, or it does not compile.
    """
    node, compiler = shutil.which("node"), NODE_MODULES / "typescript" / "bin" / "tsc"
    if node is None or not compiler.exists():
        raise CompilerError("The construct is compiled by npm's packages: make .node-infra/.ready")
    shutil.copy(CDK / "tsconfig.json", directory)
    done = subprocess.run(  # noqa: S603
        [node, compiler, "--project", directory], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise CompilerError(done.stdout + done.stderr)


def write(directory: Path, files: Mapping[str, str]) -> None:
    """Write files into a directory."""
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def _sources(directory: Path, *patterns: str) -> dict[str, str]:
    paths = [path for pattern in patterns for path in sorted(directory.glob(pattern))]
    return {str(path.relative_to(directory)): path.read_text("utf-8") for path in paths}


def _package(version: str) -> str:
    package: dict[str, Any] = json.loads((CDK / "package.json").read_text("utf-8"))
    # What it is developed with is no affair of those who install it.
    del package["private"], package["devDependencies"]
    package["version"] = version
    return json.dumps(package, indent=2) + "\n"
