"""The ONNX format: one protobuf message, a model, with tensors in many places; the data may lie in other files.

``limits``  the stated limits            ``codes``  element types by number
``tensor_proto``  one tensor's message   ``walk``   all tensors of a model, named
``reader``  a model as spans             ``external``  what a model says of other files
``properties``  what it says beside its tensors
"""

from deltackpt.formats.onnx.external import ExternalTensor, external_tensors
from deltackpt.formats.onnx.reader import read, read_spans, recognises

__all__ = ["ExternalTensor", "external_tensors", "read", "read_spans", "recognises"]
