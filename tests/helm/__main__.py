"""Writes the schema, the dashboard and the README's table of the chart: python -m tests.helm."""

from tests.helm.chart import generated

for file, text in generated().items():
    file.write_text(text)
