"""What the templates tell: parameters, permissions, alarms."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from tools import templates
from tools.docs.blocks import Table, code, prose

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# More values than this are told by the least and the most.
_MANY: Final = 5
_COMPARISONS: Final = {
    "GreaterThanOrEqualToThreshold": "at least",
    "LessThanThreshold": "less than",
}


def parameters() -> Table:
    """The function's parameters, and the variables that it reads them from."""
    head = ("parameter", "variable", "default", "takes", "meaning")
    variables = _variables()
    rows = [
        (code(name), code(variables.get(name, "")), *_described(each))
        for name, each in _parameters(templates.FUNCTION)
    ]
    return Table(head, rows)


def parameters_of_monitoring() -> Table:
    """The parameters of the alarms and the dashboard."""
    return _of_another(templates.MONITORING)


def parameters_of_an_account() -> Table:
    """The parameters of an account's stack."""
    return _of_another(templates.ACCOUNT)


def _of_another(path: Path) -> Table:
    head = ("parameter", "default", "takes", "meaning")
    return Table(head, [(code(name), *_described(each)) for name, each in _parameters(path)])


def _parameters(path: Path) -> list[tuple[str, dict[str, Any]]]:
    return list(templates.load(path)["Parameters"].items())


def _described(parameter: dict[str, Any]) -> tuple[str, str, str]:
    default = code(str(parameter.get("Default", "")))
    return default, _taken(parameter), prose(parameter["Description"])


def _taken(parameter: dict[str, Any]) -> str:
    values = [code(str(value)) for value in parameter.get("AllowedValues", ())]
    if len(values) > _MANY:
        return f"{values[0]} … {values[-1]}"
    if "MinValue" in parameter:
        return f"{parameter['MinValue']} to {parameter['MaxValue']}"
    return ", ".join(values)


def _variables() -> dict[str, str]:
    """The environment's variable for each parameter that the function reads."""
    template = templates.load(templates.FUNCTION)
    given = template["Globals"]["Function"]["Environment"]["Variables"]
    found = {}
    for variable, value in given.items():
        condition = template["Conditions"].get(value.get("Fn::If", [None])[0])
        for name in _references(condition or value):
            found[name] = variable
    return found


def _references(node: Any) -> Iterator[str]:  # noqa: ANN401 - a template's
    if isinstance(node, dict):
        yield from [node["Ref"]] if "Ref" in node else []
        node = list(node.values())
    if isinstance(node, list):
        for each in node:
            yield from _references(each)


def permissions() -> Table:
    """Every statement of every role: what it allows, and on what."""
    resources = templates.load(templates.FUNCTION)["Resources"]
    rows = [
        (code(each["Sid"]), _actions(each), _resource(each["Resource"]))
        for each in _statements(resources)
    ]
    return Table(("statement", "allows", "on", "what for"), rows)


def _statements(node: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - a template's
    """Every statement with a Sid, however deep."""
    if isinstance(node, dict):
        if "Sid" in node:
            yield node
        node = list(node.values())
    if isinstance(node, list):
        for each in node:
            yield from _statements(each)


def _actions(statement: dict[str, Any]) -> str:
    actions = statement["Action"]
    listed = ", ".join(map(code, [actions] if isinstance(actions, str) else actions))
    return listed if statement["Effect"] == "Allow" else f"denies {listed}"


def _resource(resource: Any) -> str:  # noqa: ANN401 - a template's
    """Name what a statement is about: a path of secrets, a parameter's key, a resource."""
    if isinstance(resource, str):
        return code(resource)
    if "Fn::Sub" in resource:
        _, prefix, path = resource["Fn::Sub"].partition("${SecretPrefix}")
        return code("{prefix}" + path if prefix else resource["Fn::Sub"].rpartition(":")[2])
    return code(resource["Ref"] if "Ref" in resource else resource["Fn::GetAtt"][0])


def alarms() -> Table:
    """Every alarm: when it goes off, and what its message says."""
    rows = [(_name(each), _trigger(each), prose(each["AlarmDescription"])) for each in _alarms()]
    return Table(("alarm", "goes off when", "its message"), rows)


def first_looks() -> Table:
    """Every alarm, with where to look first."""
    return Table(("alarm", "first look", "then"), [(_name(each),) for each in _alarms()])


def number_of_alarms() -> int:
    """Tell how many are paid for."""
    return len(_alarms())


def _alarms() -> list[dict[str, Any]]:
    """The alarms as they are deployed by default."""
    resources = templates.resolved(templates.MONITORING)["Resources"].values()
    return [each["Properties"] for each in resources if each["Type"] == "AWS::CloudWatch::Alarm"]


def _name(alarm: dict[str, Any]) -> str:
    return code(alarm["AlarmName"].removeprefix("token-refresher "))


def _trigger(alarm: dict[str, Any]) -> str:
    periods = alarm["EvaluationPeriods"]
    out_of = f"{alarm.get('DatapointsToAlarm', periods)} of {periods} periods"
    silence = ", or silent" if alarm["TreatMissingData"] == "breaching" else ""
    return (
        f"`{alarm['MetricName']}` ({alarm['Statistic'].lower()}) is "
        f"{_COMPARISONS[alarm['ComparisonOperator']]} {alarm['Threshold']}{silence}, in "
        f"{re.sub('^1 of 1 periods', 'a period', out_of)} of {alarm['Period'] // 60} min"
    )
