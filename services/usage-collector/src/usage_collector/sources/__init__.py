"""Where usage comes from: watched folders and database servers."""
