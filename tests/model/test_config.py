"""The architecture as data: presets, the smaller student, the way through JSON."""

import dataclasses
import functools
import json
import math

import jax
import pytest

from tests import small
from wfm_jax.compress import flatten, matches
from wfm_jax.model import (
    PRESETS,
    ModelConfig,
    dense_shapes,
    from_dict,
    param_shapes,
    preset,
    smaller,
    to_dict,
)
from wfm_jax.signal import factory, link
from wfm_jax.signal.replay import Replay
from wfm_jax.signal.tapped_delay_line import RAYLEIGH

WIDTHS = {"pico": 16, "nano": 64, "micro": 128, "small": 256, "base": 512, "large": 768}
LAYERS = {"pico": 2, "nano": 3, "micro": 4, "small": 8, "base": 12, "large": 12}


@functools.cache
def n_params(config):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(param_shapes(config)))


@pytest.mark.parametrize("name", PRESETS)
def test_presets_have_their_sizes(name):
    config = preset(name)
    assert config.d_model == WIDTHS[name]
    assert config.n_layers == LAYERS[name] == len(config.mlp_widths)
    assert {heads * config.head_dim for heads in config.heads} == {config.d_model}
    assert set(config.mlp_widths) == {4 * config.d_model}
    # A layer: four projections, the MLP, biases and two norms. A tokenizer: features, waves of its
    # times and places, two layers' biases, the absent vector. Modulations, the last norm; heads.
    d = WIDTHS[name]
    layers = LAYERS[name] * (12 * d**2 + 13 * d)
    features_and_places = (16 + 24) + (10 + 24) + (2 + 24) + (32 + 16)
    tokenizers = 4 * d**2 + d * (features_and_places + 4 * (10 + 3))
    heads = 8 * (d + 1) + (64 + 32) * (d + 24 + 1) + 11 * (2 * d + 1)
    assert n_params(config) == layers + tokenizers + (5 + 2) * d + heads


def test_preset_takes_a_link_and_names_the_allowed_sizes():
    other = link.LinkConfig(n_symbols=4, pilot_symbols=(1,))
    assert preset("nano", other) == dataclasses.replace(preset("nano"), link=other)
    with pytest.raises(ValueError, match="giant") as error:
        preset("giant")
    assert all(name in str(error.value) for name in PRESETS)


@pytest.mark.parametrize(
    "config",
    [
        *PRESETS.values(),
        smaller(PRESETS["micro"]),
        ModelConfig(views=("csi", "iq"), heads=(1, 2), mlp_widths=(3, 5), iq_segment=48),
        ModelConfig(
            link=link.LinkConfig(fft_size=48, cp_samples=12, scenario=RAYLEIGH), iq_segment=60
        ),
        ModelConfig(link=link.LinkConfig(scenario=Replay.of([[1, 0.5j], [0.1, 1]], [0, 5e-8]))),
        ModelConfig(
            link=link.LinkConfig(
                snr_db_range=(3.0, 4.5),
                bits_per_symbol=(2, 6),
                scenario=factory.FactoryHall(k_db_range=(1.0, 2.0), rayleigh_fraction=0.5),
            )
        ),
    ],
)
def test_round_trip_through_json(config):
    again = from_dict(json.loads(json.dumps(to_dict(config))))
    assert again == config
    assert hash(again) == hash(config)


@pytest.mark.parametrize(
    "damage",
    [
        lambda fields: fields.pop("link"),
        lambda fields: fields.update(n_experts=8),
        lambda fields: fields["link"].update(n_antennas=4),
        lambda fields: fields["link"]["scenario"].update(rain=True),
        lambda fields: fields["link"].update(scenario=None),
        lambda fields: fields["link"]["scenario"].update(kind="Cathedral"),
        lambda fields: fields.update(views=["radar"]),
        lambda fields: fields["link"].update(pilot_spacing=3),
    ],
)
def test_fields_of_another_version_are_refused(damage):
    fields = to_dict(preset("pico"))
    damage(fields)
    with pytest.raises(ValueError, match=r"of this version|must"):
        from_dict(fields)


