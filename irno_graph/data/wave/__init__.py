"""The wave equation on meshes, in periodic boxes and on the sphere, by linear elements and leap-frog."""

from irno_graph.data.wave.domain import Domain
from irno_graph.data.wave.equation import WaveEquation
from irno_graph.data.wave.generate import generate
from irno_graph.data.wave.initial import Waves

__all__ = ["Domain", "WaveEquation", "Waves", "generate"]
