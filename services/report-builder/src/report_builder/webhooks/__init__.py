"""Webhooks: what became of reports, told to billing systems that do not speak Kafka."""
