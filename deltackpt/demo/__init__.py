"""A demonstration: train a small transformer, commit its whole training state, prove that it comes back.

Needs torch; import it only when the demonstration runs.
"""
