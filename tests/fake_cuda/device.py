"""The fake device as a program sees it that runs on it: `reset`, `report`, `tell`."""

import ctypes
import json
from dataclasses import asdict

from tests.fake_cuda.report import TOLD, Report, parse_report


class Device:
    """All devices of the process, as one."""

    def __init__(self) -> None:
        """Raises: OSError or AttributeError if the program does not run on the fake libraries."""
        self._runtime = ctypes.CDLL("libcudart.so.13")
        self._runtime.fake_cuda_report.restype = ctypes.c_char_p

    def reset(self) -> None:
        """Counts from nothing again; what lives is kept, and is the new peak."""
        self._runtime.fake_cuda_reset()

    def report(self) -> Report:
        return parse_report(self._runtime.fake_cuda_report().decode())

    def tell(self) -> None:
        """Prints the report for `in_fake_cuda(…).reports`, and resets."""
        print(TOLD + json.dumps(asdict(self.report())), flush=True)
        self.reset()
