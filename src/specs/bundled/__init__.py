"""The small draft, target and PRM that ship with the package; import their task from `specs.bundled.problems`."""
