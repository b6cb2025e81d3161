"""Names, tags, version ids and values that somebody made up on purpose.

Whoever may write them may harm that account. They reach no other account, no log line and no
request, and no sweep ends because of them.
"""

from __future__ import annotations

import json
import logging
import sys
from contextlib import ExitStack
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TextIO, cast

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.authorization_server import RFC_6749
from tests.resilience.hostile import MARK, Attack, Time, corpus
from tests.resilience.hostile_stage import PRIMARY_GRANT, hostile_server
from tests.unit.fakes import ACCOUNT, PASSWORD, TICK, UNTIL_DUE, World
from token_refresher.events import parse_event
from token_refresher.handler import wired
from token_refresher.outcomes import Outcome
from token_refresher.ports import CURRENT, JOURNAL_STAGE, LEASE_STAGE, PREVIOUS
from token_refresher.records import (
    CERTIFICATE_EXPIRES_AT_TAG,
    CLEARED_BY_SUCCESS,
    FAILURE_TAG,
    GRANT_EXPIRES_AT_TAG,
)
from token_refresher.reporting import summary
from token_refresher.settings import settings_from_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_secretsmanager import SecretsManagerClient

    from local.authority import Authority
    from local.authorization_server import AuthorizationServer
    from local.clock import DrivenClock
    from local.embedded_cloud import EmbeddedCloud

NEIGHBOUR: Final = "neighbour"

# All that Secrets Manager takes in a name, arranged so that it could be taken for something else.
LONGEST: Final = 512 - len("oauth/credentials/")
NAMES: Final = (
    "/", "//", "..", "../..", "a/../b", "./a", ".", "-", "=", "+", "@", "_", "a//b", "a/", "/a",
    "credentials", "tokens", "tokens/a", "credentials/a", "oauth/tokens/a", "a-Ab12cD",
    "null", "true", "0", "__proto__", "arn", "AWSCURRENT", "n" * LONGEST, "-" * LONGEST,
)  # fmt: skip


class Context:
    """An invocation with all of its time left."""

    aws_request_id = "request-1"

    def get_remaining_time_in_millis(self) -> int:
        return 240_000


