// A full round with kafkajs against a Kafka-protocol server: create a topic, produce with one codec, read everything back in
// a group of two members (the second joins later) and look at the committed offsets; then three transactions in a topic of
// their own, the middle one aborted, and what a reader of committed records gets of them.
//
// Usage: node roundtrip.js HOST:PORT TOPIC CODEC COUNT. Prints one JSON object a record read, then {"done": true, …}.
import kafkajs from 'kafkajs'

const { CompressionTypes, Kafka, logLevel } = kafkajs
const [address, topic, codec, count] = process.argv.slice(2)
const total = Number(count)
const kafka = new Kafka({ clientId: 'interop', brokers: [address], logLevel: logLevel.ERROR })
const base64 = (bytes) => Buffer.from(bytes).toString('base64')

const admin = kafka.admin()
await admin.connect()
await admin.createTopics({ topics: [{ topic, numPartitions: 4, replicationFactor: 1 }] })

const producer = kafka.producer({ idempotent: true })
await producer.connect()
const messages = Array.from({ length: total }, (_, i) => ({
  key: `key-${i % 50}`,
  value: `value-${i}-${codec}`,
  headers: { number: String(i) },
}))
const compression = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP }[codec]
await producer.send({ topic, messages, compression, acks: -1 })
await producer.disconnect()

let read = 0
let finish
const finished = new Promise((resolve) => { finish = resolve })
const members = []
for (const member of [0, 1]) {
  const consumer = kafka.consumer({ groupId: `${topic}-group` })
  members.push(consumer)
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({
    eachMessage: async ({ partition, message }) => {
      console.log(JSON.stringify({
        member, partition, offset: Number(message.offset), key: base64(message.key), value: base64(message.value),
        header: message.headers.number.toString(),
      }))
      read += 1
      if (read >= total) finish()
    },
  })
}
const late = setTimeout(() => { console.error(`${read} of ${total} records read`); process.exit(1) }, 60_000)
await finished
clearTimeout(late)
await Promise.all(members.map((consumer) => consumer.disconnect()))
const [{ partitions }] = await admin.fetchOffsets({ groupId: `${topic}-group`, topics: [topic] })
const committed = partitions.reduce((sum, { offset }) => sum + Number(offset), 0)

const transactions = `${topic}-transactions`
await admin.createTopics({ topics: [{ topic: transactions, numPartitions: 1, replicationFactor: 1 }] })
const transactional = kafka.producer({ transactionalId: transactions, idempotent: true, maxInFlightRequests: 1 })
await transactional.connect()
for (const [number, ending] of ['commit', 'abort', 'commit'].entries()) {
  const transaction = await transactional.transaction()
  for (let i = 0; i < 10; i += 1) {
    await transaction.send({ topic: transactions, messages: [{ value: `${number}-${i}` }] })
  }
  await transaction[ending]()
}
await transactional.disconnect()

const transacted = []
const reader = kafka.consumer({ groupId: `${transactions}-group` }) // reads committed records: its default
await reader.connect()
await reader.subscribe({ topic: transactions, fromBeginning: true })
await new Promise((resolve, reject) => {
  setTimeout(() => reject(new Error(`only ${transacted} were read`)), 30_000).unref()
  reader.run({
    eachMessage: async ({ message }) => {
      transacted.push(message.value.toString())
      if (transacted.at(-1) === '2-9') resolve()
    },
  })
})
await reader.disconnect()
await admin.disconnect()
console.log(JSON.stringify({ done: true, committed, transacted }))
