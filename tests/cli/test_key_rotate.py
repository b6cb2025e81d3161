"""A key is replaced so that a server knows whatever signs, at any time, whatever is cut short."""

from __future__ import annotations

import base64
import json
import shlex
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc.jwk import KeySet, RSAKey

from tests.cli.key_files import signed, verifies
from tests.cli.operator import pasted
from tests.cli.relay import Instead
from token_refresher.errors import FailureClass
from token_refresher.model import TokenVersion
from token_refresher.records import FAILURE_TAG, FailureRecord
from token_refresher_cli.kms_keys import Role, aliases_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from local.embedded_cloud import EmbeddedCloud
    from tests.cli.operator import Operator
    from tests.cli.relay import Relay

Kms: TypeAlias = Any  # there are no stubs of it here

ALIASES: Final = aliases_of("oauth", "dealer-17")
DENIED: Final = Instead(400, b'{"__type": "AccessDeniedException"}')
# What changes anything, on the way from one key to the other.
CHANGES: Final = ("CreateAlias", "UpdateAlias", "PutSecretValue", "DeleteAlias")
ROTATE: Final = "key rotate dealer-17"


@pytest.fixture
def kms(cloud: EmbeddedCloud) -> Kms:
    """The owner's way to KMS, past any command."""
    return cloud.client("kms")


@dataclass(slots=True)
class Provider:
    """What a provider knows of the account: published keys, and certificates by their digests."""

    operator: Operator
    keys: dict[str, Any] = field(default_factory=dict)
    certificates: dict[str, Any] = field(default_factory=dict)

    def publish(self) -> None:
        """Paste what the commands show."""
        shown = json.loads(self.operator.says("key jwks dealer-17"))
        self.keys = {str(key.kid): key for key in KeySet.import_key_set(shown).keys}
        told = self.operator.tells("key jwks dealer-17 --format certificate")["keys"]
        for one in told:
            key = RSAKey.import_key(one["jwk"])
            self.certificates |= {one["x5t"]: key, one["x5t#S256"]: key}

    def knows(self) -> bool:
        """Whether it takes what the function would sign now, by what the credentials name."""
        named = assertion(self.operator)
        key: Any = self.keys.get(named["kid"]) if "kid" in named else None
        for digest in ("x5t", "x5t#S256"):
            if digest in named:
                key = self.certificates.get(named[digest])
        return key is not None and verifies(signed("dealer-17", "RS256"), key)


@pytest.fixture
def provider(operator: Operator) -> Provider:
    """It knows the first key of the account."""
    operator.says("key create dealer-17")
    known = Provider(operator)
    known.publish()
    return known


def stored(operator: Operator) -> dict[str, Any]:
    """The credentials as they are."""
    secret = operator.secrets.get_secret_value(SecretId="oauth/credentials/dealer-17")
    content: dict[str, Any] = json.loads(secret["SecretString"])
    return content


def assertion(operator: Operator) -> dict[str, Any]:
    """What they say of the assertion."""
    said: dict[str, Any] = stored(operator).get("assertion", {})
    return said


def add(operator: Operator, **said: Any) -> None:  # noqa: ANN401
    """Store credentials of a client that signs."""
    content = {
        "token_endpoint": operator.server.token_endpoint,
        "grant_type": "client_credentials",
        "client_id": "dealer-17",
        "token_endpoint_auth_method": "private_key_jwt",
        "scope": "read",
        **({"assertion": said} if said else {}),
    }
    operator.secrets.create_secret(
        Name="oauth/credentials/dealer-17", SecretString=json.dumps(content)
    )


def names(operator: Operator, role: str = "current", **options: int) -> dict[str, str]:
    """What credentials name a key by."""
    flags = " ".join(f"--{name} {value}" for name, value in options.items())
    line = f"key jwks dealer-17 --format certificate --only {role} {flags}"
    [told] = operator.tells(line)["keys"]
    return {name: told[name] for name in ("kid", "x5t", "x5t#S256")}


def aliases(kms: Kms) -> dict[str, str]:
    """The keys of all aliases."""
    return {each["AliasName"]: each["TargetKeyId"] for each in kms.list_aliases()["Aliases"]}


def issue(operator: Operator) -> None:
    """Publish a token of now, as a refresh does."""
    operator.clock.advance(timedelta(minutes=1))
    now = operator.clock.now()
    operator.secrets.create_secret(
        Name="oauth/tokens/dealer-17",
        ClientRequestToken=str(
            TokenVersion(now, now + timedelta(hours=12), "0123456789ab", "abcdefabcdef")
        ),
        SecretString='{"access_token": "made-up"}',
    )


