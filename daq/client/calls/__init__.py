"""Every call of the daemon's API in typed form, for asyncio."""
