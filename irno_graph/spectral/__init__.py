"""Spectra of a mesh: its Laplacian, the basis of its eigenvectors, and bands without eigenvectors."""

from irno_graph.spectral.bands import band_energies, eigenbases
from irno_graph.spectral.chebyshev import ChebyshevBank, jackson_steps, octaves, smooth_steps, wavelets
from irno_graph.spectral.eigenbasis import EigenBasis
from irno_graph.spectral.grid import grid_band_energy, grid_frequencies
from irno_graph.spectral.laplacian import laplacian, largest_eigenvalue
from irno_graph.spectral.solver import EigenError
from irno_graph.spectral.sphere import degree_energy

__all__ = [
    "ChebyshevBank",
    "EigenBasis",
    "EigenError",
    "band_energies",
    "degree_energy",
    "eigenbases",
    "grid_band_energy",
    "grid_frequencies",
    "jackson_steps",
    "laplacian",
    "largest_eigenvalue",
    "octaves",
    "smooth_steps",
    "wavelets",
]
