"""Services, plans and prices, edited as code."""
