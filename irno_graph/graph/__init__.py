"""Graphs: nodes and edges of a mesh with their geometry, sums and derivatives on them."""

from irno_graph.graph.calculus import divergence, gradient, graph_sum, node_graph_index, vorticity
from irno_graph.graph.geometry import minimum_image
from irno_graph.graph.graph import Graph
from irno_graph.graph.grid_fields import to_grid, to_nodes
from irno_graph.graph.interpolation import interpolate
from irno_graph.graph.measure import graph_list, mass_mean, mass_norm
from irno_graph.graph.partition import Part, Partition, parts_of
from irno_graph.graph.transfer import Transfer

__all__ = [
    "Graph",
    "Part",
    "Partition",
    "Transfer",
    "divergence",
    "gradient",
    "graph_list",
    "graph_sum",
    "interpolate",
    "mass_mean",
    "mass_norm",
    "minimum_image",
    "node_graph_index",
    "parts_of",
    "to_grid",
    "to_nodes",
    "vorticity",
]
