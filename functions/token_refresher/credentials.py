"""What people write into a credentials secret: one struct per grant.

Whoever may write one credentials secret must gain nothing else by it: no other account's secret,
no refresh token that a server has given, no say over another account's requests.
`parsing.parse_credentials` makes them from a secret's text, and `refusals` says what is refused.
"""

from __future__ import annotations

import hashlib
import re
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal
from urllib.parse import parse_qsl, urlsplit

import msgspec
from msgspec import Meta

from token_refresher import PRODUCT_USER_AGENT
from token_refresher.errors import CredentialsError
from token_refresher.model import digest12
from token_refresher.oauth.assertions import Assertion
from token_refresher.oauth.client_authentication import (
    BY_ASSERTION,
    AuthMethod,
    Client,
    Grant,
    Parameter,
    basic_authorization,
    instead_of,
    refresh_grant,
)
from token_refresher.oauth.decoding import converted
from token_refresher.oauth.dialect import RFC_6749, Dialect
from token_refresher.oauth.hidden import Hidden
from token_refresher.oauth.providers import Provider, ProviderGrant, provider
from token_refresher.publishing import Publish  # noqa: TC001 - msgspec reads annotations

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ONE_YEAR_SECONDS: Final = 365 * 24 * 3600

# RFC 6749 appendix A.4: scope = scope-token *( SP scope-token ).
_SCOPE: Final = r"^[\x21\x23-\x5B\x5D-\x7E]+( [\x21\x23-\x5B\x5D-\x7E]+)*\Z"

NonEmpty = Annotated[str, Meta(min_length=1)]
Scope = Annotated[str, Meta(pattern=_SCOPE)]
HeaderText = Annotated[str, Meta(pattern=r"^[\x20-\x7E]+\Z")]
Seconds = Annotated[int, Meta(ge=1, le=_ONE_YEAR_SECONDS)]
Timeout = Annotated[int, Meta(ge=1, le=30)]

JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
# What an account's texts may say for a value that is known only when it is sent.
ASSERTION, REFRESH_TOKEN = "{assertion}", "{refresh_token}"
# A parameter or header of such a name holds what must not be published.
SECRET_NAME: Final = re.compile(
    r"pw|secret|pass|token|key|assertion|credential|authori|sig|^code$", re.IGNORECASE
)


class SignedAssertion(Assertion, frozen=True, kw_only=True):
    """An assertion that is signed for each request by itself.

    Attributes:
        signer: ``kms`` signs with the account's own key, whose alias is its name; ``sts`` says in
            a token of AWS's own who runs here. By ``kms`` where nothing is said.
    """

    signer: Literal["kms", "sts"] | None = None


