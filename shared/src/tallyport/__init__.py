"""What every Tallyport service shares."""
