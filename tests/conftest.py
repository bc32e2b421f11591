"""The order of the tests: the rooms whose files take longest go first, so that no worker waits."""

LONGEST = ("sweep", "experiments", "train")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.parent.name not in LONGEST)
