"""The handler, in process and under the runtime client, against moto."""

from tests.integration.test_handler import *  # noqa: F403 - the same tests
