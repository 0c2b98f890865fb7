"""Averages of commits: one model out of several, computed as it is written, tensor by tensor."""
