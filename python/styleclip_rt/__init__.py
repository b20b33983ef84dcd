"""Edit faces by text with StyleGAN2-family generators and CLIP."""