class Credentials(
    Hidden,
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    # So that a field which a later version adds does not change a grant's digest.
    omit_defaults=True,
    # For what is made of them once.
    dict=True,
):
    """The fields that every grant has.

    Attributes:
        client_id: As registered; absent where the provider knows none.
        client_secret: As registered; absent for a public client. It may be empty (RFC 6749
            section 2.3.1).
        provider: An entry of ``providers.json``. Exactly one of it and ``token_endpoint`` is given.
        provider_parameters: What the entry asks for, such as a tenant or a region.
        token_endpoint: Any server's https URL (RFC 6749 section 3.2).
        scope: One space-delimited string (RFC 6749 section 3.3).
        token_endpoint_auth_method: ``client_secret_basic``, ``client_secret_post``,
            ``client_secret_jwt``, ``private_key_jwt``, ``tls_client_auth`` or ``none`` (RFC 7591,
            RFC 8705); the default is the provider's, else the first where there is a secret.
        user_agent: Sent where the provider does not ask for the account's e-mail.
        extra_parameters: Sent with every token request, such as ``audience`` or ``resource``.
        grant_parameters: Sent with this grant alone, and not with a refresh token of its responses.
        request_headers: Sent with every token request.
        assertion: A ready-made one, or what is signed for each request: for the method
            ``private_key_jwt``, the jwt-bearer grant, or where ``{assertion}`` stands in the two
            above.
        refresh_token: The initial one, likewise; ``{refresh_token}`` stands for the last one.
        verify_url: An https URL that must not refuse the new token before it is published.
        use_refresh_token: Whether refresh tokens in the responses are used; unasked, for
            ``password``, ``partner`` and where ``refresh_token`` is given.
        assumed_expires_in: Seconds; an upper bound, and for servers that omit ``expires_in``.
        assumed_refresh_token_expires_in: Seconds, for servers that do not tell.
        timeout_seconds: How long a token request may take.
        certificate: PEM; the client's own for mutual TLS, whatever the method (RFC 8705).
        private_key: PEM; the certificate's.
        ca_certificates: PEM; whom to believe instead of the public authorities.
        dialect: How the server departs from RFC 6749; instead of the provider's, field by field.
        publish: What consumers get, if not the standard JSON.
    """

    client_id: NonEmpty | None = None
    client_secret: str | None = None
    provider: NonEmpty | None = None
    provider_parameters: dict[str, str] = {}
    token_endpoint: NonEmpty | None = None
    scope: Scope | None = None
    token_endpoint_auth_method: AuthMethod | None = None
    user_agent: HeaderText | None = None
    extra_parameters: dict[str, Parameter] = {}
    grant_parameters: dict[str, object] = {}
    request_headers: dict[str, str] = {}
    assertion: NonEmpty | SignedAssertion | None = None
    refresh_token: NonEmpty | None = None
    verify_url: NonEmpty | None = None
    use_refresh_token: bool | None = None
    assumed_expires_in: Seconds | None = None
    assumed_refresh_token_expires_in: Seconds | None = None
    timeout_seconds: Timeout = 10
    certificate: NonEmpty | None = None
    private_key: NonEmpty | None = None
    ca_certificates: NonEmpty | None = None
    dialect: dict[str, object] = {}
    publish: Publish | None = None

    # Whether refresh tokens are used where nothing is said.
    default_use_refresh_token: ClassVar[bool] = False
    # RFC 6749 and the OLX page have a client in each of their grants.
    needs_client: ClassVar[bool] = True

    @cached_property
    def entry(self) -> Provider:
        """The provider's entry, or the one of any other server.

        Raises:
            ProviderError: There is none of this name.
        """
        return _ANY_SERVER if self.provider is None else provider(self.provider)

    @property
    def entry_grant(self) -> ProviderGrant:
        """What the entry says of this grant."""
        return self.entry.grant(self.grant_name)

    def _merged_dialect(self) -> Dialect:
        if not self.dialect:
            return self.entry.dialect
        merged = {**msgspec.to_builtins(self.entry.dialect), **self.dialect}
        # In its place, so that an error names it whole.
        return converted({"dialect": merged}, _InItsPlace).dialect

    @property
    def grant_name(self) -> str | None:
        """The ``grant_type``; None for a login."""
        return self.__struct_config__.tag  # type: ignore[return-value] # tags of ours are texts

    @property
    def signs_by_default(self) -> bool:
        """Whether an assertion is signed though none is described."""
        if self.auth_method in BY_ASSERTION or self.entry_grant.assertion is None:
            return self.auth_method in BY_ASSERTION
        has_place = "assertion" in self.own_fields
        return has_place or any(ASSERTION in each for each in self.templates)

    @property
    def signed_assertion(self) -> SignedAssertion | None:
        """What is signed, as far as the account says; None where nothing is."""
        if isinstance(self.assertion, SignedAssertion):
            return self.assertion
        return SignedAssertion() if self.assertion is None and self.signs_by_default else None

    @property
    def whole_assertion(self) -> Assertion | None:
        """What is signed, with what the entry says of it; None where nothing is.

        Raises:
            ProviderError: The provider's parameters are not what it takes.
        """
        signed = self.signed_assertion
        if signed is None or signed.signer == "sts":
            # Of its own tokens AWS alone says what is in them.
            return signed
        given, grant = self.provider_parameters, self.grant_name
        of_entry = self.entry.assertion(given, grant_type=grant, client_id=self.client_id)
        return signed.over(of_entry)

    @property
    def auth_method(self) -> AuthMethod:
        """How the client authenticates. Decided here, never by trial."""
        of_entry = (
            self.entry_grant.token_endpoint_auth_method or self.entry.token_endpoint_auth_method
        )
        default: AuthMethod = "none" if self.client_secret is None else "client_secret_basic"
        return self.token_endpoint_auth_method or of_entry or default

    @cached_property
    def client(self) -> Client:
        """The client that these credentials register, and where.

        Raises:
            ProviderError: The provider's parameters are not what it takes.
            msgspec.ValidationError: The dialect is not.
        """
        entry, given, signed = self.entry, self.provider_parameters, self.signed_assertion
        refresh = entry.grant("refresh_token").token_endpoint
        return Client(
            token_endpoint=self.token_endpoint or entry.endpoint(given, grant_type=self.grant_name),
            refresh_endpoint=entry.endpoint(given, grant_type="refresh_token") if refresh else None,
            client_id=self.client_id,
            client_secret=self.client_secret,
            auth_method=self.auth_method,
            user_agent=self._user_agent,
            scope=self.scope,
            extra_parameters={**entry.extra_parameters, **self.extra_parameters},
            request_headers=instead_of(entry.request_headers, self.request_headers),
            assertion=self.whole_assertion or self._ready_made,
            sends_client_id=not self._is_named_by_assertion,
            is_assertion_issued=signed is not None and signed.signer == "sts",
            dialect=self._merged_dialect(),
            is_fixed=self.provider is not None and entry.is_fixed,
            verify_url=self.verify_url,
            ca_certificates=self.ca_certificates,
            certificate=self.certificate,
            private_key=self.private_key,
            timeout_seconds=self.timeout_seconds,
            assumed_expires_in=self.assumed_expires_in,
            documented_expires_in=self.entry_grant.expires_in or entry.expires_in,
            assumed_refresh_token_expires_in=self.assumed_refresh_token_expires_in
            or entry.refresh_token_expires_in,
        )

    @property
    def _is_named_by_assertion(self) -> bool:
        """Whether the assertion alone says whose it is, as its ``iss`` (RFC 7521 section 4.1).

        Servers there are that refuse a client_id beside it.
        """
        signed, whole = self.signed_assertion, self.whole_assertion
        if signed is None or whole is None or signed.signer == "sts" or self.auth_method != "none":
            return False
        return "iss" not in whole.claims and self.grant_name in (JWT_BEARER, None)

    @property
    def _ready_made(self) -> str | None:
        return self.assertion if isinstance(self.assertion, str) else None

    @property
    def revoking_client(self) -> Client | None:
        """The client at its server's revocation endpoint (RFC 7009); None where none is known."""
        url = self.entry.revocation(self.provider_parameters)
        if url is None:
            return None
        client, assertion = self.client, self.client.assertion
        if isinstance(assertion, Assertion):
            # Its token endpoint names a server wherever it is asked (RFC 7523 section 3).
            audience = assertion.audience or client.token_endpoint
            named = msgspec.structs.replace(assertion, audience=audience)
            client = msgspec.structs.replace(client, assertion=named)
        return msgspec.structs.replace(
            client,
            token_endpoint=url,
            is_fixed=self.entry.is_revocation_fixed,
            refresh_endpoint=None,
            verify_url=None,
            dialect=RFC_6749,
        )

    @property
    def _user_agent(self) -> str:
        """What to send as ``User-Agent``: e-mail by the provider's rule, own text, product."""
        email = self.email if self.entry.user_agent == "{username}" else ""
        if email.isascii() and email.isprintable() and email:
            return email
        return self.user_agent or PRODUCT_USER_AGENT

    @property
    def email(self) -> str:
        """The account's e-mail where the grant has one, else empty."""
        return ""

    @property
    def own_fields(self) -> frozenset[str]:
        """The optional fields that the grant itself makes use of."""
        return frozenset()

    @property
    def own_parameters(self) -> dict[str, object]:
        """What the grant itself sends, beside its ``grant_type``."""
        return {}

    @property
    def grant(self) -> Grant:
        """The account's primary grant, with what the entry and the account add to it."""
        name = {} if self.grant_name is None else {"grant_type": self.grant_name}
        added = {**self.entry_grant.grant_parameters, **self.grant_parameters}
        return Grant({**added, **name, **self.own_parameters})

    def grant_by(self, refresh_token: str) -> Grant:
        """The grant that sends a refresh token: its own where that holds one, else RFC 6749's."""
        grant = self.grant
        is_template = self.is_refresh_only and "refresh_token" not in self.own_fields
        if is_template or any(REFRESH_TOKEN in each for each in texts_in(grant.parameters)):
            return Grant(grant.parameters, refresh_token)
        added = self.entry.grant("refresh_token").grant_parameters
        if self.grant_name == "refresh_token":
            added = {**added, **self.grant_parameters}
        sent = refresh_grant(refresh_token)
        return Grant({**added, **sent.parameters}, refresh_token)

    @property
    def templates(self) -> list[str]:
        """The texts in which ``{assertion}`` and ``{refresh_token}`` may stand."""
        of_entry = [self.entry_grant.grant_parameters, self.entry.request_headers]
        return texts_in([*of_entry, self.grant_parameters, self.request_headers])

    @property
    def is_refresh_only(self) -> bool:
        """Whether its initial refresh token is all that the account can get a token by."""
        return self.refresh_token is not None

    @property
    def uses_refresh_tokens(self) -> bool:
        """Whether refresh tokens in the responses are used."""
        if self.use_refresh_token is None:
            return self.is_refresh_only or self.default_use_refresh_token
        return self.use_refresh_token

    @property
    def grant_digest(self) -> str:
        """A SHA-256 of what the grant rests on: all of the credentials, or the refresh token.

        A journal that was written for another digest is ignored. A refresh-only account rests on
        its client and the initial refresh token, so that a corrected address or scope sends no
        spent one.
        """
        rests_on = [self.client_id, self.refresh_token] if self.is_refresh_only else self
        return hashlib.sha256(msgspec.json.encode(rests_on, order="sorted")).hexdigest()

    @property
    def place(self) -> str:
        """What the host follows from; empty where it is written as it is."""
        if self.provider is None:
            return ""
        followed = [self.provider, self.provider_parameters]
        return digest12(msgspec.json.encode(followed, order="sorted").decode())

    @property
    def trust(self) -> str:
        """Whom a refresh token is shown to besides its host; empty where nothing is said."""
        shown = {k: v for k, v in self.request_headers.items() if REFRESH_TOKEN in v}
        # By another path it could be taken for something that is published; also by the usual
        # one, where it was an entry that knew better.
        path = self.client.dialect.refresh_token
        if not shown and self.ca_certificates is None and path == RFC_6749.refresh_token:
            return ""
        said = [self.ca_certificates, shown, path]
        return digest12(msgspec.json.encode(said, order="sorted").decode())

    @property
    def secrets(self) -> frozenset[str]:
        """What must never be published, though a server sends it back."""
        given: list[Mapping[str, object]] = [self.own_parameters, self.extra_parameters]
        given += [self.grant_parameters, self.request_headers]
        given += [dict(parse_qsl(urlsplit(self.client.token_endpoint).query))]
        held = (text for each in given for text in _secrets_in(each))
        header = basic_authorization(self.client).get("Authorization", "")
        # With its padding or without.
        basic = header.removeprefix("Basic ").rstrip("=")
        # Where there is no other secret, the id is one.
        client = self.client_id if self.client_secret == "" else self.client_secret
        own = {client, self._ready_made, self.private_key, basic, *held}
        return frozenset(each for each in own if each)