def type_into(kms: Kms, words: list[str]) -> None:
    """Do what a command of the AWS command line does."""
    _, _, operation, *options = words
    named = dict(zip(options[::2], options[1::2], strict=True))
    assert named.pop("--region") == "eu-west-1"
    arguments = {name.title().replace("-", ""): value for name, value in named.items()}
    getattr(kms, operation.replace("-", "_"))(**arguments)


def cut_short(after: int) -> Callable[[str], Instead | None]:
    """Let nothing be changed any more after some changes."""
    left = [after]

    def ill(operation: str) -> Instead | None:
        if operation not in CHANGES:
            return None
        left[0] -= 1
        return DENIED if left[0] < 0 else None

    return ill


def test_three_steps_replace_a_key_and_the_credentials_follow(
    operator: Operator, provider: Provider, kms: Kms
) -> None:
    add(operator, **names(operator), audience="https://api.example.com")
    before = stored(operator)
    [old] = aliases(kms).values()
    assert provider.knows()

    begun = operator.run(ROTATE)
    assert [key["kid"] for key in json.loads(begun.stdout)["keys"]] == [
        names(operator, "current")["kid"],
        names(operator, "next")["kid"],
    ]
    assert pasted(begun.stderr)[-1][1:5] == ["key", "rotate", "dealer-17", "--switch"]
    assert "upload the next one's beside the other before you switch" in begun.stderr
    provider.publish()
    assert provider.knows()

    coming = names(operator, "next")
    switched = operator.run(f"{ROTATE} --switch")
    assert switched.exit_code == 0
    assert pasted(switched.stderr)[-1][1:5] == ["key", "rotate", "dealer-17", "--finish"]
    assert assertion(operator) == {**coming, "audience": "https://api.example.com"}
    assert {**stored(operator), "assertion": None} == {**before, "assertion": None}
    assert provider.knows()
    assert verifies(signed("dealer-17", "RS256"), provider.keys[coming["kid"]])

    issue(operator)
    finished = operator.run(f"{ROTATE} --finish")
    assert finished.exit_code == 0
    assert kms.describe_key(KeyId=old)["KeyMetadata"]["KeyState"] == "PendingDeletion"
    assert list(aliases(kms)) == [ALIASES[Role.CURRENT]]
    provider.publish()
    assert provider.knows()
    assert list(provider.keys) == [coming["kid"]]


@pytest.mark.parametrize("step", ["", " --switch"])
@pytest.mark.usefixtures("provider")
def test_each_step_does_nothing_when_it_was_done(operator: Operator, kms: Kms, step: str) -> None:
    add(operator, kid=names(operator)["kid"])
    for each in ("", step):
        operator.says(ROTATE + each)
    before, found = stored(operator), aliases(kms)
    version = operator.secrets.describe_secret(SecretId="oauth/credentials/dealer-17")
    assert operator.run(ROTATE + step).exit_code == 0
    after = operator.secrets.describe_secret(SecretId="oauth/credentials/dealer-17")
    assert (stored(operator), aliases(kms)) == (before, found)
    assert version["VersionIdsToStages"] == after["VersionIdsToStages"]
    assert len(kms.list_keys()["Keys"]) == 2


@pytest.mark.parametrize("changes", range(len(CHANGES)))
def test_a_switch_that_was_cut_short_is_finished_by_the_next(
    operator: Operator, provider: Provider, kms: Kms, relay: Relay, changes: int
) -> None:
    add(operator, **names(operator))
    [old] = aliases(kms).values()
    operator.says(ROTATE)
    provider.publish()
    coming, new = names(operator, "next"), aliases(kms)[ALIASES[Role.NEXT]]
    relay.illness = cut_short(changes)
    with operator.by_way_of(relay):
        refused = operator.run(f"{ROTATE} --switch")
    # Once the account signs with the new key, something was done.
    assert refused.exit_code == (1 if changes > CHANGES.index("UpdateAlias") else 3)
    # Between the alias and the credentials alone a server may see the new key by the old name.
    assert provider.knows() is (changes != CHANGES.index("PutSecretValue"))
    # No key is told twice, whatever aliases it has for now.
    told = [key["kid"] for key in json.loads(operator.says("key jwks dealer-17"))["keys"]]
    assert sorted(told) == sorted({*told})
    # Whatever signs is published.
    jws = signed("dealer-17", "RS256")
    assert any(verifies(jws, key) for key in provider.keys.values())

    assert operator.run(f"{ROTATE} --switch").exit_code == 0
    assert aliases(kms) == {ALIASES[Role.CURRENT]: new, ALIASES[Role.PREVIOUS]: old}
    assert assertion(operator) == coming
    assert provider.knows()


