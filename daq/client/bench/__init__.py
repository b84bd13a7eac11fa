"""The bench as objects: devices with attributes, and what one does with them."""
