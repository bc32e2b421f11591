"""Layers stored as two factors: they answer what their product does, and everything that reads
kernels, points or units finds them."""

import collections
import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import small
from wfm_jax import compress
from wfm_jax.compress.couplings import check_couplings
from wfm_jax.evaluate import products
from wfm_jax.model import (
    activation_points,
    build,
    calibrate_activations,
    couplings,
    dense_shapes,
    param_shapes,
    preset,
    recording,
    shrink_model,
    shrunk_config,
    smaller,
)
from wfm_jax.model.couplings import KINDS
from wfm_jax.train.model_files import load_teacher, save_teacher

KEY = jax.random.key(8)
# Of block_1 query, key and down stay plain. The rank of block_0/mlp/down is above the number of
# neurons that it reads: what shrinking may leave.
RANKS = (
    ("block_0/attention/key", 2),
    ("block_0/attention/out", 3),
    ("block_0/attention/query", 1),
    ("block_0/attention/value", 5),
    ("block_0/mlp/down", 7),
    ("block_0/mlp/up", 2),
    ("block_1/attention/out", 4),
    ("block_1/attention/value", 2),
    ("block_1/mlp/up", 3),
)


@pytest.fixture(scope="module")
def plain(config):
    """Reads one of the views in ``batch``: it compiles in a moment."""
    return dataclasses.replace(config, heads=(2, 3), mlp_widths=(6, 10), head_dim=4, views=("csi",))


@pytest.fixture(scope="module")
def factored(plain):
    return dataclasses.replace(plain, ranks=RANKS)


@pytest.fixture(scope="module")
def params(factored):
    return small.moved(build(factored, KEY)[1], 0.1)


@pytest.fixture(scope="module")
def apply(factored):
    return jax.jit(build(factored, KEY)[0])


def multiplied(params):
    """Parameters of the plain model: products, in float64, in place of factors."""
    if "reduce" in params:
        a, b = (np.asarray(params[f]["kernel"], np.float64) for f in ("reduce", "expand"))
        return {"kernel": jnp.asarray(a @ b, jnp.float32), "bias": params["expand"]["bias"]}
    return {k: multiplied(v) if isinstance(v, dict) else v for k, v in params.items()}


def close(a, b, tolerance=1e-5):
    """1e-5 of what the values are like, of outputs or of a flat dict."""
    a, b = (x if isinstance(x, dict) else x._asdict() for x in (a, b))
    assert set(a) == set(b)
    for name, y in b.items():
        np.testing.assert_allclose(
            a[name], y, rtol=tolerance, atol=tolerance * np.abs(y).max(), err_msg=name
        )


def total(apply, inputs, params):
    """Of all outputs some, as a number."""
    outputs = apply(params, inputs)
    return sum(jnp.mean(jnp.abs(x) ** 2) for x in outputs)


def test_it_answers_what_the_plain_model_with_the_products_does(
    plain, factored, params, apply, batch
):
    dense = multiplied(params)
    chex.assert_trees_all_equal_shapes_and_dtypes(dense, param_shapes(plain))
    chex.assert_trees_all_equal_shapes_and_dtypes(params, param_shapes(factored))
    answers = jax.jit(build(plain, KEY)[0])(dense, batch.inputs)
    close(apply(params, batch.inputs), answers)


@pytest.mark.slow
def test_gradients_are_those_of_the_products_by_the_chain_rule(plain, factored, params, batch):
    slope, wanted = (
        compress.flatten(jax.jit(jax.grad(functools.partial(total, f, batch.inputs)))(p))
        for f, p in ((build(factored, KEY)[0], params), (build(plain, KEY)[0], multiplied(params)))
    )
    flat = compress.flatten(params)
    for layer, _ in RANKS:
        a, b = (np.asarray(flat[f"{layer}/{f}/kernel"]) for f in ("reduce", "expand"))
        of_product = np.asarray(wanted.pop(f"{layer}/kernel"))
        wanted[f"{layer}/reduce/kernel"] = of_product @ b.T
        wanted[f"{layer}/expand/kernel"] = a.T @ of_product
        wanted[f"{layer}/expand/bias"] = wanted.pop(f"{layer}/bias")
    # A softmax does not see what all keys have in common, and here every token is visible.
    nothing = [p for p in slope if "/key/" in p and p.endswith("bias")] + ["embed_csi/absent"]
    assert len(nothing) == 1 + plain.n_layers
    for path in nothing:
        assert np.abs(slope.pop(path)).max() < 1e-4
        del wanted[path]
    assert min(np.abs(x).max() for x in wanted.values()) > 1
    close(slope, wanted, 1e-4)


