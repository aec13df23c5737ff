"""The Kafka wire protocol: bytes to messages and back. Pure: no sockets, no clock, no state but compiled codecs."""
