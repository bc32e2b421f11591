"""A rung: who falls behind leaves a row and drops out, the others train on."""

from wfm_jax.results import rows
from wfm_jax.sweep import cohort as cohorts
from wfm_jax.sweep import halving, processes
from wfm_jax.sweep.cohort import Cohort
from wfm_jax.sweep.devices import on_host
from wfm_jax.sweep.group import Group
from wfm_jax.sweep.run import ROWS, Run
from wfm_jax.train.strategy import at_once
from wfm_jax.train.student import Recipe


def hold_rung(
    run: Run, group: Group, cohort: Cohort, recipes: Recipe, before: int, now: int
) -> Cohort:
    """The cohort of those that go on; the same one where nobody is at a rung.

    Rows of those that drop out are on disk before they are forgotten. One after the other, a
    smaller stack would save nothing and cost a program; side by side, the survivors are stacked
    anew, at a width whose program is compiled once.

    Args:
        run: the sweep.
        group: the cohort's.
        cohort: in training.
        recipes: of this round.
        before, now: steps into the round that were done before, and are now.
    """
    rule, members = run.settings.halving, cohort.configurations
    if rule is None:
        return cohort
    came = halving.at_a_rung(rule, members, cohort.position, before, now)
    if not any(came):
        return cohort
    losses = on_host(group.validation_losses(cohort.students, recipes))[: len(members)]
    stay = halving.survivors(rule, members, cohort.position, came, losses)
    if all(stay):
        return cohort
    out = [
        run.examiner.left_behind(c, c.done_steps(stage, now), float(loss))
        for c, stage, loss, stays in zip(members, cohort.position, losses, stay, strict=True)
        if not stays
    ]

    def write() -> None:
        known = {row["config_id"] for row in rows.read_rows(run.folder / ROWS)[0]}
        new = [row for row in out if row["config_id"] not in known]
        rows.append_rows(run.folder / ROWS, new)

    processes.agree(write)
    run.wrote(out)
    run.say(f"{group.name}: {len(out)} of {sum(came)} at a rung drop out")
    side_by_side = at_once(group.strategy, cohort.width // run.devices.n) > 1
    width = group.padded(sum(stay)) if side_by_side else cohort.width
    return cohorts.restack(cohort, stay, width)
