"""The fake device as a program sees it that runs on it: `device.reset()`, `device.report()`."""

import ctypes

from tests.fake_cuda.report import Report, parse_report


class Device:
    def __init__(self) -> None:
        """Raises: OSError if the program does not run on the fake libraries."""
        self._runtime = ctypes.CDLL("libcudart.so.13")
        self._runtime.fake_cuda_report.restype = ctypes.c_char_p

    def reset(self) -> None:
        """Counts from nothing again; what lives is kept, and is the new peak."""
        self._runtime.fake_cuda_reset()

    def report(self) -> Report:
        return parse_report(self._runtime.fake_cuda_report().decode())
