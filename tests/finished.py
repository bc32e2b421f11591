"""A cohort run to its end: final weights, students and what is handed over, by configuration."""

import jax
import jax.numpy as jnp

from wfm_jax import compress
from wfm_jax.sweep import cohort as cohorts
from wfm_jax.sweep.handover import everybody, one_of


def run(configurations, teacher, settings, group):
    """``(weights by path, student, Deployed)`` by the configuration's id, through all rounds."""
    cohort = cohorts.gather(configurations, group.width, group.initial, group.choices, group.stats)
    stream, clock = jax.random.key(3), 0
    while not cohort.finished:
        cohort = cohorts.prepare_round(cohort)
        recipes, length = cohorts.recipes(cohort), cohorts.round_steps(cohort)
        for at in range(0, length, settings.chunk_steps):
            students = group.train(
                cohort.students, recipes, teacher.params, stream, jnp.int32(clock + at)
            )
            cohort = cohort._replace(students=students)
        clock += length
        cohort = cohorts.finish_round(cohort)
    stacked = jax.device_get(everybody(cohort.students, choices=group.choices))
    handed = [one_of(stacked, i, c, group.choices) for i, c in enumerate(configurations)]
    return {
        c.config_id: (
            compress.flatten(own.params),
            jax.tree.map(lambda leaf: leaf[i], cohort.students),
            own,
        )
        for i, (c, own) in enumerate(zip(configurations, handed, strict=True))
    }
