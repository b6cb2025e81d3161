"""What people write into a credentials secret, and how it is validated.

One struct per grant, told apart by ``grant_type``. Validation errors name the
field and the fix; a value of the secret is in none of them.
"""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, ClassVar, Final, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from token_refresher import PRODUCT_USER_AGENT
from token_refresher.errors import CredentialsError
from token_refresher.oauth.client_authentication import AuthMethod, Client
from token_refresher.oauth.providers import ANY_SERVER, SITES, Site

_ONE_YEAR_SECONDS: Final = 365 * 24 * 3600

# RFC 6749 appendix A.4: scope = scope-token *( SP scope-token ).
_SCOPE: Final = r"^[\x21\x23-\x5B\x5D-\x7E]+( [\x21\x23-\x5B\x5D-\x7E]+)*\Z"

NonEmpty = Annotated[str, Meta(min_length=1)]
Scope = Annotated[str, Meta(pattern=_SCOPE)]
HeaderText = Annotated[str, Meta(pattern=r"^[\x20-\x7E]+\Z")]
Seconds = Annotated[int, Meta(ge=1, le=_ONE_YEAR_SECONDS)]
SiteName = Literal["autovit.ro", "otomoto.pl", "standvirtual.com"]

# What the program itself puts into a token request: extra_parameters must not
# be a second way to say it.
_OF_CLIENTS: Final = frozenset(
    {"client_assertion", "client_assertion_type", "client_id", "client_secret"}
)
_OF_PARTNERS: Final = frozenset({"partner_code", "partner_secret"})
RESERVED_PARAMETERS: Final = (
    _OF_CLIENTS | _OF_PARTNERS | {"grant_type", "password", "refresh_token", "scope", "username"}
)


class BaseCredentials(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag_field="grant_type",
    forbid_unknown_fields=True,
    # So that a field which a later version adds does not change a grant's digest.
    omit_defaults=True,
):
    """The fields that every grant has.

    Attributes:
        client_id: As registered; a JSON number is taken too, since the OLX page says Number.
        client_secret: As registered.
        site: A preset: ``autovit.ro``, ``otomoto.pl`` or ``standvirtual.com``. Exactly one of
            ``site`` and ``token_endpoint`` is given.
        token_endpoint: Any server's https URL (RFC 6749 section 3.2).
        scope: One space-delimited string (RFC 6749 section 3.3).
        token_endpoint_auth_method: ``client_secret_basic`` or ``client_secret_post`` (RFC 7591);
            the default is the former, for ``partner`` the latter.
        user_agent: Sent where the site does not ask for the account's e-mail.
        extra_parameters: An object of strings such as ``audience`` or ``resource``, sent with
            every token request.
        verify_url: An https URL that must not refuse the new token before it is published.
        use_refresh_token: Whether refresh tokens in the responses are used; for
            ``client_credentials`` only where it is set.
        assumed_expires_in: Seconds, for servers that omit ``expires_in``.
    """

    client_id: NonEmpty | int
    client_secret: NonEmpty
    site: SiteName | None = None
    token_endpoint: NonEmpty | None = None
    scope: Scope | None = None
    token_endpoint_auth_method: AuthMethod | None = None
    user_agent: HeaderText | None = None
    extra_parameters: dict[str, str] = {}
    verify_url: NonEmpty | None = None
    use_refresh_token: bool = True
    assumed_expires_in: Seconds | None = None

    default_auth_method: ClassVar[AuthMethod] = "client_secret_basic"

    def __post_init__(self) -> None:
        """Check what no single field's type can say.

        Raises:
            ValueError: It names the field; msgspec turns it into its own error.
        """
        if (self.site is None) == (self.token_endpoint is None):
            raise ValueError("give exactly one of `site` and `token_endpoint`")
        for field, url in (
            ("token_endpoint", self.token_endpoint),
            ("verify_url", self.verify_url),
        ):
            if url is not None and not _is_plain_https_url(url):
                msg = f"`{field}` must be an https URL without user, password or fragment"
                raise ValueError(msg)
        if reserved := sorted(RESERVED_PARAMETERS & self.extra_parameters.keys()):
            msg = f"`extra_parameters` must not hold `{reserved[0]}`: it has a field of its own"
            raise ValueError(msg)

    def __repr__(self) -> str:
        """Hide every field: most are secret, and none is worth the risk."""
        return f"{type(self).__name__}(…)"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Hide them from what prints by this, too."""
        return []

    @property
    def preset(self) -> Site:
        """The site's preset, or the one of any other server."""
        return ANY_SERVER if self.site is None else SITES[self.site]

    @property
    def client(self) -> Client:
        """The client that these credentials register, and where."""
        return Client(
            token_endpoint=self.endpoint_url,
            client_id=str(self.client_id),
            client_secret=self.client_secret,
            # Decided here, never by trial.
            auth_method=self.token_endpoint_auth_method or self.default_auth_method,
            user_agent=self._user_agent,
            scope=self.scope,
            extra_parameters=self.extra_parameters,
            verify_url=self.verify_url,
        )

    @property
    def endpoint_url(self) -> str:
        """Where the token request goes."""
        return self.token_endpoint or self.preset.token_endpoint

    @property
    def _user_agent(self) -> str:
        """What to send as ``User-Agent``: e-mail by the site's rule, own text, product."""
        email = self.email
        if self.preset.sends_email_as_user_agent and email.isascii() and email.isprintable():
            return email or self.user_agent or PRODUCT_USER_AGENT
        return self.user_agent or PRODUCT_USER_AGENT

    @property
    def email(self) -> str:
        """The account's e-mail where the grant has one, else empty."""
        return ""

    @property
    def grant_digest(self) -> str:
        """A SHA-256 of what the grant rests on: all of the credentials.

        A journal that was written for another digest is ignored.
        """
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()


