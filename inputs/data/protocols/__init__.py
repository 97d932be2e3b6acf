"""Protocol presets, one YAML each."""
