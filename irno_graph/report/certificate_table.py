"""A table of certificates, for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.table import Table

COLUMNS = {
    "q": "q",
    "bias": "|b|",
    "monotonicity": "m",
    "alpha_max": "max alpha",
    "floor": "floor",
    "limit_error": "|y - h*|",
    "contraction": "rate",
}


def certificate_table(result: Mapping[str, Any]) -> Table:
    """A row per sample; `result` as `experiments.certification.to_json` gives it."""
    table = Table(
        title=f"Refinement with alpha = {result['alpha']:g} near its limit",
        caption="\n".join(f"{name}: {text}" for name, text in result["sentences"].items()),
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE,
        collapse_padding=True,
        pad_edge=False,
    )
    table.add_column("sample", justify="right")
    for label in COLUMNS.values():
        table.add_column(label, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for number, verdict in enumerate(result["verdict"]):
        values = (result[name][number] for name in COLUMNS)
        table.add_row(str(number), *("-" if value is None else f"{value:.3g}" for value in values), verdict)
    return table
