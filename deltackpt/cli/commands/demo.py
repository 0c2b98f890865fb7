"""``deltackpt demo``: train, commit while training, show the savings, prove that old steps come back."""

from __future__ import annotations

import itertools
import os
import tempfile
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from deltackpt.cli.render.commits import Names
from deltackpt.cli.render.demo import closing, opening, proof_line, resumed_line, saved_line
from deltackpt.cli.render.log import log_lines
from deltackpt.cli.render.stats import stats_lines
from deltackpt.cli.settings import Settings, shared_options
from deltackpt.errors import DeltackptError, NotFoundError
from deltackpt.store import Store

if TYPE_CHECKING:
    from deltackpt.demo.proof import Proof
    from deltackpt.demo.training import Recipe, Saved, Trained

FOLDER = "deltackpt-demo"


class ProofFailedError(DeltackptError):
    """A commit did not come back as it was."""


@click.command("demo")
@click.option("--steps", type=click.IntRange(min=1), default=300, show_default=True, help="How long to train.")
@click.option("--every", type=click.IntRange(min=1), default=10, show_default=True, help="Steps between commits.")
@shared_options
@click.pass_obj
def command(settings: Settings, steps: int, every: int) -> None:
    """Train a small transformer on the CPU for a minute, saving as it goes; prove that steps come back and go on.

    Makes a new store in --store (else ./deltackpt-demo, with a number when that exists). Needs PyTorch, no network.
    """
    try:
        from deltackpt.demo.training import Recipe
    except ModuleNotFoundError as error:
        raise NotFoundError(
            f"the demonstration needs {error.name}; install PyTorch first (the CPU build is enough)"
        ) from None
    folder = settings.store or _fresh(FOLDER)
    with Store.init(folder) as store:
        _tell(store, folder, Recipe(steps, min(every, steps)))


def _tell(store: Store, folder: str, recipe: Recipe) -> None:
    _say(opening(folder, recipe))
    trained = _train(folder, recipe)
    _say(["", "The log:", *log_lines(list(store.log()), Names(store))])
    _say(["", "What was saved:", *stats_lines(store.stats())])
    _say(["", "Three steps, loaded and checked out again:"])
    proofs = _prove(store, trained.saved)
    middle = proofs[len(proofs) // 2].commit.step or 0
    _say(["", "One step, resumed in a training that knew nothing of it:"])
    same = _resume(folder, recipe, trained, trained.saved[-2 if len(trained.saved) > 1 else -1].step)
    _say(["", *closing(folder, middle)])
    if failed := [proof for proof in proofs if not proof.holds]:
        listed = ", ".join(str(proof.commit.step) for proof in failed)
        raise ProofFailedError(f"step {listed} did not come back as it was; run `deltackpt verify --data`")
    if not same:
        raise ProofFailedError("the resumed training went another way; run `deltackpt verify --data`")


def _train(folder: str, recipe: Recipe) -> Trained:
    from deltackpt.demo.training import train

    began = time.monotonic()
    return train(folder, recipe, lambda step, numbers: click.echo(saved_line(step, numbers, time.monotonic() - began)))


def _prove(store: Store, saved: Sequence[Saved]) -> list[Proof]:
    from deltackpt.demo.proof import prove, three_of

    proofs = []
    with tempfile.TemporaryDirectory() as folder:
        for one in three_of(saved):
            proofs.append(prove(store, one, folder))
            click.echo(proof_line(proofs[-1]))
    return proofs


def _resume(folder: str, recipe: Recipe, trained: Trained, step: int) -> bool:
    from deltackpt.demo.training import trained_again

    before = trained.losses[step:]
    differing = sum(a != b for a, b in zip(before, trained_again(folder, recipe, step), strict=True))
    click.echo(resumed_line(step, len(before), differing))
    return not differing


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line)


def _fresh(folder: str) -> str:
    """``folder``, or ``folder-2`` and so on: the first that does not exist."""
    numbered = (f"{folder}-{number}" for number in itertools.count(2))
    return next(path for path in itertools.chain([folder], numbered) if not os.path.lexists(path))
