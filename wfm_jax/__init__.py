"""Compress a wireless foundation model in JAX: signals, transforms, sweeps.

Rooms (each imports only those before it): ``signal``, ``compress``, ``model``, ``results``,
``export``, ``evaluate``, ``train``, ``sweep``. Import the room you need, for instance
``import wfm_jax.compress``; importing the package itself loads none of them.
"""

__version__ = "0.1.0"
