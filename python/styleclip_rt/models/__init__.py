"""The networks, as pure modules: they know nothing of files."""
