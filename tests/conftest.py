"""What more than one test file needs: the embedded cloud, an authority, a server, a clock."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from local.authority import Authority
from local.authorization_server import AuthorizationServer
from local.clock import DrivenClock
from local.embedded_cloud import EmbeddedCloud

if TYPE_CHECKING:
    from collections.abc import Iterator


# `token_refresher.handler` makes its client when it is imported, as in Lambda.
os.environ.setdefault("AWS_DEFAULT_REGION", "eu-west-1")


@pytest.fixture(scope="session")
def embedded_cloud() -> Iterator[EmbeddedCloud]:
    """The AWS emulator, started once."""
    with EmbeddedCloud() as cloud:
        yield cloud


@pytest.fixture
def cloud(embedded_cloud: EmbeddedCloud) -> EmbeddedCloud:
    """The AWS emulator without any secret in it."""
    embedded_cloud.reset()
    return embedded_cloud


@pytest.fixture(scope="session")
def enforcing_cloud() -> Iterator[EmbeddedCloud]:
    """Another one, in which policies count."""
    with EmbeddedCloud(enforces_iam=True) as cloud:
        yield cloud


@pytest.fixture(scope="session")
def authority() -> Iterator[Authority]:
    """A certificate authority for loopback TLS."""
    with Authority() as authority:
        yield authority


@pytest.fixture
def clock() -> DrivenClock:
    """A clock that stands still until a test advances it."""
    return DrivenClock()


@pytest.fixture
def authorization_server(authority: Authority, clock: DrivenClock) -> Iterator[AuthorizationServer]:
    """An authorization server that lives by the test's clock."""
    with AuthorizationServer(authority, clock.now) as server:
        yield server
