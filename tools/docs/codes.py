"""Every code that an account's failure can have, its class and pace, as the program makes them.

Codes are found where they are made: written out at the call that makes an error, chosen by the
status and the body of a response, or Secrets Manager's own.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from datetime import UTC, datetime
from functools import cache, partial
from inspect import signature
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import botocore.session
from botocore.exceptions import ClientError, ConnectTimeoutError

import token_refresher
from token_refresher import errors, hosts
from token_refresher.aws import secret_store, signing
from token_refresher.errors import FailureClass, SecretStoreError
from token_refresher.failures import Pace, failure_class_of, pace_of
from token_refresher.oauth import errors as oauth_errors
from token_refresher.oauth.client_authentication import Client
from token_refresher.oauth.token_response import read_token_response
from token_refresher.records import JOURNAL_NOT_WRITTEN
from tools.docs.blocks import Table, code

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from token_refresher.failures import Failure

PACKAGE: Final = Path(token_refresher.__file__).parent

# What no model of an operation lists: a refusal by IAM, and connections that fail.
_OF_EVERY_OPERATION: Final = ("AccessDeniedException",)
_LOST_CONNECTIONS: Final = (
    "ConnectTimeoutError",
    "ConnectionClosedError",
    "EndpointConnectionError",
    "ReadTimeoutError",
)
# What only parameters that are never given are answered by.
_NEVER_MET: Final = frozenset({"DryRunOperationException", "InvalidGrantTokenException"})
# More codes than this, of statuses that begin alike, are told as one.
_MANY: Final = 20


def by_class() -> Table:
    """The codes of each class and pace, but for those that are AWS's own words."""
    pairs = [*_of_the_account(), *_of_the_endpoint(), *_of_error_responses()]
    of_aws = (*_of_secrets_manager(), *_of_signing())
    ours = [each for each in of_aws if each.name.islower()]
    found = _compressed([*pairs, *ours])
    rows = [
        (code(kind.value), pace.value, ", ".join(names))
        for kind, pace in product(FailureClass, Pace)
        if (names := [code(each.name) for each in found if each[1:] == (kind, pace)])
    ]
    return Table(("class", "pace", "codes"), rows)


def of_credentials() -> Table:
    """What the credentials or the settings are at fault for."""
    return _table(_of_the_account())


def of_the_token_endpoint() -> Table:
    """What the endpoint is at fault for, or its response."""
    return _table(_of_the_endpoint())


def of_oauth() -> Table:
    """The error codes of RFC 6749 and its extensions that are known."""
    return _table(_of_error_responses())


def of_secrets_manager() -> Table:
    """What Secrets Manager refuses."""
    return _table(_of_secrets_manager())


def of_signing() -> Table:
    """What KMS and STS refuse, for accounts that sign."""
    return _table(_of_signing())


class Coded(NamedTuple):
    """A code, whom it calls, and when it is tried again."""

    name: str
    kind: FailureClass
    pace: Pace


def every_code() -> list[Coded]:
    """All that an account's failure can have, sorted."""
    sources = (
        *(_of_the_account, _of_the_endpoint, _of_error_responses, _of_secrets_manager),
        _of_signing,
    )
    return sorted({each for source in sources for each in source()})


def _table(pairs: Iterable[Coded]) -> Table:
    found = sorted(_compressed(pairs), key=lambda each: list(FailureClass).index(each.kind))
    rows = [(code(each.name), each.kind.value, each.pace.value) for each in found]
    return Table(("code", "class", "pace", "what it means", "what to do"), rows)


def _of_the_account() -> Iterator[Coded]:
    yield from _written(
        "CredentialsError", "ExternalSecretError", "MissingExpiryError", "RejectedAgainError"
    )
    now = datetime(2026, 11, 24, tzinfo=UTC)
    for is_spent in (False, True):
        yield _coded(errors.RefreshTokenHeldError(is_spent=is_spent, until=now, by_force=now))


def _of_the_endpoint() -> Iterator[Coded]:
    yield from _written("TokenEndpointError", "TokenResponseError", "EndpointUnavailableError")
    yield _coded(hosts.block())
    yield from _of_responses()


