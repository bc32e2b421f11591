"""All mains, found by what they do: end by handing themselves to ``launch``."""

import importlib
import pathlib

import experiments

FOLDER = pathlib.Path(experiments.__path__[0])
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if "launch.launch(" in path.read_text())


def main(name):
    """The module of a main."""
    return importlib.import_module(f"experiments.{name}")