class PasswordCredentials(BaseCredentials, frozen=True, kw_only=True, tag="password"):
    """RFC 6749 section 4.3."""

    username: NonEmpty
    password: NonEmpty

    @property
    def email(self) -> str:
        """The login of a motors account is its e-mail."""
        return self.username

    @property
    def grant_parameters(self) -> dict[str, str]:
        """RFC 6749 section 4.3.2."""
        return {
            "grant_type": "password",
            "username": self.username,
            "password": self.password,
        }


class PartnerCredentials(BaseCredentials, frozen=True, kw_only=True, tag="partner"):
    """The OLX extension grant (RFC 6749 section 4.5); its page shows it with body fields."""

    partner_code: NonEmpty
    partner_secret: NonEmpty

    default_auth_method: ClassVar[AuthMethod] = "client_secret_post"

    @property
    def grant_parameters(self) -> dict[str, str]:
        """As the OLX page shows them."""
        return {
            "grant_type": "partner",
            "partner_code": self.partner_code,
            "partner_secret": self.partner_secret,
        }


class ClientCredentials(BaseCredentials, frozen=True, kw_only=True, tag="client_credentials"):
    """RFC 6749 section 4.4.

    Section 4.4.3 says that the response should hold no refresh token, so here
    they are used only when asked for, and the journal costs no read.
    """

    use_refresh_token: bool = False

    @property
    def grant_parameters(self) -> dict[str, str]:
        """RFC 6749 section 4.4.2."""
        return {"grant_type": "client_credentials"}


class RefreshTokenCredentials(BaseCredentials, frozen=True, kw_only=True, tag="refresh_token"):
    """An account that has nothing but an initial refresh token, from a person's consent."""

    refresh_token: NonEmpty

    def __post_init__(self) -> None:
        """Refuse a refresh-only account that must not use refresh tokens.

        Raises:
            ValueError: It names the field.
        """
        # Zero-argument super() is not at hand here: msgspec makes a new class.
        BaseCredentials.__post_init__(self)
        if not self.use_refresh_token:
            raise ValueError("`use_refresh_token` must be true for grant_type refresh_token")

    @property
    def grant_digest(self) -> str:
        """Client and initial refresh token: a corrected address or scope sends no spent one."""
        rests_on = [str(self.client_id), self.refresh_token]
        return hashlib.sha256(msgspec.json.encode(rests_on)).hexdigest()


