"""Taking in the checkpoints that a run has left behind.

``found``     a checkpoint on disk, and what its names say of it
``estimate``  what committing them would store
``adopt``     committing each of them, compared with what was stored
``removal``   removing the originals
"""