class PasswordCredentials(
    Credentials, frozen=True, kw_only=True, tag_field="grant_type", tag="password"
):
    """RFC 6749 section 4.3."""

    username: NonEmpty
    password: NonEmpty

    default_use_refresh_token: ClassVar[bool] = True

    @property
    def email(self) -> str:
        """The login of a motors account is its e-mail."""
        return self.username

    @property
    def own_parameters(self) -> dict[str, object]:
        """RFC 6749 section 4.3.2."""
        return {"username": self.username, "password": self.password}


class PartnerCredentials(
    Credentials, frozen=True, kw_only=True, tag_field="grant_type", tag="partner"
):
    """The OLX extension grant (RFC 6749 section 4.5)."""

    partner_code: NonEmpty
    partner_secret: NonEmpty

    default_use_refresh_token: ClassVar[bool] = True

    @property
    def own_parameters(self) -> dict[str, object]:
        """As the OLX page shows them."""
        return {"partner_code": self.partner_code, "partner_secret": self.partner_secret}


class ClientCredentials(
    Credentials, frozen=True, kw_only=True, tag_field="grant_type", tag="client_credentials"
):
    """RFC 6749 section 4.4.

    Section 4.4.3 says that the response should hold no refresh token, so here
    they are used only when asked for, and the journal costs no read.
    """