@pytest.mark.parametrize(
    "name, changes",
    [
        ("heads", {"heads": (4, 4)}),
        ("heads", {"heads": (), "mlp_widths": ()}),
        ("views", {"views": ()}),
        ("views", {"views": ("grid", "sound")}),
        ("views", {"views": ("grid", "csi", "grid")}),
        ("patch_subcarriers", {"patch_subcarriers": 5}),
        ("patch_subcarriers", {"patch_subcarriers": 0}),
        ("patch_subcarriers", {"patch_subcarriers": -2}),
        ("iq_segment", {"iq_segment": 0}),
        ("d_model", {"d_model": 15}),
        ("d_model", {"d_model": 0}),
    ],
)
def test_bad_config_is_named(name, changes):
    with pytest.raises(ValueError, match=name):
        ModelConfig(**changes)


RANKS = (("block_0/attention/query", 3), ("block_2/mlp/down", 63))


def test_ranks_pass_through_json_and_a_plain_model_has_none_there():
    """Files and hashes of models from before there were any stay what they are."""
    assert "ranks" not in to_dict(preset("nano"))
    factored = dataclasses.replace(preset("nano"), ranks=RANKS)
    again = from_dict(json.loads(json.dumps(to_dict(factored))))
    assert again == factored
    assert hash(again) == hash(factored)
    assert again != preset("nano")


def test_dense_shapes_are_those_of_the_kernels():
    config = ModelConfig(heads=(0, 3), mlp_widths=(7, 0), head_dim=5)
    kernels = {f"{layer}/kernel": shape for layer, shape in dense_shapes(config).items()}
    found = flatten(param_shapes(config)).items()
    assert kernels == {p: w.shape for p, w in found if matches(p, "block_*/kernel")}


@pytest.mark.parametrize(
    "ranks, message",
    [
        (RANKS[::-1], "sorted and distinct"),
        ((("block_0/mlp/up", 2), ("block_0/mlp/up", 3)), "sorted and distinct"),
        ([("block_0/mlp/up", 2)], "pairs of a layer and its rank"),
        ((("block_0/mlp/up",),), "pairs of a layer and its rank"),
        ((("block_0/mlp/up", 2.0),), "pairs of a layer and its rank"),
        ((("block_0/mlp/up", True),), "pairs of a layer and its rank"),
        ((("block_3/mlp/up", 2),), "ranks: the model has no dense layer block_3/mlp/up$"),
        ((("head_frame", 2),), "ranks: the model has no dense layer head_frame$"),
        ((("block_0/mlp/up", 0),), "at least 1 and below d_model, 64, got 0 for block_0/mlp/up"),
        ((("block_0/mlp/up", 64),), "at least 1 and below d_model, 64, got 64 for block_0/mlp/up"),
    ],
)
def test_bad_ranks_are_named(ranks, message):
    with pytest.raises(ValueError, match=message):
        ModelConfig(ranks=ranks)
    fields = to_dict(ModelConfig()) | {"ranks": ranks}
    if isinstance(ranks, tuple):  # a list is how JSON has it
        with pytest.raises(ValueError, match=message):
            from_dict(json.loads(json.dumps(fields)))


def test_tokens_are_counted():
    config = preset("nano")  # 8 symbols of 32 + 16 samples; patches of 2; segments of 16
    assert (config.n_patches, config.n_segments, config.n_tokens) == (16, 24, 1 + 16 + 24)
    assert config.n_modulations == 4
    without = dataclasses.replace(config, views=("grid", "spectrogram"))
    assert (without.n_segments, without.n_tokens) == (0, 17)
    # 384 samples are 15 segments of 25 and 9 more; 1,176 are 73 of 16 and 8 more.
    assert dataclasses.replace(config, iq_segment=25).n_segments == 16
    nr = preset("nano", small.NR_LIKE)
    assert (nr.n_patches, nr.n_segments, nr.n_tokens) == (24, 74, 1 + 24 + 74)


@pytest.mark.parametrize("name", ["pico", "nano", "micro"])
def test_the_smaller_student_is_smaller(name):
    config = preset(name)
    student = smaller(config)
    assert student.n_layers == math.ceil(config.n_layers / 2)
    assert set(student.mlp_widths) == {2 * config.d_model}
    same = dataclasses.replace(student, heads=config.heads, mlp_widths=config.mlp_widths)
    assert same == config
    assert n_params(student) < n_params(config)
