"""Mistakes, as people make them: what is made of the chart with each must not reach a cluster."""
