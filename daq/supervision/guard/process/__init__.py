"""The guard's own program, from the standard library alone, run by its folder's path.

The modules import one another relatively: here they are run without the daemon's packages around.
"""
