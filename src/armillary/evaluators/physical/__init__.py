"""From RTL to layout: power, clock and area behind placement and routing, by steps that are kept by content."""
