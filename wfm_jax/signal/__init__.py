"""The physics, jit-able and free of any model: keys and arrays in, arrays out.

``qam`` (constellations, soft demapping), ``mixed_qam`` (orders mixed in a batch), ``fading``
(Rician tapped delay lines), ``factory`` (scenarios), ``ofdm``, ``link`` (frames with all their
views and labels), ``receivers`` (LS, LMMSE, genie, likelihood classifiers), ``theory`` (closed
forms).
"""
