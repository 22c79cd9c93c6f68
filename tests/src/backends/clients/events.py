"""Reads what a topic of events tells, as anybody would with confluent-kafka: what is committed.

Arguments: brokers, topic, file with the schema. Prints one JSON object a line: a record's key,
partition, offset and value. Ends with 1 when a record is not what the schema says, and with 2 when
the topic does not hide what was never committed.
"""
import json
import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition
from jsonschema import Draft7Validator, FormatChecker

# AsyncAPI's own dialect is that of JSON Schema's draft 7.
SCHEMA = "#/components/schemas/MessageEvent"
SECONDS = 60

brokers, topic, schema = sys.argv[1:]


def abort():
    """Somebody's transaction in this topic that comes to nothing."""
    producer = Producer({"bootstrap.servers": brokers, "transactional.id": "somebody-else"})
    producer.init_transactions(SECONDS)
    producer.begin_transaction()
    producer.produce(topic, key="never", value="happened", partition=0)
    producer.flush(SECONDS)
    producer.abort_transaction(SECONDS)


def records(isolation):
    """Every record of the topic, up to its end as a reader of this isolation sees it."""
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "witness",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": isolation,
        }
    )
    partitions = consumer.list_topics(topic, SECONDS).topics[topic].partitions
    consumer.assign([TopicPartition(topic, index, OFFSET_BEGINNING) for index in partitions])
    ended = set()
    while len(ended) < len(partitions):
        message = consumer.poll(SECONDS)
        if message is None:
            sys.exit("no end of the topic")
        if message.error() is None:
            yield message
        elif message.error().code() == KafkaError._PARTITION_EOF:
            ended.add(message.partition())
        else:
            sys.exit(str(message.error()))
    consumer.close()


abort()
with open(schema, encoding="utf-8") as file:
    validator = Draft7Validator({**json.load(file), "$ref": SCHEMA}, format_checker=FormatChecker())
committed = 0
for record in records("read_committed"):
    event = json.loads(record.value())
    problems = [problem.message for problem in validator.iter_errors(event)]
    # A schema that takes everything would say nothing.
    without = {name: value for name, value in event.items() if name != "number"}
    if problems or validator.is_valid(without) or validator.is_valid({**event, "at": "today"}):
        sys.exit(f"not what the schema says: {problems}")
    committed += 1
    print(
        json.dumps(
            {
                "key": record.key().decode(),
                "partition": record.partition(),
                "offset": record.offset(),
                "value": event,
            }
        )
    )
uncommitted = sum(1 for _ in records("read_uncommitted"))
print(f"{uncommitted - committed} records were never committed", file=sys.stderr)
sys.exit(0 if uncommitted > committed else 2)
