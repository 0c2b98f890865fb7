"""TensorFlow checkpoints: ``NAME.index`` says which tensors lie where in ``NAME.data-0000i-of-0000n``.

``limits``  the stated limits        ``codes``   element types by number
``table``   the index as a table of keys and values (LevelDB's format)
``bundle``  what the values say      ``folder``  the index among the files that it describes
"""
