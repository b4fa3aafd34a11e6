"""A compiled package on disk: what it holds, and how it is run."""
