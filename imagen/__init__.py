"""Imagen (arXiv 2205.11487): text-to-image diffusion cascades as a Lightning + Hydra experiment framework."""
