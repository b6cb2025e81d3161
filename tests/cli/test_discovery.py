"""A token endpoint that is found by its issuer, at real servers over TLS."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import ssl
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from local.authority import Authority
from local.authorization_server.https import Door, HttpsServer, Reply, Request
from tests.cli.operator import COMMANDS, SECRET
from tests.unit.connect_proxy import ConnectProxy, refuses
from tests.unit.raw_tls_server import RawTlsServer, answer, answers_and_closes, drips
from token_refresher import PRODUCT_USER_AGENT
from token_refresher.oauth.exchange import LONGEST_BODY, REQUEST_SECONDS
from token_refresher_cli.discovery import Discovered, DiscoveryError, discover

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.authorization_server import AuthorizationServer
    from tests.cli.operator import Operator
    from tests.cli.terminal import Shell
    from tests.unit.raw_tls_server import Script

REALM = "/realms/x"
OF_OAUTH = f"/.well-known/oauth-authorization-server{REALM}"
OF_OPENID = f"{REALM}/.well-known/openid-configuration"
# What no message may repeat.
MARK = "made-up-mark"
COLUMNS = 80


@dataclass
class Publisher:
    """A server that publishes what a test puts there, and nothing else.

    Attributes:
        documents: Responses by their path.
        requests: All that were made.
    """

    context: ssl.SSLContext
    documents: dict[str, Reply] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    server: HttpsServer = field(init=False)

    def __post_init__(self) -> None:
        self.server = HttpsServer(self._reply, self.context)

    @property
    def host(self) -> str:
        return f"localhost:{self.server.port}"

    @property
    def issuer(self) -> str:
        return f"https://{self.host}{REALM}"

    def publish(self, path: str, **changes: Any) -> None:  # noqa: ANN401
        """Publish metadata; a field that is None is left out."""
        metadata = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/{MARK}",
            "token_endpoint": f"{self.issuer}/token",
            **changes,
        }
        content = {name: value for name, value in metadata.items() if value is not None}
        self.documents[path] = Reply(200, (), json.dumps(content).encode())

    def paths(self) -> list[str]:
        return [request.path for request in self.requests]

    def close(self) -> None:
        self.server.set_door(Door.CLOSED)

    def _reply(self, request: Request) -> Reply:
        self.requests.append(request)
        return self.documents.get(request.path, Reply(404, (), MARK.encode()))


@pytest.fixture
def publisher(authority: Authority) -> Iterator[Publisher]:
    with closing(Publisher(authority.server_context())) as publisher:
        yield publisher


@pytest.fixture
def found(authority: Authority) -> Callable[[str], Discovered]:
    def look(issuer: str) -> Discovered:
        return discover(issuer, ssl_context=authority.client_context(), monotonic=lambda: 0.0)

    return look


def problem_of(look: Callable[[], Discovered]) -> DiscoveryError:
    """What stood in the way; nothing that a server has sent is in it."""
    with pytest.raises(DiscoveryError) as raised:
        look()
    assert MARK not in f"{raised.value!r}"
    assert raised.value.__cause__ is None
    return raised.value


@pytest.mark.parametrize("path", [OF_OAUTH, OF_OPENID])
def test_metadata_is_found_at_either_of_its_places(
    publisher: Publisher, found: Callable[[str], Discovered], path: str
) -> None:
    publisher.publish(path)
    it = found(publisher.issuer)
    assert it.metadata_url == f"https://{publisher.host}{path}"
    assert it.token_endpoint == f"{publisher.issuer}/token"
    assert publisher.paths() == [OF_OAUTH, OF_OPENID][: publisher.paths().index(path) + 1]
    [*_, request] = publisher.requests
    assert (request.method, request.body) == ("GET", b"")
    assert request.headers["User-Agent"] == PRODUCT_USER_AGENT


@pytest.mark.parametrize(
    ("ending", "path"),
    [
        pytest.param("", "/.well-known/oauth-authorization-server", id="no path"),
        pytest.param("/", "/.well-known/openid-configuration", id="a slash alone"),
        pytest.param("/a/b/", "/a/b/.well-known/openid-configuration", id="a slash at the end"),
        pytest.param("/a/b/", "/.well-known/oauth-authorization-server/a/b", id="before a path"),
    ],
)
def test_a_slash_at_the_end_is_a_part_of_the_issuer_and_not_of_the_place(
    publisher: Publisher, found: Callable[[str], Discovered], ending: str, path: str
) -> None:
    issuer = f"https://{publisher.host}{ending}"
    publisher.publish(path, issuer=issuer)
    assert found(issuer).metadata_url == f"https://{publisher.host}{path}"


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        pytest.param(Reply(404, (), b""), "not found (status 404)", id="nothing there"),
        pytest.param(Reply(503, (), MARK.encode()), "not found (status 503)", id="an outage"),
        pytest.param(
            Reply(302, (("Location", OF_OPENID),), b""),
            "a redirect (status 302), which is not followed",
            id="a redirect",
        ),
        pytest.param(Reply(200, (), f"<p>{MARK}".encode()), "not JSON", id="a page"),
        pytest.param(Reply(200, (), b"\xff"), "not JSON", id="no text"),
        pytest.param(
            Reply(200, (), b'{"x": ' + b"[" * 100_000), "not JSON", id="nested without end"
        ),
        pytest.param(
            Reply(200, (("Content-Encoding", "gzip"),), MARK.encode()),
            "not JSON",
            id="compressed, it says",
        ),
        pytest.param(
            Reply(200, (), b'{"issuer": ["made-up-mark"]}'),
            "JSON, and no metadata of an authorization server",
            id="another kind of JSON",
        ),
        pytest.param(
            Reply(200, (), b" " * (LONGEST_BODY + 1)), "longer than 128 KiB", id="too long"
        ),
        pytest.param(
            Reply(
                200,
                (("Content-Encoding", "gzip"),),
                gzip.compress(b" " * 100 * LONGEST_BODY),
            ),
            "longer than 128 KiB",
            id="too long once it is unpacked",
        ),
    ],
)
def test_what_is_no_metadata_is_told_with_its_address(
    publisher: Publisher, found: Callable[[str], Discovered], reply: Reply, told: str
) -> None:
    publisher.documents[OF_OAUTH] = reply
    problem = problem_of(lambda: found(publisher.issuer))
    assert str(problem).splitlines() == [
        f"no metadata of {publisher.issuer} was found",
        f"https://{publisher.host}{OF_OAUTH}: {told}",
        f"https://{publisher.host}{OF_OPENID}: not found (status 404)",
    ]
    # Whatever is there, the other place may have it.
    publisher.publish(OF_OPENID)
    assert found(publisher.issuer).metadata_url.endswith(OF_OPENID)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param(
            {"issuer": "https://made-up-mark.example"},
            "the metadata of another issuer",
            id="another issuer",
        ),
        pytest.param({"token_endpoint": None}, "it names no token_endpoint", id="no endpoint"),
        pytest.param(
            {"token_endpoint": "http://made-up-mark.example/token"},
            "its token_endpoint is no plain https URL",
            id="http",
        ),
        pytest.param(
            {"token_endpoint": "https://u:made-up-mark@e.example/token"},
            "its token_endpoint is no plain https URL",
            id="a password",
        ),
        pytest.param(
            {"token_endpoint": "https://e.example/made-up-mark\x1b[2J"},
            "its token_endpoint is no plain https URL",
            id="what a terminal would obey",
        ),
        pytest.param(
            {"mtls_endpoint_aliases": {"token_endpoint": "http://made-up-mark.example/token"}},
            "its token_endpoint for certificates is no plain https URL",
            id="http for certificates",
        ),
        pytest.param(
            {"token_endpoint_auth_methods_supported": MARK},
            "JSON, and no metadata of an authorization server",
            id="a text for a list",
        ),
    ],
)
def test_metadata_that_cannot_be_used_says_why(
    publisher: Publisher,
    found: Callable[[str], Discovered],
    changes: dict[str, Any],
    told: str,
) -> None:
    publisher.publish(OF_OPENID, **changes)
    problem = problem_of(lambda: found(publisher.issuer))
    assert str(problem).endswith(f"{OF_OPENID}: {told}")


@pytest.mark.parametrize(
    ("published", "given", "told"),
    [("/", "", "with a slash at the end"), ("", "/", "without a slash at the end")],
)
def test_an_issuer_that_lacks_a_slash_is_told_how_it_is_written(
    publisher: Publisher,
    found: Callable[[str], Discovered],
    published: str,
    given: str,
    told: str,
) -> None:
    publisher.publish(OF_OPENID, issuer=publisher.issuer + published)
    problem = problem_of(lambda: found(publisher.issuer + given))
    assert str(problem).endswith(f"its issuer is written {told}")
    assert problem.fix == f'give it as "{publisher.issuer}{published}"'
    assert found(publisher.issuer + published).metadata_url.endswith(OF_OPENID)


@pytest.mark.parametrize(
    "issuer",
    [
        *("", "login.example.com", "http://login.example.com", "https://"),
        *("https://login.example.com?tenant=1", "https://u:made-up-mark@login.example.com"),
        *("https://login.example.com/#x", "https://login.example.com/{tenant}"),
    ],
)
def test_what_is_no_issuer_is_refused_before_anything_is_asked(
    found: Callable[[str], Discovered], issuer: str
) -> None:
    assert "the issuer must be an https URL" in str(problem_of(lambda: found(issuer)))


def test_a_server_whose_certificate_is_refused_is_not_asked(
    publisher: Publisher, authority: Authority
) -> None:
    publisher.publish(OF_OAUTH)
    strange = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    problem = problem_of(
        lambda: discover(publisher.issuer, ssl_context=strange, monotonic=lambda: 0.0)
    )
    assert problem.code == "unknown_authority"
    with closing(Publisher(authority.server_context("elsewhere.example"))) as other:
        other.publish(OF_OAUTH)
        problem = problem_of(
            lambda: discover(
                other.issuer, ssl_context=authority.client_context(), monotonic=lambda: 0.0
            )
        )
        assert str(problem) == f"the certificate or the name of {other.host} was refused"
        assert problem.code == "certificate_refused"
    assert publisher.requests == other.requests == []


def test_a_server_that_is_not_there_is_told(
    publisher: Publisher, found: Callable[[str], Discovered]
) -> None:
    publisher.server.set_door(Door.REFUSING)
    problem = problem_of(lambda: found(publisher.issuer))
    assert str(problem) == f"no connection to {publisher.host}, or it was lost"
    assert problem.code == "no_connection"


@pytest.mark.parametrize(
    "script",
    [
        answers_and_closes(b""),
        answers_and_closes(b"made-up-mark\r\n\r\n"),
        answers_and_closes(answer(b'{"issuer": "made-up-mark"', length=1000)),
        answers_and_closes(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\nmade-up-mark"
        ),
    ],
    ids=["nothing", "no HTTP", "half a response", "a chunk of negative length"],
)
def test_a_response_that_breaks_off_is_a_connection_that_was_lost(
    authority: Authority, found: Callable[[str], Discovered], script: Script
) -> None:
    with RawTlsServer(authority.server_context(), (script,)) as server:
        problem = problem_of(lambda: found(f"https://{server.host}"))
    assert (problem.code, "or it was lost" in str(problem)) == ("no_connection", True)


@pytest.mark.parametrize(
    ("head", "drop"),
    [(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"), (answer(b"", length=100_000), b" ")],
    ids=["headers", "a body"],
)
def test_a_drip_ends_in_time(authority: Authority, head: bytes, drop: bytes) -> None:
    seconds = itertools.count(step=REQUEST_SECONDS / 20)
    with RawTlsServer(authority.server_context(), (drips(head, drop),)) as server:
        problem = problem_of(
            lambda: discover(
                f"https://{server.host}",
                ssl_context=authority.client_context(),
                monotonic=lambda: next(seconds),
            )
        )
        assert str(problem) == f"{server.host} did not answer in time"
    assert next(seconds) < REQUEST_SECONDS + 5


def test_both_places_share_the_time(publisher: Publisher, authority: Authority) -> None:
    problem = problem_of(
        lambda: discover(
            publisher.issuer,
            ssl_context=authority.client_context(),
            monotonic=lambda: REQUEST_SECONDS * len(publisher.requests),
        )
    )
    assert str(problem) == f"{publisher.host} did not answer in time"
    assert publisher.paths() == [OF_OAUTH]


def test_a_proxy_that_is_set_is_the_only_way(publisher: Publisher, authority: Authority) -> None:
    publisher.publish(OF_OAUTH, issuer=f"https://localhost{REALM}")
    with ConnectProxy(publisher.server.port) as proxy:
        it = discover(
            f"https://localhost{REALM}",
            ssl_context=authority.client_context(),
            monotonic=lambda: 0.0,
            proxy=proxy.url,
        )
        assert proxy.hosts == ["localhost:443"]
    assert it.metadata_url == f"https://localhost{OF_OAUTH}"
    with ConnectProxy(publisher.server.port, (refuses("403 made-up-mark"),)) as proxy:
        problem = problem_of(
            lambda: discover(
                publisher.issuer,
                ssl_context=authority.client_context(),
                monotonic=lambda: 0.0,
                proxy=proxy.url,
            )
        )
    assert problem.code == "no_connection"


@pytest.mark.parametrize(
    ("listed", "known", "has_secret", "written"),
    [
        pytest.param(None, {}, True, None, id="RFC 8414 has Basic where nothing is listed"),
        pytest.param(["client_secret_post", "client_secret_basic"], {}, True, None, id="Basic"),
        pytest.param(["client_secret_post", "none"], {}, True, "client_secret_post", id="post"),
        pytest.param(["client_secret_post", "none"], {}, False, "none", id="no secret to post"),
        pytest.param(["client_secret_post"], {}, False, None, id="a secret that nobody has"),
        pytest.param(["none"], {}, True, "none", id="none"),
        pytest.param(["private_key_jwt"], {}, True, "private_key_jwt", id="a key alone"),
        pytest.param(
            ["private_key_jwt", "client_secret_jwt"], {}, True, "private_key_jwt", id="no secret"
        ),
        pytest.param(["client_secret_jwt"], {}, True, "client_secret_jwt", id="a secret alone"),
        pytest.param(
            ["private_key_jwt", "client_secret_jwt"],
            {"client_secret": "made-up"},
            True,
            "client_secret_jwt",
            id="a secret that is given signs",
        ),
        pytest.param(
            ["private_key_jwt", "tls_client_auth", "client_secret_basic"],
            {"certificate": "made-up"},
            True,
            "tls_client_auth",
            id="a certificate that is given is shown",
        ),
        pytest.param(
            ["self_signed_tls_client_auth"],
            {"certificate": "made-up"},
            False,
            "tls_client_auth",
            id="a certificate that no authority has signed",
        ),
        pytest.param(
            ["tls_client_auth", "client_secret_basic"],
            {"certificate": "made-up", "client_secret": "made-up"},
            True,
            None,
            id="a certificate beside a secret",
        ),
        pytest.param(["http_message_signatures"], {}, True, None, id="what this program has not"),
    ],
)
def test_an_authentication_is_written_only_where_the_default_is_not_taken(
    publisher: Publisher,
    found: Callable[[str], Discovered],
    listed: list[str] | None,
    known: dict[str, str],
    written: str | None,
    *,
    has_secret: bool,
) -> None:
    publisher.publish(OF_OAUTH, token_endpoint_auth_methods_supported=listed)
    assert found(publisher.issuer).auth_method(known, has_secret=has_secret) == written


BY_KEY: dict[str, Any] = {"token_endpoint_auth_method": "private_key_jwt"}


@pytest.mark.parametrize(
    ("algs", "given", "stored", "written"),
    [
        pytest.param(None, BY_KEY, {}, None, id="nothing is said"),
        pytest.param(["ES256", "RS256"], BY_KEY, {}, None, id="the default will do"),
        pytest.param(["HS256", "ES384", "ES256", "PS256"], BY_KEY, {}, "PS256", id="another"),
        pytest.param(["ES256"], {}, BY_KEY, "ES256", id="of what is stored"),
        pytest.param(["EdDSA"], BY_KEY, {}, None, id="none that KMS signs by"),
        pytest.param(["ES256"], {**BY_KEY, "assertion": {"alg": "PS256"}}, {}, None, id="given"),
        pytest.param(["ES256"], {}, {}, None, id="nothing is signed"),
    ],
)
def test_by_what_a_client_signs_is_written_where_the_default_is_not_taken(
    publisher: Publisher,
    found: Callable[[str], Discovered],
    algs: list[str] | None,
    given: dict[str, Any],
    stored: dict[str, Any],
    written: str | None,
) -> None:
    publisher.publish(OF_OAUTH, token_endpoint_auth_signing_alg_values_supported=algs)
    fields = found(publisher.issuer).fields(given, has_secret=True, stored=stored)
    assert fields.get("assertion") == (None if written is None else {"alg": written})


def test_who_shows_a_certificate_goes_where_one_is_asked_for(
    publisher: Publisher, found: Callable[[str], Discovered]
) -> None:
    aliases = {"token_endpoint": "https://mtls.example/token", "revocation_endpoint": MARK}
    publisher.publish(OF_OAUTH, mtls_endpoint_aliases=aliases)
    it = found(publisher.issuer)
    shown = {"certificate": "made-up"}
    assert it.fields(shown, has_secret=True)["token_endpoint"] == aliases["token_endpoint"]
    assert (
        it.fields({}, has_secret=True, stored=shown)["token_endpoint"]
        == (aliases["token_endpoint"])
    )
    assert it.fields({}, has_secret=True)["token_endpoint"] == it.token_endpoint
    publisher.publish(OF_OAUTH, mtls_endpoint_aliases={"revocation_endpoint": MARK})
    assert found(publisher.issuer).fields(shown, has_secret=True)["token_endpoint"] == (
        it.token_endpoint
    )


# The commands


@pytest.fixture
def stored(operator: Operator) -> Callable[[str], dict[str, Any]]:
    def read(name: str) -> dict[str, Any]:
        value = operator.secrets.get_secret_value(SecretId=f"oauth/credentials/{name}")
        content: dict[str, Any] = json.loads(value["SecretString"])
        return content

    return read


def test_an_account_is_added_by_its_issuer_and_refreshed(
    operator: Operator, stored: Callable[[str], dict[str, Any]]
) -> None:
    operator.server.register_client("erp", secret=SECRET)
    added = operator.run(
        f"add erp --issuer {operator.server.url} --grant-type client_credentials --client-id erp"
        " --from-file -",
        stdin=json.dumps({"client_secret": SECRET, "provider": "xero"}),
    )
    assert (added.exit_code, added.stdout) == (0, "created oauth/credentials/erp\n")
    assert added.stderr.splitlines()[:2] == [
        f"{operator.server.url}/.well-known/openid-configuration says:",
        f"token_endpoint: {operator.server.token_endpoint}",
    ]
    assert stored("erp") == {
        "client_secret": SECRET,
        "grant_type": "client_credentials",
        "client_id": "erp",
        "token_endpoint": operator.server.token_endpoint,
    }
    assert "published" in operator.says("refresh erp")


def test_an_account_is_corrected_to_the_server_of_an_issuer(
    operator: Operator, publisher: Publisher, stored: Callable[[str], dict[str, Any]]
) -> None:
    fields = {"provider": "okta", "provider_parameters": {"org": "acme"}}
    content = operator.document("erp", token_endpoint=None, **fields)
    operator.secrets.create_secret(Name="oauth/credentials/erp", SecretString=content)
    publisher.publish(
        OF_OPENID,
        token_endpoint=f"https://{operator.server.host}/token",
        token_endpoint_auth_methods_supported=["client_secret_post"],
    )
    corrected = operator.run(f"correct erp --issuer {publisher.issuer}")
    assert corrected.exit_code == 0, corrected.output
    assert "token_endpoint_auth_method: client_secret_post\n" in corrected.stderr
    assert stored("erp") == {
        "grant_type": "client_credentials",
        "client_id": "erp",
        "client_secret": SECRET,
        "token_endpoint": f"https://{operator.server.host}/token",
        "token_endpoint_auth_method": "client_secret_post",
    }
    # What a person says wins over what a server says.
    operator.says(
        f"correct erp --issuer {publisher.issuer} --token-endpoint-auth-method client_secret_basic"
    )
    assert stored("erp")["token_endpoint_auth_method"] == "client_secret_basic"
    assert "It lists no token_endpoint_auth_method that" in operator.printed[-1]


def test_a_server_that_takes_signatures_alone_is_told_and_no_secret_is_needed(
    operator: Operator, publisher: Publisher, stored: Callable[[str], dict[str, Any]]
) -> None:
    publisher.publish(
        OF_OPENID,
        token_endpoint=f"https://{operator.server.host}/token",
        token_endpoint_auth_methods_supported=["private_key_jwt"],
        token_endpoint_auth_signing_alg_values_supported=["ES256"],
    )
    added = operator.run(
        f"add erp --issuer {publisher.issuer} --grant-type client_credentials --client-id erp "
        "--assertion kid=1"
    )
    assert added.exit_code == 0, added.output
    assert "token_endpoint_auth_method: private_key_jwt\nassertion.alg: ES256\n" in added.stderr
    assert stored("erp") == {
        "token_endpoint": f"https://{operator.server.host}/token",
        "token_endpoint_auth_method": "private_key_jwt",
        "grant_type": "client_credentials",
        "client_id": "erp",
        "assertion": {"kid": "1", "alg": "ES256"},
    }


def test_a_token_endpoint_that_was_found_must_be_allowed_as_any_other(
    operator: Operator, publisher: Publisher
) -> None:
    publisher.publish(OF_OAUTH, token_endpoint="https://elsewhere.example/token")
    refused = operator.run(
        f"add erp --issuer {publisher.issuer} --from-file -",
        stdin=operator.document("erp", token_endpoint=None),
    )
    assert refused.exit_code == 3
    assert "the host of token_endpoint is elsewhere.example" in refused.stderr
    assert operator.secrets.list_secrets()["SecretList"] == []


def test_a_token_endpoint_that_is_not_found_writes_nothing_and_says_what_helps(
    operator: Operator, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = f"add erp --issuer {publisher.issuer} --from-file -"
    refused = operator.run(line, stdin=operator.document("erp"))
    assert refused.exit_code == 3
    assert refused.stderr == (
        f"No metadata of {publisher.issuer} was found\n"
        f"https://{publisher.host}{OF_OAUTH}: not found (status 404)\n"
        f"https://{publisher.host}{OF_OPENID}: not found (status 404).\n"
        "Give the server's token_endpoint instead.\n"
    )
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)
    refused = operator.run(line, stdin=operator.document("erp"))
    assert f"SSL_CERT_FILE names {os.devnull}, which has no certificate" in refused.stderr
    assert operator.secrets.list_secrets()["SecretList"] == []


def test_an_issuer_of_a_private_authority_is_believed_by_the_account_s_own_certificates(
    operator: Operator,
) -> None:
    add = "add erp --from-file - --issuer"
    document = operator.document("erp", token_endpoint=None)
    with Authority() as other, closing(Publisher(other.server_context())) as publisher:
        publisher.publish(OF_OAUTH, token_endpoint=operator.server.token_endpoint)
        refused = operator.run(f"{add} {publisher.issuer}", stdin=document)
        assert "Of a private authority, give --ca-certificates." in refused.stderr
        assert (refused.exit_code, publisher.requests) == (3, [])

        ill = json.dumps(json.loads(document) | {"ca_certificates": MARK})
        refused = operator.run(f"{add} {publisher.issuer}", stdin=ill)
        assert refused.stderr == (
            "`ca_certificates` holds no certificates in PEM, or something else besides.\n"
            "Give them with --ca-certificates.\n"
        )
        own = f"{publisher.issuer} --ca-certificates {other.certificate_file}"
        operator.says(f"{add} {own}", stdin=document)
        # Those that are stored count as well, and an option counts for all accounts of a file.
        operator.says(f"correct erp --issuer {publisher.issuer} --scope other")
        many = json.dumps({"account": "many", **json.loads(document)})
        operator.says(f"add --from-file - --issuer {own}", stdin=many)


def test_certificates_that_are_taken_out_do_not_count_for_the_issuer(
    operator: Operator, publisher: Publisher
) -> None:
    with Authority() as other:
        certificates = other.certificate_file.read_text("utf-8")
    operator.add("erp", ca_certificates=certificates)
    publisher.publish(OF_OAUTH, token_endpoint=operator.server.token_endpoint)
    refused = operator.run(f"correct erp --issuer {publisher.issuer}")
    assert refused.exit_code == 3
    assert "`ca_certificates` alone counts: give the one that" in refused.stderr
    assert "this machine" not in refused.stderr
    operator.says(f"correct erp --issuer {publisher.issuer} --unset ca_certificates")


def test_an_issuer_is_asked_on_the_way_that_token_requests_take(
    operator: Operator, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer = "https://login.example"
    fields = {"issuer": issuer, "token_endpoint": f"{issuer}/token"}
    context = authority.server_context("login.example")
    with closing(Publisher(context)) as there, ConnectProxy(there.server.port) as proxy:
        there.publish("/.well-known/openid-configuration", **fields)
        for name, value in {
            "SSL_CERT_FILE": os.devnull,
            "ADDITIONAL_CA_CERTIFICATES": authority.certificate_file.read_text(),
            "ALLOWED_TOKEN_HOSTS": "login.example",
            "TOKEN_ENDPOINT_PROXY": proxy.url,
        }.items():
            monkeypatch.setenv(name, value)
        document = operator.document("erp", token_endpoint=None)
        operator.says(f"add erp --issuer {issuer} --from-file -", stdin=document)
        assert set(proxy.hosts) == {"login.example:443"}


@pytest.mark.parametrize(
    "options",
    [
        "--issuer https://e.example --provider xero",
        "--issuer https://e.example --token-endpoint https://e.example/token",
        "--provider xero --token-endpoint https://e.example/token",
        "--provider zoho --provider-parameter region",
        "--provider zoho --provider-parameter =eu",
        "--provider zoho --provider-parameter region=eu --provider-parameter region=com",
        "--token-endpoint-auth-method self_signed_tls_client_auth",
    ],
)
@pytest.mark.parametrize("command", ["add", "correct"])
def test_options_that_contradict_each_other_or_say_nothing_are_a_usage_problem(
    operator: Operator, command: str, options: str
) -> None:
    operator.add("erp")
    refused = operator.run(f"{command} erp {options}")
    assert (refused.exit_code, refused.stdout) == (2, "")


def test_what_a_provider_asks_for_is_given_by_options(
    operator: Operator, stored: Callable[[str], dict[str, Any]]
) -> None:
    secret = json.dumps(
        {"client_secret": SECRET, "provider_parameters": {"authorization_server": "default"}}
    )
    operator.says(
        "add erp --provider okta --provider-parameter org=acme "
        "--grant-type client_credentials --client-id erp --scope read "
        "--token-endpoint-auth-method client_secret_post --from-file -",
        stdin=secret,
    )
    assert stored("erp")["provider_parameters"] == {
        "org": "acme",
        "authorization_server": "default",
    }
    assert stored("erp")["token_endpoint_auth_method"] == "client_secret_post"
    operator.says("correct erp --provider-parameter org=other")
    assert stored("erp")["provider_parameters"] == {
        "org": "other",
        "authorization_server": "default",
    }


def test_a_person_sees_what_was_found_before_anything_is_asked(
    shell: Shell, server: AuthorizationServer
) -> None:
    server.register_client("erp", secret=SECRET)
    with shell.open("add", "erp", "--issuer", server.url, columns=COLUMNS) as terminal:
        terminal.expect(f"{server.url}/.well-known/openid-configuration says:")
        terminal.expect(f"token_endpoint: {server.token_endpoint}")
        for question, reply in (
            ("grant_type [client_credentials]: ", ""),
            ("token_endpoint_auth_method [client_secret_basic]: ", ""),
            ("client_id: ", "erp"),
            ("client_secret (hidden): ", SECRET),
        ):
            terminal.expect(question)
            terminal.enter(reply)
        terminal.expect("created oauth/credentials/erp")
        assert terminal.finish() == 0


@pytest.mark.parametrize("command", ["add", "correct"])
def test_every_option_is_named_whole_in_eighty_columns(shell: Shell, command: str) -> None:
    with shell.open(command, "--help", columns=COLUMNS) as terminal:
        assert terminal.finish() == 0
    assert terminal.screen.overlong == []
    options = {name for each in COMMANDS.commands[command].params for name in each.opts}
    assert {name for name in options if name.startswith("--")} <= set(terminal.plain.split())


def test_a_problem_fits_into_eighty_columns_and_no_word_is_broken(
    shell: Shell, publisher: Publisher
) -> None:
    with shell.open("add", "erp", "--issuer", publisher.issuer, columns=COLUMNS) as terminal:
        assert terminal.finish() == 3
    assert terminal.screen.overlong == [], terminal.screen.text
    told = set(terminal.plain.split())
    assert {f"https://{publisher.host}{path}:" for path in (OF_OAUTH, OF_OPENID)} <= told
