"""The small draft, target and PRM shipped with the package, and their task."""
