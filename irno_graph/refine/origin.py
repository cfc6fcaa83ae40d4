"""What code writes a file: versions, and the commit of the checkout that it runs from."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

PACKAGES = ("irno-graph", "torch", "torch-geometric")
HERE = Path(__file__)


def versions() -> dict[str, str]:
    """Of this package and of what its models stand on."""
    return {name: metadata.version(name) for name in PACKAGES}


@cache
def commit() -> str | None:
    """The commit (40 digits) of the git checkout that this package is imported from, None where it is no such file.

    "-dirty" follows where files of the checkout are changed. It is looked up once per process, the first time.
    """
    tracked = _git("ls-files", "--error-unmatch", HERE.name) is not None
    if not tracked:  # a folder of installed packages inside other code
        return None
    return _git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def _git(*arguments: str) -> str | None:
    outside = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "--no-optional-locks", "-C", str(HERE.parent), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10, env=outside)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
