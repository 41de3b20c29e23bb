"""The Polaris chapter, on our RTL."""
