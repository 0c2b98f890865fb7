"""Stated limits of a pickle. Beyond one of them it is not read further, and the file is kept as bytes.

An opcode makes at most one object, so the number of opcodes bounds both time and memory; nothing that an
opcode asks for is allocated before the bytes for it have been seen.
"""

MAX_PICKLE_BYTES = 1 << 26
"""Of the pickle itself: tensors stand outside."""

MAX_OPCODES = 1 << 22
"""About 130,000 tensors at 32 opcodes each."""

MAX_INTEGER_BYTES = 4096
"""Of one integer. The magic number of PyTorch has 10."""

MAX_GLOBAL_NAME = 1024
"""Characters of a module's or a class's name."""

MAX_RANK = 64
"""NumPy's limit."""

MAX_COUNT = (1 << 63) - 1
"""Elements of a tensor or a storage, and any extent, stride or offset: what a framework can address."""

MAX_WALK_DEPTH = 10_000
"""Containers within containers in which tensors are looked for."""

MAX_STATE_DEPTH = 128
"""Containers within containers in a state that is offered as a tree."""

MAX_STATE_NODES = 1 << 23
"""Values of such a state, shared ones counted as often as they are met: what a program that walks it will visit."""
