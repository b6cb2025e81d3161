"""Every command that is printed or documented can be pasted: parsers take it, and AWS knows it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Final

import botocore.session
import pytest
from botocore import xform_name

from tests.cli.operator import parsed
from tools import templates
from tools.deploying.parameters import known
from tools.deploying.variables import check_variables

ROOT: Final = Path(__file__).resolve().parents[2]
SESSION: Final = botocore.session.get_session()
# What the AWS command line has besides the APIs: version 2 alone.
BY_THE_CLI: Final = {
    ("cloudformation", "deploy"): {
        *("capabilities", "parameter-overrides", "stack-name", "template-file"),
    },
    ("logs", "tail"): {"follow"},
    ("s3", "cp"): set(),
    ("s3", "ls"): set(),
}
OF_ALL: Final = {"cli-binary-format", "cli-read-timeout", "output", "profile", "query", "region"}


def outputs() -> list[str]:
    """The commands that deployed stacks print, with names in the place of references."""
    named = []
    for path in templates.DEPLOYED:
        section = path.read_text("utf-8").split("\nOutputs:\n")[1]
        values = re.findall(r"Value: !Sub (?:>-\n)?(.*?)(?=\n  \w|\Z)", section, re.DOTALL)
        named += [re.sub(r"\$\{[\w.:]+\}", "name", " ".join(each.split())) for each in values]
    # Others are names and ARNs.
    return [each for each in named if " " in each]


def documented(program: str) -> list[str]:
    """The commands of shell blocks in the documents, by how they begin."""
    found = []
    documents = [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "signing").glob("*.md")]
    for path in [ROOT / "README.md", *sorted(documents)]:
        for block in re.findall(r"```(?:sh|console)\n(.*?)```", path.read_text("utf-8"), re.DOTALL):
            lines = block.replace("\\\n", " ").splitlines()
            commands = [line.removeprefix("$ ") for line in lines]
            found += [line for line in commands if line.startswith(f"{program} ")]
    return list(dict.fromkeys(found))


def require_aws(command: str) -> None:
    """Check a command of the AWS command line against the models of the APIs."""
    words = shlex.split(command.rpartition(" | ")[2])
    service, operation, options = words[1], words[2], [w[2:] for w in words if w.startswith("--")]
    if (service, operation) in BY_THE_CLI:
        known = BY_THE_CLI[service, operation]
    else:
        model = SESSION.get_service_model(service)
        names = {xform_name(each, "-"): each for each in model.operation_names}
        shape = model.operation_model(names[operation]).input_shape
        known = {xform_name(each, "-") for each in (shape.members if shape else ())}
    negated = {f"no-{each}" for each in known}
    assert set(options) <= known | negated | OF_ALL, command


def require_sam(command: str) -> None:
    """Check a command of SAM against the template that it names."""
    words = shlex.split(command)
    template = ROOT / words[words.index("--template-file") + 1]
    given = {word.partition("=")[0] for word in words if "=" in word}
    assert given <= templates.load(template)["Parameters"].keys(), command


def require_ours(command: str) -> None:
    """Check a command of ours against its own parser."""
    words = shlex.split(command.partition(" > ")[0])
    if not words[1].startswith("--"):
        assert parsed(words)


def test_stacks_print_commands_that_aws_knows_with_their_region() -> None:
    commands = outputs()
    assert len(commands) >= 7
    for command in commands:
        program = command.partition(" ")[0]
        {"sam": require_sam, "token-refresher": require_ours}.get(program, require_aws)(command)
        assert "--region name" in command


@pytest.mark.parametrize("command", documented("aws"))
def test_a_documented_command_of_aws_is_one(command: str) -> None:
    # Without a comment, what it is piped to, and a document that goes on below.
    require_aws(re.split(r" #| \| |'\{", command, maxsplit=1)[0])


@pytest.mark.parametrize("command", documented("sam deploy --template-file"))
def test_a_documented_deployment_by_sam_has_parameters_of_its_template(command: str) -> None:
    require_sam(command)


@pytest.mark.parametrize("command", documented("token-refresher"))
def test_a_documented_command_of_ours_is_one(command: str) -> None:
    require_ours(command.partition(" #")[0])


@pytest.mark.parametrize("command", documented("make deploy"))
def test_a_documented_deployment_has_variables_and_parameters_that_are_taken(command: str) -> None:
    # What a shell puts in its place first.
    plain = re.sub(r"\$\(.*?\)(?=[\" ])", "x", command)
    variables = dict(word.split("=", 1) for word in shlex.split(plain)[2:])
    check_variables("deploy", variables)
    parameters = shlex.split(variables.get("PARAMETERS", ""))
    assert {each.partition("=")[0] for each in parameters} <= known()
