"""How every file of weights that ships was made; not installed with the package."""
