"""The best mapping with a proof: branch and bound over the rounds that each level's loops leave."""
