"""The pretrained model in int8, by ONNX Runtime: its scores are those of the quantized model."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax import compress
from wfm_jax.evaluate import frames as test_frames
from wfm_jax.evaluate import metrics
from wfm_jax.evaluate.intervals import half_width, paired_difference, resample_weights
from wfm_jax.evaluate.many import draw_frames, make_scorer
from wfm_jax.export.compressed import CompressedModel
from wfm_jax.export.grids import Uniform
from wfm_jax.export.onnx_model import to_onnx
from wfm_jax.export.onnx_session import OnnxReceiver
from wfm_jax.model import Outputs, Quantized, activation_points, build, with_activations
from wfm_jax.sweep.ranges import make_calibrator
from wfm_jax.train.model_files import load_teacher

pytestmark = pytest.mark.slow

SNRS_DB = (10.0, 15.0, 20.0)


@pytest.fixture(scope="module")
def test_set():
    return test_frames.TestSet(load_teacher().config.link, seed=5, frames_per_stratum=12)


@pytest.fixture(scope="module")
def scored(test_set):
    """Scores of the quantized model and of its file, on the same frames."""
    teacher = load_teacher()
    config, apply = teacher.config, build(teacher.config, jax.random.key(0))[0]
    flat = {path: np.asarray(w) for path, w in compress.flatten(teacher.params).items()}
    grids = {}
    for path, weights in flat.items():
        if path.startswith("block_") and weights.ndim == 2:
            grid = Uniform(8, compress.absmax_scale(weights, 8)).checked(weights.shape)
            flat[path], grids[path] = grid.weights(grid.codes(weights)), grid
    params = compress.unflatten(teacher.params, {k: jnp.asarray(v) for k, v in flat.items()})
    ranges = jax.device_get(make_calibrator(config, apply)(params, 8))
    receiver = OnnxReceiver(
        to_onnx(CompressedModel(config, flat, grids, ranges, 8)).SerializeToString()
    )
    frames = draw_frames(test_set, SNRS_DB)
    quantized = with_activations(apply, activation_points(config))
    model = Quantized(params, ranges, jnp.float32(8))
    ours = make_scorer(config, quantized, frames)(model)
    shape = functools.partial(jax.eval_shape, quantized, model)
    file = make_scorer(config, as_forward(receiver, shape), frames)(params)
    return {"quantized": ours, "file": file}


def as_forward(receiver, shape):
    """A file as a forward pass of a compiled scorer."""

    def run(inputs):
        said = receiver(inputs)
        channel = said["channel"][..., 0] + 1j * said["channel"][..., 1]
        said |= {"channel": channel.astype(np.complex64), "modulation": said["modulation_logits"]}
        return Outputs(*(said[name] for name in Outputs._fields))

    def forward(params, inputs, *, at=None):
        del params, at
        return jax.pure_callback(run, shape(inputs), inputs)

    return forward


@pytest.mark.parametrize(
    "metric",
    [
        metrics.gmi_fraction,
        metrics.amc_accuracy,
        metrics.channel_nmse_db,
        metrics.snr_mae_db,
        metrics.k_mae_db,
        metrics.los_accuracy,
    ],
)
def test_scores_are_within_the_intervals(scored, test_set, metric):
    weights = resample_weights(test_set.strata, seed=0)
    ours, file = scored["quantized"], scored["file"]
    width = half_width(metric(ours, weights))
    difference, _, _ = paired_difference(metric, ours, file, weights)
    assert np.isfinite(width)
    assert width > 0
    assert abs(difference) <= width


def test_it_is_another_program(scored):
    """Rounding differs somewhere: the comparison is not of a thing with itself."""
    pairs = zip(scored["quantized"].scores, scored["file"].scores, strict=True)
    assert not all(np.array_equal(ours, file) for ours, file in pairs)
