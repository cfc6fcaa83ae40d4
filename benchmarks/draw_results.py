"""Draw curves.png and errors.png of a results folder from its metrics files and test.json.

python benchmarks/draw_results.py docs/results/ce_gauss_small
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from irno_graph.report import error_figure, training_figure, write_figure

RUNS = {
    "base": "base",
    "control": "control",
    "control, on": "control_on",
    "corrector": "corrector",
    "corrector, on": "corrector_on",
}


def main(folder: Path) -> None:
    """Write both pictures beside the figures that they show."""
    logs = {label: folder / f"{name}_metrics.csv" for label, name in RUNS.items()}
    write_figure(training_figure(logs), folder / "curves.png")
    write_figure(
        error_figure(json.loads((folder / "test.json").read_text(encoding="utf-8"))), folder / "errors.png"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
