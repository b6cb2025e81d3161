"""What the package tells of itself: reasons, outcomes, errors, fields, events, metrics."""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from token_refresher import errors, failures, health, policy, records, reporting
from token_refresher.changes import Kind
from token_refresher.credentials import Credentials, SignedAssertion
from token_refresher.errors import FailureClass
from token_refresher.failures import Pace
from token_refresher.leases import lease_id
from token_refresher.model import NO_TOKEN_DIGEST, TokenVersion, account_from_metadata, digest12
from token_refresher.oauth import errors as oauth_errors
from token_refresher.oauth.dialect import Dialect
from token_refresher.outcomes import Caution, Outcome
from token_refresher.parsing import NAMED_GRANTS
from token_refresher.policy import TICK_SLACK, Reason
from token_refresher.ports import CURRENT, SecretMetadata
from token_refresher.publishing import Publish
from tools.docs.blocks import Table, code, prose

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from enum import StrEnum

EVENTS: Final = Path(__file__).resolve().parents[2] / "events"


def needs() -> Table:
    """Why a token is due."""
    return Table(("reason", "a token is due, because"), _checks(policy.NEEDS))


def holds() -> Table:
    """What holds it, or leaves nothing to refresh."""
    return Table(("reason", "nothing is requested now, because"), _checks(policy.HOLDS))


def _checks(checks: Iterable[policy.Check]) -> list[tuple[str, str]]:
    return [(code(str(check.reason)), _phrase(check.applies.__doc__ or "")) for check in checks]


def _phrase(docstring: str) -> str:
    """Make a phrase of a docstring's sentence."""
    sentence = " ".join(docstring.split()).removesuffix(".")
    return sentence[:1].lower() + sentence[1:]


def reasons() -> Table:
    """Every reason, with what to do."""
    return Table(("reason", "what to do"), _words(Reason))


def outcomes() -> Table:
    """Every outcome, with what to do."""
    return Table(("outcome", "what to do"), _words(Outcome))


def cautions() -> Table:
    """Every caution, with what it means and what to do."""
    return Table(("caution", "what it means", "what to do"), _words(Caution))


def classes() -> Table:
    """Every class of a failure, with who is called."""
    return Table(("class", "who is called"), _words(FailureClass))


def paces() -> Table:
    """Every pace, with the waits between failures in a row while a token lives for long."""
    rows = [(pace.value, _waits(pace)) for pace in Pace]
    return Table(("pace", "waits", "for", "besides"), rows)


def _waits(pace: Pace) -> str:
    """Let an account fail again and again, and tell what it waits."""
    account, now, waits = _ACCOUNT, _NOW + timedelta(minutes=30), list[int]()
    while len(waits) == len(set(waits)):
        error = _FAILURES[pace]
        refusals = failures.refusals_record(account, error, now=now)
        failure = failures.failure_record(account, error, now=now, refusals=refusals)
        waits.append(round((failure.next_attempt - now) / timedelta(minutes=1) + 0.1))
        tags = {records.FAILURE_TAG: failure.to_tag()}
        tags |= {records.REFUSALS_TAG: refusals.to_tag()} if refusals else {}
        account = replace(account, token=SecretMetadata(tags=tags))
        now = max(now + TICK_SLACK, failure.next_attempt)
    *most, last, _ = waits
    return f"{', '.join(map(str, [*most, last]))} min" if last else "none: every sweep tries"


_NOW: Final = datetime(2026, 11, 24, 1, tzinfo=UTC)
_LIVES: Final = TokenVersion(_NOW, _NOW + timedelta(days=30), digest12("made-up"), NO_TOKEN_DIGEST)
_ACCOUNT: Final = account_from_metadata(
    "made-up",
    credentials=SecretMetadata({CURRENT: "made-up"}),
    token=SecretMetadata({CURRENT: str(_LIVES)}),
    now=_NOW,
)
_FAILURES: Final[Mapping[Pace, failures.Failure]] = {
    failures.pace_of(error): error
    for error in (
        errors.CredentialsError(""),
        oauth_errors.TokenRequestError("invalid_grant"),
        oauth_errors.EndpointUnavailableError("", code="timeout"),
    )
}


