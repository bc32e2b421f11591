"""A GGUF file is read by gguf as by this library, holds all of the model, and refuses damage."""

import dataclasses
import sys

import gguf
import jax
import numpy as np
import pytest
from gguf import quants

from tests import small
from wfm_jax.compress.paths import flatten, unflatten
from wfm_jax.export import gguf_file
from wfm_jax.export.container import ExportFileError
from wfm_jax.export.gguf_file import load_gguf, save_gguf
from wfm_jax.export.gguf_seal import check_seal, seal
from wfm_jax.export.gguf_tensors import tensor_types
from wfm_jax.model import ModelConfig, build, param_shapes
from wfm_jax.signal.replay import Replay
from wfm_jax.signal.scenarios import SCENARIOS

CONFIG = ModelConfig(
    link=small.LINK,
    d_model=32,
    heads=(2, 0),
    head_dim=20,
    mlp_widths=(48, 64),
    ranks=(("block_0/mlp/up", 9),),
)


@pytest.fixture(scope="module")
def params():
    return small.moved(build(CONFIG, jax.random.key(0))[1], 0.1)


@pytest.fixture(scope="module", params=["Q8_0", "Q4_0"])
def quantization(request):
    return request.param


@pytest.fixture(scope="module")
def path(params, quantization, tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "model.gguf"
    size = save_gguf(path, CONFIG, params, quantization=quantization, name="tiny", author="me")
    assert size == path.stat().st_size
    return path


def test_each_tensor_has_the_type_of_its_kind(params, quantization):
    types = tensor_types(params, quantization)
    assert types["block_0/attention/query/kernel"] == quantization
    assert types["block_1/mlp/down/kernel"] == quantization
    assert types["head_frame/kernel"] == "Q8_0"
    assert types["block_0/attention/out/kernel"] == "F16"  # 40 inputs
    assert types["block_0/mlp/up/expand/kernel"] == "F16"  # 9 inputs
    assert types["embed_modulation"] == "F16"
    assert types["block_0/mlp_norm/scale"] == types["head_frame/bias"] == "F32"
    assert set(types) == set(flatten(params))
    with pytest.raises(ValueError, match="quantization must be Q8_0 or Q4_0, got 'Q5_K'"):
        tensor_types(params, "Q5_K")


def test_gguf_reads_what_its_own_quantizer_makes(path, params, quantization):
    """Names, types, dimensions in GGUF's order and bytes, all against gguf."""
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    types = tensor_types(params, quantization)
    assert list(tensors) == list(flatten(params))
    for name, w in flatten(params).items():
        tensor, w = tensors[name], np.asarray(w)
        kernel = name.endswith("kernel")
        rows = np.ascontiguousarray(w.T) if kernel else w
        assert tensor.tensor_type.name == types[name]
        assert tensor.shape.tolist() == list(rows.shape[::-1])
        expected = quants.quantize(rows, gguf.GGMLQuantizationType[types[name]])
        assert tensor.data.tobytes() == expected.tobytes(), name


def test_what_comes_back_is_what_gguf_dequantizes(path, params):
    config, read = load_gguf(path)
    assert config == CONFIG
    assert jax.tree.structure(read) == jax.tree.structure(params)
    flat = flatten(read)
    for tensor in gguf.GGUFReader(path).tensors:
        rows = quants.dequantize(tensor.data, tensor.tensor_type)
        seen = rows.T if tensor.name.endswith("kernel") else rows
        assert flat[tensor.name].dtype == np.float32
        np.testing.assert_array_equal(flat[tensor.name], seen)


def test_a_second_time_nothing_is_lost(path, quantization, tmp_path):
    config, read = load_gguf(path)
    again = tmp_path / "again.gguf"
    save_gguf(again, config, read, quantization=quantization, name="tiny", author="me")
    assert again.read_bytes() == path.read_bytes()


def test_keys_say_what_the_file_is(path, quantization):
    fields = gguf.GGUFReader(path).fields
    assert gguf_file._value(gguf, fields["general.architecture"]) == "wfm"
    assert gguf_file._value(gguf, fields["general.name"]) == "tiny"
    assert gguf_file._value(gguf, fields["general.author"]) == "me"
    assert gguf_file._value(gguf, fields["general.license"]) == "apache-2.0"
    assert "llama.cpp does not know" in gguf_file._value(gguf, fields["general.description"])
    file_type = gguf_file._value(gguf, fields["general.file_type"])
    assert gguf.LlamaFileType(file_type).name == f"MOSTLY_{quantization}"
    version = gguf_file._value(gguf, fields["general.quantization_version"])
    assert version == gguf.GGML_QUANT_VERSION
    assert gguf_file._value(gguf, fields["wfm.model.heads"]) == [2, 0]
    assert gguf_file._value(gguf, fields["wfm.model.link.sample_rate_hz"]) == 10e6
    assert gguf_file._value(gguf, fields["wfm.model.link.scenario.kind"]) == "FactoryHall"


REPLAY = Replay.of(np.array([[1, 0.1j], [0.3, 0.2]]), np.array([0.0, 1e-7]))


@pytest.mark.parametrize("scenario", [*SCENARIOS.values(), REPLAY], ids=[*SCENARIOS, "replay"])
def test_every_link_is_rebuilt(scenario, params, tmp_path, monkeypatch):
    """The keys alone: tensors are left out, and not looked at."""
    monkeypatch.setattr(gguf_file, "_check_shapes", lambda weights, config: None)
    monkeypatch.setattr(gguf_file, "param_shapes", lambda config: {"w": 0})
    link = dataclasses.replace(small.NR_LIKE, scenario=scenario, cp_samples=64)
    config = dataclasses.replace(CONFIG, link=link)
    one = {"w": np.ones(1, np.float32)}
    save_gguf(tmp_path / "m.gguf", config, one, quantization="Q8_0", name="m")
    assert load_gguf(tmp_path / "m.gguf").config == config


def test_damage_is_refused_before_gguf_parses_it(path, tmp_path, monkeypatch):
    data, wrong = path.read_bytes(), tmp_path / "wrong.gguf"
    rng = np.random.default_rng(0)
    check_seal(data, "f")
    bits = [*range(8 * 120), *rng.integers(0, 8 * len(data), 300).tolist()]
    for bit in bits:
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ExportFileError, match=r"^f: [\w.]+: "):
            check_seal(bytes(damaged), "f")
    for length in [*range(120), *rng.integers(0, len(data), 100).tolist()]:
        with pytest.raises(ExportFileError, match=r"^f: [\w.]+: "):
            check_seal(data[:length], "f")
    monkeypatch.setattr(gguf, "GGUFReader", None)
    for damaged, field in ((data[:-1], "wfm.crc32"), (b"PK" + data, "magic"), (b"", "magic")):
        wrong.write_bytes(damaged)
        with pytest.raises(ExportFileError, match=rf"wrong\.gguf: {field}: "):
            load_gguf(wrong)
    with pytest.raises(ExportFileError, match=r"^f: version: 4, this library reads 3"):
        check_seal(data[:4] + b"\4" + data[5:], "f")


