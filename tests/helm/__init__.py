"""The chart, rendered and refused by Helm's own engine."""
