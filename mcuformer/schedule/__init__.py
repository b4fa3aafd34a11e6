"""From an int graph to the calls of its regions: storage first, then every region the way chosen for it."""
