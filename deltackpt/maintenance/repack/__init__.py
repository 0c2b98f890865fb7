"""Optimising a whole store: the commits that are read most stand at the foot of chains, the others on them."""
