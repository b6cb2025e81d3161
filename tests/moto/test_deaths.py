"""Real processes that die, against moto."""

from tests.resilience.test_deaths import *  # noqa: F403 - the same tests
