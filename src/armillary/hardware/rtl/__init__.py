"""Hardware that is generated: sources and generators, a folder a platform."""
