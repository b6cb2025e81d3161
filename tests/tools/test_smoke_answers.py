"""What questions make of answers: of moto's, of a cloud's that is ill, and of a permission less.

That the local cloud answers all of them as documented is in `test_smoke`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.cli.relay import LOST, THROTTLED, Instead, Relay
from tests.tools import smoke_account
from token_refresher import records as program_records
from token_refresher.fixes import FIXES
from tools.smoke import identity, keys, listing, records, refusals, stages, writes
from tools.smoke.__main__ import FIRST, LAST, exit_code
from tools.smoke.findings import AGAIN, Finding, Verdict, told_open
from tools.smoke.questions import Answer, Question
from tools.smoke.sandbox import MOST_CALLS, MOST_TO_ASK

if TYPE_CHECKING:
    from local.embedded_cloud import Credentials, EmbeddedCloud
    from local.moto_cloud import MotoCloud
    from tools.smoke.sandbox import Sandbox

MOTO: Final = Path(__file__).with_name("smoke_moto.json")


def federate(cloud: EmbeddedCloud) -> None:
    """Let the account issue identity tokens, as a person once does."""
    iam = cloud.client("iam")
    try:
        iam.enable_outbound_web_identity_federation()
    except iam.exceptions.FeatureEnabledException:
        return


@pytest.fixture(scope="module")
def granted(enforcing_cloud: EmbeddedCloud) -> Credentials:
    """What the document's policy grants, and nothing else."""
    federate(enforcing_cloud)
    return smoke_account.credentials_with(
        enforcing_cloud, smoke_account.policy(), name="smoke-granted"
    )


def others(findings: list[Finding]) -> dict[str, str]:
    """What is not as documented."""
    return {
        each.question: f"{each.verdict}: {each.measured}"
        for each in findings
        if each.verdict is not Verdict.AS_DOCUMENTED
    }


@pytest.mark.slow
def test_what_moto_answers_otherwise_is_the_list_in_the_document(moto: MotoCloud) -> None:
    moto.reset()
    found: dict[str, str] = {}
    # Apart, so that the calls that one takes say nothing of the other.
    for questions in ([*FIRST, *LAST], keys.QUESTIONS):
        box = smoke_account.sandbox(moto)
        found |= others(smoke_account.asked(box, questions))
        assert box.calls <= MOST_CALLS
    assert found == json.loads(MOTO.read_bytes())
    assert smoke_account.secrets_in(moto) == []


@pytest.mark.slow
@pytest.mark.usefixtures("granted")
@pytest.mark.parametrize(
    ("action", "question"),
    [
        ("secretsmanager:CreateSecret", stages.QUESTIONS[0]),
        ("secretsmanager:PutSecretValue", writes.QUESTIONS[1]),
        ("secretsmanager:GetSecretValue", refusals.QUESTIONS[3]),
        ("secretsmanager:TagResource", records.QUESTIONS[0]),
        ("secretsmanager:ListSecrets", listing.QUESTIONS[0]),
        ("sts:GetWebIdentityToken", identity.QUESTIONS[0]),
        ("sts:TagGetWebIdentityToken", identity.QUESTIONS[1]),
        ("kms:CreateKey", keys.QUESTIONS[0]),
    ],
)
def test_a_permission_that_is_missing_is_named_and_the_answer_unknown(
    enforcing_cloud: EmbeddedCloud, action: str, question: Question
) -> None:
    statements = [
        {**each, "Action": [name for name in each["Action"] if name != action]}
        for each in smoke_account.policy()
    ]
    name = f"smoke-without-{action.replace(':', '-')}"
    without = smoke_account.credentials_with(enforcing_cloud, statements, name=name)
    # Once more, since what was to be made for it is not there.
    asked = [question, question, refusals.QUESTIONS[0]]
    box = smoke_account.sandbox(enforcing_cloud, credentials=without)
    *denied, after = smoke_account.asked(box, asked)
    for each in denied:
        assert each.verdict is Verdict.UNKNOWN
        assert re.fullmatch(rf"AccessDenied(Exception)?: {action} is missing", each.measured)
    assert after.verdict is Verdict.AS_DOCUMENTED
    assert box.commands() == []


def test_an_account_without_identity_federation_is_unknown_and_told_once_how_to_turn_it_on(
    cloud: EmbeddedCloud,
) -> None:
    findings = smoke_account.asked(smoke_account.sandbox(cloud), identity.QUESTIONS)
    assert {each.verdict for each in findings} == {Verdict.UNKNOWN}
    assert {each.measured for each in findings} == {"identity federation is off"}
    told = told_open(findings)
    assert " ".join(" ".join(told).split()) == (
        "What is unknown is no fault. It stays open: - 6 questions: identity federation is off in "
        "this account; who wants it turns it on: aws iam enable-outbound-web-identity-federation"
    )
    assert max(map(len, "\n".join(told).splitlines())) < 80


