"""The physics, jit-able and free of any model: keys and arrays in, arrays out.

Bits and symbols: ``qam`` (constellations, modulate, demap), ``mixed_qam`` (orders mixed in a
batch), ``constellations`` (any points, by brute force), ``words`` and ``noise`` (random words,
bits, complex Gaussian noise).

The channel: ``profiles`` (delays, powers, K), ``fading`` (gains of rays over time), ``channel``
(rays to subcarriers, or to taps that run over samples), ``blocks`` (flat block fading, the simplest
link), ``offsets`` (oscillator and window).

Where links come from: ``propagation`` (what a scenario draws), ``factory`` (the default hall),
``inf`` (3GPP's halls), ``measured_factory``, ``tapped_delay_line`` (TDL-D, TDL-E, Rician, Rayleigh,
white noise), ``replay`` (given impulse responses), ``scenarios`` (all of them by name),
``large_scale`` (delay spread, K and shadowing drawn jointly).

Frames: ``ofdm`` (grid, pilots, prefix), ``link`` (frames with all their views and labels).

Recordings of real radios: ``resample`` (to the link's rate), ``segments`` (where to cut),
``prefix_sync`` and ``frame_sync`` (timing, carrier offset, and which symbol is a frame's first),
``waterfall`` (power over time and frequency), ``link_fields`` (a link as JSON).

Receivers: ``receivers`` (LS, LMMSE, genie), ``data_aided`` (iterative, on ``soft_symbols``),
``classifiers`` (likelihood and cumulants). ``theory`` has the closed forms that all of it is held
against; ``checks`` names what does not fit before it is traced.
"""
