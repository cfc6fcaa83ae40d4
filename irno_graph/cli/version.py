"""`irno-graph version`."""

from __future__ import annotations

import platform
from importlib import metadata

from irno_graph.cli.console import console


def version() -> None:
    """Versions of this package and of what it stands on."""
    for name in ("irno-graph", "torch", "torch-geometric", "numpy"):
        console.print(f"{name:<16}{metadata.version(name)}", markup=False)
    console.print(f"{'python':<16}{platform.python_version()}", markup=False)
