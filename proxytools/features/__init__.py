"""Named features of bars, computed once for all windows."""
