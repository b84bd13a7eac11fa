"""The same calls without `await`: one background loop, waits that Ctrl-C can end."""
