"""An operator at a shell: the embedded cloud, an authorization server, and the real clock."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

import boto3
import botocore.session
import pytest
from botocore.loaders import create_loader

from local.authorization_server import AuthorizationServer
from tests.cli.network.sitecustomize import look_up, set_timeout
from tests.cli.operator import Operator, cleared
from tests.cli.relay import Relay
from tests.cli.schedule import Schedule
from tests.cli.terminal import Shell, shell_variables
from tests.integration.test_emulator_functions import ROLE
from tests.integration.test_emulator_iam import policy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.authority import Authority
    from local.clock import DrivenClock
    from local.embedded_cloud import EmbeddedCloud


@pytest.fixture
def server(authority: Authority) -> Iterator[AuthorizationServer]:
    """An authorization server by the real clock: the command is a process with no other."""
    with AuthorizationServer(authority, lambda: datetime.now(UTC)) as server:  # noqa: TID251
        yield server


@pytest.fixture(scope="session", autouse=True)
def _models_are_read_once() -> Iterator[None]:
    """Let all commands in this process share what botocore reads of each service, 0.1 s a command.

    A command in a process of its own reads it once anyway.
    """
    with pytest.MonkeyPatch.context() as process:
        process.setattr(botocore.session, "create_loader", cache(create_loader))
        yield


@pytest.fixture(autouse=True)
def _no_shell_of_anybody_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing count of the shell in which the tests were started."""
    for name in cleared(os.environ):  # noqa: TID251
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands in this process have the network of those in a shell."""
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(socket.socket, "settimeout", set_timeout)


@pytest.fixture
def cloud(enforcing_cloud: EmbeddedCloud) -> EmbeddedCloud:
    """One emulator for every test here, in which policies count."""
    enforcing_cloud.reset()
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}}
    enforcing_cloud.client("iam").create_role(
        RoleName=ROLE.rpartition("/")[2],
        AssumeRolePolicyDocument=policy({**trust, "Action": "sts:AssumeRole"}),
    )
    return enforcing_cloud


@pytest.fixture
def schedule(cloud: EmbeddedCloud, authority: Authority, server: AuthorizationServer) -> Schedule:
    """The function's schedule by the real clock, as the shell's commands are."""
    return Schedule(cloud.client(), server, authority, lambda: datetime.now(UTC))  # noqa: TID251


@pytest.fixture
def shell(cloud: EmbeddedCloud, authority: Authority, server: AuthorizationServer) -> Shell:
    """A shell whose variables lead to the embedded cloud."""
    return Shell(
        shell_variables(
            **cloud.environment(),
            SSL_CERT_FILE=str(authority.certificate_file),
            ALLOWED_TOKEN_HOSTS=server.host,
        )
    )


@pytest.fixture
def relay(cloud: EmbeddedCloud) -> Iterator[Relay]:
    """A way to the embedded cloud; whoever shall take it is given its URL."""
    with Relay(cloud.endpoint_url) as relay:
        yield relay


@pytest.fixture
def operator(
    cloud: EmbeddedCloud,
    authority: Authority,
    authorization_server: AuthorizationServer,
    clock: DrivenClock,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Operator]:
    """An operator whose shell's variables lead to the embedded cloud."""
    # Other suites take this fixture, and not the one above that does it for each test here.
    for name in cleared(os.environ):  # noqa: TID251
        monkeypatch.delenv(name)
    for name, value in {
        **cloud.environment(),
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "SSL_CERT_FILE": str(authority.certificate_file),
        "ALLOWED_TOKEN_HOSTS": authorization_server.host,
        # Whatever the person has who runs the tests.
        "TOKEN_REFRESHER_CONFIG": os.devnull,
    }.items():
        monkeypatch.setenv(name, value)
    secrets = cloud.client()
    schedule = Schedule(secrets, authorization_server, authority, clock.now)
    yield Operator(clock, authorization_server, secrets, schedule)
    # The commands have set the default session up; the next test has its own.
    boto3.setup_default_session()
