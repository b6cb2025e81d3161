"""What programs of this kind get wrong, each held by a promise."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

from tests.integration.conftest import MACHINE, PASSWORD

if TYPE_CHECKING:
    from tests.integration.conftest import Deployed

DUE = timedelta(minutes=631)


def test_two_accounts_of_one_client_have_a_token_each(deployed: Deployed) -> None:
    deployed.onboard("shared", PASSWORD, users={"u@example.com": "MARK-password", "v": "w"})
    deployed.store("second", {**PASSWORD, "client_id": "shared", "username": "v", "password": "w"})
    deployed.sweep()
    tokens = {deployed.token(name)["access_token"] for name in ("shared", "second")}
    assert len(tokens) == 2


def test_a_failed_refresh_leaves_the_published_token_alone(deployed: Deployed) -> None:
    deployed.onboard("dealer-17", PASSWORD)
    deployed.sweep()
    before = deployed.token("dealer-17")
    deployed.clock.advance(DUE)
    deployed.server.answer_with(200, {}, b'{"access_token": null}', times=None)
    deployed.sweep()
    deployed.server.answer_with(401, {}, b'{"error": "invalid_client"}', times=None)
    deployed.sweep({"accounts": ["dealer-17"], "force": True})
    assert deployed.token("dealer-17") == before


def test_an_answer_without_a_token_is_unusable_whatever_else_it_lacks(deployed: Deployed) -> None:
    deployed.onboard("machine", MACHINE)
    deployed.server.answer_with(200, {}, b"{}")
    [told] = deployed.sweep()["accounts"]
    assert (told["failure_class"], told["error"]) == ("invalid response", "invalid_response")


def test_a_narrower_scope_than_asked_for_is_published(deployed: Deployed) -> None:
    deployed.onboard("machine", {**MACHINE, "scope": "read write"})
    body = {"access_token": "t", "token_type": "bearer", "expires_in": "3600", "scope": ["read"]}
    deployed.server.answer_with(200, {}, json.dumps(body).encode())
    deployed.sweep()
    token = deployed.token("machine")
    assert (token["scope"], token["expires_at"] - token["issued_at"]) == ("read", 3600)


def test_a_day_of_fresh_tokens_writes_a_version_for_each_token_alone(deployed: Deployed) -> None:
    deployed.onboard("machine", MACHINE, access_token_lifetime=timedelta(hours=12))
    writes = 0
    for _ in range(96):
        deployed.sweep()
        writes += deployed.calls.count("PutSecretValue")
        deployed.clock.advance(timedelta(minutes=15))
    assert writes == 3
