"""The recipes for events, deployed where IAM is enforced: people are told, a service restarts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import boto3
import pytest

from local.embedded_cloud import REGION, ROOT, EmbeddedCloud
from tests.integration.test_embedded_cloud import within
from tests.integration.test_emulator_iam import ACCOUNT, allow, policy
from tests.schemas import FOLDER

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS: Final = 60.0  # only a defect takes as long
RECIPES: Final = ROOT / "infra" / "recipes"
# On AWS the runtime brings boto3; a function here sees nothing but what it brings itself.
AS_THE_RUNTIME: Final = (
    f"import sys\n          sys.path.append({str(Path(boto3.__file__).parents[1])!r})"
)


@pytest.fixture
def cloud(enforcing_cloud: EmbeddedCloud) -> EmbeddedCloud:
    enforcing_cloud.reset()
    return enforcing_cloud


def deploy(cloud: EmbeddedCloud, name: str, **parameters: str) -> dict[str, str]:
    """Deploy a recipe; return its outputs."""
    body = (RECIPES / f"{name}.yaml").read_text()
    body = body.replace("ZipFile: |\n", f"ZipFile: |\n          {AS_THE_RUNTIME}\n")
    client = cloud.client("cloudformation")
    client.create_stack(
        StackName=name,
        TemplateBody=body,
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
        ],
    )
    client.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    [stack] = client.describe_stacks(StackName=name)["Stacks"]
    return {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}


def example(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return event


def put(cloud: EmbeddedCloud, name: str, **changed: str) -> dict[str, Any]:
    """Put an example on the bus, as the program would."""
    event = example(name)
    detail: dict[str, Any] = {**event["detail"], **changed}
    entry = {
        "Source": event["source"],
        "DetailType": event["detail-type"],
        "Detail": json.dumps(detail),
    }
    assert cloud.client("events").put_events(Entries=[entry])["FailedEntryCount"] == 0
    return detail


@pytest.fixture
def told(cloud: EmbeddedCloud) -> Callable[[str], list[str]]:
    """Subscribe to a topic, and return what it has told so far."""
    sqs = cloud.client("sqs")
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:people"
    from_topics = {
        **allow("sqs:SendMessage", on=arn),
        "Principal": {"Service": "sns.amazonaws.com"},
    }
    url = sqs.create_queue(QueueName="people", Attributes={"Policy": policy(from_topics)})[
        "QueueUrl"
    ]
    texts: list[str] = []

    def receive(topic: str) -> list[str]:
        sns = cloud.client("sns")
        if not sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]:
            sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        texts.extend(json.loads(each["Body"])["Message"] for each in answer.get("Messages", []))
        return texts

    return receive


def test_people_are_told_in_one_readable_sentence(
    cloud: EmbeddedCloud, told: Callable[[str], list[str]]
) -> None:
    topic = deploy(cloud, "tell-people")["TopicArn"]
    told(topic)
    put(cloud, "token-published")
    put(cloud, "action-required", stack="another")
    detail = put(cloud, "action-required")

    assert within(SECONDS, lambda: told(topic) != [])
    assert told(topic) == [f'"{detail["message"]}"']
    assert detail["message"] in json.loads(f"[{told(topic)[0]}]")


def test_a_chat_gets_what_amazon_q_takes_for_a_notification(
    cloud: EmbeddedCloud, told: Callable[[str], list[str]]
) -> None:
    topic = deploy(cloud, "tell-people", Form="chat", Kinds="Consent Ending")["TopicArn"]
    told(topic)
    put(cloud, "refresh-failed")
    detail = put(cloud, "consent-ending")

    assert within(SECONDS, lambda: told(topic) != [])
    assert [json.loads(each) for each in told(topic)] == [
        {
            "version": "1.0",
            "source": "custom",
            "content": {
                "title": f"Consent Ending: {detail['account']}",
                "description": detail["message"],
            },
        }
    ]


def deployment(cloud: EmbeddedCloud) -> str:
    """The id of the service's latest deployment."""
    [service] = cloud.client("ecs").describe_services(services=["consumer"])["services"]
    latest: str = service["deployments"][0]["id"]
    return latest


def test_a_service_is_deployed_again_when_its_account_has_a_new_token(cloud: EmbeddedCloud) -> None:
    ecs = cloud.client("ecs")
    ecs.create_cluster(clusterName="default")
    container = {"name": "consumer", "image": "invented", "memory": 64}
    ecs.register_task_definition(family="consumer", containerDefinitions=[container])
    ecs.create_service(serviceName="consumer", taskDefinition="consumer", desiredCount=0)
    deploy(cloud, "restart-service", AccountName="dealer-17")
    before = deployment(cloud)
    put(cloud, "token-published", account="dealer-18")
    put(cloud, "refresh-recovered")
    assert not within(2.0, lambda: deployment(cloud) != before)
    put(cloud, "token-published")

    assert within(SECONDS, lambda: deployment(cloud) != before)
