"""Checkpoint files of other tools, seen as spans: which bytes are tensors, and which are the rest.

``spans``        what a reader yields: literal bytes and typed tensors that tile the file
``source_file``  a file that is being committed, read by range
``file_tensor``  a tensor inside such a file, as a source of plain bytes
``sniff``        the table of formats; which one a file is, by its content
``folder``       files that another file describes: what such a description is, and what it may ask of its folder
``folder_reader``  the table of descriptions, and a folder read by all of them
``holes``        what no tensor covers is literal
``names``        which names are safe, and names that are distinct
``window``, ``protobuf``  small structures of a file, read within bounds
``wording``      how a refusal is worded
``safetensors/`` one format: its table of codes, its limits, its reader, its writer; the other formats stand beside it
"""