RepeatableCredentials = PasswordCredentials | PartnerCredentials | ClientCredentials
Credentials = RepeatableCredentials | RefreshTokenCredentials

_ACCEPTED: Final = {
    "grant_type": "password, partner, client_credentials or refresh_token",
    "scope": "printable ASCII words with one space between them",
    "site": ", ".join(sorted(SITES)),
    "token_endpoint_auth_method": "client_secret_basic or client_secret_post",
    "user_agent": "printable ASCII",
}
_decoder: Final[msgspec.json.Decoder[Credentials]] = msgspec.json.Decoder(Credentials)


def parse_credentials(text: str | None) -> Credentials:
    """Validate the value of a credentials secret.

    Args:
        text: None for a binary secret.

    Raises:
        CredentialsError: It names the field and the fix, never a value.
    """
    if text is None:
        raise CredentialsError("the credentials are binary: store one JSON object as text")
    try:
        return _decoder.decode(text)
    except msgspec.ValidationError as error:
        problem = f"the credentials do not validate: {_fix(str(error))}"
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        problem = "the credentials are not JSON: store one JSON object as the secret's text"
    # Outside of the handlers: else the error would carry the other one, whose text has a value.
    raise CredentialsError(problem)


def require_refresh_tokens(credentials: Credentials, *, uses_refresh_tokens: bool) -> None:
    """Refuse an account that has nothing else, where the setting ignores refresh tokens.

    Raises:
        CredentialsError: It names the setting.
    """
    if isinstance(credentials, RefreshTokenCredentials) and not uses_refresh_tokens:
        raise CredentialsError(
            "grant_type refresh_token needs the setting REFRESH_TOKENS=use",
            code="refresh_tokens_ignored",
        )


def require_same_host(credentials: Credentials, host: str) -> None:
    """Refuse to send a journaled refresh token to another host than it came from.

    Else whoever may write credentials could read a refresh token, by moving the address.

    Raises:
        CredentialsError: It names the fields.
    """
    if credentials.client.host != host:
        raise CredentialsError(
            "the refresh token came from another host than the credentials name: put `site` or "
            "`token_endpoint` back, or a new `refresh_token` from the new host",
            code="another_host",
        )


def _fix(message: str) -> str:
    """Word msgspec's message so that it cannot repeat what was in the secret."""
    # First, since a field's name may read like any other message.
    if field := re.match(r"Object contains unknown field `(.*)`\Z", message, re.DOTALL):
        if not re.fullmatch(r"\w{1,40}", field[1], re.ASCII):
            return "remove or correct a field whose name is not a plain word"
        return f"remove or correct the unknown field `{field[1]}`"
    # "Invalid …" messages quote the value that they refuse; a pattern tells people nothing.
    if field := re.search(r"^(?:Invalid|.* matching) .* - at `\$\.(\w+)`\Z", message, re.DOTALL):
        return f"`{field[1]}` must be {_ACCEPTED[field[1]]}"
    return message.replace("$.", "")


def _is_plain_https_url(url: str) -> bool:
    """Whether the URL is https, names a host, and hides no credentials (RFC 6749 3.2)."""
    try:
        parts = urlsplit(url)
        port_is_valid = parts.port != 0
    except ValueError:
        return False
    return (
        parts.scheme == "https"
        and bool(parts.hostname)
        and parts.username is None
        and parts.password is None
        and not parts.fragment
        and port_is_valid
        and url.isascii()
        and url.isprintable()
        and " " not in url
    )
