"""Calibrations on wrong distributions: what sources are, and what is compared with what."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax import compress
from wfm_jax.evaluate import robustness_files, wrong_calibration
from wfm_jax.evaluate import wrong_calibration_study as study_of
from wfm_jax.evaluate.wrong_calibration import ALL_FRAMES, MATCHED, RULES, Source, Weights
from wfm_jax.model import activation_points, recording
from wfm_jax.results.failure_rows import CALIBRATION_COLUMNS, QUALITY_SCORES
from wfm_jax.results.rows import complete_row
from wfm_jax.signal import unseen

KEY = jax.random.key(3)
SETTINGS = ("part", "weight_bits", "act_bits", "sparsity")


@pytest.fixture(scope="module")
def sources(pico):
    return wrong_calibration.standard_sources(pico[0].link)


@pytest.fixture(scope="module")
def inputs(pico, sources):
    """Frames of a source, as one batch."""

    def of(name):
        found = wrong_calibration.calibration_inputs(pico[0], sources[name], KEY)
        return jax.tree.map(lambda x: np.asarray(x).reshape(ALL_FRAMES, *x.shape[2:]), found)

    return of


@pytest.fixture(scope="module")
def matched(inputs):
    return inputs(MATCHED)


def test_a_source_is_its_link(sources, pico):
    base = pico[0].link
    assert next(iter(sources)) == MATCHED
    assert sources[MATCHED].link == base
    assert sources["snr_0"].link.snr_db_range == (0.0, 0.0)
    assert sources["high_k"].link.scenario.k_db_range == (13.5, 20.0)
    assert sources["rayleigh"].link.scenario.rayleigh_fraction == 1.0
    others = [name for name, one in sources.items() if not same_grid(one, pico[0])]
    assert others == ["nuremberg"]


def same_grid(source, config):
    return wrong_calibration.reader(config, source) == config


def test_every_second_frame_is_told_its_modulation(pico, matched):
    told = np.mean(matched.modulation < pico[0].n_modulations)
    assert abs(told - 0.5) < 4 * 0.5 / np.sqrt(ALL_FRAMES)
    known = matched.modulation[matched.modulation < pico[0].n_modulations]
    assert set(known) == set(range(pico[0].n_modulations))


@pytest.mark.slow
def test_one_constellation_is_all_there_is(pico, inputs):
    found = inputs("constellation")
    assert set(found.modulation.tolist()) == {0, pico[0].n_modulations}


@pytest.mark.slow
def test_noise_is_white_and_of_unit_power(inputs):
    """The receiver scales what comes by its rms; neighbours on the grid have nothing in common."""
    grid = inputs("noise").grid.reshape(ALL_FRAMES, -1)
    np.testing.assert_allclose(np.mean(np.abs(grid) ** 2, axis=1), 1.0, rtol=1e-4)
    together = np.mean(grid[:, 1:] * grid[:, :-1].conj())
    assert abs(together) < 4 / np.sqrt(grid[:, 1:].size)


def test_few_frames_are_copies(inputs, matched):
    few, many = (of.grid.reshape(ALL_FRAMES, -1) for of in (inputs("frames_8"), matched))
    np.testing.assert_array_equal(few[:8], few[8:16])
    assert len(np.unique(few, axis=0)) == 8
    assert len(np.unique(many, axis=0)) == ALL_FRAMES


@pytest.mark.slow
def test_ranges_are_of_what_passes_the_points(pico, sources):
    """With activations left alone min-max ranges are the extremes of all frames; the other rules'
    lie within. Another source of the grid, other bits: the same program."""
    config, apply, params = pico
    program = wrong_calibration.make_ranges(config)
    frames = wrong_calibration.calibration_inputs(config, sources[MATCHED], KEY)
    ranges = program(params, jnp.float32(32), frames)
    points = activation_points(config)

    @jax.jit
    def passed(batch):
        return recording(apply, points)(params, batch)[1]

    seen = [passed(jax.tree.map(lambda x, i=i: x[i], frames)) for i in range(8)]
    assert set(ranges) == set(RULES)
    for point in points:
        low, high = (
            float(f(jnp.stack([f(one[point]) for one in seen]))) for f in (jnp.min, jnp.max)
        )
        assert float(ranges["min_max"][point].low) == pytest.approx(low, rel=1e-4, abs=1e-5)
        assert float(ranges["min_max"][point].high) == pytest.approx(high, rel=1e-4, abs=1e-5)
        for rule in RULES:
            assert low - 1e-4 <= float(ranges[rule][point].low) <= 0 or low > 0
            assert float(ranges[rule][point].high) <= high + 1e-4
    for name in ("snr_0", "constellation"):
        other = wrong_calibration.calibration_inputs(config, sources[name], KEY)
        narrow = program(params, jnp.float32(4), other)
        assert wrong_calibration.range_ratio(narrow["mse"], narrow["min_max"]) < 1.0
    assert program._cache_size() <= 1  # JAX forgets some where there are very many


def test_the_ratio_of_ranges_is_a_geometric_mean():
    def ranges(*widths):
        return {
            str(i): compress.ActivationRange(jnp.float32(-width / 2), jnp.float32(width / 2))
            for i, width in enumerate(widths)
        }

    assert wrong_calibration.range_ratio(ranges(2, 8), ranges(2, 8)) == 1.0
    assert wrong_calibration.range_ratio(ranges(2, 8), ranges(1, 1)) == pytest.approx(4.0)


@pytest.mark.slow
def test_weights_by_statistics(pico, sources):
    """Of inputs that are all alike and uncorrelated GPTQ rounds to the nearest and Wanda prunes by
    magnitude; real ones change both. Everything but the blocks' kernels is left as it was."""
    config, _, params = pico
    compressed = wrong_calibration.make_compressor()
    frames = wrong_calibration.calibration_inputs(config, sources[MATCHED], KEY)
    real = wrong_calibration.make_statistics(config)(params, frames)
    alike = {
        path: stats._replace(second_moment=jnp.eye(len(stats.second_moment)) * stats.count)
        for path, stats in real.items()
    }
    assert all(path.startswith("block_") for path in real)
    for weights in (Weights("gptq", bits=3.0), Weights("wanda", sparsity=0.5)):
        plain, same, other = (
            compress.flatten(compressed(params, how, stats))
            for how, stats in ((weights.without_data, {}), (weights, alike), (weights, real))
        )
        for path in real:
            np.testing.assert_allclose(same[path], plain[path], rtol=1e-5, atol=1e-6)
        assert any(not np.allclose(other[path], plain[path]) for path in real)
        for path in set(plain) - set(real):
            np.testing.assert_allclose(other[path], plain[path], rtol=1e-6)
    pruned = compress.flatten(compressed(params, Weights("wanda", sparsity=0.5), real))
    assert all(np.mean(np.asarray(pruned[path]) == 0) == 0.5 for path in real)