def tags() -> Table:
    """Every tag that the program writes, with one as it is written."""
    digest, later = digest12("made-up"), _NOW + timedelta(minutes=15)
    failure = records.FailureRecord(
        FailureClass.ACTION_REQUIRED, "invalid_grant", 3, _NOW, later, digest
    )
    written = {
        records.FAILURE_TAG: failure.to_tag(),
        records.REFUSALS_TAG: records.Refusals(3, None, digest).to_tag(),
        records.LEASE_TAG: records.ended_lease(
            lease_id(str(_LIVES), 1), records.LeaseEnd.UNANSWERED
        ),
        records.REFUSED_RESPONSE_TAG: str(_LIVES),
        records.GRANT_EXPIRES_AT_TAG: records.GrantLifetime(
            _NOW + timedelta(days=30), timedelta(days=30)
        ).to_tag(),
        records.CERTIFICATE_EXPIRES_AT_TAG: records.CertificateLifetime(
            _NOW + timedelta(days=30), timedelta(days=365)
        ).to_tag(),
    }
    names = [tag for name, tag in vars(records).items() if re.fullmatch(r"[A-Z].*_TAG", name)]
    rows = [(code(name), code(written[name])) for name in names]
    return Table(("tag", "such as", "says"), rows)


def _words(words: type[StrEnum]) -> list[tuple[str, ...]]:
    return [(code(word.value),) for word in words]


def without_failure() -> Table:
    """What a person must act on though nothing has failed."""
    rows = [(code(name),) for name in health.WITHOUT_FAILURE]
    return Table(("code", "what it means", "what to do"), rows)


def errors_table() -> Table:
    """Every error, with the first line of its docstring, and what to do."""
    found = [*vars(errors).values(), *vars(oauth_errors).values()]
    rows = [
        (code(each.__name__), prose((each.__doc__ or "").partition("\n\n")[0]))
        for each in found
        if inspect.isclass(each) and issubclass(each, Exception)
    ]
    return Table(("error", "what it means", "what to do"), rows)


def credentials() -> Table:
    """The fields of a credentials secret, as their docstring explains them."""
    explained = _attributes(Credentials)
    fields = msgspec.structs.fields(Credentials)
    rows = [
        (code(each.name), _default(each), explained[each.name])
        for each in sorted(fields, key=lambda each: not each.required)
    ]
    named = "; ".join(map(_grant, NAMED_GRANTS.values()))
    grants = f"{named}; any other with `grant_parameters`; none for a login"
    return Table(("field", "default", "meaning"), [("`grant_type`", "required", grants), *rows])


def dialect() -> Table:
    """The fields of a dialect, likewise."""
    return _described(Dialect)


def publish() -> Table:
    """The two forms of what is published, likewise."""
    return _described(Publish)


def assertion() -> Table:
    """What an account may say of an assertion that is signed, likewise."""
    return _described(SignedAssertion)


def _described(struct: type[msgspec.Struct]) -> Table:
    explained: dict[str, str] = {}
    for each in reversed(struct.__mro__):
        explained |= _attributes(each)
    rows = [
        (code(each.encode_name), _default(each), explained[each.name])
        for each in msgspec.structs.fields(struct)
    ]
    return Table(("field", "default", "meaning"), rows)


def _grant(struct: type[msgspec.Struct]) -> str:
    """Name a grant, and the fields that it alone has."""
    common = Credentials.__struct_fields__
    own = [name for name in struct.__struct_fields__ if name not in common]
    fields = f" ({', '.join(map(code, own))})" if own else ""
    return code(str(struct.__struct_config__.tag)) + fields


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    return (
        code(str(field.default)) if field.default and isinstance(field.default, str | int) else ""
    )


def _attributes(described: type[Any]) -> dict[str, str]:
    """Read the section ``Attributes`` of a docstring."""
    section = inspect.cleandoc(described.__doc__ or "").partition("Attributes:\n")[2]
    found = re.findall(r"^    (\w+): (.*(?:\n        .*)*)", section, re.MULTILINE)
    return {name: prose(text) for name, text in found}


def events() -> Table:
    """What the sweeping function is invoked with, each from its file."""
    read = [(json.dumps(json.loads(path.read_text())), path.name) for path in EVENTS.glob("*.json")]
    shown = sorted(read, key=lambda pair: len(pair[0]))
    return Table(("event", "effect"), [(f"[`{text}`](../events/{name})",) for text, name in shown])


def metrics() -> Table:
    """What is emitted."""
    rows = [(code(name), str(unit.value)) for name, unit in reporting.METRICS.items()]
    return Table(("metric", "unit", "meaning"), rows)


def event_kinds() -> Table:
    """What is put on the event bus, each with its example."""
    rows = [
        (code(kind), f"[{name}](../events/changes/{name})")
        for kind in Kind
        for name in [f"{kind.lower().replace(' ', '-')}.json"]
    ]
    return Table(("detail-type", "example", "is put when"), rows)


def event_fields() -> Table:
    """What an event's detail holds, by its schema."""
    schema = json.loads((EVENTS / "changes" / "event.schema.json").read_text())
    fields = schema["$defs"]["detail"]["properties"]
    rows = [(code(name), prose(field["description"])) for name, field in fields.items()]
    return Table(("field", "meaning"), rows)
