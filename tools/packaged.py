"""The template as a release holds it: the same stack, with its artifact in a bucket.

Whatever deploys a release without this repository deploys this template, so that parameters and
permissions are the same by construction.
"""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

from tools import templates

# What only a deployment from a release has to say.
BUCKET: Final = "ArtifactBucket"
PREFIX: Final = "ArtifactPrefix"

_FROM_SOURCES: Final = "    CodeUri: functions/\n"
# How SAM builds each function, with the comment that explains it.
_BUILT_HERE: Final = r"    Metadata:\n(      #.*\n)*      BuildMethod: makefile\n"
_GROUPS: Final = "    ParameterGroups:\n"
_PARAMETERS: Final = "\nParameters:\n"
# A release has no folders, and whoever deploys it may have no SAM.
_ALARMS: Final = "sam deploy --template-file infra/monitoring.yaml"
_RELEASED_ALARMS: Final = "aws cloudformation deploy --template-file monitoring.yaml"

_FROM_BUCKET: Final = f"""    CodeUri:
      Bucket: !Ref {BUCKET}
      Key: !Sub "${{{PREFIX}}}{{artifact}}"
"""
_GROUP: Final = f"""      - Label: {{ default: "Where the artifact is" }}
        Parameters:
          - {BUCKET}
          - {PREFIX}
"""
_TO_BE_SAID: Final = f"""  {BUCKET}:
    Type: String
    AllowedPattern: "[a-z0-9][a-z0-9.-]{{1,61}}[a-z0-9]"
    ConstraintDescription: the name of a bucket
    Description: Bucket in this Region that holds the release's artifacts, the .zip files.
  {PREFIX}:
    Type: String
    Default: ""
    AllowedPattern: "([A-Za-z0-9!_.*'()-]+/)*"
    ConstraintDescription: a path that ends in a slash, or nothing
    Description: Path of the artifacts in that bucket, such as releases/; empty for none.
"""


def artifact_name(version: str, architecture: str) -> str:
    """Name the artifact of a release, as it must be called in the bucket.

    Args:
        version: Such as ``1.0.0``.
        architecture: In the template's words; also ``${Architecture}``, for the template itself.
    """
    return f"token-refresher-{version}-{architecture}.zip"


def packaged_template(version: str) -> str:
    """Return `template.yaml` with its artifact taken from a bucket instead of built.

    It is the text of the template, with its comments, so that whoever reviews a permission reads
    the reason beside it.

    Args:
        version: Of the release, by which the artifact is named.

    Raises:
        ValueError: The template no longer says what is replaced here.
    """
    text = re.sub(_BUILT_HERE, "", templates.FUNCTION.read_text("utf-8"))
    key = _FROM_BUCKET.replace("{artifact}", artifact_name(version, "${Architecture}"))
    for old, new in (
        (_FROM_SOURCES, key),
        (_GROUPS, _GROUPS + _GROUP),
        (_PARAMETERS, _PARAMETERS + _TO_BE_SAID),
        (_ALARMS, _RELEASED_ALARMS),
    ):
        if text.count(old) != 1:
            raise ValueError(f"template.yaml does not say once: {old.strip()}")
        text = text.replace(old, new)
    return text


def packaged_document(version: str) -> dict[str, Any]:
    """Return the packaged template with its intrinsic functions in their long form."""
    document: dict[str, Any]
    document = yaml.load(packaged_template(version), Loader=templates.Loader)  # noqa: S506 - a safe one
    return document


def parameters(version: str) -> dict[str, dict[str, object]]:
    """Return the parameters of the packaged template, by name, as CloudFormation defines them."""
    found: dict[str, dict[str, object]] = packaged_document(version)["Parameters"]
    return found
