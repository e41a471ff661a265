"""Files to data sets and back; everything is validated here, once."""
