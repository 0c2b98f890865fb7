"""The safetensors format: 8 bytes of header length, a JSON header, then the tensors without a gap.

``limits``  the stated limits          ``codes``   element types and their shapes as the format writes them
``json_scanner``  the JSON of a header ``header``  what a header says, checked
``reader``  a file as spans            ``writer``  the header of a file to be written
"""

from deltackpt.formats.safetensors.reader import read_spans, recognises
from deltackpt.formats.safetensors.writer import layout

__all__ = ["layout", "read_spans", "recognises"]
