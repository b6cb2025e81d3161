"""What STS puts into a web identity token. The token itself and its signature are never told."""

from __future__ import annotations

import base64
import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from token_refresher.aws.signing import ACCOUNT_TAG
from tools.smoke.questions import Answer, Question

if TYPE_CHECKING:
    from tools.smoke.sandbox import Sandbox

AUDIENCE: Final = "https://smoke.invalid"
ACCOUNT: Final = "dealer-17"
SECONDS: Final = 300
NAMESPACE: Final = "https://sts.amazonaws.com/"
# RFC 7519, section 4.1, and what AWS adds.
CLAIMS: Final = {"aud", "exp", "iat", "iss", "jti", "sub", NAMESPACE}
# Each of them where there is something to tell ("Understanding token claims").
ABOUT: Final = {"aws_account", "principal_id", "request_tags", "source_region"}


class Token(NamedTuple):
    """What of a token is looked at: all but its signature."""

    header: dict[str, Any]
    claims: dict[str, Any]


@cache
def token(sandbox: Sandbox, alg: str = "RS256") -> Token:
    """Ask for one as the program does; once, for all questions."""
    issued: str = sandbox.client("sts").get_web_identity_token(
        Audience=[AUDIENCE],
        SigningAlgorithm=alg,
        DurationSeconds=SECONDS,
        Tags=[{"Key": ACCOUNT_TAG, "Value": ACCOUNT}],
    )["WebIdentityToken"]
    header, claims, _ = issued.split(".")
    return Token(_decoded(header), _decoded(claims))


def _decoded(part: str) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return decoded


def algorithms(sandbox: Sandbox) -> Answer:
    """See that both algorithms are as asked for, and that a key is named."""
    headers = [token(sandbox, alg).header for alg in ("RS256", "ES384")]
    found = [each.get("alg") for each in headers]
    names = " ".join(sorted(set().union(*headers)))
    is_right = found == ["RS256", "ES384"] and all("kid" in each for each in headers)
    return Answer(is_right, f"as asked for; the header has {names}" if is_right else names)


def names(sandbox: Sandbox) -> Answer:
    """Tell the names of all claims."""
    claims = token(sandbox).claims
    about = claims.get(NAMESPACE, {})
    told = f"{' '.join(sorted(claims))}; in the last one {' '.join(sorted(about))}"
    told = told.replace(NAMESPACE, "sts.amazonaws.com")
    return Answer(claims.keys() == CLAIMS and about.keys() >= ABOUT, told)


def subject(sandbox: Sandbox) -> Answer:
    """Compare ``sub`` with the caller."""
    found = str(token(sandbox).claims.get("sub", ""))
    caller = sandbox.place.caller
    session = re.fullmatch(r"(arn:[\w-]+):sts::(\d+):assumed-role/([^/]+)/.*", caller)
    if session is None:
        return Answer(found == caller, "the caller's ARN" if found == caller else "another ARN")
    role = rf"{session[1]}:iam::{session[2]}:role/(.*/)?{re.escape(session[3])}"
    is_role = re.fullmatch(role, found) is not None
    return Answer(is_role, "the ARN of the caller's role" if is_role else "not the caller's role")


def issuer(sandbox: Sandbox) -> Answer:
    """Compare ``iss`` with what IAM tells of the AWS account."""
    told = sandbox.client("iam").get_outbound_web_identity_federation_info()["IssuerIdentifier"]
    found = str(token(sandbox).claims.get("iss", ""))
    is_same = found == told
    shape = re.sub(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}|:\d+", "*", found)
    return Answer(is_same, shape if is_same else f"{shape}, not IAM's IssuerIdentifier")


def lifetime(sandbox: Sandbox) -> Answer:
    """Compare its times."""
    claims = token(sandbox).claims
    seconds = claims.get("exp", 0) - claims.get("iat", 0)
    return Answer(seconds == SECONDS, f"{seconds} s from iat to exp")


def audience_and_tag(sandbox: Sandbox) -> Answer:
    """See who it is for, and for which account it was asked."""
    claims = token(sandbox).claims
    tags = claims.get(NAMESPACE, {}).get("request_tags", {})
    is_ours = claims.get("aud") == AUDIENCE and tags == {ACCOUNT_TAG: ACCOUNT}
    return Answer(is_ours, "aud is one text, and request_tags has the tag" if is_ours else "not so")


QUESTIONS: Final = (
    Question(
        "an identity token's algorithm and key",
        "RS256 or ES384, as asked for; kid names the key",
        algorithms,
    ),
    Question(
        "an identity token's claims",
        f"{' '.join(sorted(CLAIMS))}, and in AWS's own {' '.join(sorted(ABOUT))}",
        names,
    ),
    Question("an identity token's sub", "the ARN of the role or user that asked", subject),
    Question("an identity token's iss", "the account's own issuer, as IAM tells it", issuer),
    Question("an identity token's lifetime", f"{SECONDS} s, as asked for", lifetime),
    Question(
        f"an identity token's aud and its tag {ACCOUNT_TAG}",
        "aud is as asked for, and request_tags has the tags",
        audience_and_tag,
    ),
)
