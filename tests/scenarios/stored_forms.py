"""What a version leaves in Secrets Manager, recorded once so that every later one can read it.

The scenarios are played by the real sweep, refresh and policy; what lies in an account's two
secrets after a sweep is a *form*. Of all forms those are kept that show something which no other
does: a field, a tag, a stage, an end, a kind of version. Beside each stands what the version that
wrote it went on to do, from a cold start.

`python -m tests.scenarios.stored_forms` records what no version has recorded yet.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from local.secrets_manager.memory import Secret
from tests.scenarios.runner import go_on, left_behind
from tests.scenarios.scenario import (
    EditJournal,
    Expectation,
    ExpectedAccount,
    Given,
    Scenario,
    Settings,
    Sweep,
    parse,
    stories,
)
from tests.unit.fakes import PREFIX, response
from token_refresher import ports, records
from token_refresher.errors import FailureClass
from token_refresher.journal import JournalEntry
from token_refresher.leases import LeaseContent
from token_refresher.model import NO_TOKEN_DIGEST, PublishedToken
from token_refresher.parsing import NAMED_GRANTS
from token_refresher.publishing import Publish

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FOLDER: Final = Path(__file__).parents[1] / "stored_forms"
# What is recorded for the next release, which gives it its number.
NEXT: Final = FOLDER / "next"
ACCOUNTS: Final = "accounts.json"
# A tick, an abandoned lease, the end of every token that was published before.
AFTER: Final = (timedelta(minutes=5), timedelta(minutes=25), timedelta(hours=13))
MOST_REQUESTS: Final = 9
MOST_BYTES: Final = 8_000
# What is told of an account after each sweep, and of each token request.
TOLD: Final = ("reason", "outcome", "error", "put_off", "next_attempt", "needs_action")
SENT: Final = ("grant_type", "refresh_token", "host")


class Version(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A version of a secret; without text and bytes it is one that a rotation made."""

    version_id: str
    text: str | None = None
    hexadecimal: str | None = None
    stages: list[str] = []