@pytest.mark.usefixtures("provider")
def test_credentials_that_could_not_be_written_are_told(operator: Operator, relay: Relay) -> None:
    add(operator, kid=names(operator)["kid"])
    operator.says(ROTATE)
    relay.illness = lambda operation: DENIED if operation == "PutSecretValue" else None
    with operator.by_way_of(relay):
        failed = operator.run(f"{ROTATE} --switch")
    assert failed.exit_code == 1
    assert "still name the old key, which signs no longer" in failed.stderr
    assert "Then run the same command again." in failed.stderr
    # And also to whoever comes later, and sees that the server knows the client no more.
    for command in ("check", "doctor"):
        told = operator.run(f"{command} dealer-17").output
        assert f"the rotation of {ALIASES[Role.CURRENT]} was cut short" in told
        assert ["key", "rotate", "dealer-17", "--switch"] in [each[1:5] for each in pasted(told)]
    assert operator.run(f"{ROTATE} --switch").exit_code == 0
    assert "was cut short" not in operator.run("check dealer-17").output


@pytest.mark.usefixtures("provider")
def test_a_finish_that_was_cut_short_is_finished_by_the_next(
    operator: Operator, kms: Kms, relay: Relay
) -> None:
    [old] = aliases(kms).values()
    operator.says(ROTATE)
    operator.says(f"{ROTATE} --switch")
    relay.illness = cut_short(0)
    with operator.by_way_of(relay):
        refused = operator.run(f"{ROTATE} --finish")
    assert refused.exit_code == 1
    assert f"The KMS key {old} is to be deleted already." in refused.stderr
    # It has its alias still, so that it is seen.
    assert aliases(kms)[ALIASES[Role.PREVIOUS]] == old
    assert kms.describe_key(KeyId=old)["KeyMetadata"]["KeyState"] == "PendingDeletion"
    assert operator.run(f"{ROTATE} --finish").exit_code == 0
    assert list(aliases(kms)) == [ALIASES[Role.CURRENT]]


@pytest.mark.usefixtures("provider")
def test_credentials_that_name_no_key_are_left_as_they_are(operator: Operator) -> None:
    add(operator)
    before = stored(operator)
    operator.says(ROTATE)
    switched = operator.says(f"{ROTATE} --switch")
    assert "put into its credentials" not in switched
    assert stored(operator) == before


@pytest.mark.usefixtures("provider")
def test_an_account_that_is_not_there_yet_has_its_key_replaced(operator: Operator) -> None:
    operator.says(ROTATE)
    coming = names(operator, "next")
    operator.says(f"{ROTATE} --switch")
    assert names(operator)["kid"] == coming["kid"]


@pytest.mark.usefixtures("provider")
def test_a_kid_of_the_providers_own_is_never_replaced_unasked(operator: Operator, kms: Kms) -> None:
    add(operator, kid="given-by-netsuite")
    operator.says(ROTATE)
    before = aliases(kms)
    refused = operator.run(f"{ROTATE} --switch")
    assert refused.exit_code == 3
    assert "The kid in the credentials of dealer-17 is not the old key's thumbprint" in (
        refused.stderr
    )
    assert pasted(refused.stderr)[-1][4:7] == ["--switch", "--kid", "KID"]
    assert (aliases(kms), assertion(operator)) == (before, {"kid": "given-by-netsuite"})

    coming = names(operator, "next")
    for _ in range(2):
        operator.says(f"{ROTATE} --switch --kid given-later")
        assert assertion(operator) == {"kid": "given-later"}
    assert names(operator)["kid"] == coming["kid"]


@pytest.mark.usefixtures("provider")
def test_a_kid_can_be_given_where_there_was_none(operator: Operator) -> None:
    add(operator)
    operator.says(ROTATE)
    operator.says(f"{ROTATE} --switch --kid given")
    assert assertion(operator) == {"kid": "given"}


@pytest.mark.usefixtures("provider")
def test_a_kid_needs_credentials_that_could_have_it(operator: Operator, kms: Kms) -> None:
    operator.says(ROTATE)
    before = aliases(kms)
    refused = operator.run(f"{ROTATE} --switch --kid given")
    assert refused.exit_code == 3
    assert "has no credentials that could name its key" in refused.stderr
    assert aliases(kms) == before


