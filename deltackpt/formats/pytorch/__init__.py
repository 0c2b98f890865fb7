"""Files of ``torch.save`` and ``torch.jit.save``. Neither needs PyTorch, and nothing is unpickled.

``entries``  the entries of a zip archive by name   ``archive``  such an archive as spans
``legacy``   files from before zip                  ``found``    from a pickle's tensors to spans
``tiling``   which tensor gets which bytes          ``dense``    which bytes a tensor covers
``names``    distinct names
"""

from deltackpt.formats.pytorch.archive import Pickles, Saved, read_saved, read_saved_file
from deltackpt.formats.pytorch.entries import Entries
from deltackpt.formats.pytorch.names import Namer

__all__ = ["Entries", "Namer", "Pickles", "Saved", "read_saved", "read_saved_file"]