def test_a_factored_layer_is_one_product_more_and_nothing_else(plain, factored, batch):
    def primitives(config):
        program = jax.make_jaxpr(build(config, KEY)[0])(param_shapes(config), batch.inputs)
        return collections.Counter(str(e.primitive) for e in program.eqns)

    more = primitives(factored)
    more.subtract(primitives(plain))
    assert {name: n for name, n in more.items() if n} == {"dot_general": len(RANKS)}


def test_products_count_the_factors(plain, factored):
    """Each token multiplies with every entry of both factors once."""
    of = {}
    for config in (plain, factored):
        found = products.frame_products(config, build(config, KEY)[0], param_shapes(config))
        of[config] = {p.parameter: p.macs for p in found if p.parameter}
        kernels = {p for p in compress.flatten(param_shapes(config)) if p.endswith("/kernel")}
        assert set(of[config]) == kernels
    tokens, wanted = plain.n_tokens, of[plain]
    for layer, rank in RANKS:
        n_in, n_out = dense_shapes(plain)[layer]
        assert wanted.pop(f"{layer}/kernel") == tokens * n_in * n_out
        wanted[f"{layer}/reduce/kernel"] = tokens * n_in * rank
        wanted[f"{layer}/expand/kernel"] = tokens * rank * n_out
    assert of[factored] == wanted


def test_every_kernel_of_a_block_is_prunable_and_named_by_its_factor(factored, params):
    found = compress.select(params, "block_*/kernel")
    ranks = dict(RANKS)
    for layer, (n_in, n_out) in dense_shapes(factored).items():
        if layer in ranks:
            assert found.pop(f"{layer}/reduce/kernel").shape == (n_in, ranks[layer])
            assert found.pop(f"{layer}/expand/kernel").shape == (ranks[layer], n_out)
            assert f"{layer}/reduce/bias" not in compress.flatten(params)
        else:
            assert found.pop(f"{layer}/kernel").shape == (n_in, n_out)
    assert not found


def test_points_are_met_in_their_order(factored, batch):
    met = []

    def at(point, x):
        met.append(point)
        return x

    jax.eval_shape(
        lambda p: build(factored, KEY)[0](p, batch.inputs, at=at), param_shapes(factored)
    )
    points = activation_points(factored)
    assert [point for point in met if point in points] == [*points]
    reduced = {point.removesuffix("/reduced") for point in points if point.endswith("/reduced")}
    assert reduced == {layer for layer, _ in RANKS}
    assert len(set(met)) == len(met) == len(points) + 2 * factored.n_layers


@pytest.fixture(scope="module")
def recorded(factored, params, batch):
    record = recording(build(factored, KEY)[0], activation_points(factored))
    return jax.jit(record)(params, batch.inputs)[1]


def test_points_are_the_inputs_of_all_kernels_of_the_blocks(factored, params, recorded, batch):
    """Against what a trace of the program finds to be multiplied by each kernel."""
    seen = functools.partial(
        compress.input_statistics, build(factored, KEY)[0], pattern="block_*/kernel"
    )
    enters = {"query": "input", "key": "input", "value": "input", "out": "mixed"}
    enters |= {"up": "input", "down": "hidden"}
    met = set()
    for path, leaf in jax.jit(seen)(params, batch.inputs).items():
        layer = path.removesuffix("/kernel").removesuffix("/reduce")
        branch, _, name = layer.rpartition("/")
        point = f"{branch}/reduced" if name == "expand" else f"{branch}/{enters[name]}"
        passed = recorded[point]
        np.testing.assert_allclose(leaf.absolute, jnp.sum(jnp.abs(passed), axis=0), rtol=1e-4)
        met.add(point)
    assert met == set(activation_points(factored))


@pytest.mark.slow
def test_ranges_of_activations_are_calibrated_between_the_factors(
    factored, params, recorded, batch
):
    batches = jax.tree.map(lambda x: x[None], batch.inputs)
    points = activation_points(factored)

    @jax.jit
    def ranges(params):
        rule = compress.min_max_range
        return calibrate_activations(build(factored, KEY)[0], params, batches, points, rule)

    found = ranges(params)
    kernel = params["block_0"]["mlp"]["up"]["reduce"]["kernel"]
    between = np.asarray(recorded["block_0/mlp/input"] @ kernel)
    low, high = (float(x) for x in found["block_0/mlp/up/reduced"])
    np.testing.assert_allclose((low, high), (between.min(), between.max()), rtol=1e-4)
    assert set(found) == set(points)


