"""Is a data set what it should be: `validate` reads it sample by sample and says what it finds."""

from irno_graph.data.validation.findings import Finding, Verdict, worst
from irno_graph.data.validation.validate import validate

__all__ = ["Finding", "Verdict", "validate", "worst"]
