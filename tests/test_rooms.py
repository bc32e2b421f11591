"""The import rule between rooms, and what an import costs."""

import ast
import pathlib
import subprocess
import sys

import pytest

import wfm_jax

ROOMS = ("signal", "compress", "model", "results", "export", "evaluate", "train", "sweep")
PACKAGE = pathlib.Path(wfm_jax.__file__).parent


def imports(file):
    """Dotted names of all modules that a file imports anywhere, inside functions too;
    ``from a.b import c`` counts as ``a.b.c``."""
    package = ("wfm_jax", *file.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [node.module] if node.module else []
            if node.level:
                base = [*package[: len(package) - node.level + 1], *base]
            yield from (".".join([*base, alias.name]) for alias in node.names)


def modules(room):
    return sorted((PACKAGE / room).rglob("*.py"))


def rooms_imported(file):
    parts = (name.split(".") for name in imports(file))
    return {p[1] for p in parts if p[0] == "wfm_jax" and len(p) > 1} & set(ROOMS)


def test_every_folder_is_a_room():
    folders = {p.name for p in PACKAGE.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert folders == set(ROOMS)
    assert {p.name for p in PACKAGE.glob("*.py")} == {"__init__.py"}
    assert rooms_imported(PACKAGE / "__init__.py") == set()


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_rooms_before_it(room):
    allowed = {"compress"} if room == "compress" else set(ROOMS[: ROOMS.index(room) + 1])
    for file in modules(room):
        assert rooms_imported(file) <= allowed, file.name


@pytest.mark.parametrize("room", [room for room in ROOMS if room != "model"])
def test_only_the_model_room_imports_flax(room):
    for file in modules(room):
        assert "flax" not in {name.split(".")[0] for name in imports(file)}, file.name


def test_no_room_imports_experiments_or_tests():
    for room in ROOMS:
        for file in modules(room):
            tops = {name.split(".")[0] for name in imports(file)}
            assert not tops & {"experiments", "tests", "pytest"}, file.name


def test_the_parser_sees_every_form_of_import(tmp_path):
    folder = PACKAGE / "sweep"
    source = (
        "import a.b\nfrom c import d\ndef f():\n    from . import e\n    from ..train import g\n"
    )

    class File(type(tmp_path)):
        def read_text(self, encoding=None):
            return source

    assert set(imports(File(folder / "x.py"))) == {
        "a.b",
        "c.d",
        "wfm_jax.sweep.e",
        "wfm_jax.train.g",
    }


def run(script):
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_package_itself_loads_no_room():
    script = """
import sys, wfm_jax
print(wfm_jax.__version__)
print(*[name for name in sys.modules if name.split(".")[0] in ("jax", "numpy", "flax")])
print(*[name for name in sys.modules if name.startswith("wfm_jax.")])
"""
    assert run(script) == [wfm_jax.__version__]


def test_compress_works_where_only_the_core_dependencies_are_installed():
    """Everything but the core dependencies, what these need, and the standard library is hidden."""
    script = """
import importlib.abc, sys

CORE = {"jax", "jaxlib", "flax", "optax", "numpy", "scipy", "orbax", "chex", "absl"}
THEIRS = {"ml_dtypes", "opt_einsum", "toolz", "typing_extensions", "etils", "msgpack", "yaml"}

class OnlyCore(importlib.abc.MetaPathFinder):
    def __init__(self, finders):
        self.finders = finders

    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        generated = top.startswith(("jax_", "_sysconfigdata"))
        if not generated and top not in CORE | THEIRS | {"wfm_jax"} | sys.stdlib_module_names:
            return None
        specs = (finder.find_spec(name, path, target) for finder in self.finders)
        return next((spec for spec in specs if spec is not None), None)

loaded = set(sys.modules)
sys.meta_path[:] = [OnlyCore(list(sys.meta_path))]
for hidden in ("rich", "pandas", "pyarrow", "matplotlib", "safetensors"):
    assert hidden not in loaded
    try:
        __import__(hidden)
    except ModuleNotFoundError:
        continue
    raise AssertionError(hidden)

import wfm_jax.compress as compress
import numpy as np
weights = np.linspace(-1.0, 1.0, 24, dtype=np.float32).reshape(6, 4)
print(int(compress.keep_mask(abs(weights), 0.5).sum()))
print(np.unique(np.asarray(compress.fake_quant(weights, 2))[:, 0]).size <= 4)
"""
    assert run(script) == ["12", "True"]
