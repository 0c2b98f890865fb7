"""What a commit is made of, whether it was a live state, a file or a folder: parts with skeletons and tensors.

``content``    a part and a whole, as they go into a commit
``state``      a live state                        ``file``, ``folder``  a file, and a folder, as they are
``described``  a file that was read, before its tensors have places
``table``      rows of tensor tables that are being made
``roles``      which part a file belongs to        ``steps``    paths without the numbers of steps
``layout``     which part and name each tensor gets
``arrangement``  the state of a part, of the states of its files
``named_state``  a dict by name, and which of its keys name parts
``flat``       the state of a file without nesting  ``pickled``  the nested state of a PyTorch file
``exported``   the state in a file that a checkout wrote
``entries``    files around their tensors
"""
