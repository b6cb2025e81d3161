"""By what an account proves who it is besides a secret, and whether its KMS key can sign."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from token_refresher.aws.signing import ALGORITHMS, alias_of
from token_refresher.credentials import JWT_BEARER
from token_refresher.oauth.assertions import Assertion
from token_refresher_cli.client_certificate import certificate_of
from token_refresher_cli.kms_keys import Role, aliases_of
from token_refresher_cli.masking import visible
from token_refresher_cli.problems import Problem, RefusedError, explain, fix_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from token_refresher.credentials import Credentials
    from token_refresher.oauth.client_authentication import Client
    from token_refresher_cli.deployment import Aws, Key
    from token_refresher_cli.target import Target

_ENABLED: Final = "Enabled"
# What the other states are, in words; each has a fix below.
_STATES: Final = {
    "Disabled": "is disabled",
    "PendingDeletion": "is to be deleted",
    "PendingImport": "waits for its material",
}
_AUDIENCES: Final = "WebIdentityAudiences"
# What a server says, too, where it does not know a key.
OF_UNKNOWN_KEYS: Final = frozenset({"invalid_client", "invalid_grant"})
# What the function has met of a key, and may be over.
OF_KEYS: Final = frozenset(
    {"signing_denied", "signing_key_disabled", "signing_key_missing", "signing_key_wrong"}
)
_STAYS: Final = "The KMS key {alias} stays, as a restore needs it, and costs 1 USD a month."


@dataclass(frozen=True, slots=True)
class SignedBy:
    """The KMS key that signs for an account.

    Attributes:
        alias: Its only name: it follows from the account's.
        alg: How it signs, as RFC 7518 calls it.
        kid: By what the server finds it; None where it is told nothing.
    """

    alias: str
    alg: str
    kid: str | None


def signing_key(credentials: Credentials, account: str, *, prefix: str) -> SignedBy | None:
    """Tell the KMS key that signs for an account; None where none does.

    Raises:
        CredentialsError: No key can have the account's name.
    """
    client = credentials.client
    of = client.assertion
    is_by_secret = client.auth_method == "client_secret_jwt"
    if not isinstance(of, Assertion) or client.is_assertion_issued or is_by_secret:
        return None
    return SignedBy(alias_of(prefix, account), of.alg or "RS256", of.kid)


def issued_for(credentials: Credentials) -> str | None:
    """Tell for which audience AWS STS says who runs here; None where it does not."""
    client = credentials.client
    if not client.is_assertion_issued or not isinstance(client.assertion, Assertion):
        return None
    return client.assertion.audience


def authentication_of(client: Client) -> str:
    """Name how a client authenticates, so that a sentence may have it."""
    is_none = client.auth_method == "none"
    return "no client authentication" if is_none else client.auth_method


def told(credentials: Credentials, account: str, *, prefix: str) -> list[str]:
    """Say by what an account proves who it is, besides a secret; nothing where by nothing.

    Raises:
        CredentialsError: No key can have the account's name.
    """
    said = []
    if key := signing_key(credentials, account, prefix=prefix):
        said.append(f"signed by the KMS key {key.alias}, by {key.alg}")
    if audience := issued_for(credentials):
        said.append(f"an identity token of AWS STS for {audience}")
    if credentials.client.auth_method == "client_secret_jwt":
        said.append("signed by its client_secret, by HS256")
    if (certificate := certificate_of(credentials)) is not None:
        ends = f"{certificate.ends_at:%Y-%m-%d}"
        said.append(f"the certificate {certificate.subject}, which ends on {ends}")
    return said


def stack_trouble(
    parameters: Mapping[str, str], credentials: Credentials, account: str, target: Target
) -> Problem | None:
    """Say why a stack does not let its function sign for an account; None where it does.

    Args:
        parameters: The stack's.
        credentials: The account's.
        account: Its name.
        target: Where.

    Raises:
        CredentialsError: No key can have the account's name.
    """
    allow = "Allow it, as the stack does, in a clone of this project: "
    if (audience := issued_for(credentials)) is not None:
        listed = [each for each in parameters.get(_AUDIENCES, "").split(",") if each]
        if audience in listed:
            return None
        deploy = target.deploy(f"{_AUDIENCES}={','.join([*listed, audience])}")
        what = f"the stack lets its function tell nobody of {audience} who runs there"
        return Problem(what, f"{allow}{deploy}")
    is_signed = signing_key(credentials, account, prefix=target.secret_prefix) is not None
    if is_signed and parameters.get("Signing") != "true":
        deploy = target.deploy("Signing=true")
        return Problem("the stack lets no account sign", f"{allow}{deploy}")
    return None


def found_by(aws: Aws, key: SignedBy, account: str, target: Target) -> tuple[str, str]:
    """Say by what a server finds a key that can sign, and what may be wrong with it.

    Returns:
        Two sentences' worth; the latter is empty where nothing is.
    """
    from token_refresher_cli.public_keys import PublicKey  # noqa: PLC0415

    try:
        thumbprint = PublicKey(aws.public_key(key.alias), key.alg).kid
    except RefusedError as error:
        return f"its thumbprint was not seen: {explain(error, target).what.removesuffix('.')}", ""
    if key.kid is None:
        return f"its thumbprint is {thumbprint}, and no kid is sent", ""
    if key.kid == thumbprint:
        return f"its thumbprint is {thumbprint}, and is sent as kid", ""
    kid = visible(key.kid)
    correct = target.command("correct", account, flags=["--assertion", f"kid={thumbprint}"])
    return (
        f"its thumbprint is {thumbprint}, and the kid {kid} is sent",
        f"unless the provider gave that kid, send the thumbprint: {correct}",
    )


def fix_of(code: str, credentials: Credentials, account: str, target: Target) -> str:
    """Say what a person does where a server refuses the client or the grant, perhaps for its key.

    Args:
        code: Of `OF_UNKNOWN_KEYS`.
        credentials: The account's.
        account: Its name.
        target: Where.

    Raises:
        CredentialsError: No key can have the account's name.
    """
    fix = fix_for(code, account, target)
    is_of_grant = code == "invalid_grant"
    is_signed = signing_key(credentials, account, prefix=target.secret_prefix) is not None
    if not is_signed or (is_of_grant and credentials.grant_name != JWT_BEARER):
        return fix
    jwks = target.command("key jwks", account)
    return f"{fix}\nSee whether the server knows this key: {jwks}"


def over_by_now(account: str, target: Target) -> str:
    """Say how a failure of a key ends that is in order again."""
    flags = ["--remote", "--force"] if target.stack else ["--force"]
    refresh = target.command("refresh", account, flags=flags)
    return f"The key is in order by now, as far as it is seen from here; at once: {refresh}"


def key_trouble(aws: Aws, key: SignedBy, account: str, target: Target) -> Problem | None:
    """Say why a key cannot sign, as KMS describes it; None where it can.

    Raises:
        RefusedError: KMS may not be asked, or did not answer.
    """
    try:
        found = aws.key(key.alias)
    except RefusedError as error:
        if error.code != "NotFoundException":
            raise
        flags = [] if key.alg == "RS256" else ["--alg", key.alg]
        return missing(key.alias, account, target, flags=flags)
    if found.state != _ENABLED:
        return unusable(key.alias, found.state, found.arn, account, target)
    if key.alg not in _fitting(found):
        return _unfitting(found, key, account, target)
    if _is_half_switched(aws, found, account, target):
        what = f"the rotation of {key.alias} was cut short: the credentials may name the old key"
        switch = target.command("key rotate", account, flags=["--switch"])
        return Problem(what, f"Have them name the new one: {switch}")
    return None


def _is_half_switched(aws: Aws, key: Key, account: str, target: Target) -> bool:
    """Whether an alias was moved to the next key, and what follows was not done, as far as seen."""
    coming = aliases_of(target.secret_prefix, account)[Role.NEXT]
    try:
        return aws.key(coming).arn == key.arn
    except RefusedError:
        return False


def missing(alias: str, account: str, target: Target, *, flags: Sequence[str] = ()) -> Problem:
    """Say that an account has no key, and how it is made."""
    create = target.command("key create", account, flags=flags)
    return Problem(
        f"there is no KMS key {alias}", f"Make it, and register the public one: {create}"
    )


def unusable(
    alias: str, state: str, arn: str, account: str, target: Target, *, flags: Sequence[str] = ()
) -> Problem:
    """Say why a key that is not enabled signs nothing.

    Args:
        alias: The key's.
        state: In KMS's word.
        arn: The key's own.
        account: Whose it is.
        target: Where.
        flags: Of an import that brings its material back.
    """
    fix = usable_again(state, arn, target)
    if state == "PendingImport":
        read = target.command("key import", account, flags=[*flags, "--pem", "FILE"])
        fix = f"Import the key that it waits for: {read}"
    return Problem(f"the KMS key {alias} {_STATES.get(state, f'is {state}')}", fix)


def usable_again(state: str, arn: str, target: Target) -> str:
    """Say how a key is had back, whatever it is for."""
    if state == "PendingDeletion":
        keep = target.aws("kms", "cancel-key-deletion", "--key-id", arn)
        return f"Keep it, and then enable it: {keep}"
    enable = target.aws("kms", "enable-key", "--key-id", arn)
    return f"Whoever looks after the key makes it usable: {enable}"


def _fitting(found: Key) -> list[str]:
    """Tell by which algorithms of RFC 7518 a key signs."""
    if found.spec == "ECC_SECG_P256K1":
        # To KMS it signs as one on P-256 does, which ES256 is for (section 3.4).
        return []
    return [alg for alg, name in ALGORITHMS.items() if name in found.algorithms]


def _unfitting(found: Key, key: SignedBy, account: str, target: Target) -> Problem:
    fitting = _fitting(found)
    what = f"the KMS key {key.alias} does not sign by {key.alg}"
    if not fitting:
        # KMS signs by P-384 and others, too, and no assertion here is signed so.
        use = ", ".join(found.algorithms) or found.usage
        detail = f"{what}: it is {found.spec}, for {use}"
        free = target.aws("kms", "delete-alias", "--alias-name", key.alias)
        return Problem(detail, f"Free its name, and make one by `key create`: {free}")
    flags = ["--assertion", f"alg={fitting[0]}"]
    correct = target.command("correct", account, flags=flags)
    return Problem(f"{what}, but by {' or '.join(fitting)}", f"Say so: {correct}")


def upkeep(aws: Aws, account: str, target: Target) -> list[str]:
    """Say what becomes of the KMS keys of an account that is removed; nothing where it has none."""
    said = []
    for alias in aliases_of(target.secret_prefix, account).values():
        try:
            found = aws.key(alias)
        except RefusedError as error:
            if error.code != "NotFoundException":
                look = target.aws("kms", "describe-key", "--key-id", alias)
                said.append(f"{_STAYS.format(alias=alias)} See it: {look}")
            continue
        if found.state != "PendingDeletion":
            words = ("--key-id", found.arn, "--pending-window-in-days", "30")
            end = target.aws("kms", "schedule-key-deletion", *words)
            said.append(f"{_STAYS.format(alias=alias)} Once nothing shall come back, end it: {end}")
    return said
