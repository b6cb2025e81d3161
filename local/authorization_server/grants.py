"""The token endpoint of RFC 6749: Authlib's server over the ledger, and the grant it lacks."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, cast
from urllib.parse import unquote_plus

from authlib.oauth2 import OAuth2Request
from authlib.oauth2.rfc6749 import AuthorizationServer, grants
from authlib.oauth2.rfc6749.errors import (
    InvalidClientError,
    InvalidGrantError,
    InvalidRequestError,
    OAuth2Error,
    UnauthorizedClientError,
)
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from typing_extensions import override

from local.authorization_server.assertions import (
    CLIENT_ASSERTION_TYPE,
    JWT_BEARER,
    Assertions,
    RefusedAssertionError,
    unverified,
)
from local.authorization_server.ledger import (
    AUTH_METHODS,
    BY_ASSERTION,
    Client,
    Ledger,
    RefreshToken,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from email.message import Message

_METHODS = (*AUTH_METHODS, *BY_ASSERTION)
_NOT_AUTHENTICATED = (
    "The client is unknown, its secret is wrong, or it may not authenticate by this method"
)

Outcome: TypeAlias = tuple[int, dict[str, Any], list[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class PresentedClient:
    """Who a request says it comes from, before anything is verified."""

    client_id: str | None
    auth_method: str


class FormRequest(OAuth2Request):
    """A token request as Authlib wants to see it."""

    def __init__(self, uri: str, headers: Message, fields: Mapping[str, str]) -> None:
        super().__init__("POST", uri)
        self.headers = headers  # type: ignore[assignment]  # a mapping that ignores case
        self.payload = BasicOAuth2Payload(dict(fields))
        self._fields = dict(fields)

    @property
    @override
    def form(self) -> dict[str, str]:
        """The form fields: credentials are taken from the body, never from the URL."""
        return self._fields

    @property
    def header_fields(self) -> Message:
        """The headers, by their own type."""
        return cast("Message", self.headers)


class PasswordGrant(grants.ResourceOwnerPasswordCredentialsGrant):
    """RFC 6749 section 4.3, with the error code of section 5.2 for a wrong password."""

    TOKEN_ENDPOINT_AUTH_METHODS: Collection[str] = _METHODS

    @override
    def authenticate_user(self, username: str, password: str) -> str:
        """Return the user, or refuse as the motors API was seen to refuse."""
        client = _client_of(self)
        if client.users.get(username) != password:
            raise InvalidGrantError(description="Invalid login or password")
        return username


class PartnerGrant(grants.BaseGrant, grants.TokenEndpointMixin):
    """The motors API's primary grant: a code and a secret stand for a dealer."""

    GRANT_TYPE: str | None = "partner"
    TOKEN_ENDPOINT_AUTH_METHODS: Collection[str] = _METHODS

    @override
    def validate_token_request(self) -> None:
        """Authenticate the client, then the partner."""
        self.request.client = self.authenticate_token_endpoint_client()
        client = _client_of(self)
        if not client.check_grant_type("partner"):
            raise UnauthorizedClientError(description="The client may not use this grant")
        code = self.request.form.get("partner_code", "")
        if client.partners.get(code) != self.request.form.get("partner_secret", ""):
            raise InvalidGrantError(description="Invalid partner credentials parameter")
        self.request.user = code

    @override
    def create_token_response(self) -> Any:
        """Issue the tokens."""
        token = self.generate_token(user=self.request.user, scope=self.request.scope)
        return 200, token, self.TOKEN_RESPONSE_HEADER


class ClientCredentialsGrant(grants.ClientCredentialsGrant):
    """RFC 6749 section 4.4."""

    TOKEN_ENDPOINT_AUTH_METHODS: Collection[str] = _METHODS


class RefreshGrant(grants.RefreshTokenGrant):
    """RFC 6749 section 6; what becomes of the old refresh token is the ledger's to say."""

    TOKEN_ENDPOINT_AUTH_METHODS: Collection[str] = _METHODS
    server: TokenEndpoint

    @override
    def authenticate_refresh_token(self, refresh_token: str) -> Any:
        """Return a live refresh token; the ledger raises for any other."""
        return self.server.ledger.redeemable(refresh_token)

    @override
    def authenticate_user(self, refresh_token: Any) -> str:
        """Return whom the family belongs to."""
        token: RefreshToken = refresh_token
        return token.family.user

    @override
    def issue_token(self, user: object, refresh_token: Any) -> dict[str, Any]:
        """Redeem the refresh token."""
        return self.server.ledger.redeem(refresh_token)

    @override
    def revoke_old_credential(self, refresh_token: object) -> None:
        """Leave it: redeeming has done what the client's mode says."""


class AssertionGrant(grants.BaseGrant, grants.TokenEndpointMixin):
    """RFC 7523 section 2.1: an assertion is the grant, and says who the client is."""

    GRANT_TYPE: str | None = JWT_BEARER
    server: TokenEndpoint

    @override
    def validate_token_request(self) -> None:
        """Verify the assertion by the keys of whoever has issued it."""
        request = cast("FormRequest", self.request)
        text = request.form.get("assertion", "")
        client = self.server.query_client(unverified(text)[1])
        if client is None or not client.check_grant_type(JWT_BEARER):
            raise InvalidGrantError(description="Nobody that is known has issued the assertion")
        try:
            claims = self.server.assertions.claims(text, client, audience=request.uri)
        except RefusedAssertionError as error:
            raise InvalidGrantError(description=f"The assertion: {error}") from None
        self.request.client = client
        self.request.user = claims.get("sub")

    @override
    def create_token_response(self) -> Any:
        """Issue the token."""
        token = self.generate_token(user=self.request.user, scope=self.request.scope)
        return 200, token, self.TOKEN_RESPONSE_HEADER


