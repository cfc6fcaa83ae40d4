"""Data on the sphere: shallow-water flows of the rotating earth, solved by torch-harmonics' spectral solver."""

from irno_graph.data.sphere.flow import ShallowWater
from irno_graph.data.sphere.shallow_water import generate

__all__ = ["ShallowWater", "generate"]
