"""The chart on a real API server, scheduler and controllers: `make cluster`."""
