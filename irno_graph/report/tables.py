"""Tables of rollout errors, for the terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

COLUMNS = 7  # time steps beside each other
ROWS = (
    ("base", "base", False),
    ("refined", "refined", False),
    ("gain", "gain", True),
    ("control", "control", False),
    ("control_gain", "control gain", True),
)


def comparison_tables(result: Mapping[str, Any]) -> Iterator[Table]:
    """Relative errors of base, refined and control, and gains, in per cent: a column for each time step.

    Args:
        result: an evaluation in its JSON form, with lists `base`, `refined`, `gain` (and `control`,
            `control_gain`) for each entry of `groups`. Long rollouts give several tables.
    """
    for first in range(0, int(result["time_steps"]), COLUMNS):
        yield _block(result, range(first, min(first + COLUMNS, int(result["time_steps"]))))


def markdown_table(result: Mapping[str, Any]) -> str:
    """The same figures as one Markdown table, a row for each time step; `result` as for `comparison_tables`."""
    groups = result["groups"]
    keys = [row for row in ROWS if row[0] in next(iter(groups.values()))]
    head = ["t", *(f"{group}: {label}" for group in groups for _, label, _ in keys)]
    lines = [head, ["--:"] * len(head)]
    for step in range(int(result["time_steps"])):
        cells = [
            _gain(entry[key][step]) if is_gain else _error(entry[key][step])
            for entry in groups.values()
            for key, _, is_gain in keys
        ]
        lines.append([str(step + 1), *(cell.plain for cell in cells)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def table_lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table of cells: the first column to the left, the others to the right.

    >>> print(table_lines(["x", "y"], [["a", "1"]]), end="")
    | x | y |
    | -- | --: |
    | a | 1 |
    """
    lines = [head, ["--"] + ["--:"] * (len(head) - 1), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _block(result: Mapping[str, Any], steps: Sequence[int]) -> Table:
    samples, count = int(result["samples"]), int(result["steps"])
    table = Table(
        title=f"Relative L2 error in % at each time step (trajectories: {samples}, K = {count})",
        caption=_caption(result.get("ended", {})),
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE,
        collapse_padding=True,
        pad_edge=False,
    )
    table.add_column("field", no_wrap=True)
    table.add_column("step", no_wrap=True)  # one of ROWS
    for step in steps:
        table.add_column(str(step + 1), justify="right", no_wrap=True)
    for group, entry in result["groups"].items():
        shown = [row for row in ROWS if row[0] in entry]
        for place, (key, label, is_gain) in enumerate(shown):
            cells = [_gain(entry[key][step]) if is_gain else _error(entry[key][step]) for step in steps]
            name = Text(group, style="bold") if place == 0 else Text("")
            table.add_row(name, label, *cells, end_section=place == len(shown) - 1)
    return table


def _error(value: float | None) -> Text:
    return Text("ended", style="red") if value is None else Text(f"{100 * value:.{_decimals(100 * value)}}")


def _gain(value: float | None) -> Text:
    if value is None:
        return Text("-")
    return Text(f"{value:+.{_decimals(value)}}", style="green" if value > 0 else "red")


def _decimals(value: float) -> str:
    """Format that keeps a number within six characters."""
    return "2f" if abs(value) < 10 else "1f" if abs(value) < 100 else "0f" if abs(value) < 1e4 else "0e"


def _caption(ended: Mapping[str, int]) -> str | None:
    lost = [f"{count} of {name}" for name, count in ended.items() if count]
    return f"Rollouts that became NaN or infinite: {', '.join(lost)}." if lost else None
