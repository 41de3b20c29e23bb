"""Many workers and large logs: what they cost, and where they break."""
