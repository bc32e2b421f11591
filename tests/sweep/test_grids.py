"""Every grid that Q can put kernels on, in one program: what is in force, trained and stored."""

import jax.numpy as jnp
import numpy as np
import pytest

from tests.finished import run
from wfm_jax import compress
from wfm_jax.export.from_model import pack_model
from wfm_jax.export.packed import pack, unpack
from wfm_jax.sweep.configuration import Configuration, from_columns
from wfm_jax.sweep.group import Group
from wfm_jax.sweep.handover import mean_bits, stored_form
from wfm_jax.train.wireless import PRUNABLE

POINT = {"sparsity": 0.75, "weight_bits": 4, "steps": 5}
GRIDS = [
    Configuration("P-Q-KD", **POINT, quant_format="affine"),
    Configuration("P-Q-KD", **POINT, quant_format="nf4_double"),
    Configuration("P-Q", **POINT, rounding="awq", bound="half_step"),
    Configuration("P-Q-FT", **POINT, scale="learned", bound="half_step"),
    Configuration("Q-P-KD", **POINT, group_size=8, feature_weight=1.0, attention_weight=1.0),
    Configuration(
        "Q",
        **(POINT | {"weight_bits": 8}),
        allocation=(("block_0/mlp/up/kernel", 2), ("head_frame/kernel", 3)),
    ),
    Configuration("P-Q-KD", **POINT, table_bits=4, vector_bits=8),
]


@pytest.fixture(scope="module")
def group(problem, settings):
    return Group("same", problem, GRIDS, settings)


@pytest.fixture(scope="module")
def finished(teacher, settings, group):
    return run(GRIDS, teacher, settings, group)


@pytest.mark.slow
@pytest.mark.parametrize("configuration", GRIDS, ids=lambda c: c.config_id[:6])
def test_what_is_handed_over_is_stored_bit_for_bit(finished, configuration):
    """The packed file refuses what would not come back; here it comes back."""
    own = finished[configuration.config_id][2]
    stored = pack(pack_model(**stored_form(own)._asdict()))
    back = {name: tensor.effective() for name, tensor in unpack(stored).items()}
    for path, leaf in compress.flatten(own.params).items():
        np.testing.assert_array_equal(back[path], np.asarray(leaf))


@pytest.mark.slow
def test_every_grid_has_as_many_levels_as_it_should(finished):
    for configuration in GRIDS[:4]:
        flat = finished[configuration.config_id][0]
        kept = [w[w != 0] for w in compress.select(flat, PRUNABLE).values()]
        # Every channel, block or input has scales of its own.
        assert np.unique(np.concatenate(kept)).size > 10 * 16
    of_groups = finished[GRIDS[4].config_id][0]["block_0/mlp/down/kernel"]
    for group in of_groups.reshape(-1, 8, of_groups.shape[1]).swapaxes(1, 2).reshape(-1, 8):
        assert np.unique(np.abs(group)).size <= 8


@pytest.mark.slow
def test_mixed_precision_gives_each_tensor_its_own_bits(finished):
    flat, _, own = finished[GRIDS[5].config_id]
    bits = {path: float(grid.bits) for path, grid in own.grids.items()}
    assert bits.pop("block_0/mlp/up/kernel") == 2
    assert bits.pop("head_frame/kernel") == 3
    assert set(bits.values()) == {8}  # of the kernels and the other tables
    sizes = {path: np.size(w) for path, w in flat.items() if np.ndim(w) >= 2}
    by_hand = 8 - (6 * sizes["block_0/mlp/up/kernel"] + 5 * sizes["head_frame/kernel"]) / sum(
        sizes.values()
    )
    assert mean_bits(stored_form(own)) == pytest.approx(by_hand)
    for path, levels in (("block_0/mlp/up/kernel", 2), ("head_frame/kernel", 4)):
        assert max(np.unique(np.abs(channel)).size for channel in flat[path].T) <= levels


