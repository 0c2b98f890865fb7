"""The GGUF format, versions 2 and 3: keys and values, tensor infos, then the tensors, each at an aligned offset.

``limits``  the stated limits               ``codes``  types of tensors and of metadata values, by number
``metadata``  keys and values, stepped over ``infos``  what the file says of its tensors, checked
``reader``  a file as spans         ``values``  keys and values, read
"""

from deltackpt.formats.gguf.reader import read_spans, recognises

__all__ = ["read_spans", "recognises"]
