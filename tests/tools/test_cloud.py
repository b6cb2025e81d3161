"""What `make cloud` says and writes: any shell reads it, and then all programs trust the server."""

from __future__ import annotations

import re
import shlex
import shutil
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from local.stack import Stack
from tools import cloud
from tools.templates import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CALL: Final = """
import os, ssl, urllib.error, urllib.request
context = ssl.create_default_context()
assert len(context.get_ca_certs()) > 50, "the public authorities are trusted, too"
try:
    urllib.request.urlopen(os.environ["API"], timeout=10)
except urllib.error.HTTPError as error:
    print(error.code)
"""

# As the program does: by HTTP Basic, first with a password and then with what came back.
GRANTS: Final = """
import json, os, urllib.parse, urllib.request

def asked(**fields):
    passwords = urllib.request.HTTPPasswordMgrWithPriorAuth()
    client = os.environ["CLIENT_ID"]
    passwords.add_password(
        None, os.environ["TOKEN_ENDPOINT"], client, f"secret-of-{client}", is_authenticated=True
    )
    opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(passwords))
    body = urllib.parse.urlencode(fields).encode()
    with opener.open(os.environ["TOKEN_ENDPOINT"], body, timeout=10) as response:
        return json.load(response)

user = os.environ["TOKEN_USER"]
first = asked(grant_type="password", username=user, password=f"password-of-{user}")
second = asked(grant_type="refresh_token", refresh_token=first["refresh_token"])
print(len({first["access_token"], second["access_token"]}))
"""


@pytest.fixture
def variables(tmp_path: Path) -> Path:
    """The file, in a directory whose name a shell would split or take for more."""
    directory = tmp_path / "it's a #1"
    directory.mkdir()
    return directory / "cloud.env"


@pytest.fixture
def said(variables: Path) -> Iterator[str]:
    """What it says, while it runs."""
    command = [sys.executable, "-m", "tools.cloud", "--variables", str(variables)]
    environment = {**Stack.clean_environment(), "PYTHONPATH": "functions"}
    with subprocess.Popen(  # noqa: S603
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        try:
            yield "".join(iter(running.stdout.readline, cloud.READY.splitlines()[-1] + "\n"))
        finally:
            running.terminate()
    assert running.returncode == 0
    assert not variables.exists()


def shells() -> list[str]:
    return [found for name in ("sh", "bash", "zsh", "dash") if (found := shutil.which(name))]


def test_any_shell_reads_it_with_the_one_line_that_is_said(said: str, variables: Path) -> None:
    [line] = re.findall(r"^    (\. .*)$", said, re.MULTILINE)
    written = variables.read_text()
    expected = dict(shlex.split(each)[1].split("=", 1) for each in written.splitlines())
    assert expected["DEFAULT_PARAMETERS"].startswith("AllowedTokenHosts=localhost:")
    assert expected.keys() >= {"AWS_ENDPOINT_URL", "TOKEN_REFRESHER_STACK", "SSL_CERT_FILE"}
    for shell in shells():
        # As it is pasted, without what a script may do and a terminal may not.
        done = subprocess.run(  # noqa: S603
            [shell, "-c", f"{line}\nexec {shlex.quote(sys.executable)} -c {shlex.quote(CALL)}"],
            env={},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.stdout, done.stderr) == ("401\n", ""), shell


@pytest.mark.slow
def test_its_server_knows_a_user_whose_tokens_come_with_refresh_tokens(
    said: str, variables: Path
) -> None:
    assert "password-of-" in said
    line = f". {shlex.quote(str(variables))}\nexec {shlex.quote(sys.executable)} -c "
    done = subprocess.run(  # noqa: S603
        ["/bin/sh", "-c", line + shlex.quote(GRANTS)],
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("2\n", "")


def test_what_is_written_holds_neither_comments_nor_quotes_that_a_terminal_could_misread(
    said: str, variables: Path
) -> None:
    assert said
    for line in variables.read_text().splitlines():
        assert re.fullmatch(r"export \w+=('[^'#!]*'|[^\s'\"#!]*)", line), line


def test_a_second_one_is_refused_and_the_first_keeps_what_it_has_written(
    said: str, variables: Path
) -> None:
    assert said
    written = variables.read_text()
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "tools.cloud", "--variables", str(variables)],
        cwd=ROOT,
        env={**Stack.clean_environment(), "PYTHONPATH": "functions"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("A local AWS runs already, and ")
    assert variables.read_text() == written


def test_what_one_that_was_killed_has_left_behind_is_in_nobodys_way(variables: Path) -> None:
    assert not cloud.is_in_use(variables)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        variables.write_text(cloud.exports({"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}))
        assert not cloud.is_in_use(variables)
        bound.listen()
        assert cloud.is_in_use(variables)
    variables.write_text("export OF_SOMETHING=else\n")
    assert not cloud.is_in_use(variables)


def test_it_says_what_to_type_and_how_it_ends_in_eighty_columns() -> None:
    said = cloud.READY.format(variables="./cloud.env", client=cloud.CLIENT_ID, user=cloud.USER)
    assert "secret-of-my-client" in said
    assert "Ctrl-C" in said
    assert max(map(len, said.splitlines())) <= 80
