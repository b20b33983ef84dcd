"""Latents to train on, and the training of mappers."""
