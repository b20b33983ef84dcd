"""How fast StyleCLIP-RT is, against stock PyTorch, the published form, and other engines."""
