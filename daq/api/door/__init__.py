"""Between asyncio and Trio: the bridge, who may call, how answers are sent."""
