"""What the signer asks of KMS and STS, and what it makes of what they say."""

from __future__ import annotations

import hashlib
import io
import json
import string
import threading
from base64 import b64decode, b64encode
from itertools import product
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

import boto3
import pytest
from botocore.awsrequest import AWSResponse, HeadersDict
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256

from token_refresher.aws.signing import Signer, alias_of, not_issued, not_signed
from token_refresher.errors import CredentialsError, FailureClass, SigningError
from token_refresher.failures import Pace, failure_class_of, pace_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from botocore.exceptions import _ClientErrorResponseError

ACCOUNT: Final = "dealer-17"
ALIAS: Final = "alias/oauth/dealer-17"
MESSAGE: Final = b"invented-header.invented-claims"
MARK: Final = "canary"
ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class Aws:
    """KMS and STS, in the place where botocore would send.

    Attributes:
        asked: What each request said, by its operation.
        responses: What is said next: status and content, or what is raised. The last one stays.
        made: The clients that were made, by service.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.responses: list[tuple[int, bytes] | Exception] = []
        self.made: list[str] = []

    def reply(self, request: Any, **_: object) -> AWSResponse:  # noqa: ANN401 - botocore's
        if "X-Amz-Target" in request.headers:
            target = request.headers["X-Amz-Target"]
            name = target.decode() if isinstance(target, bytes) else target
            self.asked.append((name.rpartition(".")[2], json.loads(request.body)))
        else:
            fields = dict(parse_qsl(request.body))
            self.asked.append((fields.pop("Action"), fields))
        response = self.responses.pop(0) if len(self.responses) > 1 else self.responses[0]
        if isinstance(response, Exception):
            raise response
        status, content = response
        return AWSResponse(request.url, status, HeadersDict(), _Body(content))  # type: ignore[arg-type]

    def signs(self, signature: bytes) -> None:
        self.responses = [(200, json.dumps({"Signature": b64encode(signature).decode()}).encode())]

    def issues(self, token: str) -> None:
        said = f"<WebIdentityToken>{token}</WebIdentityToken>"
        result = f"<GetWebIdentityTokenResult>{said}</GetWebIdentityTokenResult>"
        self.responses = [
            (200, f"<GetWebIdentityTokenResponse>{result}</GetWebIdentityTokenResponse>".encode())
        ]

    def refuses(self, code: str, *, status: int = 400) -> None:
        """Refuse as KMS does, by JSON, and as STS does, by XML: each reads its own."""
        words = f"{MARK} arn:aws:kms:eu-west-1:123456789012:key/{MARK}"
        kms = json.dumps({"__type": code, "message": words}).encode()
        self.responses = [(status, kms)]

    def refuses_in_xml(self, code: str, *, status: int = 400) -> None:
        error = f"<Error><Code>{code}</Code><Message>{MARK}</Message></Error>"
        self.responses = [(status, f"<ErrorResponse>{error}</ErrorResponse>".encode())]

    def note(self, class_attributes: object, base_classes: object, **_: object) -> None:
        del class_attributes, base_classes
        self.made.append("client")


class _Body(io.BytesIO):
    def stream(self, **_: object) -> Iterator[bytes]:
        yield self.read()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between botocore's attempts, which take no time here."""
    waits: list[float] = []
    monkeypatch.setattr("botocore.endpoint.time.sleep", waits.append)
    return waits


@pytest.fixture
def aws(waits: list[float]) -> Iterator[Aws]:
    assert waits == []
    boto3.setup_default_session()
    session: Any = boto3.DEFAULT_SESSION
    aws = Aws()
    for service in ("kms", "sts"):
        session.events.register(f"before-send.{service}", aws.reply)
        session.events.register(f"creating-client-class.{service}", aws.note)
    yield aws
    boto3.setup_default_session()


@pytest.fixture
def signer() -> Signer:
    return Signer(prefix="oauth", connections=16, user_agent="token-refresher/test")


