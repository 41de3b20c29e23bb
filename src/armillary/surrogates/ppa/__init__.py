"""Power, performance and area of layouts, learned from few of them."""
