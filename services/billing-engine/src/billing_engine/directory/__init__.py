"""Who buys what from whom, as the provisioning systems tell it."""
