"""Taking in the checkpoints that a run has left behind.

``names``     what the name of a file or folder says
``inside``    what a PyTorch file says of itself
``kinds``     what the folders of a run are
``search``    which files and folders are checkpoints
``found``     a checkpoint on disk, and what is known of it before it is read
``estimate``  what committing them would store
``adopt``     committing each of them, compared with what was stored
``removal``   removing the originals
``leftovers`` what an interrupted removal has left
"""
