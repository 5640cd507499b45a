"""The log on an Apache Kafka cluster: `kafka://host:port,host:port`."""

from streams.log.kafka.engine import KafkaLog

__all__ = ["KafkaLog"]
