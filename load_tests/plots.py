"""Curves → PNG files, and one HTML page that holds them."""

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("agg")  # no screen

from matplotlib import pyplot
from matplotlib.ticker import LogLocator, NullLocator

DOTS_PER_INCH = 110
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body {{ font-family: sans-serif; max-width: 60em; margin: 2em auto; }}
img {{ width: 100%; }} li {{ color: #a00; }}</style></head>
<body><h1>{title}</h1><ul>{complaints}</ul><pre>{table}</pre>{images}</body></html>
"""


@dataclass(frozen=True, slots=True)
class Curves:
    """Over the load: units a second, and latencies by the name of their percentile."""

    load: Sequence[float]
    per_second: Sequence[float]
    milliseconds: Mapping[str, Sequence[float]]
    unit: str = "texts"


def throughput_and_latency(file: Path, title: str, load_name: str, curves: Curves) -> Path:
    """Two plots above each other; both axes of the latencies are logarithmic."""
    figure, (upper, lower) = pyplot.subplots(2, 1, figsize=(8, 7), sharex=True)
    upper.plot(curves.load, curves.per_second, marker="o", color="black")
    upper.set_ylabel(f"{curves.unit}/s")
    upper.set_ylim(bottom=0)
    upper.set_title(title)
    for name, values in curves.milliseconds.items():
        lower.plot(curves.load, values, marker="o", label=name)
    lower.set_ylabel("milliseconds")
    lower.set_yscale("log")
    lower.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    lower.yaxis.set_minor_locator(NullLocator())
    lower.yaxis.set_major_formatter("{x:g}")
    lower.set_xlabel(load_name)
    lower.set_xscale("log", base=2)
    lower.set_xticks(curves.load, [f"{value:g}" for value in curves.load])
    lower.legend()
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(file, dpi=DOTS_PER_INCH)
    pyplot.close(figure)
    return file


def over_time(file: Path, title: str, unit: str, curves: Mapping[str, Sequence[float]]) -> Path:
    """Values that were read at the same seconds; the curve `seconds` holds those."""
    figure, axes = pyplot.subplots(figsize=(8, 4))
    for name, values in curves.items():
        if name != "seconds":
            axes.plot(curves["seconds"], values, label=name)
    axes.set_title(title)
    axes.set_xlabel("seconds")
    axes.set_ylabel(unit)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(file, dpi=DOTS_PER_INCH)
    pyplot.close(figure)
    return file


def page(title: str, table: str, complaints: Sequence[str], images: Sequence[Path]) -> str:
    """HTML that needs no other file."""
    encoded = (base64.b64encode(image.read_bytes()).decode() for image in images)
    return PAGE.format(
        title=html.escape(title),
        complaints="".join(f"<li>{html.escape(line)}</li>" for line in complaints),
        table=html.escape(table),
        images="".join(f'<img alt="" src="data:image/png;base64,{data}">' for data in encoded),
    )
