"""The template of a release is the template of this repository, but for where its artifact is."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tools import templates
from tools.packaged import BUCKET, PREFIX, artifact_name, packaged_template, parameters


def loaded() -> dict[str, Any]:
    document: dict[str, Any]
    document = yaml.load(packaged_template("1.2.3"), Loader=templates.Loader)  # noqa: S506
    return document


def test_only_where_the_artifact_is_and_how_it_is_built_differ() -> None:
    released, own = loaded(), templates.load(templates.FUNCTION)
    assert released["Parameters"].keys() - own["Parameters"].keys() == {BUCKET, PREFIX}
    for name in (BUCKET, PREFIX):
        del released["Parameters"][name]
    groups = released["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert groups.pop(0)["Parameters"] == [BUCKET, PREFIX]
    del released["Globals"]["Function"]["CodeUri"]
    assert own["Globals"]["Function"].pop("CodeUri") == "functions/"
    for resource in own["Resources"].values():
        if resource.get("Metadata") == {"BuildMethod": "makefile"}:
            del resource["Metadata"]
    commands = [each["Outputs"]["DeployAlarms"].pop("Value")["Fn::Sub"] for each in (released, own)]
    assert released == own
    sam, aws = "sam deploy --template-file infra/", "aws cloudformation deploy --template-file "
    assert commands[0] == commands[1].replace(sam, aws)


def test_each_processor_has_an_artifact_of_its_own_whose_name_tells_the_release() -> None:
    assert loaded()["Globals"]["Function"]["CodeUri"] == {
        "Bucket": {"Ref": BUCKET},
        "Key": {"Fn::Sub": f"${{{PREFIX}}}{artifact_name('1.2.3', '${Architecture}')}"},
    }


@pytest.mark.parametrize("name", [BUCKET, PREFIX])
def test_where_the_artifact_is_has_a_sentence_and_a_pattern(name: str) -> None:
    told = parameters("1.2.3")[name]
    assert str(told["Description"]).endswith(".")
    assert {"AllowedPattern", "ConstraintDescription"} <= told.keys()
