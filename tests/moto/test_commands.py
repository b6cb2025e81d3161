"""The command line against moto."""

from tests.cli.test_commands import *  # noqa: F403 - the same tests
