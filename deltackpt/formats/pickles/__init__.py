"""Pickles, read and never run: a machine over their opcodes that can make nothing but inert nodes.

``limits``    the stated limits                     ``tape``      the bytes, each read checked
``literals``  opcodes that push a plain value       ``machine``   all others: stack, marks, memo
``stack``     the nodes being put together          ``calls``     what a call or a state comes to
``misfit``    what does not fit, and what is left of the budget for copies
``python_builders``, ``torch_builders``, ``numpy_builders``  the calls that are understood
``storages``  what a pickle keeps outside itself    ``torch_types``  element types by PyTorch's names
``nodes``     the tree                              ``walk``      every node of it once
``paths``     names for what stands in it           ``state``     the tree for a program that makes it again
"""

from deltackpt.formats.pickles.machine import Unpickled, read_pickle
from deltackpt.formats.pickles.state import Objection, Place, State
from deltackpt.formats.pickles.walk import walk

__all__ = ["Objection", "Place", "State", "Unpickled", "read_pickle", "walk"]
