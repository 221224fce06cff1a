"""The dashboard as Grafana reads it, built from the panels by Grafana's own builders.

NAMESPACE, RELEASE and UID stand in it for what the chart puts in.
"""

import json
from itertools import count

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import StackingMode
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    GridPos,
    VariableOption,
    VariableRefresh,
)

from tests.monitoring.panels import ROWS, Panel

WIDTH, HEIGHT, IN_A_ROW = 8, 8, 3  # Grafana's grid has 24 columns
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
SERVICES = 'label_values(gateway_in_flight_requests{namespace="$namespace"}, service)'


def render_dashboard() -> str:
    """The text of files/dashboard.json."""
    built = (
        dashboard.Dashboard("Embeddings NAMESPACE/RELEASE")
        .uid("UID")
        .tags(["embeddings"])
        .refresh("30s")
        .time("now-3h", "now")
        .timezone("browser")
        .with_variable(dashboard.DatasourceVariable("datasource").type("prometheus"))
        .with_variable(
            _variable("namespace", "label_values(gateway_in_flight_requests, namespace)")
        )
        .with_variable(_variable("release", SERVICES).regex("/(.*)-gateway-operations/"))
    )
    y, ids = 0, count(1)
    for row in ROWS:
        built.with_row(
            dashboard.Row(row.title).grid_pos(GridPos(h=1, w=24, x=0, y=y)).id(next(ids))
        )
        for place, panel in enumerate(row.panels):
            down, across = divmod(place, IN_A_ROW)
            position = GridPos(h=HEIGHT, w=WIDTH, x=across * WIDTH, y=y + 1 + down * HEIGHT)
            built.with_panel(_panel(panel).grid_pos(position).id(next(ids)))
        y += 1 + -(-len(row.panels) // IN_A_ROW) * HEIGHT
    return (
        json.dumps(json.loads(JSONEncoder(sort_keys=True).encode(built.build())), indent=1) + "\n"
    )


def _variable(name: str, query: str) -> dashboard.QueryVariable:
    here = name.upper()
    return (
        dashboard.QueryVariable(name)
        .datasource(SOURCE)
        .query(query)
        .current(VariableOption(text=here, value=here))
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
    )


def _panel(panel: Panel) -> timeseries.Panel:
    built = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.description)
        .unit(panel.unit)
        .datasource(SOURCE)
        .min(0)
        .fill_opacity(25 if panel.stacked else 0)
    )
    if panel.stacked:
        built.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    for legend, expression in panel.targets.items():
        built.with_target(prometheus.Dataquery().expr(expression).legend_format(legend))
    return built
