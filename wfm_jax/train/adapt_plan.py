"""What adapting a model would cost."""

import os
import pathlib

from wfm_jax.evaluate import probe
from wfm_jax.evaluate.metrics import AMC_SNRS_DB
from wfm_jax.evaluate.probe import Load
from wfm_jax.model import ModelConfig, param_shapes
from wfm_jax.results import adapt_rows
from wfm_jax.results.plan import Fact, Plan, counted
from wfm_jax.results.rows import rows_so_far
from wfm_jax.train.adapt import Leaves
from wfm_jax.train.adapt_files import ROWS
from wfm_jax.train.adapt_study import AdaptStudy
from wfm_jax.train.training_plan import Stretch, training_facts

_HEADS_PASSES = 1.0  # heads alone are trained: all else is only run


def plan_adaptation(
    study: AdaptStudy,
    config: ModelConfig,
    folder: Fact,
    workdir: str | os.PathLike,
    *,
    goes_on: bool = False,
) -> Plan:
    """The plan of an adaptation.

    Args:
        study: what to adapt to.
        config: the model.
        folder: what would become of the run folder.
        workdir: where it would write.
        goes_on: whether what the folder holds is this study's.
    """
    path = pathlib.Path(workdir) / ROWS
    rows = rows_so_far(path, adapt_rows.COLUMNS) if goes_on else []
    done = {(row["target"], row["n_labelled"]) for row in rows}
    units = [(t, n) for t in study.targets for n in study.n_labelled if (t, n) not in done]
    runs = len(units) * len(study.methods) * len(study.seeds)
    asked = Fact(
        "adaptations",
        f"{runs:,}",
        f"{counted(len(units), 'pair')} of target and labelled frames, "
        f"by {', '.join(study.methods)}, from {counted(len(study.seeds), 'labelled set')} each; "
        f"{counted(len(done), 'pair')} have their rows",
    )
    if not units:
        nothing = Fact("time", "seconds", "every row is there; the picture is drawn anew")
        return Plan("adaptation, nothing is missing", (folder, asked, nothing))
    stretch = Stretch("each of them", study.settings.steps, 0, study.settings.batch_size)
    n_models, n_bytes = len(units) * len(study.methods), probe.bytes_of(param_shapes(config))
    facts = [folder, asked, *training_facts([stretch], n_bytes, workdir, n_models=n_models)]
    pace = probe.measure_pace(config, study.settings.batch_size)
    facts.append(probe.time_fact(load_of(study, units), pace))
    return Plan("adaptation of a model", tuple(facts))


def load_of(study: AdaptStudy, units: list[tuple[str, int]]) -> Load:
    """The work of pairs of target and number of labelled frames."""
    how, n_targets = study.settings, len({target for target, _ in units})
    frames, load = how.steps * how.batch_size * len(study.seeds) * len(units), Load()
    for method in study.methods.values():
        heads_alone = isinstance(method, Leaves) and method.pattern != "*"
        passes = _HEADS_PASSES if heads_alone else probe.STEP_PASSES
        load = load.plus(Load(passes * frames, probe.TRAINING_COMPILES * len(units)))
    n_scored = n_targets + len(units) * len(study.methods) * len(study.seeds)
    scored = probe.SCORE_PASSES * study.n_test_frames * len(AMC_SNRS_DB)
    return load.plus(Load(scored * n_scored, probe.SCORING_COMPILES * n_targets))
