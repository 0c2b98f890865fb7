"""Checkpoints written in another format than they have: tensors by name, chosen, renamed, of another type.

``flat``      what is converted: tensors by name, and values beside them
``of_commit``, ``of_path``  where that comes from
``changes``   which tensors, under which names, of which type
``formats``   which formats there are
``convert``   the table of writers, and the conversion
``beside``    configuration and tokenizer, for a folder that Transformers loads
``stream``    a file for a library to write to

One module for each format: ``safetensors``, ``pt`` and ``npz``.
"""
