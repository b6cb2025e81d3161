"""What more than one test file needs: the embedded cloud, an authority, a server, a clock."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import HealthCheck, settings
from typing_extensions import override
from xdist.scheduler import LoadFileScheduling

from local.authority import Authority
from local.authorization_server import AuthorizationServer
from local.clock import DrivenClock
from local.embedded_cloud import EmbeddedCloud
from local.moto_cloud import MotoCloud

if TYPE_CHECKING:
    from collections.abc import Iterator


# What this machine's shell says of AWS is not what the tests are about, and a proxy is for those
# that fetch packages. `token_refresher.handler` makes its client when imported, as in Lambda.
for _name in [each for each in os.environ if each.startswith("AWS_")]:
    del os.environ[_name]
os.environ |= {
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
# Besides what needs no proxy already, such as a mirror of packages.
for _name in ("NO_PROXY", "no_proxy"):
    os.environ[_name] = ",".join(filter(None, (os.environ.get(_name), "127.0.0.1", "localhost")))

# The same examples on each machine, however slow. New ones: `--hypothesis-profile=default`, and of
# parsers and programs `make fuzz` and `make model`.
settings.register_profile(
    "tests",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("tests")

# A shell that starts a command in the background makes it ignore these, and whatever is started by
# it inherits that: a test that presses Ctrl-C would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)

# What a CI wants of colours and widths reaches no test: rich and typer heed it in pipes, too.
for _name in (
    *("COLUMNS", "FORCE_COLOR", "GITHUB_ACTIONS", "LINES", "NO_COLOR", "PY_COLORS"),
    *("TERMINAL_WIDTH", "TTY_COMPATIBLE", "TTY_INTERACTIVE"),
):
    os.environ.pop(_name, None)

DEPLOYMENT: Final = "tests/deployment/"


class WholeFiles(LoadFileScheduling):  # type: ignore[misc] # has no types
    """Gives each file to one worker, since its tests share what is dear to make.

    What deploys goes to one worker altogether: it is all built in the same place.
    """

    @override
    def _split_scope(self, nodeid: str) -> str:
        return DEPLOYMENT if nodeid.startswith(DEPLOYMENT) else str(super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> WholeFiles:
    return WholeFiles(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give what deploys the time of its tools, on a slow machine too; it only bounds a hang."""
    for item in items:
        if item.nodeid.startswith(DEPLOYMENT):
            item.add_marker(pytest.mark.timeout(1800))


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
def moto() -> Iterator[MotoCloud]:
    """A second AWS, written by strangers; started once."""
    with MotoCloud() as cloud:
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
