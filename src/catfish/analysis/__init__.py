"""What was computed, read and shown: selections, tables, figures and metrics. Never imports torch."""
