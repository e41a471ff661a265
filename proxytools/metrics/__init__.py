"""How good probabilities (`bar`) and spans (`span`) are."""
