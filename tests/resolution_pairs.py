"""Coarse and fine grids of one domain, of every kind."""

from irno_graph.graph import Graph

BOX = (1.0, 1.5)


def planar(shape, period=None, **options):
    return Graph.from_grid(shape, extent=BOX, period=period, **options)


PAIRS = {
    "periodic": (planar((4, 5), BOX), planar((12, 10), BOX)),
    "periodic, not nested": (planar((4, 5), BOX), planar((7, 11), BOX)),
    "periodic, centred": (planar((4, 5), BOX, centred=True), planar((8, 15), BOX, centred=True)),
    "open": (planar((4, 5)), planar((10, 9))),
    "open, not nested": (planar((4, 5)), planar((8, 10))),
    "half open": (planar((4, 5), (1.0, None)), planar((7, 15), (1.0, None))),
    "centred": (planar((4, 5), centred=True), planar((12, 10), centred=True)),
    "centred, sixteen times": (planar((2, 3), centred=True), planar((32, 48), centred=True)),
    "renumbered": (planar((4, 5), order="hilbert"), planar((10, 9), order="cuthill_mckee")),
    "line": (Graph.from_grid((6,)), Graph.from_grid((16,))),
    "space": (Graph.from_grid((3, 4, 2), centred=True), Graph.from_grid((6, 4, 6), centred=True)),
    "sphere": (Graph.from_sphere(5, 8), Graph.from_sphere(17, 32)),
    "sphere, Gauss": (Graph.from_sphere(6, 8, grid="legendre-gauss"), Graph.from_sphere(18, 32, grid="legendre-gauss")),
    "sphere, two grids": (Graph.from_sphere(6, 9, grid="lobatto"), Graph.from_sphere(24, 18, grid="legendre-gauss")),
}  # fmt: skip
