"""Writes values.schema.json and the table of the chart's README: python -m tests.helm."""

from tests.helm.chart import generated

for file, text in generated().items():
    file.write_text(text)
