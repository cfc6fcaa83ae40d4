"""Tables of what `--flow` measures: fluctuations, the data set's deviation, RIGNO's metric, frequency bands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich import box
from rich.table import Table

from irno_graph.report.tables import table_lines

HEAD = ("field", "rollout", "fluct.", "std", "RIGNO")

CAPTION = (
    "fluct.: relative to the fluctuation about the data's mean; std: to its standard deviation in the data; RIGNO: "
    "its metric. Right: relative to the fluctuation in each band of frequencies, the truth's energy there in brackets."
)


def flow_table(flow: Mapping[str, Any]) -> Table:
    """Errors in per cent at the last time step, a row for each group and rollout.

    Args:
        flow: in the JSON form of `experiments.flow_reports.LastStates`.
    """
    table = Table(
        title=f"Errors in % at time step {flow['time_step']}",
        caption=CAPTION,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE,
        collapse_padding=True,
        pad_edge=False,
    )
    head, rows = _head(flow), list(_rows(flow))
    for place, name in enumerate(head):
        table.add_column(name, justify="left" if place < 2 else "right", no_wrap=True)
    for place, row in enumerate(rows):
        last = place + 1 == len(rows) or bool(rows[place + 1][0])
        table.add_row(*row, end_section=last)
    return table


def flow_markdown(flow: Mapping[str, Any]) -> str:
    """The same figures as a Markdown table."""
    return table_lines(_head(flow), list(_rows(flow)))


def _head(flow: Mapping[str, Any]) -> list[str]:
    return [*HEAD, *(f"to {frequency:.3g}" for frequency in flow["frequencies"])]


def _rows(flow: Mapping[str, Any]) -> Iterator[list[str]]:
    """For each group a row per rollout, and one of the truth's energy per band."""
    rollouts = flow["rollouts"]
    for group in next(iter(rollouts.values()))["relative"]:
        for place, (name, own) in enumerate(rollouts.items()):
            numbers = [own[measure].get(group, "-") for measure in ("relative", "scaled", "published")]
            cells = [_cell(number) for number in [*numbers, *own["bands"][group]]]
            yield [group if place == 0 else "", name, *cells]
        yield ["", "energy", "", "", "", *(f"({100 * share:.2g})" for share in flow["share"][group])]


def _cell(value: float | str | None) -> str:
    if value is None:
        return "ended"
    return value if isinstance(value, str) else f"{100 * value:.3g}"
