"""Meshes: points and cells, their files, and periodic boxes. Needs numpy, scipy, meshio and h5py only."""

from irno_graph.mesh.io import read_mesh, write_mesh, write_series
from irno_graph.mesh.mesh import Mesh, MeshError, MeshWarning
from irno_graph.mesh.periodic import periodic_box, periodic_delaunay

__all__ = [
    "Mesh",
    "MeshError",
    "MeshWarning",
    "periodic_box",
    "periodic_delaunay",
    "read_mesh",
    "write_mesh",
    "write_series",
]
