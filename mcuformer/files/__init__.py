"""Files and folders: written whole or not at all, left-overs of a killed run, where the package keeps its data."""
