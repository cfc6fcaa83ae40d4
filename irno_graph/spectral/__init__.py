"""Spectra of a mesh: its Laplacian and the basis of its eigenvectors."""

from irno_graph.spectral.eigenbasis import EigenBasis
from irno_graph.spectral.laplacian import laplacian, largest_eigenvalue

__all__ = ["EigenBasis", "laplacian", "largest_eigenvalue"]
