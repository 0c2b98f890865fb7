"""Files of ``torch.save`` and ``torch.jit.save``. Neither needs PyTorch, and nothing is unpickled.

``records``  the entries of a zip archive by name   ``archive``  such an archive as spans
``legacy``   files from before zip                  ``found``    from a pickle's tensors to spans
``tiling``   which tensor gets which bytes          ``dense``    which bytes a tensor covers
``names``    distinct names
"""

from deltackpt.formats.pytorch.archive import Saved, read_saved, read_saved_file
from deltackpt.formats.pytorch.names import Namer
from deltackpt.formats.pytorch.records import Records

__all__ = ["Namer", "Records", "Saved", "read_saved", "read_saved_file"]