class RefreshTokenCredentials(
    Credentials, frozen=True, kw_only=True, tag_field="grant_type", tag="refresh_token"
):
    """An account that has nothing but an initial refresh token, from a person's consent."""

    refresh_token: NonEmpty

    @property
    def own_fields(self) -> frozenset[str]:
        """RFC 6749 section 6."""
        return frozenset({"refresh_token"})


class AssertionCredentials(
    Credentials,
    frozen=True,
    kw_only=True,
    tag_field="grant_type",
    tag=JWT_BEARER,
):
    """RFC 7523 section 2.1."""

    needs_client: ClassVar[bool] = False

    @property
    def own_fields(self) -> frozenset[str]:
        """RFC 7521 section 4.1."""
        return frozenset({"assertion"})

    @property
    def own_parameters(self) -> dict[str, object]:
        """RFC 7521 section 4.1."""
        return {"assertion": ASSERTION}


class ExtensionCredentials(Credentials, frozen=True, kw_only=True):
    """Any other extension grant (RFC 6749 section 4.5)."""

    grant_type: NonEmpty

    needs_client: ClassVar[bool] = False

    @property
    def grant_name(self) -> str:
        """As it stands in the request."""
        return self.grant_type


class LoginCredentials(Credentials, frozen=True, kw_only=True):
    """A login of the provider's own: no ``grant_type``, exactly these parameters."""

    needs_client: ClassVar[bool] = False


