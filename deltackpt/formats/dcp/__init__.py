"""Folders of torch.distributed.checkpoint: ``metadata`` says what stands where, ``shard`` reads a file of it."""

from deltackpt.formats.dcp.metadata import Item, Piece, read_metadata, recognises
from deltackpt.formats.dcp.shard import read_shard

__all__ = ["Item", "Piece", "read_metadata", "read_shard", "recognises"]
