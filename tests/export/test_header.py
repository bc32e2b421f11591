"""The header says what it was given, in few bytes, or is refused."""

import json
import zlib

import pytest

from wfm_jax.export.entropy import Model
from wfm_jax.export.header import Header, Record, read_header, write_header
from wfm_jax.export.header_words import DICTIONARY
from wfm_jax.model import PRESETS, to_dict

NANO = json.loads(json.dumps(to_dict(PRESETS["nano"])))
RECORDS = [
    Record("block_0/mlp/up/kernel", [64, 256], "uniform", 4, [1, 256], 4, 1),
    Record("nf", [7], "nf4", 4, [1], 8, 0),
    Record("bias", [256], "float", 16, None, None, 0),
    Record("scalar", [], "float", 32, None, None, 1),
]
MODELS = [Model(0, 2000, 30, 0, 1), Model(-7, 0, 15, 0, 16)]


@pytest.mark.parametrize("records", [RECORDS, []])
@pytest.mark.parametrize("metadata", [{}, {"model": NANO, "é": [None, "ü"]}])
def test_it_comes_back(records, metadata):
    one = Header(records, MODELS, metadata)
    assert read_header(write_header(one)) == one


def test_what_every_model_says_of_itself_takes_few_bytes():
    """The architecture, and names of tensors, are words of the dictionary."""
    sizes = {name: len(write_header(Header([], [], {"model": to_dict(config)})))
             for name, config in PRESETS.items()}  # fmt: skip
    assert max(sizes.values()) < 90
    assert len(json.dumps(NANO)) > 800


def test_the_dictionary_belongs_to_the_version():
    """Another one cannot read the files of this version: change both."""
    assert zlib.crc32(DICTIONARY) == 2269654802


def text_of(fields):
    deflate = zlib.compressobj(9, wbits=-15)
    return deflate.compress(json.dumps(fields).encode()) + deflate.flush()


def fields_of(one):
    columns = dict(zip(Record._fields, map(list, zip(*one.records, strict=True)), strict=True))
    return {"tensors": columns, "models": [list(m) for m in one.models], "metadata": one.metadata}


GOOD = Header(RECORDS, MODELS, {"a": 1})


def test_the_dictionary_need_not_be_used():
    assert read_header(text_of(fields_of(GOOD))) == GOOD


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda f: f | {"more": 1}, "header: unknown field more"),
        (lambda f: {"tensors": {}}, "header: no field metadata, models"),
        (lambda f: [f], "header is no object"),
        (lambda f: f | {"metadata": [1]}, "metadata is"),
        (lambda f: f | {"models": [[1, 2]]}, "models must be a list of lowest, gap"),
        (lambda f: f | {"models": [[0, 0, 0, 0, 0]]}, "models: 0: size 0"),
        (lambda f: f | {"tensors": f["tensors"] | {"kept": []}}, "tensors: unknown field kept"),
        (lambda f: f | {"tensors": {"name": []}}, "tensors: no field bits"),
        (lambda f: f | {"tensors": f["tensors"] | {"name": ["a"]}}, "different lengths"),
        (lambda f: f | {"tensors": f["tensors"] | {"name": "abcd"}}, "must be a list"),
        (lambda f: f | {"tensors": f["tensors"] | {"name": ["a"] * 4}}, "the same name"),
    ],
)
def test_what_is_no_header_is_named(change, reason):
    with pytest.raises(ValueError, match=reason):
        read_header(text_of(change(fields_of(GOOD))))


@pytest.mark.parametrize(
    ("place", "field", "value"),
    [
        (0, "name", 3),
        (0, "shape", [64, -1]),
        (0, "shape", [64, True]),
        (0, "shape", [1 << 20, 1 << 20]),
        (0, "grid", "runes"),
        (0, "bits", 9),
        (0, "bits", 4.0),
        (0, "blocks", None),
        (0, "scales", 8),
        (0, "scales", 12),
        (0, "scales", None),
        (0, "pruned", 2),
        (0, "pruned", True),
        (2, "bits", 8),
        (2, "blocks", [1]),
        (2, "scales", 16),
    ],
)
def test_a_record_of_no_tensor_is_named(place, field, value):
    fields = fields_of(GOOD)
    fields["tensors"][field][place] = value
    with pytest.raises(ValueError, match=f"{field} is"):
        read_header(text_of(fields))


@pytest.mark.parametrize("data", [b"", b"\0", b"abc", text_of({})[:-1], text_of({}) + b"\0"])
def test_what_is_no_text_is_refused(data):
    with pytest.raises(ValueError, match=r"no compressed JSON"):
        read_header(data)


def test_metadata_that_is_no_json_is_refused():
    for metadata in ({"a": float("nan")}, {"a": object()}):
        with pytest.raises((TypeError, ValueError)):
            write_header(Header([], [], metadata))
