"""Autoscaling as it would be: the chart's triggers, real gateways, a real Prometheus, a load."""
