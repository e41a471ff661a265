"""The deep span detector."""
