"""The images: their files at a glance, and built, run and asked by `make images`."""
