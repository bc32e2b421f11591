"""Errors of linear channel estimates: what LS, interpolation and LMMSE leave of a known covariance.

A gain vector h of n elements (of subcarriers, of instants) has zero mean and R = E h h^H; some of
its elements are observed in independent noise of variance n0: y = h_o + noise. Of an estimate W y,
element i has the mean squared error

    E|h - W y|_i^2 = [(I - W S) R (I - W S)^H + W N W^H]_ii,    S h = h_o, N = diag(n0),

for any W (Joseph's form; Bucy and Joseph 1968). LMMSE weights W = R_:o (R_oo + N)^-1 make it least:
diag(R - R_:o (R_oo + N)^-1 R_o:) (Kay, Estimation Theory, 1993, chapter 12). For h jointly Gaussian
with the noise no estimate does better; a Rician h of random phase is not, so this is the best of
all *linear* ones.

Differences of nearly equal numbers and inverses of nearly singular matrices are avoided: with a
root R = L L^H and white x, h = [L 0] x and y = B x where B = [L_o N^1/2]. What y says of x is its
part in the row space of B, so W = [L 0] B^+, and the error is that of [L 0] in B's null space: a
sum of squares. No noise at all is allowed. At unit power, errors are accurate to 1e-14 absolutely,
as R is, and for a delay line of few rays relatively too, where the textbook's difference is off by
1e-6 at n0 = 1e-9 and by 1e-3 at 1e-12.

``observed`` is any index into 0...n-1: integers (an element may be observed twice), a boolean mask
or a slice. Pilots of unit energy, averaged over s symbols while the channel rests, have a noise
variance of n0/s. Arrays of complex64 are welcome as covariances: Hermitian and positive
semidefinite are required within 1e-5 of the largest entry.
"""

import numpy as np

_TOLERANCE = 1e-5  # of the largest entry: room for a covariance summed in complex64
_ROUNDING = np.finfo(np.float64).eps

Index = np.ndarray | list | slice


def ls_error(n0: np.ndarray | float, n_averaged: int = 1) -> np.ndarray:
    """Mean squared error of least squares at a pilot of unit energy: n0/n_averaged, float64[...].

    Args:
        n0: variance of the complex noise.
        n_averaged: pilots of the same gain that are averaged.

    Raises:
        ValueError: ``n0`` is negative or not finite, ``n_averaged`` below one.
    """
    if n_averaged < 1:
        raise ValueError(f"n_averaged must be at least 1, got {n_averaged}")
    return _noise(n0) / n_averaged


def lmmse_weights(covariance: np.ndarray, observed: Index, n0: np.ndarray | float) -> np.ndarray:
    """W = R_:o (R_oo + N)^-1, of the least mean squared error in every element.

    Where the inverse does not exist (no noise, fewer paths than observations), the pseudoinverse
    gives the weights of least norm.

    Args:
        covariance: complex[n, n], R.
        observed: index of the n_observed observed elements.
        n0: noise variance, a scalar or [n_observed].

    Returns:
        complex128[n, n_observed].

    Raises:
        ValueError: wrong shapes, ``covariance`` not Hermitian and positive semidefinite,
            ``observed`` no index, ``n0`` negative or not finite.
    """
    covariance = _covariance(covariance)
    return _lmmse(covariance, *_observations(covariance, observed, n0))[0]


def lmmse_error(covariance: np.ndarray, observed: Index, n0: np.ndarray | float) -> np.ndarray:
    """Mean squared error of the LMMSE estimate of every element, observed or not.

    Args:
        covariance: complex[n, n], R.
        observed: index of the n_observed observed elements.
        n0: noise variance, a scalar or [n_observed].

    Returns:
        float64[n].

    Raises:
        ValueError: as :func:`lmmse_weights`.
    """
    covariance = _covariance(covariance)
    return _lmmse(covariance, *_observations(covariance, observed, n0))[1]


