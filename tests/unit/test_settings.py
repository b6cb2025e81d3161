"""The settings: defaults that work, and a bad one fails with its name."""

from __future__ import annotations

from datetime import timedelta

import pytest

from token_refresher.errors import SettingsError
from token_refresher.settings import Settings, settings_from_environment


def test_an_empty_environment_is_the_defaults() -> None:
    assert settings_from_environment({}) == Settings()
    assert settings_from_environment({"SECRET_PREFIX": "", "MAX_WORKERS": ""}) == Settings()


def test_every_setting_is_read() -> None:
    assert settings_from_environment(
        {
            "SECRET_PREFIX": "team/api",
            "REFRESH_BEFORE_SECONDS": "1800",
            "ALLOWED_TOKEN_HOSTS": "A.example, b.example:8443",
            "REFRESH_TOKENS": "ignore",
            "TOKEN_SECRET_KMS_KEY_ID": "alias/tokens",
            "MAX_WORKERS": "1",
            "PER_ACCOUNT_METRICS": "TRUE",
            "POWERTOOLS_TRACE_DISABLED": "false",
        }
    ) == Settings(
        secret_prefix="team/api",
        refresh_before=timedelta(minutes=30),
        allowed_token_hosts=("a.example", "b.example:8443"),
        uses_refresh_tokens=False,
        token_secret_kms_key_id="alias/tokens",
        max_workers=1,
        per_account_metrics=True,
        tracing=True,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_PREFIX", "olx/"),
        ("SECRET_PREFIX", "olx/tokens"),
        ("SECRET_PREFIX", "a/credentials/b"),
        ("SECRET_PREFIX", "olx\n"),
        ("REFRESH_BEFORE_SECONDS", "1799"),
        ("REFRESH_BEFORE_SECONDS", "1e4"),
        ("REFRESH_BEFORE_SECONDS", "99999999"),
        ("ALLOWED_TOKEN_HOSTS", "https://a.example"),
        ("ALLOWED_TOKEN_HOSTS", "a.example,,b.example"),
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
