"""
What encryption at rest needs beside the key ring. `seals` are a client's keys for its organization's rows; `values`
reads every sealed value, whatever table it is in; `rotation` seals them all with the newest key.

What stands in a sealed value is known by the room of its table: `memory/sealing`, `execution/sealing`, `tool/sealing`.
"""
