"""Figures that are measured once, and again when what they depend on has changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from irno_graph.experiments.demo import write_json


def kept(
    file: Path, settings: Any, sources: Sequence[Path], measure: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """The figures in `file`, or, where it is missing or of other settings or sources, those of `measure`, now there."""
    key = key_of(settings, sources)
    known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if known.get("key") != key:
        known = {"key": key, "figures": measure()}
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, known)
        known = json.loads(file.read_text(encoding="utf-8"))
    return known["figures"]


def key_of(settings: Any, sources: Sequence[Path]) -> str:
    """Changes with the settings, which JSON can hold, and with the bytes of the files."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for source in sources:
        digest.update(source.read_bytes() if source.is_file() else b"missing")
    return digest.hexdigest()
