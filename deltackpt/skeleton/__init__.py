"""The part of a training state that is not tensor data, and the way from one to the other.

``capture`` turns a live Python state into skeletons (bytes) and tensor sources; ``Restoration`` turns
skeletons and filled memory back into the same state. Nothing is ever pickled or unpickled: a skeleton
can name only the kinds of value in ``tags.py`` and the classes that the program registered.
The byte layout is described in ``docs/format/skeleton.md``.
"""