def test_a_model_of_another_architecture_is_named(tmp_path):
    path = tmp_path / "llama.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("a llama with a name so long that the file is not too short to be read here")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ExportFileError, match=r"general\.architecture: .* architecture 'wfm'"):
        load_gguf(path)
    with pytest.raises(ValueError, match="the first keys must be"):
        seal(path.read_bytes())


def without(params, name):
    flat = flatten(params)
    del flat[name]
    return flat


WRONG = {
    "final_norm/bias: missing, in the architecture": lambda p: without(p, "final_norm/bias"),
    r"final_norm/bias: \(3,\), in the architecture \(32,\)": lambda p: unflatten(
        p, {"final_norm/bias": np.ones(3, np.float32)}
    ),
    r"more: \(1,\), in the architecture none": lambda p: p | {"more": np.ones(1, np.float32)},
}


@pytest.mark.parametrize("line", WRONG)
def test_tensors_that_are_not_the_architecture_s_are_named(line, params, tmp_path, monkeypatch):
    path = tmp_path / "wrong.gguf"
    wrong = WRONG[line](params)
    with pytest.raises(ValueError, match=line):
        save_gguf(path, CONFIG, wrong, quantization="Q8_0", name="m")
    with monkeypatch.context() as unchecked:
        unchecked.setattr(gguf_file, "_check_shapes", lambda weights, config: None)
        save_gguf(path, CONFIG, wrong, quantization="Q8_0", name="m")
    with pytest.raises(ExportFileError, match=rf"wrong\.gguf: {line}"):
        load_gguf(path)


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("embed_modulation", 1e6, "embed_modulation: has weights too large for F16"),
        ("block_1/mlp/up/kernel", 1e8, "block_1/mlp/up/kernel: has weights too large for Q8_0"),
        ("final_norm/bias", np.nan, "final_norm/bias: has weights that are not finite"),
    ],
)
def test_what_cannot_be_stored_is_named_and_nothing_is_written(name, value, line, params, tmp_path):
    wrong = unflatten(params, {name: flatten(params)[name] * np.float32(value)})
    with pytest.raises(ValueError, match=f"^{line}$"):
        save_gguf(tmp_path / "m.gguf", CONFIG, wrong, quantization="Q8_0", name="m")
    assert list(tmp_path.iterdir()) == []


def test_without_gguf_a_line_says_what_to_install(path, params, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gguf", None)
    line = r"^GGUF files need gguf: install it, or wfm_jax with its extra 'export'$"
    with pytest.raises(ModuleNotFoundError, match=line):
        load_gguf(path)
    with pytest.raises(ModuleNotFoundError, match=line):
        save_gguf(tmp_path / "m", CONFIG, params, quantization="Q8_0", name="m")


def test_the_shapes_of_the_architecture_are_what_is_checked(params):
    assert {k: w.shape for k, w in flatten(params).items()} == {
        k: w.shape for k, w in flatten(param_shapes(CONFIG)).items()
    }
