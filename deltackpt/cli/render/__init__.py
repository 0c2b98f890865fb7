"""What a result looks like: lines for people, a document of plain values for ``--json``."""
