"""The order of the tests: the rooms whose files take longest go first, so that no worker waits."""

import gc

LONGEST = ("sweep", "experiments", "train")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.parent.name not in LONGEST)
    # Tracing makes so many objects that looking for garbage takes a twentieth of the time.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
