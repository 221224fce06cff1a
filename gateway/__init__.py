"""The REST gateway: the Mixedbread embeddings API in front of NVIDIA Triton."""

from gateway.app import create_app
from gateway.settings import Settings

__all__ = ["Settings", "create_app"]