class TokenEndpoint(AuthorizationServer):
    """Authlib's authorization server without a web framework."""

    def __init__(self, ledger: Ledger, assertions: Assertions) -> None:
        super().__init__()
        self.ledger, self.assertions = ledger, assertions
        self.register_token_generator("default", cast("Any", self._issue))
        self.register_client_auth_method("client_secret_basic", _authenticate_by_basic)
        for method in BY_ASSERTION:
            self.register_client_auth_method(method, partial(self._authenticate_by, method))
        for grant in (
            *(PasswordGrant, PartnerGrant, ClientCredentialsGrant, RefreshGrant, AssertionGrant),
        ):
            self.register_grant(grant)

    def respond(self, request: FormRequest) -> Outcome:
        """Answer one token request: status, JSON object and headers.

        The whole request runs under the ledger's lock, so of two requests with one rotating
        refresh token exactly one succeeds.
        """
        with self.ledger.lock:
            try:
                if presented(request).auth_method == "both":
                    raise InvalidRequestError(description="The client authenticates by two methods")
                outcome: object = self.create_token_response(request)
            except OAuth2Error as error:
                outcome = self.handle_error_response(request, error)
        return cast("Outcome", outcome)

    @override
    def authenticate_client(self, request: Any, methods: Any, endpoint: str = "token") -> Any:
        """Refuse as RFC 6749 section 5.2 has it, where Authlib names the methods that it tried.

        Raises:
            InvalidClientError: It does not say which of the reasons it is.
        """
        try:
            return super().authenticate_client(request, methods, endpoint)
        except InvalidClientError as error:
            if "with methods" in (error.description or ""):
                error.description = _NOT_AUTHENTICATED
            raise

    @override
    def query_client(self, client_id: str | None) -> Any:
        """Return a registered client, or None."""
        return self.ledger.clients.get(client_id or "")

    @override
    def save_token(self, token: object, request: object) -> None:
        """Do nothing: the ledger has saved what it issued."""

    @override
    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Do nothing: nobody listens."""

    @override
    def create_oauth2_request(self, request: Any) -> FormRequest:
        """Return what ``respond`` has made."""
        return cast("FormRequest", request)

    @override
    def handle_response(self, status: int, body: object, headers: object) -> object:
        """Return the parts of the response; sending them is not done here."""
        return status, body, headers

    def _issue(
        self,
        *,
        grant_type: str,
        client: Client,
        user: str | None,
        scope: str | None,
        **_: object,
    ) -> dict[str, Any]:
        granted = client.get_allowed_scope(scope)
        return self.ledger.grant(client, grant_type, user or client.client_id, granted)

    def _authenticate_by(
        self,
        method: str,
        query_client: Callable[[str | None], Client | None],
        request: FormRequest,
    ) -> Client | None:
        said = presented(request)
        client = query_client(said.client_id)
        if said.auth_method != method or client is None:
            return None
        if request.form.get("client_assertion_type") != CLIENT_ASSERTION_TYPE:
            return None
        text = request.form["client_assertion"]
        try:
            claims = self.assertions.claims(text, client, audience=request.uri)
        except RefusedAssertionError as error:
            raise InvalidClientError(description=f"The assertion: {error}") from None
        return client if claims.get("sub") == client.client_id else None


def presented(request: FormRequest) -> PresentedClient:
    """Read who a request says it comes from."""
    basic = basic_credentials(request.header_fields.get("Authorization"))
    if "client_assertion" in request.form:
        alg, issuer = unverified(request.form["client_assertion"])
        method = "client_secret_jwt" if alg == "HS256" else "private_key_jwt"
        is_alone = basic is None and "client_secret" not in request.form
        client_id = request.form.get("client_id", issuer)
        return PresentedClient(client_id, method if is_alone else "both")
    in_body = "client_secret" in request.form
    if basic is not None:
        return PresentedClient(basic[0], "both" if in_body else "client_secret_basic")
    method = "client_secret_post" if in_body else "none"
    return PresentedClient(request.form.get("client_id"), method)


def basic_credentials(header: str | None) -> tuple[str, str] | None:
    """Decode Basic client authentication as RFC 6749 section 2.3.1 wants it encoded.

    Both parts are form-encoded before Basic, so a ``+`` is a space and ``%3A`` a colon.
    """
    scheme, _, encoded = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        client_id, colon, secret = base64.b64decode(encoded).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (unquote_plus(client_id), unquote_plus(secret)) if colon else None


def _client_of(grant: grants.BaseGrant) -> Client:
    """Return the client that a grant's request has authenticated as."""
    server, request = cast("TokenEndpoint", grant.server), cast("FormRequest", grant.request)
    client: Client = server.query_client(presented(request).client_id)
    return client


def _authenticate_by_basic(
    query_client: Callable[[str | None], Client | None], request: FormRequest
) -> Client | None:
    credentials = basic_credentials(request.header_fields.get("Authorization"))
    if credentials is None:
        return None
    client = query_client(credentials[0])
    return client if client is not None and client.check_client_secret(credentials[1]) else None
