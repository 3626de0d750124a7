"""One file a command: ``add_to(app)`` registers it. Torch is imported when a command runs, never before."""
