"""Saving while training: snapshots that hardly stop the loop, written by a process beside it; exact resume."""
