"""Checkpoint files of other tools, seen as spans: which bytes are tensors, and which are the rest.

``spans``        what a reader yields: literal bytes and typed tensors that tile the file
``reading``      what became of a whole file: its spans, a warning, its nested state
``source_file``  a file that is being committed, read by range
``buffered``     the same for many short reads close together
``file_tensor``  a tensor inside such a file, as a source of plain bytes
``checksums``    whether a file's bytes are still those that were written
``sniff``        the table of formats; which one a file is, by its content
``archives``     which format a zip archive is, by what is in it
``folder``       files that another file describes: what such a description is, and what it may ask of its folder
``folder_reader``  the table of descriptions, and a folder read by all of them
``shard_index``  the index of a model in several files
``holes``        what no tensor covers is literal
``names``        which names are safe, and names that are distinct
``window``, ``protobuf``  small structures of a file, read within bounds  ``crc32c``  a checksum of theirs
``wording``      how a refusal is worded

One package for each format, with its limits and its reader:

``safetensors/``  and its writer
``pytorch/``      files of torch.save and torch.jit.save, of today and from before zip
``dcp/``          folders of torch.distributed.checkpoint
``npy/``          NumPy's .npy and .npz
``gguf/``, ``onnx/``, ``tensorflow/``, ``zarr/``

and for what several of them are made of: ``zips/``, ``pickles/``.
"""
