"""A second AWS: moto's server, a process of its own, on a loopback port.

Strangers wrote it, so it shares no misunderstanding of AWS with the embedded cloud. Policies do
not count there, and no function runs in it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from typing_extensions import override

from local.embedded_cloud import ROOT, EmbeddedCloud, EmbeddedCloudError

if TYPE_CHECKING:
    import subprocess
    from datetime import timedelta
    from pathlib import Path


class MotoCloud(EmbeddedCloud):
    """moto's server, which lives as long as the ``with`` block, or as this process."""

    _HEALTH = "/moto-api/data.json"
    _RESET = "/moto-api/reset"

    @override
    def advance(self, by: timedelta) -> None:
        """Refuse: nothing in moto gets older."""
        raise EmbeddedCloudError("moto has no clock that could be put ahead.")

    @override
    def _python(self) -> Path:
        python = ROOT / ".venv-moto" / "bin" / "python"
        if not python.exists():
            raise EmbeddedCloudError(f"There is no moto at {python}. Make it with: make setup")
        return python

    @override
    def _launch(self, python: Path, state: Path, bound: int) -> subprocess.Popen[bytes]:
        environment = {
            "PATH": os.defpath,
            "HOME": str(state),
            "TMPDIR": str(state),
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        return self._run([python, "-m", "local.moto_server"], state, environment, bound)
