"""A small text-to-image latent diffusion model of one avatar's person in a few styles, trained from nothing on renders."""
