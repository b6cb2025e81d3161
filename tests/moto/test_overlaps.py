"""Real processes that sweep the same accounts at once, against moto."""

from tests.resilience.test_overlaps import *  # noqa: F403 - the same tests
