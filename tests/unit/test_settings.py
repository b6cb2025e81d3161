"""The settings: defaults that work, and a bad one fails with its name."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from token_refresher.errors import SettingsError
from token_refresher.settings import Settings, settings_from_environment

if TYPE_CHECKING:
    from local.authority import Authority


def test_an_empty_environment_is_the_defaults() -> None:
    assert settings_from_environment({}) == Settings()
    assert settings_from_environment({"SECRET_PREFIX": "", "MAX_WORKERS": ""}) == Settings()
    assert settings_from_environment({"ALLOWED_TOKEN_HOSTS": ""}) == Settings()


def test_every_setting_is_read() -> None:
    assert settings_from_environment(
        {
            "SECRET_PREFIX": "team/api",
            "REFRESH_BEFORE_SECONDS": "1800",
            "SCHEDULE_MINUTES": "15",
            "ALLOWED_TOKEN_HOSTS": "A.example, b.example:8443,*.c.example, *",
            "TOKEN_ENDPOINT_PROXY": "http://proxy.example.com:3128",
            "REFRESH_TOKENS": "ignore",
            "TOKEN_SECRET_KMS_KEY_ID": "alias/tokens",
            "RESOURCE_TAGS": "team=payments,Cost Center=4 2",
            "REPLICA_REGIONS": "eu-central-1,us-gov-west-1,eu-west-1,eu-central-1",
            "AWS_REGION": "eu-west-1",
            "MAX_WORKERS": "1",
            "PER_ACCOUNT_METRICS": "TRUE",
            "POWERTOOLS_SERVICE_NAME": "cell-2",
            "POWERTOOLS_TRACE_DISABLED": "false",
        }
    ) == Settings(
        secret_prefix="team/api",
        refresh_before=timedelta(minutes=30),
        schedule=timedelta(minutes=15),
        allowed_token_hosts=("a.example", "b.example:8443", "*.c.example", "*"),
        token_endpoint_proxy="http://proxy.example.com:3128",
        uses_refresh_tokens=False,
        token_secret_kms_key_id="alias/tokens",
        resource_tags=(("team", "payments"), ("Cost Center", "4 2")),
        # Its own is none.
        replica_regions=("eu-central-1", "us-gov-west-1"),
        region="eu-west-1",
        max_workers=1,
        per_account_metrics=True,
        service="cell-2",
        tracing=True,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_PREFIX", "oauth/"),
        ("SECRET_PREFIX", "oauth/tokens"),
        ("SECRET_PREFIX", "a/credentials/b"),
        ("SECRET_PREFIX", "oauth\n"),
        ("REFRESH_BEFORE_SECONDS", "1799"),
        ("REFRESH_BEFORE_SECONDS", "1e4"),
        ("REFRESH_BEFORE_SECONDS", "99999999"),
        ("SCHEDULE_MINUTES", "0"),
        ("SCHEDULE_MINUTES", "16"),
        ("SCHEDULE_MINUTES", "2.5"),
        ("ALLOWED_TOKEN_HOSTS", "https://a.example"),
        ("ALLOWED_TOKEN_HOSTS", "a.example,,b.example"),
        ("TOKEN_ENDPOINT_PROXY", "proxy.example.com:3128"),
        ("TOKEN_ENDPOINT_PROXY", "https://proxy.example.com:3128"),
        ("ADDITIONAL_CA_CERTIFICATES", "corporate.pem"),
        ("REFRESH_TOKENS", "yes"),
        ("MAX_WORKERS", "0"),
        ("MAX_WORKERS", "65"),
        ("PER_ACCOUNT_METRICS", "1"),
    ],
)
def test_a_bad_setting_fails_with_its_name_and_without_its_value(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name) as refusal:
        settings_from_environment({name: value})
    assert value not in str(refusal.value).removeprefix(name).split()


@pytest.mark.parametrize("minutes", [1, 15])
def test_a_schedule_has_one_to_fifteen_minutes(minutes: int) -> None:
    environment = {"SCHEDULE_MINUTES": str(minutes)}
    assert settings_from_environment(environment).schedule == timedelta(minutes=minutes)


def test_the_defaults_are_the_documented_ones() -> None:
    assert Settings() == Settings(
        secret_prefix="oauth",
        refresh_before=timedelta(minutes=90),
        schedule=timedelta(minutes=5),
        allowed_token_hosts=(),
        uses_refresh_tokens=True,
        token_secret_kms_key_id="",
        max_workers=16,
        per_account_metrics=False,
        tracing=False,
    )


def test_additional_authorities_are_kept_as_they_were_pasted(authority: Authority) -> None:
    pasted = authority.certificate_file.read_text().replace("\n", " ")
    read = settings_from_environment({"ADDITIONAL_CA_CERTIFICATES": pasted})
    assert read.additional_ca_certificates == pasted.strip()


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "ALL_PROXY"])
def test_no_proxy_is_taken_from_any_other_variable(variable: str) -> None:
    assert settings_from_environment({variable: "http://proxy:3128"}) == Settings()


def test_unless_told_otherwise_the_functions_own_environment_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MAX_WORKERS", "7")
    assert settings_from_environment().max_workers == 7


def test_a_host_may_be_given_with_the_port_that_https_has_anyway() -> None:
    environment = {"ALLOWED_TOKEN_HOSTS": "login.example.com:443"}
    assert settings_from_environment(environment).allowed_token_hosts == ("login.example.com",)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("REFRESH_BEFORE_SECONDS", "9" * 5000, id="a number without end"),
        pytest.param("REFRESH_BEFORE_SECONDS", "\u0665\u0664\u0660\u0660", id="other digits"),
        pytest.param("REFRESH_BEFORE_SECONDS", "604801", id="a margin above a week"),
        pytest.param("ALLOWED_TOKEN_HOSTS", "*.ro", id="a wildcard for a whole domain"),
        pytest.param("ALLOWED_TOKEN_HOSTS", "www.autovit.ro/api", id="a path after a host"),
        pytest.param("ALLOWED_TOKEN_HOSTS", " ", id="blanks for hosts"),
        pytest.param("TOKEN_ENDPOINT_PROXY", "http://u:p@proxy.example.com:3128", id="a password"),
        pytest.param("TOKEN_ENDPOINT_PROXY", "http://proxy.example.com", id="a proxy of no port"),
        pytest.param(
            "TOKEN_ENDPOINT_PROXY", "http://proxy.example.com:65536", id="a port too many"
        ),
        pytest.param("TOKEN_ENDPOINT_PROXY", "http://proxy.example.com:3128/", id="a proxy's path"),
        pytest.param("TOKEN_ENDPOINT_PROXY", "socks5://proxy.example.com:1080", id="another kind"),
        pytest.param(
            "ADDITIONAL_CA_CERTIFICATES",
            "-----BEGIN CERTIFICATE-----\naW52ZW50ZWQ=\n-----END CERTIFICATE-----",
            id="a certificate that is none",
        ),
        pytest.param(
            "ADDITIONAL_CA_CERTIFICATES",
            "-----BEGIN PRIVATE KEY-----\naW52ZW50ZWQ=\n-----END PRIVATE KEY-----",
            id="a key for a certificate",
        ),
        pytest.param("RESOURCE_TAGS", "team=a,Team=b", id="two keys that are one to a role"),
        pytest.param("RESOURCE_TAGS", "team=a,team=b", id="a key twice"),
        pytest.param("RESOURCE_TAGS", "token-refresher:failure=a", id="a tag of the program's"),
        pytest.param("RESOURCE_TAGS", "aws:team=a", id="a tag of AWS's"),
        pytest.param("REPLICA_REGIONS", "eu-central-1, us-east-1", id="a blank between Regions"),
        pytest.param("REPLICA_REGIONS", "Frankfurt", id="a Region by its other name"),
        pytest.param("SECRET_PREFIX", "/oauth", id="a prefix that begins with a slash"),
        pytest.param("SECRET_PREFIX", "a//b", id="a prefix with an empty part"),
    ],
)
def test_a_bad_setting_is_refused_by_its_name(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} takes "):
        settings_from_environment({name: value})
