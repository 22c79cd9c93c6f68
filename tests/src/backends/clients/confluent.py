"""Sends requests as confluent-kafka sends records, the numbers as people write them.

Arguments: brokers, topic, API key, how many, number of the first.
"""
import json
import sys

from confluent_kafka import Producer

brokers, topic, key, count, first = sys.argv[1:]
producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True})
undelivered = []
for index in range(int(count)):
    number = str(int(first) + index)
    request = {
        "to": f"(202) {number[:3]}-{number[3:]}",
        "region": "US",
        "body": f"confluent {index}",
        "idempotency_key": f"confluent-{index}",
    }
    producer.produce(
        topic,
        key=str(index),
        value=json.dumps(request),
        headers={"volley-key": key},
        on_delivery=lambda error, _: error and undelivered.append(error),
    )
producer.flush(30)
sys.exit(1 if undelivered else 0)
