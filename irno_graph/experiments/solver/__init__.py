"""The experiment about the refinement as a solver: certificates, step sizes, acceleration, guard, long rollouts."""

from irno_graph.experiments.solver.config import SolverConfig, read_solver_config
from irno_graph.experiments.solver.run import PARTS, run_solver

__all__ = ["PARTS", "SolverConfig", "read_solver_config", "run_solver"]
