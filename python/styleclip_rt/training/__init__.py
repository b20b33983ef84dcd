"""Making the training data and training the networks that the default bundle ships."""
