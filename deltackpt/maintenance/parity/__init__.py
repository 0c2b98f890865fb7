"""Reed-Solomon parity beside packs, from which damaged blocks of theirs are made again."""
