"""Checkpoints written in another format than they have: tensors by name, chosen, renamed, of another type.

``flat``      what is converted: tensors by name, and values beside them
``of_commit``, ``of_path``  where that comes from
``gathered``  the leaves of either put together
``held``      the files that they stand in, and what of those cannot be converted
``chunked``   arrays of zarr put together from their files
``said``      what those say beside their tensors (with ``said_by_files`` and ``gguf_keys``)
``changes``   which tensors, under which names, of which type
``formats``   which formats there are
``convert``   the table of writers, and the conversion
``beside``    configuration, tokenizer and code, for a folder that Transformers loads
``stream``    a file for a library to write to
``library``   the library of a format, or an error that names the extra
``names``, ``arrays``, ``shards``  names and types that a format takes, tensors as arrays, tensors cut into files

One module for each format: ``safetensors``, ``pt``, ``gguf``, ``onnx`` (with ``onnx_messages`` and
``onnx_folder``), ``tensorflow``, ``zarr`` and ``npz``.
"""
