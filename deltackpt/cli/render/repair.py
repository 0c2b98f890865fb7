"""What repair would do, or did."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from deltackpt.cli.render.verify import problem_document, problem_lines
from deltackpt.cli.text import counted, shown
from deltackpt.maintenance.repair.plan import RepairPlan


def plan_lines(plan: RepairPlan, *, execute: bool) -> Iterator[str]:
    for mend in plan.mends:
        yield f"DAMAGE {shown(mend.what)}"
        yield f"  {'' if execute else 'to be '}{shown(mend.remedy)}"
        if mend.aside:
            yield f"  {'' if execute else 'to be '}kept in quarantine: {shown(mend.aside)}"
    yield from problem_lines(plan.losses)
    if not plan.complete:
        yield "what else may be damaged can be looked at when that is mended: run `deltackpt repair --execute`"
    elif plan.empty:
        yield "nothing to repair" if plan.ok else "nothing to repair, but for what is lost"
    elif execute:
        yield f"mended {counted(len(plan.mends), 'damage')}; {_left(plan)}"
    else:
        yield f"would mend {counted(len(plan.mends), 'damage')}; {_left(plan)}: run `deltackpt repair --execute`"


def _left(plan: RepairPlan) -> str:
    return "nothing is lost" if plan.ok else "what is listed above is lost"


def plan_document(plan: RepairPlan, *, execute: bool) -> dict[str, Any]:
    return {
        "ok": plan.ok,
        "executed": execute,
        "complete": plan.complete,
        "mends": [{"what": mend.what, "remedy": mend.remedy, "aside": mend.aside or None} for mend in plan.mends],
        "losses": [problem_document(problem) for problem in plan.losses],
    }
