"""
How far a service goes, by simulation: its inputs are costs that were measured, its results stand in docs/scale.md.

costs      what one event costs each part, from costs.json (`python -m benchmarks.scale.measurement` takes them anew)
engine     the clock, servers with a queue, and a disk that syncs for all who wait
layout     how many of what there is
service    the model: commands, relay, handlers and view of one service, in batches, as the framework works
capacity   how many events a second a layout holds, and what ends first
rebuild    how long a view of 10^9 events takes to be built anew
page       the tables, as docs/scale.md has them: `python -m benchmarks.scale` writes them, a test compares
"""
