"""A file that cannot be written is named, with the reason."""

import errno
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx_ir
import pytest
from tokenizers import Tokenizer, models

from export.graph.encoder import write_model
from export.writing import write_file, writing

LIMIT_BYTES = 4096


@contextmanager
def files_end_early() -> Iterator[None]:
    """No file of this process grows beyond a page, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def write_text(path: Path) -> None:
    write_file(path, b"x" * (2 * LIMIT_BYTES))


def write_graph(path: Path) -> None:
    """By numpy, whose error has no number."""
    weights = onnx_ir.val("weights", const_value=onnx_ir.tensor(np.zeros(10**6, np.float32)))
    graph = onnx_ir.Graph([], [], nodes=[], initializers=[weights])
    write_model(onnx_ir.Model(graph, ir_version=10), path)


def write_tokenizer(path: Path) -> None:
    """By Rust, whose error is no OSError."""
    vocabulary = {f"word{number}": number for number in range(1000)}
    with writing(path):
        Tokenizer(models.WordLevel(vocabulary, unk_token="word0")).save(str(path))


@pytest.mark.parametrize("write", [write_text, write_graph, write_tokenizer])
def test_a_file_that_does_not_fit_is_named_with_the_reason(tmp_path: Path, write: object) -> None:
    assert callable(write)
    write(tmp_path / "whole")
    with pytest.raises(OSError, match="File too large") as caught, files_end_early():
        write(tmp_path / "cut")

    assert (errno.EFBIG, str(tmp_path / "cut")) == (caught.value.errno, caught.value.filename)


def test_a_full_device_is_named() -> None:
    with pytest.raises(OSError, match="No space left on device") as caught:
        write_file(Path("/dev/full"), b"x")

    assert (errno.ENOSPC, "/dev/full") == (caught.value.errno, caught.value.filename)


def test_a_reason_that_nobody_knows_is_what_the_error_said(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="half a disk") as caught, writing(tmp_path / "file"):
        raise OSError("half a disk")

    assert str(tmp_path / "file") == caught.value.filename


def test_other_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(KeyError), writing(tmp_path / "file"):
        raise KeyError("(os error x)")


def test_an_error_of_rust_is_read(tmp_path: Path) -> None:
    told = pytest.raises(PermissionError, match=os.strerror(errno.EACCES))
    with told as caught, writing(tmp_path / "file"):
        raise RuntimeError(f"denied (os error {errno.EACCES})")

    assert str(tmp_path / "file") == caught.value.filename
