"""Checkpoint files of other tools, seen as spans: which bytes are tensors, and which are the rest.

``spans``        what a reader yields: literal bytes and typed tensors that tile the file
``reading``      what became of a whole file: its spans, a warning, its nested state
``source_file``  a file that is being committed, read by range
``file_tensor``  a tensor inside such a file, as a source of plain bytes
``checksums``    whether a file's bytes are still those that were written
``sniff``        the table of formats; which one a file is, by its content
``archives``     which format a zip archive is, by what is in it
``wording``      how a refusal is worded

One package for each format, with its limits and its reader:

``safetensors/``  and its writer
``pytorch/``      files of torch.save and torch.jit.save, of today and from before zip
``dcp/``          folders of torch.distributed.checkpoint
``npy/``          NumPy's .npy and .npz

and for what several of them are made of: ``zips/``, ``pickles/``.
"""
