"""The experiment that the library is for: CE-Gauss rollouts refined on irregular meshes, with every control."""

from irno_graph.experiments.ce_gauss.config import CEGaussConfig, Variant, read_ce_gauss_config
from irno_graph.experiments.ce_gauss.run import measure_all, run_ce_gauss

__all__ = ["CEGaussConfig", "Variant", "measure_all", "read_ce_gauss_config", "run_ce_gauss"]
