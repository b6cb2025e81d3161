"""Another key for the secrets of a deployed stack, by the very commands of docs/deployment.md."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest

from local.embedded_cloud import OWNER
from local.stack import MAKE_WITHIN_SECONDS, LocalAws, Stack
from tools.templates import ROOT

if TYPE_CHECKING:
    from local.embedded_cloud import Credentials

NAME: Final = "rekeyed"
ACCOUNT: Final = "dealer-of-keys"
CREDENTIALS: Final = f"{NAME}/credentials/{ACCOUNT}"
USER: Final = {"grant_type": "password", "username": "u@example.com", "password": "right"}
# The clone's own `make deploy` would build once more what is built.
SHELL: Final = """
make() { shift; command make --directory "$ROOT" deploy-stacks "$@"; }
"""


def steps() -> list[str]:
    """The commands of each step, for this stack and its prefix."""
    document = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    section = document.split("\n#### To change a key later\n")[1].split("\n### ")[0]
    blocks = re.findall(r"```sh\n(.*?)\n +```", section, re.DOTALL)
    return [
        each.replace("token-refresher", NAME).replace("oauth/credentials/", f"{NAME}/credentials/")
        for each in blocks
    ]


class Rekeyed:
    """A stack with one account, and a person who changes its key."""

    def __init__(self, aws: LocalAws) -> None:
        self.aws = aws
        self.kms = aws.cloud.client("kms")
        self.old, self.new = (self.kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2))
        parameters = {"SecretPrefix": NAME, "CredentialsKmsKeyArn": self.old}
        self.stack = Stack(aws, {"ScheduleMinutes": "15", **parameters}, name=NAME)
        self.stack.make("deploy-stacks")
        self.stack.register(ACCOUNT, users={"u@example.com": "right"})
        own = {
            "token_endpoint": aws.server.token_endpoint,
            "client_id": ACCOUNT,
            "client_secret": f"secret-of-{ACCOUNT}",
        }
        text = json.dumps({**own, **USER})
        aws.secrets.create_secret(Name=CREDENTIALS, SecretString=text, KmsKeyId=self.old)

    def person(self, name: str, *on_the_new_key: str) -> Credentials:
        """Somebody who may change the secret, and use its keys through Secrets Manager."""
        via = {"StringLike": {"kms:ViaService": "secretsmanager.*"}}
        allowed = {
            self.old: ["kms:Decrypt"],
            self.new: ["kms:Decrypt", "kms:GenerateDataKey", *on_the_new_key],
        }
        statements: list[dict[str, Any]] = [
            {"Effect": "Allow", "Action": "secretsmanager:*", "Resource": "*"},
            *(
                {"Effect": "Allow", "Action": actions, "Resource": key, "Condition": via}
                for key, actions in allowed.items()
            ),
        ]
        return self.aws.assumable_role(name, changes=statements)

    def take(self, step: str, credentials: Credentials = OWNER) -> str:
        """Take a step, as it is pasted, and return what is printed."""
        shell = self.stack.environment()
        tools = ROOT / ".venv-deploy" / "bin"
        own = {"PATH": f"{tools}:{shell['PATH']}", "AWS_CONFIG_FILE": os.devnull}
        keys = {"OLD_KEY": self.old, "NEW_KEY": self.new, "ROOT": str(ROOT)}
        done = subprocess.run(  # noqa: S603 - the document's own
            ["bash", "-eu", "-o", "pipefail", "-c", SHELL + step],  # noqa: S607
            env={**shell, **self.aws.cloud.environment(credentials), **own, **keys},
            capture_output=True,
            text=True,
            check=False,
            timeout=MAKE_WITHIN_SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def refresh(self) -> str:
        """Let the function refresh the account, and tell what became of it."""
        told = self.stack.invoke({"accounts": [ACCOUNT], "force": True})
        [account] = told["accounts"]
        outcome: str = account["outcome"]
        return outcome

    def keys(self, printed: str) -> dict[str, list[str]]:
        """The keys of each stage, as the fourth step prints them."""
        pairs = (line.split(maxsplit=1) for line in printed.splitlines())
        return {stage: json.loads(keys) for stage, keys in pairs}


@pytest.fixture
def rekeyed(aws: LocalAws, _built: str) -> Rekeyed:
    return Rekeyed(aws)


def test_the_documented_steps_give_credentials_another_key_and_no_run_fails_meanwhile(
    rekeyed: Rekeyed,
) -> None:
    allow, deploy, update, look, take_away = steps()
    assert rekeyed.refresh() == "published"
    rekeyed.take(allow)
    rekeyed.take(deploy)
    assert rekeyed.refresh() == "published"

    rekeyed.take(update, rekeyed.person("may-not-encrypt"))
    before = rekeyed.keys(rekeyed.take(look))
    assert before["AWSCURRENT"] == [rekeyed.old], "silently, without kms:Encrypt"

    rekeyed.take(update, rekeyed.person("may-encrypt", "kms:Encrypt"))
    after = rekeyed.keys(rekeyed.take(look))
    assert rekeyed.new in after["AWSCURRENT"]
    rekeyed.take(take_away)
    rekeyed.kms.disable_key(KeyId=rekeyed.old)
    assert rekeyed.aws.secrets.get_secret_value(SecretId=CREDENTIALS)["SecretString"]
    rekeyed.stack.make("undeploy")
