"""The hand-written steps of the served ensemble; a package only so that the exporter finds them."""
