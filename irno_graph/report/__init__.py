"""Reports: tables for the terminal and figures, made from an evaluation in its JSON form."""

from irno_graph.report.certificate_table import certificate_table
from irno_graph.report.figures import error_figure, rollout_figure, training_figure, write_figure
from irno_graph.report.flow_table import flow_markdown, flow_table
from irno_graph.report.tables import comparison_tables, markdown_table

__all__ = [
    "certificate_table",
    "comparison_tables",
    "error_figure",
    "flow_markdown",
    "flow_table",
    "markdown_table",
    "rollout_figure",
    "training_figure",
    "write_figure",
]