def _compressed(pairs: Iterable[Coded]) -> list[Coded]:
    """Tell many statuses that begin alike as one, such as ``status_5xx``; in their order."""
    found = set(pairs)
    alike: Mapping[Coded, list[Coded]] = defaultdict(list)
    for each in found:
        if status := re.fullmatch(r"(\w+_\d)\d\d", each.name):
            alike[each._replace(name=f"{status[1]}xx")].append(each)
    for pattern, several in alike.items():
        if len(several) > _MANY:
            found = found - set(several) | {pattern}
    return sorted(found)


@cache
def _calls() -> tuple[tuple[str, ast.Call], ...]:
    """Find every call by a plain name in the package, with that name."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))]
    return tuple(
        (node.func.id, node)
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    )


def _written(*kinds: str) -> Iterator[Coded]:
    """The codes that stand at the calls that make errors of these types, and their own."""
    for kind in kinds:
        made = (vars(errors) | vars(oauth_errors))[kind]
        takes = signature(made).parameters
        text = {"message": ""} if "message" in takes else {}
        if "code" not in takes or takes["code"].default is not takes["code"].empty:
            yield _coded(made(**text))
        for name, call in _calls():
            given = {word.arg: word.value for word in call.keywords}.get("code")
            if name == kind and isinstance(given, ast.Constant):
                yield _coded(made(**text, code=given.value))


def _of_responses() -> Iterator[Coded]:
    """The codes of every status, with a page, with an object, and with a list."""
    now = datetime(2026, 11, 24, tzinfo=UTC)
    client = Client(
        token_endpoint="https://id.example/token",  # noqa: S106 - an address
        client_id=None,
        client_secret=None,
        auth_method="none",
        user_agent="",
    )
    for status, body in product(range(200, 600), (b"<html>", b"{}", b"[]")):
        try:
            read_token_response(status, body, client=client, retry_after=None, now=now)
        except oauth_errors.OAuthError as error:
            yield _coded(error)


def _of_error_responses() -> Iterator[Coded]:
    for name in (*oauth_errors.KNOWN_CODES, "of another specification"):
        yield _coded(oauth_errors.TokenRequestError(name))


def _of_secrets_manager() -> Iterator[Coded]:
    yield _coded(SecretStoreError("", JOURNAL_NOT_WRITTEN, transient=False))
    for name, call in _calls():
        if name == "SecretStoreError" and isinstance(call.args[1], ast.Constant):
            transient = ast.literal_eval(call.keywords[0].value)
            yield _coded(SecretStoreError("", str(call.args[1].value), transient=transient))
    passing = {*vars(secret_store)["_TRANSIENT"], *_LOST_CONNECTIONS}
    for name in {*passing, *_OF_EVERY_OPERATION, *_of_operations()}:
        yield _coded(SecretStoreError("", name, transient=name in passing))


def _of_signing() -> Iterator[Coded]:
    """What the models of the two operations say, and what every operation can answer."""
    session = botocore.session.get_session()
    common = ("AccessDenied", "AccessDeniedException", "ThrottlingException", "ValidationException")
    for service, operation, failure in (
        ("kms", "Sign", partial(signing.not_signed, alias="")),
        ("sts", "GetWebIdentityToken", signing.not_issued),
    ):
        shapes = session.get_service_model(service).operation_model(operation).error_shapes
        for name in {*common, *(shape.name for shape in shapes)} - _NEVER_MET:
            yield _coded(failure(ClientError({"Error": {"Code": name}}, operation)))
    yield _coded(signing.not_signed(ConnectTimeoutError(endpoint_url=""), ""))
    yield _coded(signing.unreadable("Sign"))


def _of_operations() -> Iterator[str]:
    """What Secrets Manager's own model says of the operations that the store calls."""
    model = botocore.session.get_session().get_service_model("secretsmanager")
    source = Path(secret_store.__file__).read_text(encoding="utf-8")
    for operation in set(re.findall(r'_errors\("(\w+)"\)', source)):
        yield from (shape.name for shape in model.operation_model(operation).error_shapes)


def _coded(error: Failure) -> Coded:
    return Coded(error.code, failure_class_of(error), pace_of(error))
