"""Everything that gives a bar a probability of lying in a span."""
