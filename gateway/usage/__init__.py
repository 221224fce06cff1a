"""Usage: what each key was answered, as metrics, and as a log that can be billed from."""
