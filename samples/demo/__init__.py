"""Plays the main job with real processes and real HTTP, and checks every event of it: `make demo`."""