@pytest.mark.usefixtures("provider")
def test_a_digest_of_a_certificate_that_is_not_known_is_never_replaced(
    operator: Operator, kms: Kms
) -> None:
    elsewhere = base64.urlsafe_b64encode(bytes(32)).rstrip(b"=").decode()
    add(operator, **{"x5t#S256": elsewhere})
    operator.says(ROTATE)
    before = aliases(kms)
    refused = operator.run(f"{ROTATE} --switch")
    assert refused.exit_code == 3
    assert "The x5t#S256 in the credentials of dealer-17 is of none" in refused.stderr
    assert "of 730 days" in refused.stderr
    assert aliases(kms) == before

    coming = names(operator, "next")
    left = operator.run(f"{ROTATE} --switch --leave-credentials")
    assert left.exit_code == 0
    assert f"kid {coming['kid']}" in left.stderr
    assert "correct what its credentials name" in left.stderr
    assert assertion(operator) == {"x5t#S256": elsewhere}


@pytest.mark.usefixtures("provider")
def test_a_certificate_of_other_days_is_known_by_them(operator: Operator) -> None:
    add(operator, x5t=names(operator, days=365)["x5t"])
    operator.says(ROTATE)
    coming = names(operator, "next", days=365)
    assert operator.run(f"{ROTATE} --switch").exit_code == 3
    operator.says(f"{ROTATE} --switch --days 365")
    assert assertion(operator) == {"x5t": coming["x5t"]}


def test_an_ec_keys_certificates_cannot_be_told_again(operator: Operator) -> None:
    operator.says("key create dealer-17 --alg ES256")
    add(operator, alg="ES256", **{"x5t#S256": names(operator)["x5t#S256"]})
    operator.says(ROTATE)
    refused = operator.run(f"{ROTATE} --switch")
    assert refused.exit_code == 3
    assert "of an EC key, which differ each time" in refused.stderr


def test_the_next_key_is_of_the_kind_of_the_current_one(operator: Operator) -> None:
    operator.says("key create dealer-17 --alg PS256 --bits 3072")
    operator.says(ROTATE)
    current, coming = operator.tells("key jwks dealer-17")["keys"]
    for name in ("alg", "spec"):
        assert coming[name] == current[name]


def test_a_next_key_that_is_disabled_is_neither_published_nor_missed(
    operator: Operator, kms: Kms
) -> None:
    operator.says("key create dealer-17")
    operator.says(ROTATE)
    kms.disable_key(KeyId=aliases(kms)[ALIASES[Role.NEXT]])
    for command in (ROTATE, f"{ROTATE} --switch", "key jwks dealer-17 --only next"):
        refused = operator.run(command)
        assert refused.exit_code == 3
        assert "is disabled" in refused.stderr
        assert "aws kms enable-key" in refused.stderr
        assert "Publish both" not in refused.stderr