WELL = Finding("well", Verdict.AS_DOCUMENTED)


@pytest.mark.parametrize(
    ("findings", "left", "expected"),
    [
        pytest.param([WELL], [], 0, id="as documented"),
        pytest.param(
            [WELL, Finding("", Verdict.UNKNOWN, "", "grant it")], [], 0, id="a person's choice"
        ),
        pytest.param([WELL, Finding("", Verdict.UNKNOWN)], [], 0, id="asked and not settled"),
        pytest.param([WELL, Finding("", Verdict.UNKNOWN, "", AGAIN)], [], 2, id="cut short"),
        pytest.param([Finding("", Verdict.UNKNOWN, "", "grant it")], [], 2, id="nothing asked"),
        pytest.param([WELL], ["aws delete"], 2, id="left over"),
        pytest.param([WELL, Finding("", Verdict.DIFFERS)], ["aws delete"], 1, id="differs"),
    ],
)
def test_the_exit_code_is_no_fault_where_a_person_keeps_a_question_open(
    findings: list[Finding], left: list[str], expected: int
) -> None:
    assert exit_code(findings, left) == expected


@pytest.mark.parametrize(
    "instead",
    [THROTTLED, Instead(500, b'{"__type": "InternalServiceError"}'), Instead(502, b"<html>")],
    ids=["throttled", "an error of AWS's", "a page of a gateway's"],
)
def test_what_passes_says_nothing_about_aws_and_the_next_question_is_asked(
    cloud: EmbeddedCloud, instead: Instead
) -> None:
    with Relay(cloud.endpoint_url) as relay:
        relay.illness = lambda operation: instead if operation == "TagResource" else None
        box = smoke_account.sandbox(cloud, url=relay.url)
        ill, well = smoke_account.asked(box, [records.QUESTIONS[0], refusals.QUESTIONS[0]])
    assert (ill.verdict, well.verdict) == (Verdict.UNKNOWN, Verdict.AS_DOCUMENTED)


def test_one_lost_connection_ends_nothing_and_two_in_a_row_end_the_asking(
    cloud: EmbeddedCloud,
) -> None:
    lost = {1, 3, 4}
    with Relay(cloud.endpoint_url) as relay:
        relay.illness = lambda _: LOST if len(relay.calls) in lost else None
        box = smoke_account.sandbox(cloud, url=relay.url)
        found = smoke_account.asked(box, [refusals.QUESTIONS[0]] * 6)
    assert [each.measured for each in found] == [
        "ConnectionClosedError",
        "ResourceNotFoundException",
        *["ConnectionClosedError"] * 2,
        *["not asked: ConnectionClosedError"] * 2,
    ]


def test_a_secret_whose_making_was_not_answered_is_taken_away_too(cloud: EmbeddedCloud) -> None:
    with Relay(cloud.endpoint_url) as relay:
        made: list[str] = []

        def illness(operation: str) -> Instead | None:
            if operation != "CreateSecret" or made:
                return None
            # It is there all the same.
            made.append(box.path("records"))
            cloud.client().create_secret(Name=made[0])
            return LOST

        box = smoke_account.sandbox(cloud, url=relay.url)
        relay.illness = illness
        found = smoke_account.asked(box, [records.QUESTIONS[0]] * 2)
    assert [each.verdict for each in found] == [Verdict.UNKNOWN, Verdict.AS_DOCUMENTED]
    assert made
    assert smoke_account.secrets_in(cloud) == []


@pytest.mark.slow
def test_two_winners_differ_and_what_is_documented_is_told(cloud: EmbeddedCloud) -> None:
    """A cloud that takes every put tells nobody that another one was first."""
    taken = Instead(200, b'{"VersionId": "any"}')
    with Relay(cloud.endpoint_url) as relay:
        relay.illness = lambda operation: taken if operation == "PutSecretValue" else None
        box = smoke_account.sandbox(cloud, url=relay.url)
        (found,) = smoke_account.asked(box, writes.QUESTIONS[:1])
    assert found.verdict is Verdict.DIFFERS
    assert found.measured.startswith("8 winners in each of 20 rounds")
    assert "documented: a version cannot be modified" in found.measured


@pytest.mark.parametrize(
    ("question", "operation", "answer"),
    [
        (stages.QUESTIONS[1], "DescribeSecret", b'{"VersionIdsToStages": {}}'),
        (records.QUESTIONS[0], "DescribeSecret", b'{"Tags": []}'),
        (refusals.QUESTIONS[1], "PutSecretValue", b'{"VersionId": "any"}'),
        (stages.QUESTIONS[2], "PutSecretValue", b'{"__type": "ResourceExistsException"}'),
    ],
)
def test_an_answer_of_another_cloud_differs(
    cloud: EmbeddedCloud, question: Question, operation: str, answer: bytes
) -> None:
    other = Instead(400 if b"__type" in answer else 200, answer)
    with Relay(cloud.endpoint_url) as relay:
        relay.illness = lambda asked: other if asked == operation else None
        box = smoke_account.sandbox(cloud, url=relay.url)
        (found,) = smoke_account.asked(box, [question])
    assert found.verdict is Verdict.DIFFERS


