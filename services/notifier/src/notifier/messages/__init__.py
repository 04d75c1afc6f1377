"""The words in which a customer is asked."""
