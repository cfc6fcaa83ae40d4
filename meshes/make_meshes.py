"""Write the sample meshes of this directory: `python meshes/make_meshes.py`."""

from pathlib import Path

import numpy as np

from irno_graph.mesh import Mesh, periodic_box, write_mesh

HERE = Path(__file__).parent


def l_shape(side: int = 8) -> Mesh:
    """The square [0, 2]^2 without its upper right quarter, `side` cells per unit, cut along diagonals."""
    count = 2 * side + 1
    iy, ix = np.mgrid[:count, :count]
    points = np.stack([ix.ravel(), iy.ravel()], axis=1) / side
    lower = (iy * count + ix)[:-1, :-1]  # [cells, cells] index of the lower left corner
    inside = ~((iy >= side) & (ix >= side))[:-1, :-1]
    corner = lower[inside]
    one = np.stack([corner, corner + 1, corner + count + 1], axis=1)
    two = np.stack([corner, corner + count + 1, corner + count], axis=1)
    used, triangles = np.unique(np.concatenate([one, two]), return_inverse=True)
    return Mesh(points[used], [("triangle", triangles.reshape(-1, 3))])


if __name__ == "__main__":
    write_mesh(HERE / "periodic_box.vtu", periodic_box(400, seed=0))
    write_mesh(HERE / "l_shape.vtu", l_shape())
