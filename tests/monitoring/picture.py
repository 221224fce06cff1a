"""The dashboard as a picture, drawn from what a Prometheus has; Grafana itself is not needed."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from tests.helm.chart import NAMESPACE, pick, render
from tests.helm.variants import VARIANTS
from tests.monitoring.expressions import asked_in
from tests.monitoring.known import GPU
from tests.monitoring.prometheus import SCRAPE_SECONDS, Prometheus
from tests.monitoring.rules import RELEASE

POINTS = 300
MOST_LEGENDS = 8
COLUMNS = 3
LINE_HEIGHT = 2.6  # inches
SCALES = [(1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")]


@dataclass(frozen=True)
class Span:
    """When something was done; seconds since 1970."""

    number: int
    began: float
    ended: float


def short(value: float, unit: str) -> str:
    """A number as Grafana writes it."""
    match unit:
        case "percentunit":
            return f"{value * 100:.3g} %"
        case "s" if 0 < abs(value) < 1:
            return f"{value * 1000:.3g} ms"
        case "µs" if abs(value) >= 1000:
            return f"{value / 1000:.3g} ms"
        case "bytes":
            return f"{value / 2**20:.3g} MiB"
    suffix = {"s": " s", "µs": " µs", "reqps": "/s", "watt": " W"}.get(unit, "")
    scale, letter = next(((s, w) for s, w in SCALES if abs(value) >= s), (1.0, ""))
    return f"{value / scale:.3g}{letter}{suffix}"


def rendered() -> dict[str, Any]:
    """The dashboard of the chart."""
    (text,) = pick(render(VARIANTS["watched"]), "ConfigMap", "-dashboard")["data"].values()
    return json.loads(text)


def draw(
    prometheus: Prometheus,
    began: float,
    ended: float,
    spans: Sequence[Span],
    words: str,
    path: Path,
) -> list[str]:
    """Writes the picture; titles of the panels without a line."""
    mpl.use("agg")
    panels = rendered()["panels"]
    places = {}
    line = -1.0
    for panel in panels:  # rows are thin, panels are not
        if panel["type"] == "row":
            line, across = line + 1.45, 0
        elif across == COLUMNS:
            line, across = line + 1.3, 0
        places[panel["id"]] = (line, across)
        across += panel["type"] != "row"
    lines = line + 2.1
    figure = plt.figure(figsize=(16, lines * LINE_HEIGHT))
    empty = []
    figure.text(0.04, 1 - 0.25 / lines, f"Embeddings {NAMESPACE}/{RELEASE}", size=18, weight="bold")
    figure.text(0.04, 1 - 0.45 / lines, words, size=9, va="top", linespacing=1.35)
    for panel in panels:
        line, across = places[panel["id"]]
        top = 1 - (line + 1.0) / lines
        if panel["type"] == "row":
            figure.text(0.04, top + 0.13 / lines, panel["title"], size=14, weight="bold")
            continue
        axes = figure.add_axes((0.06 + across * 0.32, top - 0.85 / lines, 0.26, 0.78 / lines))
        if not _draw_panel(axes, panel, prometheus, began, ended, spans):
            empty.append(panel["title"])
    figure.savefig(path, dpi=90)
    plt.close(figure)
    return empty


def _draw_panel(
    axes: Axes,
    panel: dict[str, Any],
    prometheus: Prometheus,
    began: float,
    ended: float,
    spans: Sequence[Span],
) -> int:
    """How many lines it has."""
    step = (ended - began) / POINTS
    defaults = panel["fieldConfig"]["defaults"]
    unit, fill = defaults["unit"], defaults["custom"].get("fillOpacity", 0)
    found = []
    for target in panel["targets"]:
        expression = (
            target["expr"]
            .replace(
                "$__rate_interval", f"{max(step + SCRAPE_SECONDS, 4 * SCRAPE_SECONDS) * 1000:.0f}ms"
            )
            .replace("$namespace", NAMESPACE)
            .replace("$release", RELEASE)
        )
        for labels, moments, values in prometheus.series(expression, began, ended, step):
            found.append((_legend(target["legendFormat"], labels), moments, values))
    made_up = {one.metric for t in panel["targets"] for one in asked_in(
        t["expr"].replace("$__rate_interval", "1m")).selectors} & GPU  # fmt: skip
    axes.set_title(panel["title"] + (" (made up: no GPU here)" if made_up else ""), size=10,
                   loc="left")  # fmt: skip
    for span in spans:
        axes.axvspan(span.began - began, span.ended - began, color="0.5", alpha=0.13, lw=0)
        axes.text((span.began + span.ended) / 2 - began, 1.0, str(span.number), size=6, ha="center",
                  va="bottom", color="0.4",
                  transform=axes.get_xaxis_transform())  # fmt: skip
    order = sorted(found, key=lambda one: -max((v for v in one[2] if v == v), default=0))
    for legend, moments, values in found:
        xs, ys = _with_gaps([m - began for m in moments], values, step)
        shown = legend[:34] if legend in {one[0] for one in order[:MOST_LEGENDS]} else "_"
        (drawn,) = axes.plot(xs, ys, lw=1.1, label=shown)
        if fill:
            axes.fill_between(xs, ys, alpha=0.15, color=drawn.get_color(), lw=0)
    axes.set_xlim(0, ended - began)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value, unit)))
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if found:
        axes.legend(fontsize=6, loc="upper center", bbox_to_anchor=(0.5, -0.09), frameon=False,
                    ncols=2 if max(len(one[0]) for one in found) > 22 else 4)  # fmt: skip
    return len(found)


def _legend(pattern: str, labels: dict[str, str]) -> str:
    return re.sub(r"{{(\w+)}}", lambda found: labels.get(found[1], ""), pattern)


def _with_gaps(
    moments: Sequence[float], values: Sequence[float], step: float
) -> tuple[list[float], list[float]]:
    """The line breaks where there was no sample."""
    xs: list[float] = []
    ys: list[float] = []
    for moment, value in zip(moments, values, strict=True):
        if xs and moment - xs[-1] > 1.5 * step:
            xs.append(moment)
            ys.append(float("nan"))
        xs.append(moment)
        ys.append(value if abs(value) != float("inf") else float("nan"))
    return xs, ys
