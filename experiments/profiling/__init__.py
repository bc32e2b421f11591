"""What `experiments.profile` measures: the forms of a model side by side."""
