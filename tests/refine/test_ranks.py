"""Ranks of torch.distributed that share the parts of a graph all have the result of the whole."""

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("one_rank.py")
RANKS = 2


def test_two_ranks_have_the_values_and_gradients_of_the_whole(tmp_path):
    outs = [tmp_path / f"{rank}.json" for rank in range(RANKS)]
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": str(Path(__file__).parents[2])}
    started = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), str(rank), str(RANKS), str(tmp_path / "store"), str(out)],
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for rank, out in enumerate(outs)
    ]
    for process in started:
        try:
            _, said = process.communicate(timeout=900)
        except subprocess.TimeoutExpired:
            for other in started:
                other.kill()
            raise
        assert process.returncode == 0, said
    for out in outs:
        found = json.loads(out.read_text())
        assert "2 or more, one for each rank, got 1" in found.pop("too few")
        assert len(found) == 3
        for case, (*values, gradients) in found.items():
            assert max(values) < 1e-12, case
            assert gradients < 1e-10, case
