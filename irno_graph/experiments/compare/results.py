"""What earlier comparisons left in a file, beside what a new one gives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def with_earlier(path: Path, results: Mapping[str, Any]) -> dict[str, Any]:
    """`results` by name, and those of other names that the JSON file `path` has already, in the order of names.

    Comparisons that take hours are thus run one by one, or on several machines.

    Raises:
        ValueError: if the file is there and does not hold results of comparisons.
    """
    return dict(sorted({**earlier(path), **results}.items()))


def earlier(path: Path) -> dict[str, Any]:
    """Results of comparisons by name in the JSON file `path`, none where there is no file.

    Raises:
        ValueError: if the file does not hold results of comparisons.
    """
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        known = all(own["config"]["name"] == name and own["command"] for name, own in found.items())
    except (ValueError, KeyError, TypeError, AttributeError):
        known = False
    if not known:
        raise ValueError(
            f"`{path}` should hold results of comparisons by name: move it, or choose another `--out`."
        )
    return dict(found)
