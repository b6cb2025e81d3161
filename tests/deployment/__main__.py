"""What ``make failures`` runs: see `failure_stories`."""

import sys

import tests.conftest  # noqa: F401 - names a Region, without which no client can be made
from tests.deployment.failure_stories import main

sys.exit(main())
