"""Which marks look wrong: marks against held-out probabilities, and windows against each other.

`placement` turns probabilities of bars into probabilities of spans, `suspects` weighs a mark that
is there against the mistakes that could have made it, `pairs` finds copies and overlaps, `leaks`
what stands on both sides of a split, and `job` does all of it and writes it into a run.
"""

from proxytools.audit.job import audit, check_split
from proxytools.audit.leaks import leaks, read_split
from proxytools.audit.suspects import KINDS, Suspects, find

__all__ = ["KINDS", "Suspects", "audit", "check_split", "find", "leaks", "read_split"]
