"""How good are probabilities (`bar`) and spans (`span`)?"""
