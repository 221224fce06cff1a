"""Scenarios as a picture: pods above, load and what waits below, over minutes."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("agg")  # no screen

from matplotlib import pyplot
from matplotlib.axes import Axes

from load_tests.plots import DOTS_PER_INCH
from tests.scaling.report import needed, offered
from tests.scaling.simulation import CAPACITY, Outcome

COLUMNS = 2
BUCKET_SECONDS = 30.0


def draw(outcomes: Sequence[Outcome], file: Path) -> None:
    """One field a scenario."""
    rows = -(-len(outcomes) // COLUMNS)
    figure = pyplot.figure(figsize=(6.5 * COLUMNS, 3.6 * rows), layout="constrained")
    fields = figure.subfigures(rows, COLUMNS, squeeze=False).ravel()
    for number, (outcome, field) in enumerate(zip(outcomes, fields, strict=False)):
        field.suptitle(outcome.scenario.title, fontsize=10)
        upper, lower = field.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        _draw_pods(upper, outcome)
        _draw_work(lower, outcome)
        if number == 0:
            upper.legend(fontsize=7, loc="upper right")
            lower.legend(fontsize=7, loc="upper right")
    figure.savefig(file, dpi=DOTS_PER_INCH)
    pyplot.close(figure)


def _draw_pods(axes: Axes, outcome: Outcome) -> None:
    spec = outcome.manifest["spec"]
    least, most = spec["minReplicaCount"], spec["maxReplicaCount"]
    minutes = [sample.at / 60 for sample in outcome.samples]
    need = [needed(outcome, sample.at, least, most) for sample in outcome.samples]
    axes.fill_between(minutes, need, step="post", color="0.88", label="needed")
    pods = [sample.pods for sample in outcome.samples]
    axes.step(minutes, pods, where="post", color="tab:blue", label="pods")
    ready = [sample.ready for sample in outcome.samples]
    axes.step(minutes, ready, where="post", color="black", linestyle=":", label="ready")
    axes.set_ylim(0, most + 0.5)
    axes.set_ylabel("pods")
    _shade(axes, outcome)


def _draw_work(axes: Axes, outcome: Outcome) -> None:
    """In pods' worth of work a second, and in seconds of one pod's work."""
    end = 60 * outcome.scenario.minutes
    edges = [BUCKET_SECONDS * number for number in range(int(end / BUCKET_SECONDS) + 1)]
    load = [offered(outcome.calls, at, at + BUCKET_SECONDS) / CAPACITY for at in edges[:-1]]
    minutes = [at / 60 for at in edges[:-1]]
    axes.step(minutes, load, where="post", color="tab:green", linewidth=0.8, label="load")
    seconds = [tokens / CAPACITY for _, tokens in outcome.waiting]
    moments = [at / 60 for at, _ in outcome.waiting]
    axes.plot(moments, seconds, ".", markersize=2, color="tab:red", label="waiting, s of a pod")
    axes.set_yscale("symlog", linthresh=10)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("pods' worth")
    axes.set_xlabel("minutes", fontsize=8)
    _shade(axes, outcome)


def _shade(axes: Axes, outcome: Outcome) -> None:
    """Where Prometheus is away."""
    axes.grid(alpha=0.3)
    axes.tick_params(labelsize=8)
    if outcome.scenario.away:
        axes.axvspan(*outcome.scenario.away, color="tab:orange", alpha=0.15)
