"""The embedded Apache Kafka: its jars by a lock file, and one KRaft node on a bundled Java runtime."""