@pytest.mark.slow
def test_tables_and_vectors_are_stored_in_the_bits_asked_for(finished):
    small, usual = (finished[GRIDS[i].config_id][2] for i in (6, 4))
    for path, w in compress.flatten(small.params).items():
        levels = 7 if np.ndim(w) >= 2 else 127
        in_steps = np.asarray(w) / np.where(small.grids[path].scale > 0, small.grids[path].scale, 1)
        np.testing.assert_allclose(in_steps, np.round(in_steps), atol=1e-4)
        assert np.abs(in_steps).max() <= levels + 1e-4
        assert path in usual.grids or np.ndim(w) < 2
    sizes = [len(pack(pack_model(**stored_form(own)._asdict()))) for own in (small, usual)]
    assert sizes[0] < 0.8 * sizes[1]


@pytest.mark.slow
def test_learned_scales_are_trained_with_the_weights(finished, teacher):
    """They start from the least squared error of the weights that are left, and go elsewhere."""
    own = finished[GRIDS[3].config_id][2]
    dense = compress.flatten(teacher.params)
    for path, keep in own.keep.items():
        pruned = jnp.where(keep, dense[path], 0)
        start = np.asarray(compress.mse_scale(pruned, 4, bound="half_step"))
        of_zeros, scale = start == 0, np.asarray(own.grids[path].scale)
        assert not scale[of_zeros].any()
        moved = scale[~of_zeros] / start[~of_zeros]
        assert 0.9 < moved.min() < moved.max() < 1.1
        assert np.mean(moved != 1) > 0.25  # not behind a neuron that nothing reads


@pytest.mark.slow
def test_all_grids_train_in_one_program(finished, group):
    assert finished
    assert group.n_compiles == 1
    assert len(group.choices.grids) == 6


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"quant_format": "nf4", "weight_bits": 3}, "weight_bits must be 4"),
        ({"quant_format": "nf4", "weight_bits": 4, "group_size": 32}, "group_size must be none"),
        ({"quant_format": "affine", "scale": "mse"}, "scale must be auto"),
        ({"quant_format": "affine", "rounding": "gptq"}, "rounding must be nearest"),
        ({"scale": "learned", "rounding": "awq"}, "rounding must be nearest"),
        ({"group_size": 1}, "group_size must be at least 2"),
        ({"bound": "tight"}, "bound must be one of restricted, half_step"),
        ({"allocation": (("head_frame/kernel", 9),)}, "allocation must give 2 to 8 bits"),
        ({"table_bits": 9}, "table_bits must be 2 to 8"),
        ({"vector_bits": 32}, "vector_bits must be 2 to 8, or 16"),
        ({"rank_share": 0.0}, r"rank_share must be in \(0, 1\]"),
        ({"feature_weight": -1.0}, "feature_weight must be at least 0"),
    ],
)
def test_what_does_not_go_together_is_one_line(how, words):
    with pytest.raises(ValueError, match=words) as error:
        Configuration("Q-KD", **how)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"group_size": 24}, "group_size must divide .* got 24 for the 16 inputs"),
        ({"allocation": (("head/kernel", 4),)}, "allocation names what the model lacks: head/ker"),
    ],
)
def test_what_the_model_does_not_allow_is_said_before_anything_runs(problem, settings, how, words):
    with pytest.raises(ValueError, match=words):
        Group("same", problem, [Configuration("Q", **how)], settings)


def test_grids_that_a_pipeline_does_not_use_do_not_make_another_configuration():
    one = Configuration("P-KD", group_size=8, quant_format="affine", scale="mse")
    assert one.config_id == Configuration("P-KD").config_id
    affine = Configuration("Q", quant_format="affine")
    assert affine.config_id != Configuration("Q").config_id
    assert Configuration("FT", feature_weight=1.0).config_id == Configuration("FT").config_id
    assert from_columns(GRIDS[5].columns()) == GRIDS[5]


def test_bits_of_tables_and_vectors_count_where_they_are_used():
    def identity(**how):
        return Configuration("Q", **how).config_id

    assert identity(weight_bits=4, table_bits=4) != identity(weight_bits=4)
    assert identity(weight_bits=4, table_bits=4) == identity(weight_bits=4, table_bits=2)
    assert identity(weight_bits=8, table_bits=4) == identity(weight_bits=8)
    assert identity(weight_bits=4, vector_bits=8) != identity(weight_bits=4)
    assert identity(weight_bits=32, vector_bits=8) == identity(weight_bits=32)
    assert Configuration("P", vector_bits=8).config_id == Configuration("P").config_id
