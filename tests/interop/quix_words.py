"""
A Quix Streams program: upper-cases words from one topic into another until it has seen all of them.

Arguments: bootstrap servers, group, input topic, output topic, how many, processing guarantee, state directory. Runs
in an environment of its own: Quix Streams wants an older confluent-kafka than this project.
"""

import sys

from quixstreams import Application


def main() -> None:
    address, group, source, target, count, guarantee, state = sys.argv[1:]
    application = Application(
        broker_address=address,
        consumer_group=group,
        auto_offset_reset="earliest",
        processing_guarantee=guarantee,
        commit_interval=0.2,
        state_dir=state,
        loglevel="WARNING",
        producer_extra_config={"compression.type": "gzip"},
    )
    words = application.topic(source, value_deserializer="str", key_deserializer="bytes")
    shouted = application.topic(target, value_serializer="str", key_serializer="bytes")
    frame = application.dataframe(words)
    frame.apply(lambda value: value.upper()).to_topic(shouted)
    application.run(count=int(count), timeout=20)


if __name__ == "__main__":
    main()
