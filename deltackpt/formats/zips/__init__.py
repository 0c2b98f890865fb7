"""Zip archives as checkpoint tools write them: which bytes of the file are which entry. Nothing is ever unpacked.

``headers``  the headers, byte for byte         ``limits``   the stated limits
``end``      where the directory stands         ``directory``  its entries, checked against their own headers
``archive``  the whole, without overlaps
"""

from deltackpt.formats.zips.archive import Archive, read_archive
from deltackpt.formats.zips.directory import Entry
from deltackpt.formats.zips.end import ends_archive

__all__ = ["Archive", "Entry", "ends_archive", "read_archive"]
