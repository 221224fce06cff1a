"""Architectures that transformers has not taken over, as their published descriptions have them."""
