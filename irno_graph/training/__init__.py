"""Training of bases and correctors with Lightning."""