@pytest.fixture
def secrets(
    cloud: EmbeddedCloud, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> SecretsManagerClient:
    """Secrets Manager, in an environment that leads the function to it."""
    environment = {
        **cloud.environment(),
        "SSL_CERT_FILE": str(authority.certificate_file),
        "PER_ACCOUNT_METRICS": "true",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    boto3.setup_default_session()
    return boto3.client("secretsmanager")


def sweep(clock: DrivenClock, monkeypatch: pytest.MonkeyPatch, *hosts: str) -> dict[str, Any]:
    """Start the function, and let it sweep once."""
    monkeypatch.setenv("ALLOWED_TOKEN_HOSTS", ",".join(hosts))
    handler = wired(settings_from_environment(), clock=clock.now)
    for output in logging.getLogger(settings_from_environment().service).handlers:
        # A logger lives as long as the process; what it prints belongs to this test.
        cast("logging.StreamHandler[TextIO]", output).stream = sys.stdout
    return handler({}, Context())


def read(secrets: SecretsManagerClient, name: str) -> dict[str, Any]:
    value = secrets.get_secret_value(SecretId=f"oauth/tokens/{name}")["SecretString"]
    return cast("dict[str, Any]", json.loads(value))


def tags(secrets: SecretsManagerClient, name: str) -> dict[str, str]:
    described = secrets.describe_secret(SecretId=f"oauth/tokens/{name}")
    return {tag["Key"]: tag["Value"] for tag in described.get("Tags", [])}


def test_whatever_an_account_is_called_it_gets_its_own_token_alone(
    secrets: SecretsManagerClient,
    authorization_server: AuthorizationServer,
    clock: DrivenClock,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for number, name in enumerate(NAMES):
        authorization_server.register_client(f"c{number}", secret="made-up", dialect=RFC_6749)
        secrets.create_secret(
            Name=f"oauth/credentials/{name}",
            SecretString=json.dumps(
                {
                    "token_endpoint": authorization_server.token_endpoint,
                    "grant_type": "client_credentials",
                    "client_id": f"c{number}",
                    "client_secret": "made-up",
                }
            ),
        )
    answer = sweep(clock, monkeypatch, authorization_server.host)

    assert answer["outcomes"] == {"fresh": 0, "published": len(NAMES)}
    tokens = [read(secrets, name)["access_token"] for name in NAMES]
    assert len(set(tokens)) == len(NAMES)
    # Nothing but the two paths was written.
    pages = secrets.get_paginator("list_secrets").paginate()
    found = {secret["Name"] for page in pages for secret in page["SecretList"]}
    assert found == {f"oauth/{path}/{name}" for path in ("credentials", "tokens") for name in NAMES}
    # Each line is one JSON object still: a log, or metrics in CloudWatch's own format.
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    logged = {line["account"] for line in lines if "_aws" not in line}
    metered = {line["account"] for line in lines if "_aws" in line and "account" in line}
    assert logged == metered == set(NAMES)


@pytest.mark.parametrize(
    "name",
    ["", "a b", "a\n", "a\x00", "\u0430", "a*", "a?", "${aws:username}", "a:b", "a" * 401, 5, None],
)
def test_an_event_names_no_account_that_secrets_manager_could_not_have(name: object) -> None:
    with pytest.raises(Exception, match="accepted are") as refusal:
        parse_event({"accounts": [name]})
    assert type(refusal.value).__name__ == "EventError"
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


def quick_attacks() -> Iterator[Attack]:
    """Those that end without waiting."""
    for _, attack in corpus():
        if not attack.takes_time:
            yield attack


# Every third: as many as a Region lets one function record in three seconds.
PARADE: Final = 3


def test_every_hostile_host_is_survived_in_one_sweep_of_the_whole_function(
    secrets: SecretsManagerClient,
    authority: Authority,
    authorization_server: AuthorizationServer,
    clock: DrivenClock,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A third of the corpus that does not wait, at once: real clocks, real store, real log."""
    monkeypatch.setenv("POWERTOOLS_LOG_LEVEL", "DEBUG")
    authorization_server.register_client(NEIGHBOUR, secret="made-up", dialect=RFC_6749)
    own = {**PRIMARY_GRANT, "client_id": NEIGHBOUR, "client_secret": "made-up"}
    addresses = {NEIGHBOUR: (authorization_server.token_endpoint, own)}
    hosts = [authorization_server.host]
    expected: dict[str, str] = {}
    with ExitStack() as stack:
        for number, attack in enumerate(islice(quick_attacks(), 0, None, PARADE)):
            script = attack.played(Time())
            server = stack.enter_context(hostile_server(authority, script, attack.certificate))
            addresses[f"a{number:03}"] = (server.url, dict(PRIMARY_GRANT))
            hosts.append(server.host)
            expected[f"a{number:03}"] = attack.code
        for name, (url, fields) in addresses.items():
            text = json.dumps({**fields, "token_endpoint": url})
            secrets.create_secret(Name=f"oauth/credentials/{name}", SecretString=text)
        answer = sweep(clock, monkeypatch, *hosts)

    assert len(expected) > 40
    assert answer["outcomes"] == {"fresh": 0, "failed": len(expected), "published": 1}
    recorded = {name: tags(secrets, name) for name in expected}
    codes = {
        name: record[FAILURE_TAG].partition(": ")[2].partition("/")[0]
        for name, record in recorded.items()
    }
    assert codes == expected
    captured = capfd.readouterr()
    seen = captured.out + captured.err + json.dumps(answer) + json.dumps(recorded)
    assert captured.out.count('"failure_class"') == len(expected)
    for hidden in (MARK, "Basic ", "Authorization:", read(secrets, NEIGHBOUR)["access_token"]):
        assert hidden not in seen


# Metadata that somebody edited: everything that a tag, an id or a published value can be.

MOMENTS: Final = st.sampled_from(
    ["00010101T000000Z", "10000101T000000Z", "20261124T010000Z", "99991231T235959Z",
     "20260230T250000Z", "2026112\u0664T010000Z", ""]
)  # fmt: skip
TAG_VALUES: Final = st.one_of(
    MOMENTS,
    st.builds(lambda moment, life: f"{moment}/{life}", MOMENTS, st.integers(-1, 10**13)),
    st.builds(
        lambda name, code: f"{name}: {code}",
        st.sampled_from(["action required", "transient", "invalid response", "never"]),
        st.text(max_size=20),
    ),
    st.builds(
        "/".join,
        st.lists(
            st.one_of(
                MOMENTS,
                st.sampled_from(["transient: timeout", "unanswered", "spent", "-", "0" * 12]),
                st.integers(0, 10**7).map(str),
            ),
            min_size=2,
            max_size=6,
        ),
    ),
    st.text(max_size=256),
)
TAGS: Final = st.dictionaries(
    st.sampled_from([*CLEARED_BY_SUCCESS, CERTIFICATE_EXPIRES_AT_TAG, GRANT_EXPIRES_AT_TAG]),
    TAG_VALUES,
)
VERSION_IDS: Final = st.one_of(
    st.builds(
        lambda issued, expires, digest, random: f"{issued}-{expires}-{digest}-{random}",
        MOMENTS, MOMENTS, st.sampled_from(["0" * 12, "f" * 12, "G" * 12]), st.just("0" * 12),
    ),
    st.text("0123456789abcdef", min_size=40, max_size=40).map(lambda text: f"request-{text}-1"),
    st.text(min_size=1, max_size=64),
)  # fmt: skip
NUMBERS: Final = st.one_of(
    st.floats(), st.integers(), st.sampled_from([0, 1, 1e-9, 1e18, 32503679999.9999999, -1])
)
PUBLISHED: Final = st.one_of(
    st.builds(
        lambda issued, expires: json.dumps({"issued_at": issued, "expires_at": expires}),
        NUMBERS, NUMBERS,
    ),
    st.sampled_from(["", "null", "[" * 30_000, '{"a":' * 10_000, '{"expires_at": "soon"}']),
    st.text(max_size=50),
    st.none(),
)  # fmt: skip

STAGES: Final = st.sampled_from([PREVIOUS, LEASE_STAGE, JOURNAL_STAGE, "AWSPENDING"])


@settings(max_examples=100)
@given(edited=TAGS, token_id=VERSION_IDS, other_id=VERSION_IDS, value=PUBLISHED, stage=STAGES)
def test_no_edited_metadata_ends_a_sweep_or_keeps_a_neighbour_from_its_token(
    edited: dict[str, str], token_id: str, other_id: str, value: str | None, stage: str
) -> None:
    world = World(max_workers=2)
    world.add(PASSWORD)
    world.add(PASSWORD, NEIGHBOUR)
    world.sweep()
    credentials, token = world.store.credentials[ACCOUNT], world.store.tokens[ACCOUNT]
    for secret, version_id, content, at in (
        (token, token_id, value, CURRENT), (token, other_id, value, stage),
        (credentials, other_id, value, stage),
    ):  # fmt: skip
        secret.versions.setdefault(version_id, content)
        secret.stages[at] = version_id
    token.tags = edited
    before = world.version_id(NEIGHBOUR)
    for after in (TICK, UNTIL_DUE, timedelta(days=1)):
        report = world.sweep(after=after)
        json.dumps(summary(report))
        for result in report.results:
            assert result.error is None or not result.error.args[0].startswith("unexpected")
            assert "defect of Token Refresher" not in str(result.error)
        assert all(Outcome.FAILED is not each.outcome for each in report.results
                   if each.account.name == NEIGHBOUR)  # fmt: skip
    assert world.version_id(NEIGHBOUR) != before
    published = token.versions[token.stages[CURRENT]]
    assert published == value or json.loads(published or "")["token_type"] == "Bearer"
