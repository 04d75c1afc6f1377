"""Who was asked, who said what, and who changed the gate."""