def linear_error(
    weights: np.ndarray, covariance: np.ndarray, observed: Index, n0: np.ndarray | float
) -> np.ndarray:
    """Mean squared error, element by element, of any linear estimate W y: of an interpolator, or of
    LMMSE weights made for another covariance or noise.

    Args:
        weights: complex[n, n_observed], W.
        covariance: complex[n, n], the true R.
        observed: index of the n_observed observed elements.
        n0: noise variance, a scalar or [n_observed].

    Returns:
        float64[n].

    Raises:
        ValueError: as :func:`lmmse_weights`, or ``weights`` of a wrong shape or not finite.
    """
    covariance = _covariance(covariance)
    at, noise = _observations(covariance, observed, n0)
    weights = np.asarray(weights, np.complex128)
    if weights.shape != (len(covariance), at.size):
        raise ValueError(
            f"weights must have shape {(len(covariance), at.size)}, got {weights.shape}"
        )
    if not np.isfinite(weights).all():
        raise ValueError("weights must be finite")
    root = _root(covariance)
    missed = root - weights @ root[at]
    return np.sum(np.abs(missed) ** 2, axis=1) + np.abs(weights) ** 2 @ noise


def _lmmse(
    covariance: np.ndarray, at: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weights complex128[n, n_observed] and errors float64[n]."""
    root = _root(covariance)
    rank = root.shape[1]
    left, scale, right = np.linalg.svd(np.hstack([root[at], np.diag(np.sqrt(noise))]))
    heard = scale > _ROUNDING * len(right) * scale.max(initial=0.0)
    n_heard = np.count_nonzero(heard)
    seen, unseen = right[:n_heard, :rank].conj().T, right[n_heard:, :rank].conj().T
    weights = root @ (seen / scale[heard]) @ left[:, :n_heard].conj().T
    return weights, np.sum(np.abs(root @ unseen) ** 2, axis=1)


def _root(covariance: np.ndarray) -> np.ndarray:
    """L of R = L L^H, complex128[n, rank].

    Levels of R that are but rounding errors are left out: at little noise they would be all of it.
    """
    levels, basis = np.linalg.eigh(covariance)
    known = levels > _ROUNDING * levels.size * levels[-1]
    return basis[:, known] * np.sqrt(levels[known])


def _covariance(covariance: np.ndarray) -> np.ndarray:
    """As complex128[n, n], its Hermitian part."""
    r = np.asarray(covariance, np.complex128)
    if r.ndim != 2 or r.shape[0] != r.shape[1] or r.size == 0:
        raise ValueError(f"covariance must be a square matrix, got shape {r.shape}")
    if not np.isfinite(r).all():
        raise ValueError("covariance must be finite")
    allowed = _TOLERANCE * np.abs(r).max()
    if np.abs(r - r.conj().T).max() > allowed:
        raise ValueError("covariance must be Hermitian")
    r = (r + r.conj().T) / 2.0
    if np.linalg.eigvalsh(r)[0] < -allowed:
        raise ValueError("covariance must be positive semidefinite")
    return r


def _observations(
    covariance: np.ndarray, observed: Index, n0: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray]:
    """Indices int[n_observed] and noise variances float64[n_observed]."""
    elements = np.arange(len(covariance))
    if not isinstance(observed, slice):
        observed = np.asarray(observed)
        observed = observed if observed.size else observed.astype(np.int64)
    try:
        at = elements[observed]
    except IndexError as error:
        raise ValueError(
            f"observed must index the {elements.size} elements of covariance: {error}"
        ) from error
    if at.ndim != 1:
        raise ValueError(f"observed must be one-dimensional, got {observed!r}")
    noise = _noise(n0)
    if noise.shape not in ((), at.shape):
        raise ValueError(f"n0 must be a scalar or have shape {at.shape}, got {noise.shape}")
    return at, np.broadcast_to(noise, at.shape)


def _noise(n0: np.ndarray | float) -> np.ndarray:
    noise = np.asarray(n0, np.float64)
    if not (np.isfinite(noise) & (noise >= 0.0)).all():
        raise ValueError(f"n0 must be finite and not negative, got {n0}")
    return noise
