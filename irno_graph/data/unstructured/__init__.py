"""Compressible Euler flows on triangle meshes with walls, by finite volumes around the nodes."""

from irno_graph.data.unstructured.domain import Domain
from irno_graph.data.unstructured.flow import Flow
from irno_graph.data.unstructured.generate import generate_obstacles, open_geometries
from irno_graph.data.unstructured.geometry import MedianDual
from irno_graph.data.unstructured.solver import solve

__all__ = ["Domain", "Flow", "MedianDual", "generate_obstacles", "open_geometries", "solve"]
