"""The fair comparison of correctors on grids and on graphs."""
