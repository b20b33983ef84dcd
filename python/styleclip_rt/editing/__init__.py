"""What one step of an edit is: latent spaces, views, losses, and the step itself."""
