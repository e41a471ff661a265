"""A run, or several, as one page to read and to send on."""
