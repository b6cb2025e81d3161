"""Reads CloudFormation templates as CloudFormation would, as far as these ones need it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT: Final = Path(__file__).resolve().parents[1]
FUNCTION: Final = ROOT / "template.yaml"
ACCOUNT: Final = ROOT / "infra" / "account.yaml"
MONITORING: Final = ROOT / "infra" / "monitoring.yaml"
RECIPES: Final = tuple(sorted((ROOT / "infra" / "recipes").glob("*.yaml")))
DEPLOYED: Final = (FUNCTION, ACCOUNT, MONITORING)
ALL: Final = (*DEPLOYED, *RECIPES)

PSEUDO_PARAMETERS: Final = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::StackName": "token-refresher",
    "AWS::URLSuffix": "amazonaws.com",
}
ARNS: Final = {
    "AWS::CloudWatch::Alarm": ("cloudwatch", "alarm:{}"),
    "AWS::Events::Rule": ("events", "rule/{}"),
    "AWS::IAM::ManagedPolicy": ("iam", "policy/{}"),
    "AWS::IAM::Role": ("iam", "role/{}"),
    "AWS::Lambda::Function": ("lambda", "function:{}"),
    "AWS::Logs::LogGroup": ("logs", "log-group:{}:*"),
    "AWS::Serverless::Function": ("lambda", "function:{}"),
    "AWS::SQS::Queue": ("sqs", "{}"),
}
NO_VALUE: Final = object()


class Loader(yaml.SafeLoader):
    """Takes CloudFormation's short forms for what they stand for."""


def _short_form(loader: Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)  # noqa: S101 - YAML has no fourth kind
        value = loader.construct_mapping(node, deep=True)
    if suffix in {"Ref", "Condition"}:
        return {suffix: value}
    return {f"Fn::{suffix}": value.split(".", 1) if suffix == "GetAtt" else value}


Loader.add_multi_constructor("!", _short_form)


def load(path: Path) -> dict[str, Any]:
    """Read a template, intrinsic functions in their long form."""
    template: dict[str, Any] = yaml.load(path.read_text(), Loader=Loader)  # noqa: S506 - a safe one
    return template


def resolved(path: Path, parameters: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Read a template with its intrinsic functions evaluated.

    Args:
        path: The template.
        parameters: Others than the defaults. What a resource is called stands as its logical id.
    """
    template = load(path)
    values = {
        **PSEUDO_PARAMETERS,
        **{
            name: str(each.get("Default", "dealer-17"))
            for name, each in template["Parameters"].items()
        },
        **(parameters or {}),
    }
    answer: dict[str, Any] = _Resolver(template, values).resolve(template)
    return answer


class _Resolver:
    def __init__(self, template: dict[str, Any], values: dict[str, Any]) -> None:
        self._template = template
        self._values = values

    def resolve(self, node: Any) -> Any:  # noqa: ANN401
        if isinstance(node, list):
            return [each for each in map(self.resolve, node) if each is not NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            (name, argument) = next(iter(node.items()))
            if name == "Ref":
                return NO_VALUE if argument == "AWS::NoValue" else self._ref(argument)
            if name == "Condition" and isinstance(argument, str):
                return self.resolve(self._template["Conditions"][argument])
            if name.startswith("Fn::"):
                return getattr(self, "_" + name.removeprefix("Fn::").lower())(argument)
        found = {key: self.resolve(value) for key, value in node.items()}
        return {key: value for key, value in found.items() if value is not NO_VALUE}

    def _ref(self, name: str) -> Any:  # noqa: ANN401
        return self._values.get(name, name)

    def _if(self, argument: list[Any]) -> Any:  # noqa: ANN401
        condition, yes, no = argument
        return self.resolve(yes if self.resolve({"Condition": condition}) else no)

    def _equals(self, argument: list[Any]) -> bool:
        one, other = map(self.resolve, argument)
        return str(one) == str(other)

    def _not(self, argument: list[Any]) -> bool:
        return not self.resolve(argument[0])

    def _and(self, argument: list[Any]) -> bool:
        return all(map(self.resolve, argument))

    def _split(self, argument: list[Any]) -> list[str]:
        return str(self.resolve(argument[1])).split(argument[0])

    def _select(self, argument: list[Any]) -> Any:  # noqa: ANN401
        index, values = map(self.resolve, argument)
        return values[index]

    def _findinmap(self, argument: list[Any]) -> Any:  # noqa: ANN401
        mapping, first, second = map(self.resolve, argument)
        return self._template["Mappings"][mapping][str(first)][second]

    def _getatt(self, argument: list[str]) -> str:
        name, _ = argument
        service, what = ARNS[self._template["Resources"][name]["Type"]]
        where = self._sub("${AWS::Region}:${AWS::AccountId}")
        return f"arn:{self._ref('AWS::Partition')}:{service}:{where}:{what.format(name)}"

    def _sub(self, argument: str | list[Any]) -> str:
        text, own = argument if isinstance(argument, list) else (argument, {})
        found = self.resolve(own)
        return re.sub(
            r"\$\{([^}]+)\}", lambda match: found.get(match[1]) or self._substitute(match[1]), text
        )

    def _substitute(self, name: str) -> str:
        return self._getatt(name.split(".")) if "." in name else str(self._ref(name))


def function(
    parameters: Mapping[str, str] | None = None, *, name: str = "TokenRefresherFunction"
) -> dict[str, Any]:
    """A function's properties, with what all functions of the template share."""
    template = resolved(FUNCTION, parameters)
    shared: dict[str, Any] = template["Globals"]["Function"]
    own: dict[str, Any] = template["Resources"][name]["Properties"]
    return shared | own


def statements(
    parameters: Mapping[str, str] | None = None, *, role: str = "FunctionRole"
) -> dict[str, dict[str, Any]]:
    """What a function's role may do, by ``Sid``."""
    resources = resolved(FUNCTION, parameters)["Resources"]
    properties = resources[role]["Properties"]
    documents = [each["PolicyDocument"] for each in properties.get("Policies", [])]
    documents += [
        resources[name]["Properties"]["PolicyDocument"] for name in properties["ManagedPolicyArns"]
    ]
    return {each["Sid"]: each for document in documents for each in document["Statement"]}


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a tool of the project, and return what it said."""
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
