"""Checking out: from a commit back to objects in memory and files on disk."""
