"""Whose price counts: the one business rule that the engine and the notifier share."""
