"""A StableHLO file answers as the model does, wherever it is read, or refuses."""

import dataclasses
import json
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest
from jax import export

import wfm_jax
from wfm_jax import compress
from wfm_jax.compress import ActivationRange
from wfm_jax.export import container
from wfm_jax.export.container import ExportFileError
from wfm_jax.export.grids import Uniform
from wfm_jax.export.receiver import make_receiver
from wfm_jax.export.stablehlo import save_stablehlo
from wfm_jax.export.stablehlo_loader import FORMAT, load
from wfm_jax.model import Quantized, activation_points, to_dict, with_activations

BATCHES = (1, 3, 32)


@pytest.fixture(scope="module")
def path(config, receiver, params, tmp_path_factory):
    path = tmp_path_factory.mktemp("stablehlo") / "receiver.stablehlo"
    size = save_stablehlo(path, config, receiver, params, notes={"study": "none"})
    assert size == path.stat().st_size
    return path


@pytest.fixture(scope="module")
def loaded(path):
    return load(path)


def assert_same(answers, expected):
    assert set(answers) == set(expected)
    for name, answer in answers.items():
        np.testing.assert_allclose(
            answer, expected[name], rtol=1e-5, atol=1e-5 * np.abs(expected[name]).max() + 1e-12
        )


ELSEWHERE = """
import sys
import numpy as np
from wfm_jax.export.stablehlo_loader import load

receiver = load(sys.argv[1])
answers = {}
for _ in range(2):
    for batch in (1, 3, 32):
        given = np.load(f"{sys.argv[2]}/{batch}.npz")
        answers |= {f"{batch}/{k}": v for k, v in receiver(**given).items()}
np.savez(f"{sys.argv[2]}/answers.npz", **answers)
print(receiver.program._cache_size())
rooms = {name.split(".")[1] for name in sys.modules if name.startswith("wfm_jax.")}
print(*sorted(rooms), "flax" in sys.modules)
"""


def test_it_runs_without_the_model_s_code_at_any_batch_size(
    path, receive, params, arrays, tmp_path
):
    """A process that knows the loader only: no flax, no room but export, one trace a batch size."""
    for batch in BATCHES:
        np.savez(tmp_path / f"{batch}.npz", **arrays(batch))
    arguments = [sys.executable, "-c", ELSEWHERE, str(path), str(tmp_path)]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["3", "export False"]
    with np.load(tmp_path / "answers.npz") as answers:
        for batch in BATCHES:
            of_batch = {k.split("/")[1]: answers[k] for k in answers if k.startswith(f"{batch}/")}
            assert_same(of_batch, receive(params, arrays(batch)))


def test_the_file_says_what_it_is(path, loaded, config, receiver):
    assert (loaded.inputs, loaded.outputs) == (receiver.inputs, receiver.outputs)
    assert loaded.metadata["platforms"] == ["cpu", "cuda", "tpu"]
    assert loaded.metadata["versions"] == {"jax": jax.__version__, "wfm_jax": wfm_jax.__version__}
    assert loaded.metadata["notes"] == {"study": "none"}
    assert loaded.metadata["model"] == json.loads(json.dumps(to_dict(config)))
    program = container.split(FORMAT, path.read_bytes(), "")[1]
    exported = export.deserialize(bytearray(program))
    assert exported.platforms == ("cpu", "cuda", "tpu")
    assert {str(aval.shape[0]) for aval in exported.in_avals} == {"batch"}


def test_the_same_receiver_gives_the_same_bytes_without_paths(
    path, config, receiver, params, tmp_path
):
    again = tmp_path / "again.stablehlo"
    save_stablehlo(again, config, receiver, params, notes={"study": "none"})
    assert again.read_bytes() == path.read_bytes()
    program = container.split(FORMAT, path.read_bytes(), "")[1]
    assert str(pathlib.Path(wfm_jax.__file__).parent).encode() not in program


def test_quantized_activations_are_in_the_program(config, built, params, receive, arrays, tmp_path):
    points = activation_points(config)
    apply = with_activations(built[0], points)
    ranges = {point: ActivationRange(np.float32(-3), np.float32(3)) for point in points}
    model = Quantized(params, ranges, 3)
    receiver = make_receiver(config, apply)
    save_stablehlo(tmp_path / "a3.stablehlo", config, receiver, model)
    answers = load(tmp_path / "a3.stablehlo")(**arrays(3))
    assert_same(answers, jax.jit(receiver.receive)(model, arrays(3)))
    plain = receive(params, arrays(3))
    assert np.abs(answers["snr_db"] - plain["snr_db"]).max() > 1e-2


