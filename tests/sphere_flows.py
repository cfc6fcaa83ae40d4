"""A shallow-water flow that is solved in a fraction of a second, and the mark of tests that solve one."""

from importlib import util

import pytest

from irno_graph.data.sphere import ShallowWater

SMALL = ShallowWater(degrees=6, solver_nlat=16, time_step=1200)  # 11 degrees


def needs_harmonics(test):
    """For `make test-sphere`; skipped without torch-harmonics."""
    there = util.find_spec("torch_harmonics") is not None
    return pytest.mark.extras(pytest.mark.skipif(not there, reason="torch-harmonics is not installed")(test))
