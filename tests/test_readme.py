"""The README's example runs as it is written."""

import pathlib
import re

README = pathlib.Path(__file__).parent.parent / "README.md"


def test_python_examples_run():
    names = {}
    for example in re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL):
        exec(example, names)
    assert names["sweep"]["dense"]["kernel"].shape == (3, 8, 4)
    assert names["llr"].shape == names["frame"].bits.shape == (64, 224, 8)


def test_files_it_points_to_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", README.read_text()):
        assert (README.parent / target).exists(), target