class StoredSecret(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A secret as it lies in Secrets Manager."""

    versions: list[Version] = []
    tags: dict[str, str] = {}
    is_deleted: bool = False

    @classmethod
    def of(cls, secret: Secret) -> StoredSecret:
        """Write a secret down."""
        versions = []
        for version_id, value in secret.versions.items():
            versions.append(
                Version(
                    version_id=version_id,
                    text=value if isinstance(value, str) else None,
                    hexadecimal=value.hex() if isinstance(value, bytes) else None,
                    stages=sorted(name for name, at in secret.stages.items() if at == version_id),
                )
            )
        return cls(versions=versions, tags=dict(secret.tags), is_deleted=secret.is_deleted)

    def restored(self) -> Secret:
        """Make it a secret again."""
        return Secret(
            versions={
                each.version_id: each.text
                if each.hexadecimal is None
                else bytes.fromhex(each.hexadecimal)
                for each in self.versions
            },
            stages={stage: each.version_id for each in self.versions for stage in each.stages},
            tags=dict(self.tags),
            is_deleted=self.is_deleted,
        )


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """An account's two secrets as they were left, and what became of the account.

    Attributes:
        story: The scenario whose sweep left them.
        account: Its name.
        now: When.
        settings: The deployment's.
        credentials: None where there is no such secret.
        token: Likewise.
        then: What came of it after each of `AFTER`: `TOLD` of the account, `SENT` of the requests,
            the published access token, and the journal's refresh token.
    """

    story: str
    account: str
    now: datetime
    settings: Settings
    credentials: StoredSecret | None
    token: StoredSecret | None
    then: list[dict[str, Any]] = []

    @property
    def is_short(self) -> bool:
        """Whether a person can read it; tokens that fill a secret show nothing more."""
        return len(msgspec.json.encode(self)) < MOST_BYTES

    def played(self) -> list[dict[str, Any]]:
        """Let the program of today go on from here, from a cold start."""
        expect = Expectation(requests=0, accounts={self.account: ExpectedAccount(reason="")})
        scenario = Scenario(
            scenario=self.story,
            why="what is stored is read by every later version",
            given=Given(now=self.now, settings=self.settings),
            steps=[Sweep(after=after, expect=expect) for after in AFTER],
        )
        secrets = {
            f"{PREFIX}/{path}/{self.account}": kept.restored()
            for path, kept in (("credentials", self.credentials), ("tokens", self.token))
            if kept is not None
        }
        responses = (
            response(access_token=f"later-token-{n}", refresh_token=f"later-refresh-token-{n}")
            for n in range(MOST_REQUESTS)
        )
        told = [_told(came, self.account) for came in go_on(scenario, secrets, responses)]
        return json.loads(msgspec.json.encode(told))  # type: ignore[no-any-return] # as it is kept


def _told(came: dict[str, Any], account: str) -> dict[str, Any]:
    its = came["accounts"][account]
    return {
        **{name: its.get(name) for name in TOLD},
        "access_token": its["token"] and its["token"]["access_token"],
        "refresh_token": its["journal"] and its["journal"]["refresh_token"],
        "requests": [{name: each[name] for name in SENT} for each in came["requests"]],
    }


# What a form shows.


def shows(form: Form) -> set[str]:
    """Tell everything that is to be seen in a form, each in words of its own."""
    token, credentials = form.token or StoredSecret(), form.credentials or StoredSecret()
    found = {f"tag {key}" for key in token.tags}
    found |= set(_in_tags(token.tags))
    for path, secret in (("credentials", credentials), ("token", token)):
        if secret.is_deleted:
            found.add(f"{path} scheduled for deletion")
        for version in secret.versions:
            found |= {f"{path} {stage}" for stage in version.stages}
    for version in credentials.versions:
        found |= set(_in_credentials_secret(version))
    for version in token.versions:
        if ports.CURRENT in version.stages:
            found |= set(_in_token(version))
    return found | {f"{each['reason']}, then {each['outcome']}" for each in form.then[:1]}


def _in_tags(tags: dict[str, str]) -> Iterator[str]:
    failure = records.FailureRecord.from_tag(tags.get(records.FAILURE_TAG))
    if failure is not None:
        yield f"failure {failure.failure_class}"
        yield f"failure {'counted' if failure.failures else 'that is none'}"
    refusals = records.Refusals.from_tag(tags.get(records.REFUSALS_TAG))
    if refusals is not None:
        yield f"refusals {'' if refusals.brought_forward_at else 'never '}brought forward"
    if end := tags.get(records.LEASE_TAG):
        yield f"lease end {end.rpartition('/')[2]}"


def _in_credentials_secret(version: Version) -> Iterator[str]:
    content = _object(version.text) or {}
    if version.version_id.startswith(ports.LEASE_PREFIX):
        yield from (f"lease {name}" for name in content)
    elif ports.JOURNAL_STAGE in version.stages:
        yield from (f"journal {name}" for name in content)
        if version.version_id.endswith(NO_TOKEN_DIGEST):
            yield "journal without a token"
    elif content and ports.CURRENT in version.stages:
        grant = content.get("grant_type", "a login")
        yield f"grant {grant if grant in {*NAMED_GRANTS, 'a login'} else 'of another kind'}"
        yield from (f"credentials {name}" for name in content)
        yield from (f"publish {name}" for name in content.get("publish") or ())


def _in_token(version: Version) -> Iterator[str]:
    content = _object(version.text)
    is_ours = version.version_id[:1] == "2"
    kind = "binary" if version.text is None else "text" if content is None else "JSON"
    yield f"{'published' if is_ours else 'external'} {kind}"
    if is_ours and content is not None:
        yield from (
            f"published {name}" for name in content if name in PublishedToken.__struct_fields__
        )


def _object(text: str | None) -> dict[str, Any] | None:
    try:
        content = json.loads(text or "")
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def must_be_shown() -> set[str]:
    """Tell what the program of today stores and reads, taken from its own declarations."""
    tags = {
        each for name, each in vars(records).items() if name.endswith("_TAG") and name != "_TAG"
    }
    credentials = {
        name
        for grant in NAMED_GRANTS.values()
        for name in (*grant.__struct_encode_fields__, "grant_type")
    }
    return {
        *(f"tag {each}" for each in tags),
        *(f"failure {each}" for each in FailureClass),
        "failure counted",
        "failure that is none",
        "refusals brought forward",
        "refusals never brought forward",
        *(f"lease end {each}" for each in records.LeaseEnd),
        *(f"lease {each}" for each in LeaseContent.__struct_encode_fields__),
        *(f"journal {each}" for each in JournalEntry.__struct_encode_fields__),
        "journal without a token",
        *(f"published {each}" for each in PublishedToken.__struct_encode_fields__),
        *(f"{whose} {form}" for whose in ("published", "external") for form in ("JSON", "text")),
        "external binary",
        *(f"credentials {each}" for each in credentials),
        *(f"publish {each}" for each in Publish.__struct_encode_fields__),
        *(f"grant {each}" for each in NAMED_GRANTS),
        "grant of another kind",
        "grant a login",
        *(
            f"credentials {each}"
            for each in (ports.CURRENT, ports.LEASE_STAGE, ports.JOURNAL_STAGE)
        ),
        *(f"token {each}" for each in (ports.CURRENT, ports.PREVIOUS, ports.PENDING)),
        "credentials scheduled for deletion",
        "token scheduled for deletion",
    }


# Recorded.


def recorded() -> list[tuple[str, Form]]:
    """Read the forms of every version: the version, and the form."""
    return [
        (path.parent.name, form)
        for path in sorted(FOLDER.glob(f"*/{ACCOUNTS}"))
        for form in msgspec.json.decode(path.read_bytes(), type=list[Form])
    ]


def found() -> Iterator[Form]:
    """Play every scenario, and give what each of its sweeps left behind, account by account."""
    for _, story in stories():
        scenario = parse(story)
        given = scenario.given.accounts
        # What a scenario writes in the program's place shows what is read, not what is written.
        by_hand = {name for name, each in given.items() if each.tags or each.failure}
        if any(isinstance(step, EditJournal) for step in scenario.steps):
            continue
        for now, secrets in left_behind(scenario):
            for name in given:
                credentials, token = (
                    StoredSecret.of(secret) if secret else None
                    for path in ("credentials", "tokens")
                    for secret in [secrets.get(f"{PREFIX}/{path}/{name}")]
                )
                form = Form(
                    story=scenario.scenario,
                    account=name,
                    now=now,
                    settings=scenario.given.settings,
                    credentials=credentials,
                    token=token,
                )
                if name not in by_hand and (credentials or token) and form.is_short:
                    yield msgspec.structs.replace(form, then=form.played())


def chosen(forms: Iterable[Form], known: set[str]) -> list[Form]:
    """Keep those that show what is neither known nor shown by one that is kept already."""
    kept = []
    for form in sorted(
        forms, key=lambda each: (-len(shows(each)), each.story, each.account, each.now)
    ):
        if shows(form) - known:
            kept.append(form)
            known |= shows(form)
    return kept


def main() -> None:
    """Record what the versions before have not."""
    earlier = {each for version, form in recorded() if version != NEXT.name for each in shows(form)}
    kept = chosen(found(), earlier)
    if kept:
        NEXT.mkdir(parents=True, exist_ok=True)
        text = msgspec.json.format(msgspec.json.encode(kept), indent=2)
        NEXT.joinpath(ACCOUNTS).write_bytes(text + b"\n")
    sys.stdout.write(f"{len(kept)} forms that no released version has are in {NEXT}\n")


if __name__ == "__main__":
    main()
