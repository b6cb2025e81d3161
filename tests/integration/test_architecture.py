"""The ways that the architecture tells, held to the calls that are really made."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from joserfc.jwk import RSAKey

import token_refresher
from tests.integration.conftest import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from local.embedded_cloud import EmbeddedCloud
    from tests.integration.conftest import Deployed

PACKAGE: Final = Path(token_refresher.__file__).parent
DOCUMENT: Final = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text()


def calls_of_a_sweep(deployed: Deployed) -> list[str]:
    """Every function of the program that a sweep enters, as ``file:function``, in order."""
    entered: list[str] = []
    deployed.handler()

    def look(frame: FrameType, event: str, _: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and PACKAGE in path.parents:
            entered.append(f"{path.relative_to(PACKAGE)}:{frame.f_code.co_name}")

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        summary = deployed.sweep()
    finally:
        sys.setprofile(before)
    [told] = summary["accounts"]
    assert told["outcome"] == "published"
    return entered


def onboard_signing(deployed: Deployed, cloud: EmbeddedCloud) -> None:
    """An account that has only a refresh token, and proves itself by its key in KMS."""
    kms = cloud.client("kms")
    key = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/oauth/dealer-17", TargetKeyId=key)
    public = RSAKey.import_key(kms.get_public_key(KeyId=key)["PublicKey"])
    method = "private_key_jwt"
    deployed.onboard_refresh_only("dealer-17", public_keys=[public], auth_methods=[method])
    initial = deployed.server.issue_initial_refresh_token("dealer-17")
    credentials = {
        "grant_type": "refresh_token",
        "token_endpoint": deployed.server.token_endpoint,
        "token_endpoint_auth_method": method,
        "client_id": "dealer-17",
        "refresh_token": initial,
    }
    deployed.put("dealer-17", json.dumps(credentials))


ONBOARD: Final[dict[str, Callable[[Deployed, EmbeddedCloud], None]]] = {
    "A password account": lambda deployed, _: deployed.onboard("dealer-17", PASSWORD),
    "An account that has only a refresh token": lambda deployed, _: deployed.onboard_refresh_only(
        "dealer-17"
    ),
    "An account that signs": onboard_signing,
}


@pytest.mark.parametrize("title", ONBOARD)
def test_the_way_that_the_document_tells_is_the_way_that_is_gone(
    deployed: Deployed, cloud: EmbeddedCloud, title: str
) -> None:
    ONBOARD[title](deployed, cloud)
    section = DOCUMENT.split(f"\n### {title}\n")[1].split("\n#")[0]
    told = re.findall(r"^\| `([\w/.]+:\w+)` \|", section, re.MULTILINE)
    assert len(told) > 10
    entered = iter(calls_of_a_sweep(deployed))
    missing = [call for call in told if call not in entered]
    assert missing == []
