"""Every method against `specs` on the bundled models: tuned on some problems, compared on others (docs/study)."""
