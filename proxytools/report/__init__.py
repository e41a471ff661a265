"""A run, or several of one data set, as one page to read and to send on.

`report` reads what the runs said of windows they never saw, measures it again from these files,
and writes one HTML file that needs nothing else: no network, no server.
"""

from proxytools.report.job import report

__all__ = ["report"]
