"""The configuration file, and what counts where several places are named."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.operator import parsed
from token_refresher_cli.config_file import KEYS, ConfigFileError, find, read
from token_refresher_cli.target import Target, choose

if TYPE_CHECKING:
    from tests.cli.operator import Operator

FILE = {"profile": "f-profile", "region": "eu-file-1", "stack": "f-stack"}
ROOM = "/people/u"


def come_to(
    options: dict[str, str], variables: dict[str, str], file: dict[str, str]
) -> dict[str, str]:
    """What a command's place comes to, by those of its parts that are named."""
    target = choose(options, variables, file, path="the file")
    values = {name: getattr(target, name) for name in (*KEYS, "config_file")}
    return {name: value for name, value in values.items() if value is not None}


@pytest.mark.parametrize(
    ("options", "variables", "file", "expected"),
    [
        pytest.param({}, {}, {}, {}, id="nothing is named: the settings of the shell"),
        pytest.param({}, {}, FILE, {**FILE, "config_file": "the file"}, id="the file alone"),
        pytest.param(
            {"stack": "o"},
            {"TOKEN_REFRESHER_PREFIX": "v", "TOKEN_REFRESHER_STACK": "v-stack"},
            {"stack": "f", "prefix": "f/p"},
            {"stack": "o"},
            id="a stack by option meets no prefix that was meant for another",
        ),
        pytest.param(
            {"prefix": "o"},
            {"TOKEN_REFRESHER_STACK": "v"},
            {"stack": "f"},
            {"prefix": "o"},
            id="a prefix by option meets no stack that looks after another",
        ),
        pytest.param(
            {"stack": "o", "prefix": "o/p"},
            {"TOKEN_REFRESHER_PREFIX": "v"},
            {"stack": "f"},
            {"stack": "o", "prefix": "o/p"},
            id="both by option are what was typed",
        ),
        pytest.param(
            {},
            {"TOKEN_REFRESHER_STACK": "v"},
            {"stack": "f", "prefix": "f/p"},
            {"stack": "v"},
            id="a stack by variable meets no prefix of the file",
        ),
        pytest.param(
            {},
            {"TOKEN_REFRESHER_PREFIX": "v"},
            {"stack": "f"},
            {"prefix": "v"},
            id="a prefix by variable meets no stack of the file",
        ),
        pytest.param(
            {},
            {"TOKEN_REFRESHER_STACK": "v", "TOKEN_REFRESHER_PREFIX": "v/p"},
            {"stack": "f"},
            {"stack": "v", "prefix": "v/p"},
            id="both by variables are what was set",
        ),
        pytest.param(
            {"stack": ""},
            {"TOKEN_REFRESHER_STACK": "v"},
            {"stack": "f", "prefix": "f/p"},
            {},
            id="an empty option asks for no stack and no prefix of a stack's",
        ),
        pytest.param(
            {},
            {"TOKEN_REFRESHER_STACK": "", "AWS_REGION": "", "AWS_PROFILE": ""},
            {"stack": "f", "region": "eu-file-1"},
            {"stack": "f", "region": "eu-file-1", "config_file": "the file"},
            id="an empty variable is as good as not set",
        ),
        pytest.param(
            {"region": "eu-option-1"},
            {"AWS_REGION": "eu-variable-1"},
            FILE,
            {**FILE, "region": "eu-option-1", "config_file": "the file"},
            id="another Region leaves profile and stack",
        ),
        pytest.param(
            {},
            {"AWS_REGION": "eu-1", "AWS_DEFAULT_REGION": "eu-2"},
            {"region": "eu-file-1"},
            {"region": "eu-1"},
            id="AWS_REGION is the first variable",
        ),
        pytest.param(
            {},
            {"AWS_DEFAULT_REGION": "eu-2"},
            {"region": "eu-file-1"},
            {"region": "eu-2"},
            id="AWS_DEFAULT_REGION the second",
        ),
        pytest.param(
            {"profile": "other"},
            {},
            {"profile": "f-profile", "region": "eu-file-1"},
            {"profile": "other"},
            id="a profile by option has its own Region, not another profile's",
        ),
        pytest.param(
            {},
            {"AWS_PROFILE": "other"},
            {"profile": "f-profile", "region": "eu-file-1"},
            {"profile": "other"},
            id="a profile by variable likewise",
        ),
        pytest.param(
            {"profile": "f-profile"},
            {},
            {"profile": "f-profile", "region": "eu-file-1"},
            {"profile": "f-profile", "region": "eu-file-1", "config_file": "the file"},
            id="the same profile keeps the file's Region",
        ),
        pytest.param(
            {"profile": "other"},
            {},
            {"region": "eu-file-1"},
            {"profile": "other", "region": "eu-file-1", "config_file": "the file"},
            id="a Region that belongs to no profile counts for any",
        ),
        pytest.param(
            {},
            {"AWS_ACCESS_KEY_ID": "AKIAINVENTED"},
            {"profile": "f-profile", "region": "eu-file-1"},
            {},
            id="keys in the environment are not overruled by the file's profile",
        ),
        pytest.param(
            {},
            {"AWS_ACCESS_KEY_ID": "AKIAINVENTED", "AWS_PROFILE": "v"},
            {},
            {},
            id="nor by a profile in the environment, which AWS lets them overrule",
        ),
        pytest.param(
            {"profile": "o"},
            {"AWS_ACCESS_KEY_ID": "AKIAINVENTED", "AWS_PROFILE": "v"},
            {},
            {"profile": "o"},
            id="but by one that was typed",
        ),
        pytest.param(
            {},
            {"AWS_PROFILE": "v", "AWS_DEFAULT_PROFILE": "w"},
            {},
            {"profile": "w"},
            id="two profiles in the environment count as AWS counts them",
        ),
    ],
)
def test_what_counts_where_several_places_are_named(
    options: dict[str, str],
    variables: dict[str, str],
    file: dict[str, str],
    expected: dict[str, str],
) -> None:
    assert come_to(options, variables, file) == expected