@pytest.fixture(scope="module")
def study(test_set, sources):
    few = {name: sources[name] for name in (MATCHED, "frames_1", "noise")}
    return study_of.WrongCalibration(
        few,
        dataclasses.replace(test_set, frames_per_stratum=2),
        act_bits=(8, 3),
        weights=(Weights("gptq", bits=3.0), Weights("wanda", sparsity=0.5)),
        draws=2,
    )


@pytest.mark.slow
def test_rows_are_paired_with_matched_frames(pico, study):
    config, _, params = pico
    null = jax.tree.map(jnp.zeros_like, params)
    bench = study_of.Bench(study, robustness_files.Subject(config, params, null, "a-hash"))
    ranges = [complete_row(row, CALIBRATION_COLUMNS) for row in study_of.measure_activations(bench)]
    assert len(ranges) == 2 + 2 * len(RULES) * 3
    weights = [complete_row(row, CALIBRATION_COLUMNS) for row in study_of.measure_weights(bench)]
    assert [row["method"] for row in weights] == ["nearest", *["gptq"] * 3, "magnitude",
                                                  *["wanda"] * 3]  # fmt: skip
    assert ranges[0]["snr_loss_db"] == pytest.approx(0.0, abs=1e-6)
    for row in (*ranges[2:], *weights):
        own = [
            other
            for other in (*ranges, *weights)
            if other["source"] == MATCHED
            and all(
                other[key] == row[key] for key in ("part", "weight_bits", "act_bits", "sparsity")
            )
            and (row["part"] == "weights" or other["method"] == row["method"])
        ]
        (matched,) = own
        assert row["draws"] == (2 if row["source"] == "frames_1" else 1)
        for name in QUALITY_SCORES:
            if row[name] is None or matched[name] is None:
                continue
            difference = row[name] - matched[name]
            assert row[f"{name}_change"] == pytest.approx(difference, abs=1e-9)
        if row["source"] == MATCHED:
            assert row["gmi_fraction_change_low"] == row["gmi_fraction_change_high"] == 0.0
    eight, three = (
        [row for row in ranges if row["act_bits"] == bits and row["source"] == MATCHED]
        for bits in (8, 3)
    )
    assert min(row["channel_nmse_db"] for row in three) > max(
        row["channel_nmse_db"] for row in eight
    )


def test_a_link_without_a_range_of_k_is_refused(pico):
    other = unseen.unseen_link("nuremberg", pico[0].link)
    with pytest.raises(ValueError, match="FactoryHall"):
        wrong_calibration.standard_sources(other)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"sources": {}}, "matched"),
        ({"seed": 5}, "different seeds"),
        ({"act_bits": ()}, "2 to 8"),
        ({"act_bits": (8, 16)}, "2 to 8"),
        ({"weight_bits": 9}, "2 to 8"),
        ({"draws": 0}, "draws"),
    ],
)
def test_bad_studies_are_named(study, change, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(study, **change)


def test_few_frames_must_fill_a_batch(study):
    odd = Source("odd", study.test.link, n_frames=7)
    with pytest.raises(ValueError, match=r"n_frames of odd .* got 7"):
        dataclasses.replace(study, sources={**study.sources, "odd": odd})
