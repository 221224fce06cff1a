"""Checks of the chart by tools from elsewhere, which `make chart` runs beside the tests."""
