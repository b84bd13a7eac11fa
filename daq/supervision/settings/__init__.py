"""What devices are set to: held in a pause, saved as presets, configured for safety."""
