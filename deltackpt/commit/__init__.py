"""Committing: from a state or a file to a published commit."""
