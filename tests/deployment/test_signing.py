"""Clients without a stored secret: KMS signs for each with its own key, and for nobody else.

Deployed where IAM decides who signs. A JOSE library verifies each signature, as the provider's
documentation has it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
from typing import TYPE_CHECKING, Any, Final

import pytest
import trustme
from botocore.exceptions import ClientError

from local.embedded_cloud import ROOT
from local.stack import Stack, utc_now
from tests.deployment.policies import Policies
from tests.deployment.signed_accounts import (
    OTHER_PREFIX,
    PREFIX,
    SIGNERS,
    Signing,
    adp,
    okta,
)
from tests.deployment.signed_clients import CertifiedServer, SigningServer
from tests.integration.test_embedded_cloud import within
from tests.integration.test_events import Queue
from token_refresher import fixes
from token_refresher.aws.signing import alias_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.stack import LocalAws

AUDIENCE: Final = "api://AzureADTokenExchange"
MESSAGE: Final = b"invented"
DIGEST: Final = hashlib.sha256(MESSAGE).digest()


@pytest.fixture(scope="module")
def signing(aws: LocalAws, _built: None) -> Iterator[Signing]:
    authority = trustme.CA()
    demanding = aws.server_context()
    demanding.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(demanding)
    server, certified = (
        SigningServer(aws.server_context(), utc_now),
        CertifiedServer(demanding),
    )
    parameters = {
        "AllowedTokenHosts": f"{server.host},{certified.host}",
        "Events": "true",
        "ScheduleMinutes": "15",
        "SecretPrefix": PREFIX,
        "Signing": "true",
        "WebIdentityAudiences": AUDIENCE,
    }
    stack = Stack(aws, parameters, name="signing")
    stack.make("deploy-stacks")
    yield Signing(aws, stack, server, certified, authority)
    server.close()
    certified.close()


@pytest.fixture(scope="module")
def events(aws: LocalAws) -> Queue:
    """What this stack tells, from the beginning."""
    return Queue(aws.cloud, '{"detail": {"stack": ["signing"]}}', name="signing")


@pytest.mark.usefixtures("events")
@pytest.mark.parametrize("provider", SIGNERS)
def test_a_client_without_a_secret_gets_its_tokens(signing: Signing, provider: str) -> None:
    SIGNERS[provider](signing, provider)
    for _ in range(2):
        refused, (path,) = len(signing.server.refused), _paths_of(signing, provider)
        told = signing.refresh(provider)
        assert (told["outcome"], told.get("error")) == ("published", None)
        assert signing.token(provider)["access_token"] == signing.server.tokens[path]
        assert signing.server.refused[refused:] == []


def _paths_of(signing: Signing, account: str) -> list[str]:
    return [path for path in signing.server.clients if path.startswith(f"/{account}/")]
