"""``deltackpt prune``: keep some commits of a run."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from deltackpt.cli.address import open_store
from deltackpt.cli.progress import Bar
from deltackpt.cli.render.deletion import prune_document, prune_lines
from deltackpt.cli.settings import Settings, json_option, shared_options
from deltackpt.errors import InvalidInputError
from deltackpt.history.selection import Goal, best

if TYPE_CHECKING:
    from deltackpt.maintenance.keep import Keep
    from deltackpt.store import Store

_COUNTED = re.compile(r"(.+)=(\d+)", re.DOTALL)


def _policy_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The fields of a policy, in the order in which the help shows them."""
    count = click.IntRange(min=1)
    for option in reversed(
        (
            click.option("--keep-last", "last", type=count, metavar="N", help="The newest N healthy commits."),
            click.option("--keep-every", "every", type=count, metavar="N", help="Steps that are multiples of N."),
            click.option("--keep-within", "within", metavar="TIME", help="Younger than TIME: 90m, 12h, 7d, 2w."),
            click.option(
                "--keep-best", "best", multiple=True, metavar="min:METRIC[=K]", help="The best K, or max:METRIC."
            ),
            click.option("--keep-milestone", "milestones", multiple=True, type=int, metavar="STEP", help="This step."),
            click.option(
                "--keep-tag", "tags", multiple=True, metavar="GLOB", help="Commits under such a tag, optimizer and all."
            ),
            click.option(
                "--drop-optimizer-older-than",
                "optimizer",
                type=count,
                metavar="N",
                help="Only the newest N healthy commits keep optimizer parts.",
            ),
            click.option("--max-size", metavar="SIZE", help="Thin the oldest until the store fits: 200GB, 500MiB."),
        )
    ):
        function = option(function)
    return function


@click.command("prune")
@_policy_options
@click.option("--branch", "branches", multiple=True, metavar="NAME", help="Look at this branch only.")
@click.option("--save", is_flag=True, help="Make these options the policy of the store, for prune without options.")
@click.option("--dry-run", is_flag=True, help="Say what would go and why the rest stays, and change nothing.")
@json_option
@shared_options
@click.pass_obj
def command(settings: Settings, /, branches: Sequence[str], save: bool, dry_run: bool, **rules: Any) -> None:
    """Delete the commits of every branch that no option keeps; heads of branches and tagged commits always stay.

    Without options that say what to keep, the store's own policy does, its keep.toml. Nothing is freed before gc, and
    undelete and undo work until then.
    """
    keep = _policy(**rules) if any(rules.values()) else None
    if save and (keep is None or dry_run):
        raise InvalidInputError("--save keeps the options that say what to keep; give some, and no --dry-run")
    with open_store(settings) as store, Bar(settings, "planning"):
        if keep is not None:
            _check_goals(keep, store)
        if save and keep is not None:
            store.policy = keep
        plan = store.prune(keep, dry_run=dry_run, branches=branches or None)
    settings.report(lambda: prune_document(plan, dry_run=dry_run), lambda: prune_lines(plan, dry_run=dry_run))


def _policy(*, best: Sequence[str], **rules: Any) -> Keep:
    from deltackpt.maintenance.keep import Keep

    return Keep(best=dict(map(_counted, best)), **rules)


def _check_goals(keep: Keep, store: Store) -> None:
    """NotFoundError for a metric that no commit has: keeping the best by a misspelt one would keep nothing."""
    commits = list(store.log())
    for goal in keep.best if commits else ():
        best(commits, Goal.parse(goal))


def _counted(text: str) -> tuple[str, int]:
    """``min:val_loss=3`` is three of the best, ``min:val_loss`` one."""
    match = _COUNTED.fullmatch(text)
    return (match[1], int(match[2])) if match else (text, 1)
