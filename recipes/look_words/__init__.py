"""The dictionary by which sentences find looks: `python -m recipes look-words`."""
