"""What training the small baselines would cost."""

import os
import pathlib

import jax

from wfm_jax.evaluate import probe
from wfm_jax.evaluate.frames import TestSet
from wfm_jax.model import small_classifiers
from wfm_jax.results.plan import Fact, Plan, about
from wfm_jax.train.baselines import networks
from wfm_jax.train.classifier import ClassifierSettings, classification_loss
from wfm_jax.train.training_plan import Stretch, steps_done, training_facts

_STEP_LOSSES = 2.0
"""Losses that a step counts as: drawing its frames, most of a loss, has no backward pass."""


def plan_baselines(
    test_set: TestSet,
    settings: ClassifierSettings,
    folder: Fact,
    workdir: str | os.PathLike,
    *,
    goes_on: bool = False,
) -> Plan:
    """The plan of both networks' training.

    Args:
        test_set: the frozen frames, of the link that is trained on.
        settings: of both.
        folder: what would become of the run folder.
        workdir: where it would write.
        goes_on: whether what the folder holds is this training's.
    """
    stretches, n_bytes, seconds, losses = [], 0, 0.0, []
    for config in networks(test_set):
        log = pathlib.Path(workdir) / config.NAME / "losses.jsonl"
        at = steps_done(log).get(config.NAME, 0) if goes_on else 0
        stretch = Stretch(config.NAME, settings.steps, at, settings.batch_size)
        stretches.append(stretch)
        n_bytes += 4 * small_classifiers.n_params(config)
        apply, params = small_classifiers.build(config, jax.random.key(0))
        loss = classification_loss(config, apply, settings.batch_size)
        compile_s, loss_s = probe.time_program(loss, params, jax.random.key(1))
        seconds += compile_s * _STEP_LOSSES + stretch.left * _STEP_LOSSES * loss_s
        losses.append(f"{1e3 * loss_s:.2g} ms of the {config.NAME}")
    words = f"an estimate: a step as {_STEP_LOSSES:g} losses of {settings.batch_size} frames"
    time = Fact("time", about(seconds), f"{words}, timed here: {', '.join(losses)}")
    facts = (folder, *training_facts(stretches, n_bytes, workdir), time)
    return Plan("training of two small baselines", facts)
