"""Other people's mappers, where they are installed, asked for the best mapping of a layer onto a hierarchy."""