@pytest.mark.usefixtures("provider")
def test_credentials_sign_by_what_a_key_of_another_kind_signs_by(
    operator: Operator, tmp_path: Path
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    encoding, opened = serialization.Encoding.PEM, serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    (tmp_path / "ec.pem").write_bytes(key.private_bytes(encoding, form, opened))
    add(operator, kid=names(operator)["kid"])
    operator.says(f"key import dealer-17 --next --pem {tmp_path / 'ec.pem'}")
    coming = names(operator, "next")
    for _ in range(2):
        operator.says(f"{ROTATE} --switch")
        assert assertion(operator) == {"kid": coming["kid"], "alg": "ES256"}


@pytest.mark.usefixtures("provider")
def test_a_key_that_the_provider_has_made_becomes_the_next(
    operator: Operator, tmp_path: Path
) -> None:
    key = rsa.generate_private_key(65537, 2048)
    file = tmp_path / "app.2026-11-30.private-key.pem"
    form = serialization.PrivateFormat.TraditionalOpenSSL
    encoding, opened = serialization.Encoding.PEM, serialization.NoEncryption()
    file.write_bytes(key.private_bytes(encoding, form, opened))
    add(operator)
    operator.says(f"key import dealer-17 --next --pem {file}")
    operator.says(ROTATE)
    operator.says(f"{ROTATE} --switch")
    assert verifies(signed("dealer-17", "RS256"), RSAKey.import_key(key.public_key()))


@pytest.mark.usefixtures("provider")
def test_one_rotation_ends_before_the_next_begins(operator: Operator, tmp_path: Path) -> None:
    assert "dealer-17 has no previous key" in operator.run(f"{ROTATE} --finish").stderr
    operator.says(ROTATE)
    early = operator.run(f"{ROTATE} --finish")
    assert early.exit_code == 3
    assert "dealer-17 was not switched to its next key" in early.stderr
    assert pasted(early.stderr)[-1][4] == "--switch"
    operator.says(f"{ROTATE} --switch")
    for command in (ROTATE, f"key import dealer-17 --next --pem {tmp_path / 'nothing.pem'}"):
        refused = operator.run(command)
        assert refused.exit_code == 3
        assert "is not finished: its previous key is there" in refused.stderr
        assert pasted(refused.stderr)[-1][4] == "--finish"


@pytest.mark.usefixtures("provider")
def test_a_switch_without_a_next_key_is_refused(operator: Operator) -> None:
    refused = operator.run(f"{ROTATE} --switch")
    assert refused.exit_code == 3
    assert "dealer-17 has no next key." in refused.stderr


@pytest.mark.usefixtures("provider")
def test_a_key_that_does_not_sign_is_not_switched_to(operator: Operator, kms: Kms) -> None:
    operator.says(ROTATE)
    kms.disable_key(KeyId=aliases(kms)[ALIASES[Role.NEXT]])
    refused = operator.run(f"{ROTATE} --switch")
    assert refused.exit_code == 3
    assert "The next key does not sign: the KMS key alias/token-refresher-next-" in refused.stderr
    shown = operator.run("key jwks dealer-17")
    assert len(json.loads(shown.stdout)["keys"]) == 1
    assert "is Disabled, and not shown" in shown.stderr


@pytest.mark.usefixtures("provider")
def test_a_previous_key_that_credentials_name_is_not_deleted(operator: Operator, kms: Kms) -> None:
    old = names(operator)
    add(operator, kid=old["kid"])
    operator.says(ROTATE)
    operator.says(f"{ROTATE} --switch --leave-credentials")
    refused = operator.run(f"{ROTATE} --finish")
    assert refused.exit_code == 3
    assert "The credentials of dealer-17 name the previous key." in refused.stderr
    assert {each["KeyState"] for each in _described(kms)} == {"Enabled"}
    operator.says(f"{ROTATE} --switch")
    issue(operator)
    operator.says(f"{ROTATE} --finish")


def test_what_a_finish_says_leads_back_to_the_previous_key(
    operator: Operator, provider: Provider, kms: Kms
) -> None:
    add(operator, kid=names(operator)["kid"])
    operator.says(ROTATE)
    operator.says(f"{ROTATE} --switch")
    assert not provider.knows()
    finished = operator.run(f"{ROTATE} --finish --yes")
    *of_kms, correct = pasted(finished.stderr)
    assert [each[2] for each in of_kms] == ["cancel-key-deletion", "enable-key", "update-alias"]
    for each in of_kms:
        type_into(kms, each)
    operator.run(shlex.join(correct[1:]))
    assert provider.knows()


@pytest.mark.usefixtures("provider")
def test_credentials_that_name_more_than_the_key_are_told_on_the_way_back(
    operator: Operator,
) -> None:
    add(operator, **names(operator))
    operator.says(ROTATE)
    operator.says(f"{ROTATE} --switch")
    finished = operator.run(f"{ROTATE} --finish --yes")
    assert "Then correct its kid and x5t and x5t#S256, as before the switch." in finished.stderr


@pytest.mark.parametrize("has_token", [False, True])
def test_a_previous_key_stays_until_a_token_shows_that_the_new_one_is_taken(
    operator: Operator, provider: Provider, kms: Kms, *, has_token: bool
) -> None:
    add(operator, kid=names(operator)["kid"])
    operator.says(ROTATE)
    if has_token:
        issue(operator)
        operator.clock.advance(timedelta(minutes=1))
    operator.says(f"{ROTATE} --switch")
    refused = operator.run(f"{ROTATE} --finish")
    assert refused.exit_code == 3
    assert "dealer-17 has had no token since it was switched to its new key" in refused.stderr
    assert {each["KeyState"] for each in _described(kms)} == {"Enabled"}
    back, correct, refresh = pasted(refused.stderr)
    assert refresh[1:4] == ["refresh", "dealer-17", "--force"]
    type_into(kms, back)
    operator.run(shlex.join(correct[1:]))
    assert provider.knows()


@pytest.mark.usefixtures("provider")
def test_a_previous_key_stays_while_refreshes_fail(operator: Operator, kms: Kms) -> None:
    add(operator)
    operator.says(ROTATE)
    operator.says(f"{ROTATE} --switch")
    issue(operator)
    operator.clock.advance(timedelta(hours=1))
    now = operator.clock.now()
    failed = FailureRecord(FailureClass.ACTION_REQUIRED, "invalid_client", 2, now, now, "0" * 12)
    operator.secrets.tag_resource(
        SecretId="oauth/tokens/dealer-17", Tags=[{"Key": FAILURE_TAG, "Value": failed.to_tag()}]
    )
    refused = operator.run(f"{ROTATE} --finish")
    assert refused.exit_code == 3
    assert "The last refresh of dealer-17 has failed (invalid_client)" in refused.stderr
    assert {each["KeyState"] for each in _described(kms)} == {"Enabled"}
    operator.says(f"{ROTATE} --finish --yes")
    assert {each["KeyState"] for each in _described(kms)} == {"Enabled", "PendingDeletion"}


def test_credentials_that_name_no_key_are_told_before_two_are_published(
    operator: Operator, provider: Provider
) -> None:
    add(operator, audience="https://api.example.com")
    begun = operator.run(ROTATE)
    assert begun.exit_code == 0
    assert begun.stderr.startswith("The credentials of dealer-17 name no key, and a server")
    assert "once its credentials name the current one" in begun.stderr
    correct = pasted(begun.stderr)[0]
    assert correct[1:3] == ["correct", "dealer-17"]
    operator.run(shlex.join(correct[1:]))
    provider.publish()
    assert provider.knows()
    assert "name no key" not in operator.run(ROTATE).stderr
    operator.says(f"{ROTATE} --switch")
    assert provider.knows()
    assert assertion(operator)["audience"] == "https://api.example.com"


@pytest.mark.usefixtures("provider")
def test_a_switch_says_what_shows_that_the_provider_takes_the_new_key(operator: Operator) -> None:
    add(operator)
    operator.says(ROTATE)
    switched = pasted(operator.run(f"{ROTATE} --switch").stderr)
    assert [each[1:4] for each in switched[:2]] == [
        ["refresh", "dealer-17", "--force"],
        ["check", "dealer-17", "--try"],
    ]


@pytest.mark.usefixtures("provider")
def test_a_token_that_would_be_one_too_many_is_advised_for_when_it_may_be_issued(
    operator: Operator,
) -> None:
    add(operator)
    operator.says(ROTATE)
    issue(operator)
    now = operator.clock.now()
    newer = TokenVersion(now + timedelta(seconds=9), now + timedelta(hours=12), "1" * 12, "2" * 12)
    operator.secrets.put_secret_value(
        SecretId="oauth/tokens/dealer-17", ClientRequestToken=str(newer), SecretString="{}"
    )
    operator.clock.advance(timedelta(minutes=1))
    switched = operator.run(f"{ROTATE} --switch").stderr
    at = f"{now + timedelta(minutes=20):%H:%M} UTC"
    assert f"to see it from {at} on: token-refresher refresh dealer-17 --force" in switched
    refused = operator.run(f"{ROTATE} --finish").stderr
    assert f"Have a token issued, from {at} on, and run this again" in refused
    operator.clock.advance(timedelta(minutes=20))
    assert "Have a token issued and run this again" in operator.run(f"{ROTATE} --finish").stderr


def _described(kms: Kms) -> list[dict[str, Any]]:
    return [
        kms.describe_key(KeyId=each["KeyId"])["KeyMetadata"] for each in kms.list_keys()["Keys"]
    ]


@pytest.mark.usefixtures("provider")
def test_a_switch_is_finished_before_the_previous_key_is_deleted(
    operator: Operator, relay: Relay
) -> None:
    add(operator, kid=names(operator)["kid"])
    operator.says(ROTATE)
    for changes in (1, 2):
        relay.illness = cut_short(changes)
        with operator.by_way_of(relay):
            operator.run(f"{ROTATE} --switch")
        refused = operator.run(f"{ROTATE} --finish")
        assert refused.exit_code == 3
        assert "was not switched to its next key, or not wholly" in refused.stderr


@pytest.mark.parametrize(
    "flags",
    [
        "--switch --finish",
        "--kid given",
        "--leave-credentials",
        "--switch --yes",
        "--switch --kid k --leave-credentials",
    ],
)
def test_steps_and_options_that_do_not_go_together_are_usage_errors(
    operator: Operator, flags: str
) -> None:
    assert operator.run(f"{ROTATE} {flags}").exit_code == 2
