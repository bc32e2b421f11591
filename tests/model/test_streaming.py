"""Symbol by symbol as all at once: equal, causal, one program."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from tests import small
from tests.model.formulas import Formulas
from tests.model.streamed import (
    CONFIGS,
    Streamed,
    assert_same,
    at_symbol,
    streamed,
)
from wfm_jax.compress import flatten
from wfm_jax.model import (
    Outputs,
    activation_points,
    bit_llrs,
    build,
    build_streaming,
    output_points,
    param_shapes,
    pilots_of,
    prepare,
    prepare_pilots,
    preset,
    recording,
    sample_batch,
    symbol_llrs,
)
from wfm_jax.signal import link
from wfm_jax.train.fit import Fit, make_chunk, new_training
from wfm_jax.train.losses import TaskWeights, task_losses


@pytest.fixture(params=CONFIGS)
def case(request):
    return streamed(request.param)


def test_parameters_are_those_of_the_model_of_frames(case):
    chex.assert_trees_all_equal_shapes_and_dtypes(case.initial, param_shapes(case.config))
    if case is streamed("small"):
        chex.assert_trees_all_equal(case.initial, build(case.config, jax.random.key(0))[1])


def test_cached_steps_equal_the_full_pass(case):
    """Every answer at every symbol; known and blind frames, odd sizes, a layer without attention,
    factored layers."""
    outputs, _ = case.in_steps
    for s, answered in enumerate(outputs):
        assert_same(answered, at_symbol(case.at_once, s))
    frame, every = jax.jit(case.stream.apply)(case.params, case.inputs), case.at_once
    assert_same(frame, Outputs(*every[:2], *(x[:, -1] for x in every[2:])))


def test_all_symbols_are_one_program(case):
    assert len(case.in_steps[0]) == case.config.link.n_symbols
    assert sorted(case.traced) == ["begin", "step"]


class BlockByBlock(Formulas):
    """The formulas of a transformer in which each group of tokens sees itself and those before."""

    def attention(self, block, heads, x):
        n = self.config.n_tokens
        ends = range(n, x.shape[1] + 1, n)
        parts = [super(BlockByBlock, self).attention(block, heads, x[:, :end]) for end in ends]
        return np.concatenate([part[:, -n:] for part in parts], axis=1)

    def times(self, view):
        return self.codes[view]

    def groups(self, inputs):
        """Encoded tokens by group, [batch, 1 + n_symbols, n_tokens, d_model]."""
        inputs = jax.tree.map(np.asarray, inputs)
        grid, visible = inputs.views["grid"], inputs.visible["grid"]
        every = super().times("grid")
        self.codes = {"csi": super().times("csi"), "grid": every[:1]}
        csi = self.tokens("csi", inputs.views["csi"], inputs.visible["csi"])
        patches = [csi + self.tokens("grid", grid[:, :, :1], np.zeros_like(visible))]
        for s in range(self.link.n_symbols):
            self.codes["grid"] = every[s : s + 1]
            patches.append(csi + self.tokens("grid", grid[:, :, s : s + 1], visible))
        frame = self.params["embed_modulation"][inputs.modulation][:, None]
        x = np.concatenate([part for patch in patches for part in (frame, patch)], axis=1)
        return self.blocks(x).reshape(len(frame), len(patches), -1, self.config.d_model)

    def every(self, inputs):
        """Channel, log noise and K at every symbol; the modulation at the last."""
        groups, m = self.groups(inputs), self.config.n_modulations
        lines = self.lines(inputs, groups[:, 0, 1:])
        channel, log_noise, k_db = [], [], []
        for s, tokens in enumerate(np.moveaxis(groups[:, 1:], 1, 0)):
            frame, patches = tokens[:, 0], tokens[:, 1:]
            summary = self.dense("head_frame", np.concatenate([frame, patches.mean(1)], axis=-1))
            k_db.append(7.0 + 8.0 * summary[:, m])
            moving = special.expit(summary[:, m + 5] - 2.0)
            of_all = self.elements(lines, patches, moving)
            channel.append(of_all[0][:, s])
            log_noise.append(of_all[1][:, s])
        channel, log_noise, k_db = (np.stack(x, axis=1) for x in (channel, log_noise, k_db))
        evidence = self.evidence(inputs, channel, log_noise)
        bounded = -30.0 * np.log1p((evidence.max(axis=1, keepdims=True) - evidence) / 30.0)
        trust = special.expit(summary[:, m + 6] - 1.0)[:, None]
        return channel, log_noise, summary[:, :m] + trust * bounded, k_db


@pytest.mark.parametrize("name", ["small", "14x48"])
def test_the_full_pass_is_that_of_the_formulas(name):
    """In NumPy, group by group. Data as strong as the pilots: then the gain that the formulas'
    inputs have from the frame is that of the pilots."""
    case = streamed(name)
    config = dataclasses.replace(case.config, ranks=())
    params = small.moved(build_streaming(config, jax.random.key(0))[1], 0.1)
    power = np.mean(np.abs(case.frame.csi) ** 2, axis=(1, 2), keepdims=True)
    data = ~config.link.pilot_mask
    scale = np.sqrt(power[:, 0] / np.mean(np.abs(case.frame.grid[:, data]) ** 2, 1, keepdims=True))
    grid = np.where(data, case.frame.grid * scale[:, None], case.frame.grid)
    frame = case.frame._replace(grid=jnp.asarray(grid, jnp.complex64))
    stream, _ = build_streaming(config, jax.random.key(0))

    @jax.jit
    def run(params):
        inputs, received = prepare(config, frame, case.token)
        return inputs, received, stream.apply(params, inputs)

    inputs, received, got = run(params)
    np.testing.assert_allclose(received.gain, 1.0 / np.sqrt(power[:, 0, 0]), rtol=1e-5)
    channel, log_noise, modulation, k_db = BlockByBlock(config, params).every(inputs)
    close = {"rtol": 2e-3, "atol": 2e-3}
    np.testing.assert_allclose(got.channel, channel, **close)
    np.testing.assert_allclose(got.log_noise, log_noise, **close)
    np.testing.assert_allclose(got.modulation, modulation, **close)
    np.testing.assert_allclose(got.k_db, k_db[:, -1], **close)


def test_no_answer_depends_on_what_comes_later(case):
    """Bit for bit: the last two symbols are others. Their own answers change with them."""
    n = case.config.link.n_symbols
    other = jnp.roll(case.inputs.grid[:, n - 2 :], 1, axis=0) * 2j
    grid = case.inputs.grid.at[:, n - 2 :].set(other)
    view = case.inputs.views["grid"]
    views = {**case.inputs.views, "grid": view.at[:, :, n - 2 :].set(7.0)}
    changed = case.every(case.params, case.inputs._replace(grid=grid, views=views))
    for name, before, after in zip(Outputs._fields, case.at_once, changed, strict=True):
        np.testing.assert_array_equal(after[:, : n - 2], before[:, : n - 2], err_msg=name)
        assert np.all(np.asarray(after)[:, n - 2 :] != np.asarray(before)[:, n - 2 :]), name


def test_answers_depend_on_the_symbols_before(case):
    outputs, _ = case.in_steps
    cache = case.begin(case.params, pilots_of(case.config, case.inputs))
    cache, _ = case.step(case.params, cache, case.symbols[0] * 2j)
    _, answered = case.step(case.params, cache, case.symbols[1])
    for name in ("channel", "log_noise", "modulation", "snr_db"):
        assert np.abs(getattr(answered, name) - getattr(outputs[1], name)).max() > 1e-4, name


def test_the_gain_of_a_whole_frame_tells_nothing():
    """Data of later symbols ten times as strong: the frame's gain control turns everything down,
    and the answers to the first symbols are the same in the units of what was received."""
    case = streamed("14x48")
    n, mask = case.config.link.n_symbols, case.config.link.pilot_mask
    louder = np.where(~mask & (np.arange(n) >= 6)[:, None], 10.0, 1.0).astype(np.float32)
    grids = (case.frame.grid, case.frame.grid * louder)
    of_both = []
    for grid in grids:
        inputs, received = jax.jit(
            lambda grid: prepare(case.config, case.frame._replace(grid=grid), case.token)
        )(grid)
        answers = case.every(case.params, inputs)
        gain = np.asarray(received.gain)[:, None, None]
        of_both.append(
            (gain[:, 0, 0], answers.channel / gain, answers.log_noise - 2 * np.log(gain))
        )
    quiet, loud = of_both
    assert np.all(quiet[0] / loud[0] > 3.0)
    for before, after in zip(quiet[1:], loud[1:], strict=True):
        size = float(np.abs(before).max())
        np.testing.assert_allclose(after[:, :6], before[:, :6], atol=1e-4 * size)


def test_the_pilots_tokens_are_those_of_a_frame_without_a_grid():
    """The filter over the pilots is what the model of whole frames makes of csi alone."""
    case = streamed("small")

    @jax.jit
    def run(params):
        only_csi = case.frame._replace(grid=None)
        inputs, _ = prepare(case.config, only_csi, case.token)
        model = case.model(params)
        tokens = model.encode(inputs)
        return inputs, model.filter_pilots(tokens.patches, inputs.channel_ls, inputs.pilots)

    inputs, lines = run(case.params)
    cache = case.begin(case.params, pilots_of(case.config, inputs))
    np.testing.assert_allclose(cache.known.gain, 1.0, rtol=1e-5)
    np.testing.assert_allclose(cache.lines, lines, rtol=1e-5, atol=1e-5 * np.abs(lines).max())


def test_a_receiver_hears_what_it_receives():
    """Samples of a frame as they arrive: gain and timing by the pilots alone, then symbol by
    symbol, against the frame prepared as a whole."""
    case = streamed("small")
    grid, csi = 1e-4 * case.frame.grid, 1e-4 * case.frame.csi
    pilots, received = jax.jit(functools.partial(prepare_pilots, case.config))(csi, case.token)
    whole, of_frame = jax.jit(functools.partial(prepare, case.config))(
        case.frame._replace(grid=grid, csi=csi), case.token
    )
    np.testing.assert_allclose(received.ramp, of_frame.ramp, rtol=1e-4, atol=1e-5)
    cache, got = case.begin(case.params, pilots), []
    for s in range(case.config.link.n_symbols):
        symbol = grid[:, s] * received.gain[:, None] * received.ramp
        cache, answered = case.step(case.params, cache, symbol)
        got.append(answered.channel)
    units = (of_frame.gain / received.gain)[:, None, None]
    expected = case.every(case.params, whole).channel / units
    size = float(np.abs(expected).max())
    np.testing.assert_allclose(np.concatenate(got, axis=1), expected, atol=1e-4 * size)


def test_bits_of_symbols_are_the_bits_of_the_frame():
    case = streamed("small")
    modulation = case.token % case.config.n_modulations
    of_symbol = jax.jit(functools.partial(symbol_llrs, case.config))
    pairs = zip(case.symbols, case.in_steps[0], strict=True)
    llrs = np.stack([of_symbol(symbol, outputs, modulation) for symbol, outputs in pairs], axis=1)
    frame = Outputs(*case.at_once[:2], *(x[:, -1] for x in case.at_once[2:]))
    expected = jax.jit(functools.partial(bit_llrs, case.config.link))(
        case.inputs, frame, modulation
    )
    got = link.data_elements(case.config.link, jnp.asarray(llrs))
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
    assert np.abs(expected).max() > 1.0


def test_beyond_the_last_symbol_there_is_no_answer():
    case = streamed("small")
    outputs, cache = case.in_steps
    chex.assert_tree_all_finite(outputs)
    _, beyond = case.step(case.params, cache, case.symbols[0])
    assert all(np.all(np.isnan(x)) for x in beyond)


def test_streams_of_a_batch_are_streams_of_their_own():
    """vmap over frames of a batch of one is the batch."""
    case = streamed("small")

    def alone(pilots, symbols):
        cache = case.stream.begin(case.params, jax.tree.map(lambda x: x[None], pilots))
        cache, _ = case.stream.step(case.params, cache, symbols[None, 0])
        _, outputs = case.stream.step(case.params, cache, symbols[None, 1])
        return jax.tree.map(lambda x: x[0], outputs)

    pilots = pilots_of(case.config, case.inputs)
    got = jax.jit(jax.vmap(alone))(pilots, case.inputs.grid)
    assert_same(got, case.in_steps[0][1])


def test_the_batch_may_be_symbolic():
    """One exported program of a step for batches of any size."""
    case = streamed("small")
    (b,) = jax.export.symbolic_shape("b")
    pilots = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((b, *x.shape[1:]), x.dtype),
        pilots_of(case.config, case.inputs),
    )
    cache = jax.eval_shape(case.stream.begin, case.params, pilots)
    symbol = jax.ShapeDtypeStruct((b, case.config.link.n_subcarriers), jnp.complex64)
    exported = jax.export.export(jax.jit(case.stream.step))(case.params, cache, symbol)
    first = case.begin(case.params, pilots_of(case.config, case.inputs))
    _, got = exported.call(case.params, first, case.symbols[0])
    assert_same(got, case.in_steps[0][0])


def test_the_cache_is_written_in_place():
    case = streamed("14x48")
    cache = jax.eval_shape(case.stream.begin, case.params, pilots_of(case.config, case.inputs))
    step = jax.jit(case.stream.step, donate_argnums=1)
    memory = step.lower(case.params, cache, case.symbols[0]).compile().memory_analysis()
    of_layers = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(cache.layers))
    assert of_layers == 2 * 2 * 5 * 15 * 25 * 16 * 4
    assert memory.alias_size_in_bytes >= of_layers


def test_points_are_passed_in_steps_too():
    """With every activation changed at its point, steps and the full pass are the same again."""
    case = Streamed(CONFIGS["small"], at=lambda point, x: 0.5 * x)
    for s, answered in enumerate(case.in_steps[0]):
        assert_same(answered, at_symbol(case.at_once, s))
    plain = streamed("small").at_once
    assert np.abs(case.at_once.channel - plain.channel).max() > 1e-3
    points = (*activation_points(case.config), *output_points(case.config))
    recorded = recording(case.stream.apply, points)
    _, passed = jax.eval_shape(recorded, case.params, case.inputs)
    rows = 5 * (1 + case.config.link.n_symbols) * case.config.n_tokens
    assert {x.shape[0] for x in passed.values()} == {rows}


def test_keys_are_kept_in_what_products_are_computed_in():
    case = streamed("small")
    stream, params = build_streaming(case.config, jax.random.key(0), dtype="bfloat16")
    cache = jax.eval_shape(stream.begin, params, pilots_of(case.config, case.inputs))
    assert {x.dtype for x in jax.tree.leaves(cache.layers)} == {jnp.dtype("bfloat16")}
    _, outputs = jax.eval_shape(stream.step, params, cache, case.symbols[0])
    assert outputs.log_noise.dtype == jnp.float32


@functools.cache
def task_loss():
    """``loss_of(params, key)`` of the small model, frames with a view missing among its batches."""
    case = streamed("small")

    def loss_of(params, key):
        batch = sample_batch(case.config, key=key, batch_size=8, view_dropout=0.4)
        losses = task_losses(case.config, case.stream.apply(params, batch.inputs), batch)
        return TaskWeights().total(losses), losses

    return loss_of


def test_every_parameter_has_a_gradient():
    gradient = jax.jit(jax.grad(task_loss(), has_aux=True))
    grads, _ = gradient(streamed("small").params, jax.random.key(1))
    chex.assert_tree_all_finite(grads)
    silent = [path for path, leaf in flatten(grads).items() if not np.any(leaf)]
    # A bias of keys moves all scores of a query alike.
    assert not [path for path in silent if not path.endswith("attention/key/bias")]


@pytest.mark.slow
def test_training_lowers_the_loss():
    """By the trainer that trains teachers."""
    how = Fit("streaming", steps=120, learning_rate=5e-3)
    chunk = make_chunk(how, task_loss(), jax.random.key(2))
    start = build_streaming(CONFIGS["small"], jax.random.key(0))[1]
    training, losses = new_training(start), []
    for _ in range(4):
        training, of_chunk = chunk(training, 30)
        losses.append(float(TaskWeights().total(of_chunk)))
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize(
    "views", [("grid",), ("grid", "csi", "iq"), ("grid", "csi", "spectrogram")]
)
def test_other_views_are_refused(views):
    config = dataclasses.replace(preset("pico", small.LINK), views=views)
    with pytest.raises(
        ValueError, match=r"^a streaming model reads the views grid, csi, got views="
    ):
        build_streaming(config, jax.random.key(0))


def test_pilots_and_symbols_of_another_size_are_refused():
    case = streamed("small")
    pilots = pilots_of(case.config, case.inputs)
    with pytest.raises(ValueError, match=r"^pilots must have shape \(5, 2, 8\), got \(5, 2, 4\)"):
        case.begin(case.params, pilots._replace(csi=pilots.csi[..., :4]))
    cache = case.begin(case.params, pilots)
    with pytest.raises(ValueError, match=r"^symbol must have shape \(5, 16\), got \(1, 16\)"):
        case.step(case.params, cache, case.symbols[0][:1])