def test_weights_on_a_grid_make_a_smaller_file_that_says_the_same(
    path, config, receiver, params, receive, arrays, tmp_path
):
    snap = compress.quantize(4)
    params, state = snap.update(params, snap.init(params, key=jax.random.key(0)))
    params = jax.jit(snap.apply)(params, state)
    grids = {name: Uniform(4, scale) for name, scale in state.scale.items()}
    plain, small = tmp_path / "plain.stablehlo", tmp_path / "small.stablehlo"
    save_stablehlo(plain, config, receiver, params)
    save_stablehlo(small, config, receiver, params, grids=grids)
    n_weights = sum(compress.flatten(params)[name].size for name in grids)
    assert small.stat().st_size < plain.stat().st_size - n_weights
    assert_same(load(small)(**arrays(3)), receive(params, arrays(3)))


def test_arrays_that_do_not_fit_get_a_line(loaded, arrays):
    with pytest.raises(ValueError, match=r"^arrays must be grid, csi, spectrogram, iq, modulation"):
        loaded(grid=arrays(1)["grid"])
    doubled = arrays(3) | {"iq": arrays(3)["iq"].astype(np.complex128)}
    with pytest.raises(ValueError, match=r"^iq must be complex64\[batch, 96\] .* complex128\[3"):
        loaded(**doubled)


def rewritten(path, tmp_path, change, program=None):
    """The file with another header or program, signed as if it were right."""
    header, old = container.split(FORMAT, path.read_bytes(), "")
    change(header)
    wrong = tmp_path / "wrong.stablehlo"
    wrong.write_bytes(container.join(FORMAT, header, old if program is None else program))
    return wrong


CHANGES = {
    "header: .*outputs": lambda h: h.pop("outputs"),
    "header: .*versions": lambda h: h.pop("versions"),
    "header: .*unit": lambda h: h["inputs"][0].pop("unit"),
    "header: ": lambda h: h["inputs"][0].update(shape=3),
    r"calling_convention_version: 99, of JAX .*; JAX .* runs \d+ to \d+": (
        lambda h: h.update(calling_convention_version=99)
    ),
    "inputs: csi is not as in the program": lambda h: h["inputs"][1].update(dtype="float32"),
    "outputs: llr is not as in the program": lambda h: h["outputs"].pop(2),
}


@pytest.mark.parametrize("line", CHANGES)
def test_a_signed_but_wrong_header_is_refused(path, tmp_path, line):
    with pytest.raises(ExportFileError, match=rf"wrong\.stablehlo: {line}"):
        load(rewritten(path, tmp_path, CHANGES[line]))


@pytest.mark.parametrize("program", [b"", b"no program", bytes(1000)])
def test_a_program_that_jax_cannot_read_is_refused(path, tmp_path, program):
    wrong = rewritten(path, tmp_path, lambda h: None, program)
    with pytest.raises(ExportFileError, match=r"wrong\.stablehlo: program: of JAX"):
        load(wrong)


def test_a_program_of_a_later_stablehlo_is_refused_when_it_is_read(path, tmp_path):
    """JAX itself notices at the first call only."""
    program = container.split(FORMAT, path.read_bytes(), "")[1]
    exported = export.deserialize(bytearray(program))
    later = dataclasses.replace(exported, mlir_module_serialized=b"ML\xefR of tomorrow")
    wrong = rewritten(path, tmp_path, lambda h: None, bytes(later.serialize()))
    line = rf"wrong\.stablehlo: program: of JAX {jax.__version__}, .* cannot read it: .*"
    with pytest.raises(ExportFileError, match=f"^.*{line}$"):
        load(wrong)


def test_damaged_and_foreign_files_are_refused(path, tmp_path):
    data, wrong = path.read_bytes(), tmp_path / "wrong.stablehlo"
    rng = np.random.default_rng(0)
    lengths = rng.integers(0, len(data), 20)
    flips = [bytearray(data) for _ in range(20)]
    for damaged in flips:
        damaged[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    for damaged in [*(data[:n] for n in lengths), *flips, b"", b"PK\3\4", data + b"\0"]:
        wrong.write_bytes(damaged)
        with pytest.raises(ExportFileError, match=r"wrong\.stablehlo: \w+: "):
            load(wrong)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nothing")


def test_without_flatbuffers_a_line_says_what_to_install(
    path, config, receiver, params, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "flatbuffers", None)
    line = r"^StableHLO files need flatbuffers: install it, or wfm_jax with its extra 'export'$"
    with pytest.raises(ModuleNotFoundError, match=line):
        load(path)
    with pytest.raises(ModuleNotFoundError, match=line):
        save_stablehlo(tmp_path / "x", config, receiver, params)
    assert not (tmp_path / "x").exists()


def test_a_failed_save_leaves_the_old_file(path, config, receiver, tmp_path):
    old = tmp_path / "old.stablehlo"
    old.write_bytes(b"old")
    with pytest.raises(ValueError, match="not among the parameters: nothing"):
        save_stablehlo(old, config, receiver, {}, grids={"nothing": Uniform(4, np.ones((1, 1)))})
    assert old.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [old]
