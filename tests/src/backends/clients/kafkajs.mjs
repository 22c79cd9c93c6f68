// Sends requests as kafkajs sends records: plain JSON, and CloudEvents in both modes.
// Arguments: brokers, topic, API key, how many of each, number of the first.
import kafkajs from "kafkajs";

const [brokers, topic, key, count, first] = process.argv.slice(2);
const kafka = new kafkajs.Kafka({
  clientId: "somebody-else",
  brokers: brokers.split(","),
  logLevel: kafkajs.logLevel.ERROR,
});
const producer = kafka.producer();
const messages = [];
for (let index = 0; index < Number(count); index++) {
  const request = (kind) => ({
    to: `+1202${Number(first) + messages.length}`,
    body: `kafkajs ${kind} ${index}`,
  });
  messages.push({
    headers: { "volley-key": key, "idempotency-key": `kafkajs-${index}` },
    value: JSON.stringify(request("plain")),
  });
  const event = {
    specversion: "1.0",
    type: "volley.message.requested",
    source: "/kafkajs",
    id: `structured-${index}`,
  };
  messages.push({
    key: `k${index}`,
    headers: { "volley-key": key, "content-type": "application/cloudevents+json" },
    value: JSON.stringify({ ...event, data: request("structured") }),
  });
  messages.push({
    headers: {
      "volley-key": key,
      "content-type": "application/json",
      ce_specversion: "1.0",
      ce_type: event.type,
      ce_source: event.source,
      ce_id: `binary-${index}`,
    },
    value: JSON.stringify(request("binary")),
  });
}
await producer.connect();
await producer.send({ topic, messages });
// Once more: whoever is not sure that a record arrived sends it again.
await producer.send({ topic, messages: messages.slice(0, 3) });
await producer.disconnect();