def test_a_printed_command_leads_to_the_same_place_on_a_machine_that_names_another() -> None:
    elsewhere = {"TOKEN_REFRESHER_STACK": "theirs", "AWS_REGION": "us-east-1", "AWS_PROFILE": "t"}
    for here in (
        Target("my profile", "eu-west-1", None, "it's", "team/oauth", "eu-west-1"),
        Target("p", None, None, None, "oauth", "eu-west-1"),
        Target("p", "eu-west-1", "team/oauth", "s", "team/oauth", "eu-west-1"),
    ):
        given = parsed(shlex.split(here.command("status", "-dealer+1=x")))
        typed = {name: given[name] for name in KEYS if given[name] is not None}
        there = choose(typed, elsewhere, {"prefix": "theirs"})
        assert (there.profile, there.region) == (here.profile, here.aws_region)
        assert there.stack == here.stack
        assert there.prefix == (here.prefix if here.stack else here.secret_prefix)
        assert given["names"] == ["-dealer+1=x"]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"HOME": ROOM}, f"{ROOM}/.config/token-refresher/config.toml"),
        ({"HOME": ROOM, "XDG_CONFIG_HOME": "/etc/u"}, "/etc/u/token-refresher/config.toml"),
        (
            {"HOME": ROOM, "XDG_CONFIG_HOME": "not-absolute"},
            f"{ROOM}/.config/token-refresher/config.toml",
        ),
        ({"HOME": ROOM, "TOKEN_REFRESHER_CONFIG": "/etc/t.toml"}, "/etc/t.toml"),
    ],
)
def test_the_file_is_the_users_own(variables: dict[str, str], expected: str) -> None:
    assert find(variables) == Path(expected)


def test_without_a_home_there_is_no_file() -> None:
    assert find({}) is None
    assert read(None, is_named=False) == {}


