"""Editing, inversion and serving: what runs on top of the models."""