def refusal(act: Callable[[], object]) -> SigningError:
    with pytest.raises(SigningError) as refused:
        act()
    error = refused.value
    assert MARK not in f"{error}{error!r}{vars(error)}{error.__cause__}"
    assert error.__suppress_context__
    return error


# What KMS is asked.


@pytest.mark.parametrize(
    ("alg", "name"),
    [("RS256", "RSASSA_PKCS1_V1_5_SHA_256"), ("PS256", "RSASSA_PSS_SHA_256")],
)
def test_kms_sees_the_digest_alone_and_signs_with_the_accounts_own_key(
    aws: Aws, signer: Signer, alg: str, name: str
) -> None:
    aws.signs(b"\0invented-signature")

    assert signer.sign(ACCOUNT, alg=alg, message=MESSAGE) == b"\0invented-signature"
    [(operation, asked)] = aws.asked
    assert operation == "Sign"
    assert b64decode(asked.pop("Message")) == hashlib.sha256(MESSAGE).digest()
    assert asked == {"KeyId": ALIAS, "MessageType": "DIGEST", "SigningAlgorithm": name}


def test_what_is_not_ours_to_sign_by_is_no_algorithm(aws: Aws, signer: Signer) -> None:
    for alg in ("none", "HS256", "RS512", "ES384"):
        with pytest.raises(KeyError):
            signer.sign(ACCOUNT, alg=alg, message=MESSAGE)
    assert aws.asked == []


def test_an_account_without_a_possible_key_costs_no_call(aws: Aws, signer: Signer) -> None:
    with pytest.raises(CredentialsError):
        signer.sign("dealer.17", alg="RS256", message=MESSAGE)
    assert aws.asked == []


