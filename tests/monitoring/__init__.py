"""The alerts and the dashboard of the chart, held to the metrics that exist."""
