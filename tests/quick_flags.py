"""Prints XLA flags with which tests compile in a third of the time; XLA aborts on one it lacks."""

from importlib.metadata import version

FLAGS = ["--xla_backend_optimization_level=0"]
if tuple(map(int, version("jaxlib").split(".")[:2])) < (0, 11):
    FLAGS.append("--xla_cpu_use_fusion_emitters=false")

if __name__ == "__main__":
    print(*FLAGS)
