"""Checkpoint files of other tools, seen as spans: which bytes are tensors, and which are the rest.

``spans``        what a reader yields: literal bytes and typed tensors that tile the file
``source_file``  a file that is being committed, read by range
``file_tensor``  a tensor inside such a file, as a source of plain bytes
``sniff``        the table of formats; which one a file is, by its content
``wording``      how a refusal is worded
``safetensors/`` one format: its table of codes, its limits, its reader, its writer; the next format stands beside it
"""
