"""A run as a YAML file: what may stand in it, and how it is read."""
