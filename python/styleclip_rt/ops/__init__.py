"""Differentiable operators, each compiled where it can be and with a plain PyTorch twin."""
