"""Schedules: reports that are asked for by themselves, at a local time, each once."""
