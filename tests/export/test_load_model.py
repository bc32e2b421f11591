"""A packed file alone is a model that runs, or is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import small
from wfm_jax import compress
from wfm_jax.compress import ActivationRange
from wfm_jax.export.compressed import nested
from wfm_jax.export.from_model import pack_model
from wfm_jax.export.load_model import load_model, model_metadata
from wfm_jax.export.packed import PackedFileError, read_metadata, save_packed
from wfm_jax.model import activation_points, build, factorise_model, prepare, preset

CONFIG = preset("pico", small.LINK)


@pytest.fixture(scope="module")
def params():
    return small.moved(build(CONFIG, jax.random.key(0))[1], 0.1)


@pytest.fixture(scope="module")
def ranges():
    rng = np.random.default_rng(0)
    return {
        point: ActivationRange(-jnp.float32(rng.exponential()), jnp.float32(rng.exponential()))
        for point in activation_points(CONFIG)
    }


def saved(path, params, metadata):
    save_packed(path, pack_model(compress.flatten(params)), metadata)
    return path


def same(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_it_comes_back_and_runs(tmp_path, params):
    model = load_model(saved(tmp_path / "m.wfm", params, model_metadata(CONFIG)))
    assert (model.config, model.ranges, model.act_bits) == (CONFIG, None, 32)
    same(nested(model.params), params)
    apply, _ = build(model.config, jax.random.key(1))
    frame = small.received(CONFIG.link, 2, seed=0)
    inputs, _ = prepare(CONFIG, frame, jnp.zeros(2, int))
    run = jax.jit(apply)
    same(run(nested(model.params), inputs), run(params, inputs))


def test_ranges_come_back_bit_for_bit(tmp_path, params, ranges):
    model = load_model(saved(tmp_path / "m.wfm", params, model_metadata(CONFIG, 8, ranges)))
    assert model.act_bits == 8
    same(model.ranges, dict(ranges))


def test_a_factored_model_comes_back(tmp_path, params):
    config, factored = factorise_model(CONFIG, params, 0.5)
    assert config.ranks
    model = load_model(saved(tmp_path / "m.wfm", factored, model_metadata(config)))
    assert model.config == config
    same(nested(model.params), factored)


def without(params, name):
    return {k: v for k, v in params.items() if k != name}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: {}, "metadata: model: the file does not say"),
        (lambda m: m | {"owner": 1}, "metadata: unknown field owner"),
        (lambda m: m | {"model": {"d_model": 4}}, "metadata: model: not a model of this version"),
        (lambda m: m | {"model": m["model"] | {"depth": 4}}, "metadata: model: .*depth"),
        (lambda m: m | {"model": m["model"] | {"d_model": 3}}, "metadata: model: d_model must"),
        (lambda m: without(m, "act_bits"), "metadata: act_bits and ranges"),
        (lambda m: m | {"act_bits": "8"}, "metadata: act_bits is '8'"),
        (lambda m: m | {"act_bits": 9}, "metadata: act_bits is 9"),
        (lambda m: m | {"ranges": {}}, "metadata: ranges: .* exactly the model's points"),
        (lambda m: m | {"ranges": {p: [1.0, 0.0] for p in m["ranges"]}}, "metadata: ranges: blo"),
        (lambda m: m | {"ranges": {p: [1.0] for p in m["ranges"]}}, "metadata: ranges: block"),
        (lambda m: m | {"ranges": dict.fromkeys(m["ranges"], "ab")}, "metadata: ranges: block"),
    ],
)
def test_metadata_of_no_model_is_named(tmp_path, params, ranges, change, reason):
    metadata = change(model_metadata(CONFIG, 8, ranges))
    path = saved(tmp_path / "odd.wfm", params, metadata)
    assert read_metadata(path.read_bytes()).keys() == metadata.keys()
    with pytest.raises(PackedFileError, match=rf"odd\.wfm: {reason}"):
        load_model(path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda p: without(p, "final_norm"), "missing final_norm/bias, final_norm/scale"),
        (lambda p: p | {"more": np.ones(2, np.float32)}, "extra more"),
        (lambda p: p | {"head_key": p["head_query"]}, r"reshaped head_key/bias \(stored"),
    ],
)
def test_tensors_of_another_model_are_named(tmp_path, params, change, reason):
    path = saved(tmp_path / "odd.wfm", change(params), model_metadata(CONFIG))
    with pytest.raises(PackedFileError, match=rf"odd\.wfm: tensors do not fit the model: {reason}"):
        load_model(path)


def test_what_is_no_packed_file_is_named(tmp_path):
    path = tmp_path / "odd.wfm"
    path.write_bytes(b"PK\3\4")
    with pytest.raises(PackedFileError, match=r"odd\.wfm: magic"):
        load_model(path)
