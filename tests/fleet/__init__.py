"""`make fleet`: what the chart renders, run on one machine as a cluster would run it."""
