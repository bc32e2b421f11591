"""The report page: runs as one HTML file that needs no network.

``run_folder`` reads what a folder holds and says in words what cannot be read; ``content`` makes
of it what the page shows; ``page`` writes the file, with the hand-written parts of the folder
``page/`` and plotly.js (extra ``report``) inside.
"""