def test_couplings_fit_the_model_and_branches_are_whole(factored):
    shapes = param_shapes(factored)
    inner = set(check_couplings(couplings(factored), shapes))
    assert {p for p in inner if "block_0" in p and p.endswith("kernel")} == {
        *(f"block_0/attention/{name}/expand/kernel" for name in ("query", "key", "value")),
        "block_0/attention/out/reduce/kernel",
        "block_0/mlp/up/expand/kernel",
        "block_0/mlp/down/reduce/kernel",
    }
    assert not any(path.endswith(("out/expand/bias", "down/expand/bias")) for path in inner)
    whole = check_couplings(couplings(factored, KINDS), shapes)
    assert set(whole) == {path for path in compress.flatten(shapes) if path.startswith("block")}


@functools.partial(jax.jit, static_argnums=(0, 2))
def cut(config, params, kinds, sparsity):
    """Units in force and the masked parameters."""
    method = compress.prune_units(sparsity, couplings(config, kinds))
    state = method.update(params, method.init(params, key=KEY))[1]
    return state.units, method.apply(params, state)


@pytest.mark.slow
def test_half_of_heads_and_neurons_answers_what_the_masked_model_does(
    factored, params, apply, batch
):
    units, masked = cut(factored, params, ("heads", "neurons"), 0.5)
    config, shrunk = shrink_model(factored, params, units)
    assert (sum(config.heads), sum(config.mlp_widths), config.ranks) == (3, 8, RANKS)
    chex.assert_trees_all_equal_shapes_and_dtypes(shrunk, param_shapes(config))
    answers = jax.jit(build(config, KEY)[0])(shrunk, batch.inputs)
    close(answers, apply(masked, batch.inputs))


@pytest.mark.slow
def test_layers_and_branches_that_go_take_both_factors_along(factored, params, apply, batch):
    """block_0 is gone; block_1 loses its MLP and takes that name."""
    units, masked = cut(factored, params, ("heads", "neurons"), 0.3)
    units |= {"block_0": np.array([False]), "block_1/mlp": np.array([False])}
    method = compress.prune_units(0.0, couplings(factored, ("branches", "layers")))
    state = method.init(params, key=KEY)
    masked = method.apply(masked, state._replace(units=state.units | units))
    config, shrunk = shrink_model(factored, params, units)
    assert config.ranks == (("block_0/attention/out", 4), ("block_0/attention/value", 2))
    chex.assert_trees_all_equal_shapes_and_dtypes(shrunk, param_shapes(config))
    answers = jax.jit(build(config, KEY)[0])(shrunk, batch.inputs)
    close(answers, apply(masked, batch.inputs))


def test_ranks_follow_their_layers_past_nine():
    """In the order of names, in which block_10 is before block_2."""
    config = preset("base")
    ranks = tuple(sorted((f"block_{i}/mlp/up", 1 + i) for i in range(1, 12)))
    config = dataclasses.replace(config, ranks=ranks)
    left = shrunk_config(config, {"block_1": np.array([False])})
    assert left.ranks == tuple(sorted((f"block_{i - 1}/mlp/up", 1 + i) for i in range(2, 12)))


@pytest.mark.parametrize("file", ["model", "model.safetensors"])
def test_it_is_saved_and_loaded_as_any_other(factored, params, tmp_path, file):
    save_teacher(tmp_path / file, factored, params, {})
    again = load_teacher(tmp_path / file)
    assert again.config == factored
    chex.assert_trees_all_equal(again.params, params)


@pytest.mark.slow
def test_in_bfloat16_and_rematerialised_it_has_the_same_points(factored, batch):
    apply, params = build(factored, KEY, dtype=jnp.bfloat16)
    _, passed = jax.eval_shape(recording(apply, activation_points(factored)), params, batch.inputs)
    assert {x.dtype for point, x in passed.items() if point.endswith("/reduced")} == {
        jnp.dtype(jnp.bfloat16)
    }
    assert passed["block_0/mlp/up/reduced"].shape == (32 * factored.n_tokens, 2)
    met = []
    again, params = build(factored, KEY, remat=True)
    jax.eval_shape(
        lambda p: again(p, batch.inputs, at=lambda point, x: (met.append(point), x)[1]), params
    )
    assert set(activation_points(factored)) <= set(met)


def test_no_smaller_student_of_it(factored):
    with pytest.raises(ValueError, match=r"plain layers, block_0/attention/key is factored$"):
        smaller(factored)
