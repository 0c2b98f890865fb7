"""Arguments that are paths."""

from __future__ import annotations

import click

PATH = click.Path(readable=False)
"""Any path: what stands there, and whether it can be read, is found out by what uses it, which can say more."""
