"""``deltackpt checkout``: commits back into files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import click

from deltackpt.cli.address import REF, Address, open_store
from deltackpt.cli.conversion import conversion_of, conversion_options
from deltackpt.cli.names import PART
from deltackpt.cli.paths import PATH
from deltackpt.cli.progress import Bar
from deltackpt.cli.settings import Settings, json_option, shared_options
from deltackpt.cli.text import shown, size
from deltackpt.convert.formats import missed_by
from deltackpt.errors import InvalidInputError
from deltackpt.fs.target import refuse_existing
from deltackpt.history.commits import Commit

if TYPE_CHECKING:
    from deltackpt.store import Store


@click.command("checkout")
@click.argument("ref", type=REF)
@click.option(
    "-o",
    "--output",
    required=True,
    type=PATH,
    metavar="FILE",
    help="The file or folder to write; {step}, {name}, {branch}, {commit}, metrics ({val_loss:.4f}) are filled in.",
)
@click.option("--all", "whole_line", is_flag=True, help="Also every commit before REF, each under a name of its own.")
@click.option("--part", type=PART, help="Only this part, under the module's own names: ready for load_state_dict.")
@click.option(
    "--names",
    type=click.Choice(["module", "stored"]),
    default="module",
    show_default=True,
    help="Whether wrappers' prefixes go from the names of a part.",
)
@conversion_options
@click.option("--force", is_flag=True, help="Replace FILE when it exists.")
@json_option
@shared_options
@click.pass_obj
def command(
    settings: Settings,
    /,
    ref: Address,
    output: str,
    whole_line: bool,
    part: str | None,
    names: Literal["module", "stored"],
    force: bool,
    **options: Any,
) -> None:
    """Write the commit REF to a file or folder.

    A commit that was made from a file or folder gives the same again, byte for byte; a training state becomes
    safetensors; --format and the options beside it convert. What is written appears complete or not at all.
    """
    with open_store(settings, ref) as store:
        commits = list(store.log(ref.ref)) if whole_line else [store.resolve(ref.ref)]
        targets = _targets(store, output, commits)
        if whole_line and not force:
            refuse_existing([target for target, _ in targets])
        plain = sum(c.logical_bytes if part is None else c.part_named(part).nbytes for c in commits)
        made = []
        with Bar(settings, "writing", plain) as bar:
            for target, commit in targets:
                if any(options.values()):
                    conversion = conversion_of(target, **options)
                    written = store.export(commit, target, conversion, part=part, names=names, force=force)
                    bar.advance(written)
                else:
                    written = store.checkout(commit, target, part=part, names=names, force=force, progress=bar.advance)
                    _tell_format(target)
                made.append(_Written(target, written, commit, part))
    settings.report(
        lambda: [one.document for one in made] if whole_line else made[0].document, lambda: [one.line for one in made]
    )


@dataclass(frozen=True, slots=True)
class _Written:
    """A file or folder that is complete."""

    target: str
    size: int
    commit: Commit
    part: str | None

    @property
    def document(self) -> dict[str, object]:
        commit = {"commit": str(self.commit.id), "step": self.commit.step}
        return {"file": self.target, "bytes": self.size, **commit, "part": self.part}

    @property
    def line(self) -> str:
        return f"wrote {shown(self.target)}, {size(self.size)}, from {self.commit.description}"


def _tell_format(target: str) -> None:
    """A line about a file whose name promises another format than it has."""
    if (missed := missed_by(target)) is not None:
        promised, found = missed
        how = "as safetensors" if found == "safetensors" else "as it was committed"
        click.echo(f"{shown(target)} is written {how}; --format {promised} converts", err=True)


def _targets(store: Store, template: str, commits: Sequence[Commit]) -> list[tuple[str, Commit]]:
    """Each commit with the name that it is written under. InvalidInputError when two would have the same."""
    named = store.file_names(template, commits)
    name, count = Counter(name for name, _ in named).most_common(1)[0]
    if count > 1:
        raise InvalidInputError(
            f"{count} commits would be written to {name!r}; put {{step}} or {{commit}} into the name"
        )
    return named