class _InItsPlace(msgspec.Struct):
    dialect: Dialect


# Any other server: reached by its token_endpoint, no rule of its own.
_ANY_SERVER: Final = Provider(title="", documentation=(), token_endpoint="", grant_types={})


def require_refresh_tokens(credentials: Credentials, *, uses_refresh_tokens: bool) -> None:
    """Refuse an account that has nothing else, where the setting ignores refresh tokens.

    Raises:
        CredentialsError: It names the setting.
    """
    if credentials.is_refresh_only and not uses_refresh_tokens:
        raise CredentialsError(
            "an account with a refresh_token needs the setting REFRESH_TOKENS=use",
            code="refresh_tokens_ignored",
        )


def require_same_place(credentials: Credentials, *, host: str, place: str, trust: str) -> None:
    """Refuse to show a journaled refresh token to anybody but who gave it.

    Else whoever may write credentials could read a refresh token, by moving the address. An
    address that follows from the same provider and parameters is the same, wherever it leads.

    Args:
        credentials: As they are now.
        host: Where the refresh token came from.
        place: `Credentials.place`, as it was then.
        trust: `Credentials.trust`, likewise.

    Raises:
        CredentialsError: It names the fields.
    """
    is_same_host = credentials.client.host == host
    if not is_same_host and not (place and credentials.place == place):
        raise CredentialsError(
            "the refresh token came from another host than the credentials name: put `provider`, "
            "`provider_parameters` or `token_endpoint` back, or a new `refresh_token` from the "
            "new host",
            code="another_host",
        )
    if credentials.trust != trust:
        raise CredentialsError(
            "the refresh token came with other `ca_certificates`, `dialect.refresh_token` or "
            "`request_headers` that hold `{refresh_token}`: put them back, or a new "
            "`refresh_token`",
            code="another_host",
        )


def _secrets_in(values: Mapping[str, object]) -> Iterator[str]:
    """The texts under names that tell a secret, however deep, but those known only when sent."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _secrets_in(value)
        elif SECRET_NAME.search(name):
            yield from (each for each in texts_in(value) if each not in (ASSERTION, REFRESH_TOKEN))


def texts_in(value: object) -> list[str]:
    """All texts in a JSON value, but names."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [text for each in value for text in texts_in(each)] if isinstance(value, list) else []