def test_a_file_is_never_looked_for_in_the_current_directory() -> None:
    with pytest.raises(ConfigFileError, match="TOKEN_REFRESHER_CONFIG must be an absolute path"):
        find({"TOKEN_REFRESHER_CONFIG": "config.toml", "HOME": ROOM})


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'stak = "made-up"', "line 1: `stak` is not known; did you mean `stack`?"),
        (
            b'\n\naws_region = "made-up"',
            "`aws_region` is not known; did you mean `region`?",
        ),
        (b'TOKEN_REFRESHER_STACK = "made-up"', "did you mean `stack`?"),
        (
            b'refresh_before = "1"',
            "line 1: `refresh_before` is not known; it takes ",
        ),
        (b'stack = "s"\n[dev]\nprefix = "p"', "line 2: `dev` is not known; it takes profile, "),
        (b'"made up" = "x"', "line 1: a key is not known"),
        (b'region = "r"\nstack = 7', "line 2: stack takes a text in quotes"),
        (b'stack = ""', "line 1: stack takes a text in quotes, not empty"),
        (
            b'stack = " made-up"',
            "line 1: stack takes a text in quotes, not empty and without",
        ),
        (b'stack = ["made-up"]', "line 1: stack takes a text in quotes"),
        (b'region = "r"\nstack = made-up', "line 2, column 9: not TOML; each line is KEY = "),
        ("stack = \u201cmade-up\u201d".encode(), "line 1, column 9: not TOML"),
        (b'stack = "a"\nstack = "b"', "not TOML or a key is given twice"),
        (b'stack = "made-up', "not TOML"),
        (b"\xff\xfes\x00", "is not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_by_file_line_and_key(
    tmp_path: Path, content: bytes, told: str
) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigFileError) as raised:
        read(path, is_named=False)
    assert str(raised.value).startswith(str(path))
    assert told in str(raised.value)
    assert "made-up" not in str(raised.value)


def test_what_editors_of_windows_write_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b'\xef\xbb\xbfstack = "s"\r\n# yes\r\nregion = "eu-west-1"\r\n')
    assert read(path, is_named=True) == {"stack": "s", "region": "eu-west-1"}


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    assert read(path, is_named=False) == {}
    with pytest.raises(ConfigFileError, match="there is no such file; TOKEN_REFRESHER_CONFIG"):
        read(path, is_named=True)
    with pytest.raises(ConfigFileError, match="cannot be read: Is a directory"):
        read(tmp_path, is_named=True)


def test_a_command_works_where_the_file_says_and_tells_so(
    operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.toml"
    path.write_text('prefix = "team/oauth"\n')
    monkeypatch.setenv("TOKEN_REFRESHER_CONFIG", str(path))
    operator.secrets.create_secret(Name="team/oauth/credentials/of-team")
    said = operator.says("status")
    assert "of-team" in said
    assert "prefix team/oauth, endpoint http" in said
    assert said.endswith(f", by the file {path}\n")
    assert operator.tells("status --prefix mine")["looked_in"]["config_file"] is None
    missing = operator.run("check of-team")
    assert missing.stderr.endswith(
        "Add them: token-refresher add of-team --region eu-west-1 --prefix team/oauth\n"
    )


def test_a_stack_that_only_the_file_names_and_that_is_not_there_is_told_with_the_file(
    operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.toml"
    path.write_text('stack = "not-there"\n')
    monkeypatch.setenv("TOKEN_REFRESHER_CONFIG", str(path))
    refused = operator.run("status")
    assert refused.exit_code == 3
    assert (
        f"There is no function not-there in eu-west-1. See {path}, too.\n{path} names the stack: "
        "check first the name, the Region and the AWS account (aws sts get-caller-identity"
        in refused.stderr
    )
    assert refused.stderr.endswith(
        "not deployed yet, in a clone of this project: "
        "make deploy AWS_REGION=eu-west-1 STACK=not-there\n"
    )


def test_a_broken_file_stops_a_command_before_anything_is_done(
    operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.toml"
    path.write_text('stak = "s"\n')
    monkeypatch.setenv("TOKEN_REFRESHER_CONFIG", str(path))
    refused = operator.run("status")
    assert (refused.exit_code, refused.stdout) == (3, "")
    assert refused.stderr == f"{path}, line 1: `stak` is not known; did you mean `stack`?\n"
