"""Incompressible flows in the periodic unit square, NS-Gauss, solved by Fourier modes."""

from irno_graph.data.navier_stokes.ns_gauss import generate, sample_trajectories

__all__ = ["generate", "sample_trajectories"]