def test_a_late_read_is_measured_and_as_documented(cloud: EmbeddedCloud) -> None:
    """Every operation is eventually consistent: late is no deviation."""
    late = iter([Instead(200, b'{"VersionIdsToStages": {}}')] * 2)
    with Relay(cloud.endpoint_url) as relay:
        relay.illness = lambda operation: (
            next(late, None) if operation == "DescribeSecret" else None
        )
        box = smoke_account.sandbox(cloud, url=relay.url)
        (found,) = smoke_account.asked(box, writes.QUESTIONS[1:2])
    assert found.verdict is Verdict.AS_DOCUMENTED
    assert "DescribeSecret at once 14 of 15 times, else within" in found.measured


@pytest.mark.slow
@pytest.mark.parametrize(
    ("puts", "verdict", "told"),
    [
        pytest.param(60, Verdict.DIFFERS, "126; documented: one in ten", id="below the quota"),
        pytest.param(110, Verdict.AS_DOCUMENTED, "a day of outages writes 126", id="at the quota"),
    ],
)
def test_a_secret_that_takes_no_more_versions_is_told_by_how_many(
    cloud: EmbeddedCloud, puts: int, verdict: Verdict, told: str
) -> None:
    limit = Instead(400, b'{"__type": "LimitExceededException"}')
    with Relay(cloud.endpoint_url) as relay:
        relay.illness = lambda _: limit if relay.calls.count("PutSecretValue") > puts else None
        box = smoke_account.sandbox(cloud, url=relay.url)
        (found,) = smoke_account.asked(box, writes.ABOUT_ROOM[:1])
    assert found.verdict is verdict
    assert found.measured.startswith(f"the one after {puts} is refused by LimitExceededException")
    assert told in found.measured


def endless(sandbox: Sandbox) -> Answer:
    path = sandbox.filled("endless")
    while True:
        sandbox.secrets.describe_secret(SecretId=path)


@pytest.mark.slow
def test_a_budget_of_calls_that_is_spent_ends_the_asking_and_not_the_deleting(
    cloud: EmbeddedCloud,
) -> None:
    box = smoke_account.sandbox(cloud)
    questions = [Question("endless", "", endless), refusals.QUESTIONS[0]]
    findings = smoke_account.asked(box, questions)
    spent = f"{MOST_TO_ASK} calls were made"
    assert [each.measured for each in findings] == [spent] * 2
    assert box.calls == MOST_TO_ASK + 1
    assert smoke_account.secrets_in(cloud) == []


def test_minutes_that_are_over_end_the_asking_and_not_the_deleting(cloud: EmbeddedCloud) -> None:
    times = iter(range(0, 10**6, 30))
    box = smoke_account.sandbox(cloud, monotonic=lambda: float(next(times)))
    (found,) = smoke_account.asked(box, [Question("endless", "", endless)])
    assert found.verdict is Verdict.UNKNOWN
    assert found.measured == "240 seconds are over"
    assert box.calls < 20


def test_a_line_is_no_wider_than_a_terminal() -> None:
    for ask in (*FIRST, *keys.QUESTIONS, *LAST):
        finding = Finding(ask.name, Verdict.DIFFERS, f"{'code ' * 20}; {ask.documented}")
        assert max(map(len, finding.line.splitlines())) < 80


def test_no_two_questions_have_one_name() -> None:
    names = [each.name for each in (*FIRST, *keys.QUESTIONS, *LAST)]
    assert len(set(names)) == len(names)


def test_every_tag_that_the_program_writes_is_among_those_that_are_asked_about() -> None:
    tags = {
        text for name, text in vars(program_records).items() if re.fullmatch(r"[A-Z_]+_TAG", name)
    }
    assert records.RECORDS.keys() == tags


def test_every_refusal_that_the_program_knows_is_asked_for_but_what_no_call_brings_about() -> None:
    documented = " ".join(each.documented for each in (*FIRST, *keys.QUESTIONS, *LAST))
    known = {code for code in FIXES if code[0].isupper() and FIXES[code] is not FIXES["Throttling"]}
    assert {code for code in known if code not in documented} == {
        "JWTPayloadSizeExceededException",  # its size is not documented
        "MalformedPolicyDocumentException",  # of resource policies, which nobody writes here
        "PreconditionNotMetException",  # of replicas
        "SessionDurationEscalationException",  # of a session that is about to end
    }