def test_sixteen_workers_that_begin_at_once_make_one_client(aws: Aws, signer: Signer) -> None:
    aws.signs(b"invented-signature")
    barrier, signed = threading.Barrier(16), []

    def work() -> None:
        barrier.wait()
        signed.append(signer.sign(ACCOUNT, alg="RS256", message=MESSAGE))

    workers = [threading.Thread(target=work) for _ in range(16)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert signed == [b"invented-signature"] * 16
    assert len(aws.made) == 1


# ES256.


def test_an_ecdsa_signature_of_kms_becomes_one_of_jws(aws: Aws, signer: Signer) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    lengths = set()
    for number in range(1000):
        digest = hashlib.sha256(b"%d" % number).digest()
        der = key.sign(digest, ec.ECDSA(Prehashed(SHA256())))
        lengths.add(len(der))
        aws.signs(der)
        signature = signer.sign(ACCOUNT, alg="ES256", message=b"%d" % number)
        r, s = decode_dss_signature(der)
        assert signature == r.to_bytes(32, "big") + s.to_bytes(32, "big")
    # Both with and without the zero that DER puts before a first bit that is set.
    assert {70, 71, 72} <= lengths


SHAPES: Final = (
    *(1, 2, 127, 128, 255, 256, 2**127, 2**128 - 1, 2**247, 2**248 - 1, 2**248),
    *(2**255 - 1, 2**255, ORDER // 2, ORDER - 1),
)


def test_each_half_has_thirty_two_bytes_whatever_its_length(aws: Aws, signer: Signer) -> None:
    for r, s in product(SHAPES, SHAPES):
        aws.signs(encode_dss_signature(r, s))
        signature = signer.sign(ACCOUNT, alg="ES256", message=MESSAGE)
        assert signature == r.to_bytes(32, "big") + s.to_bytes(32, "big")


def der(*integers: bytes) -> bytes:
    """A SEQUENCE of INTEGERs, whatever they are."""
    content = b"".join(bytes((2, len(each))) + each for each in integers)
    return bytes((0x30, len(content))) + content


NO_SIGNATURES: Final = {
    "nothing": {"KeyId": MARK},
    "null": {"Signature": None},
    "an empty one": {"Signature": ""},
    "no text": {"Signature": [MARK]},
    "no Base64": {"Signature": "invented"[:-1]},
    "none of ECDSA": {"Signature": b64encode(b"x" * 64).decode()},
    "one half": {"Signature": b64encode(der(b"\1" * 32)).decode()},
    "halves that are too long": {"Signature": b64encode(der(b"\1" * 33, b"\1")).decode()},
    "more behind it": {"Signature": b64encode(der(b"\1", b"\1", b"\1")).decode()},
    "one that is cut off": {"Signature": b64encode(der(b"\1" * 32, b"\1")[:20]).decode()},
}


@pytest.mark.parametrize("said", NO_SIGNATURES.values(), ids=NO_SIGNATURES)
def test_what_is_no_signature_is_told_as_what_cannot_be_read(
    aws: Aws, signer: Signer, said: dict[str, object]
) -> None:
    aws.responses = [(200, json.dumps(said).encode())]
    error = refusal(lambda: signer.sign(ACCOUNT, alg="ES256", message=MESSAGE))

    assert (error.code, error.operation, error.transient) == ("ResponseParserError", "Sign", True)


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(
    "content", [b"", MARK.encode(), b"null", b"[]", b'{"__type": 5}', b"[" * 100_000, b"\xff"]
)
def test_what_stands_in_the_place_of_aws_is_no_defect_of_ours(
    aws: Aws, signer: Signer, status: int, content: bytes
) -> None:
    aws.responses = [(status, content)]
    for act in (
        lambda: signer.sign(ACCOUNT, alg="RS256", message=MESSAGE),
        lambda: signer.identity_token(ACCOUNT, audience="api://invented", alg="RS256"),
    ):
        error = refusal(act)
        assert (error.code, error.transient) in {("ResponseParserError", True), ("400", False)}


# Whose key it is.

TAKEN: Final = f"{string.ascii_letters}{string.digits}/_-"


@pytest.mark.parametrize("number", range(0x20, 0x180))
def test_a_character_is_in_the_alias_as_it_is_or_the_account_does_not_sign(number: int) -> None:
    character = chr(number)
    if character in TAKEN:
        assert alias_of("oauth", f"a{character}b") == f"alias/oauth/a{character}b"
        assert alias_of(f"a{character}b", "c") == f"alias/a{character}b/c"
        return
    for prefix, account in (("oauth", f"a{character}b"), (f"a{character}b", "c")):
        with pytest.raises(CredentialsError) as refused:
            alias_of(prefix, account)
        assert refused.value.code == "unsignable_name"
        assert pace_of(refused.value) is Pace.AT_ONCE


@pytest.mark.parametrize("account", ["dealer\n", "\ndealer", "dealer 17", "\u0661", "\uff21"])
def test_a_name_of_anything_else_has_no_key(account: str) -> None:
    with pytest.raises(CredentialsError):
        alias_of("oauth", account)


def test_an_alias_has_256_characters_at_most() -> None:
    longest = "a" * (256 - len("alias/oauth/"))
    assert len(alias_of("oauth", longest)) == 256
    with pytest.raises(CredentialsError, match="250 in all"):
        alias_of("oauth", f"{longest}a")


@pytest.mark.parametrize("account", ["clients", "clients/shop", "clients/"])
def test_what_shared_registrations_are_kept_under_is_no_accounts_alias(account: str) -> None:
    with pytest.raises(CredentialsError, match="clients/"):
        alias_of("oauth", account)


@pytest.mark.parametrize("account", ["clients-17", "my/clients/17", "Clients/17", "aws/17"])
def test_what_only_looks_reserved_is_an_account_like_any_other(account: str) -> None:
    assert alias_of("oauth", account) == f"alias/oauth/{account}"


@pytest.mark.parametrize("prefix", ["aws", "aws/team", "my.team", "team+1", "team=1", "team@1"])
def test_under_a_prefix_that_no_alias_has_nobody_signs(prefix: str) -> None:
    with pytest.raises(CredentialsError, match="SecretPrefix"):
        alias_of(prefix, ACCOUNT)


def test_a_prefix_that_only_begins_like_those_of_aws_is_one_like_any_other() -> None:
    assert alias_of("aws-team", ACCOUNT) == "alias/aws-team/dealer-17"


def test_no_two_accounts_have_one_alias() -> None:
    names = [
        *("dealer-17", "dealer_17", "dealer/17", "dealer17", "Dealer-17", "dealer--17"),
        *("dealer-17/", "/dealer-17", "dealer-1/7", "dealer/-17", "a/b", "a/b/c", "a//b"),
    ]
    assert len({alias_of("oauth", name) for name in names}) == len(names)
    others = [name.replace("-", each) for name in names for each in ".+=@ " if "-" in name]
    for name in others:
        with pytest.raises(CredentialsError):
            alias_of("oauth", name)


# What KMS refuses (its API reference, Sign, and the errors that all operations have).

FOR_A_PERSON: Final = {
    "AccessDeniedException": ("signing_denied", "deploy with Signing=true"),
    "NotFoundException": ("signing_key_missing", "is not there"),
    "DisabledException": ("signing_key_disabled", "is disabled"),
    "KMSInvalidStateException": ("signing_key_disabled", "waits for its material"),
    "InvalidKeyUsageException": ("signing_key_wrong", "`assertion.alg`"),
    "UnsupportedOperationException": ("signing_key_wrong", "does not sign"),
    "ValidationException": ("signing_key_wrong", "`assertion.alg`"),
    # In AWS's own words, which the runbook does not have one by one.
    **{
        code: (code, code)
        for code in (
            *("DryRunOperationException", "InvalidGrantTokenException", "OptInRequired"),
            *("UnrecognizedClientException", "ExpiredTokenException", "InvalidSignatureException"),
            *("IncompleteSignature", "InvalidClientTokenId", "NotAuthorized"),
        )
    },
}
PASSING: Final = {
    **dict.fromkeys(("ThrottlingException", "RequestTimeout", "InternalFailure"), 400),
    **dict.fromkeys(("KMSInternalException", "InternalFailure"), 500),
    **dict.fromkeys(("DependencyTimeoutException", "ServiceUnavailable"), 503),
    "KeyUnavailableException": 400,
    "Unheard": 502,
}


@pytest.mark.parametrize("code", FOR_A_PERSON)
def test_what_a_person_must_put_right_is_told_by_a_code_of_its_own(
    aws: Aws, signer: Signer, code: str
) -> None:
    aws.refuses(code)
    error = refusal(lambda: signer.sign(ACCOUNT, alg="RS256", message=MESSAGE))

    own, words = FOR_A_PERSON[code]
    assert (error.code, error.operation, error.transient) == (own, "Sign", False)
    assert words in str(error)
    assert (own == code) or ALIAS in str(error)
    assert failure_class_of(error) is FailureClass.ACTION_REQUIRED
    # Also what a person must put right is looked at again by itself, since it costs no request.
    assert pace_of(error) is Pace.TRANSIENT
    assert len(aws.asked) == 1


@pytest.mark.parametrize("code", PASSING)
def test_what_passes_is_told_so(aws: Aws, signer: Signer, code: str) -> None:
    aws.refuses(code, status=PASSING[code])
    error = refusal(lambda: signer.sign(ACCOUNT, alg="RS256", message=MESSAGE))

    assert (error.code, error.transient) == (code, True)
    assert failure_class_of(error) is FailureClass.TRANSIENT
    assert len(aws.asked) <= 2


@pytest.mark.parametrize(
    "broken",
    [
        EndpointConnectionError(endpoint_url=MARK),
        ConnectTimeoutError(endpoint_url=MARK),
        ReadTimeoutError(endpoint_url=MARK),
        NoCredentialsError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_where_nobody_responds_it_passes(aws: Aws, signer: Signer, broken: Exception) -> None:
    aws.responses = [broken]
    error = refusal(lambda: signer.sign(ACCOUNT, alg="RS256", message=MESSAGE))

    assert (error.code, error.transient) == (type(broken).__name__, True)
    assert len(aws.asked) <= 2


def test_what_fails_once_is_asked_again_at_once(aws: Aws, signer: Signer) -> None:
    aws.signs(b"invented-signature")
    aws.responses.insert(0, ReadTimeoutError(endpoint_url=MARK))

    assert signer.sign(ACCOUNT, alg="RS256", message=MESSAGE) == b"invented-signature"
    assert len(aws.asked) == 2


def test_a_signature_takes_seven_seconds_at_the_most(
    aws: Aws, signer: Signer, waits: list[float]
) -> None:
    """So many were left for it beside a connection, a lease, a request and a journal."""
    seen: list[Any] = []
    session: Any = boto3.DEFAULT_SESSION
    session.events.register(
        "before-parameter-build.kms",
        lambda context, **_: seen.append(context["client_config"]),
    )
    aws.responses = [ReadTimeoutError(endpoint_url=MARK)]
    refusal(lambda: signer.sign(ACCOUNT, alg="RS256", message=MESSAGE))

    [config] = seen
    assert len(aws.asked) * (config.connect_timeout + config.read_timeout) + sum(waits) <= 7
    assert config.max_pool_connections == 16
    assert config.user_agent.startswith("token-refresher/test")


# Identity tokens.


def test_an_identity_token_is_short_lived_and_says_whose_account_it_is(
    aws: Aws, signer: Signer
) -> None:
    aws.issues("invented.identity.token")
    token = signer.identity_token("dealer.17", audience="api://invented", alg="ES384")

    assert token == "invented.identity.token"
    [(operation, asked)] = aws.asked
    assert operation == "GetWebIdentityToken"
    del asked["Version"]
    assert asked == {
        "Audience.member.1": "api://invented",
        "DurationSeconds": "300",
        "SigningAlgorithm": "ES384",
        "Tags.member.1.Key": "account",
        "Tags.member.1.Value": "dealer.17",
    }


@pytest.mark.parametrize(
    ("code", "status", "own", "words", "is_transient"),
    [
        ("AccessDenied", 403, "identity_token_denied", "WebIdentityAudiences", False),
        *(
            (code, 403, "identity_federation_disabled", "enable outbound", False)
            for code in (
                "OutboundWebIdentityFederationDisabled",
                "OutboundWebIdentityFederationDisabledException",
            )
        ),
        ("JWTPayloadSizeExceededException", 400, None, "GetWebIdentityToken failed", False),
        ("SessionDurationEscalationException", 403, None, "GetWebIdentityToken failed", True),
        ("Throttling", 400, None, "GetWebIdentityToken failed", True),
        ("InternalFailure", 500, None, "GetWebIdentityToken failed", True),
        ("ExpiredToken", 403, None, "GetWebIdentityToken failed", False),
    ],
)
def test_what_sts_refuses_is_told_by_who_must_put_it_right(
    aws: Aws, signer: Signer, code: str, status: int, own: str, words: str, *, is_transient: bool
) -> None:
    aws.refuses_in_xml(code, status=status)
    error = refusal(lambda: signer.identity_token(ACCOUNT, audience=f"api://{MARK}", alg="RS256"))

    assert (error.code, error.transient) == (own or code, is_transient)
    assert error.operation == "GetWebIdentityToken"
    assert words in str(error)


@pytest.mark.parametrize(
    "token", ["", "invented", "invented.identity.token\r\nX-Key: a", "in.ven.t\u0119d", "<a>b</a>"]
)
def test_what_could_end_a_header_is_no_identity_token(aws: Aws, signer: Signer, token: str) -> None:
    aws.issues(token)
    error = refusal(lambda: signer.identity_token(ACCOUNT, audience="api://invented", alg="RS256"))
    assert (error.code, error.transient) == ("ResponseParserError", True)


@pytest.mark.parametrize("error", [{}, {"Code": ""}, {"Code": f"{MARK}\nkey"}, {"Code": "a" * 65}])
def test_an_error_whose_code_is_none_is_told_as_unknown(error: _ClientErrorResponseError) -> None:
    nothing = ClientError({"Error": error}, "Sign")
    assert not_signed(nothing, ALIAS).code == not_issued(nothing).code == "Unknown"
