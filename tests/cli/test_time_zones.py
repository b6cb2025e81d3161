"""Dates are UTC's wherever a person is: botocore tells AWS's in the zone of the machine."""

from __future__ import annotations

import re
import time
from datetime import UTC
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.embedded_cloud import EmbeddedCloud
    from tests.cli.operator import Operator


@pytest.fixture(autouse=True, params=["EAST-14", "WEST+12"])
def _somewhere(request: pytest.FixtureRequest) -> Iterator[None]:
    """Be where it is another day, at any time of the day in one of the two."""
    with pytest.MonkeyPatch.context() as machine:
        machine.setenv("TZ", request.param)
        time.tzset()
        yield
    time.tzset()


def test_the_day_on_which_a_token_was_last_read_is_told_as_aws_tells_it(
    operator: Operator,
) -> None:
    operator.add("dealer-17")
    operator.says("refresh dealer-17")
    operator.secrets.get_secret_value(SecretId="oauth/tokens/dealer-17")
    told = operator.secrets.describe_secret(SecretId="oauth/tokens/dealer-17")
    day = f"{told['LastAccessedDate'].astimezone(UTC):%Y-%m-%d}"
    assert f"last read on {day}" in operator.says("doctor dealer-17")
    assert f"last read it on {day}" in operator.says("remove dealer-17 --dry-run")


def test_the_days_of_a_key_are_told_as_aws_tells_them(
    operator: Operator, cloud: EmbeddedCloud
) -> None:
    operator.says("key create dealer-17")
    kms = cloud.client("kms")
    key = kms.describe_key(KeyId="alias/oauth/dealer-17")["KeyMetadata"]
    made = f"{key['CreationDate'].astimezone(UTC):%Y-%m-%d}"
    assert re.search(rf"\b{made}\b", operator.run("key jwks dealer-17").stderr)
    operator.says("key rotate dealer-17")
    operator.says("key rotate dealer-17 --switch")
    finished = operator.says("key rotate dealer-17 --finish --yes")
    key = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
    assert f"is to be deleted on {key['DeletionDate'].astimezone(UTC):%Y-%m-%d}" in finished
