"""`python -m irno_graph.cli`, for `torchrun -m irno_graph.cli`: of several processes only the first one speaks."""

import os
import sys

from irno_graph.cli import main

if __name__ == "__main__":
    if os.environ.get("RANK", "0") != "0":
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    main()
