"""What ``make providers`` runs: see `report`."""

import sys

import tests.conftest  # noqa: F401 - names a Region, without which no client can be made
from tests.providers.report import main

sys.exit(main())
