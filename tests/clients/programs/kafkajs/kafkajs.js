// KafkaJS, each part as the client's own documentation does it: codecs, a group that goes on where it was, transactions,
// consume-transform-produce, administration. Usage: node kafkajs.js BOOTSTRAP
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import kafkajs from 'kafkajs'
import SnappyCodec from 'kafkajs-snappy'

const { AssignerProtocol, CompressionCodecs, CompressionTypes, ConfigResourceTypes, Kafka, logLevel } = kafkajs
CompressionCodecs[CompressionTypes.Snappy] = SnappyCodec

const run = `kafkajs-${randomUUID().slice(0, 8)}`
const kafka = new Kafka({ clientId: run, brokers: [process.argv[2]], logLevel: logLevel.NOTHING })
const admin = kafka.admin()

async function until(holds, what, seconds = 30) {
  const end = Date.now() + seconds * 1000
  while (!(await holds())) {
    assert.ok(Date.now() < end, `no end of waiting for ${what}`)
    await new Promise((go) => setTimeout(go, 50))
  }
}

// Everything of a topic from its begin, by a group of its own, once `count` records have come.
async function readAll(topic, count, { isolated = true } = {}) {
  const consumer = kafka.consumer({ groupId: `${topic}-${randomUUID()}`, readUncommitted: !isolated, maxWaitTimeInMs: 100 })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  const out = []
  await consumer.run({ eachMessage: async ({ message }) => void out.push(message) })
  await until(() => out.length >= count, `${count} records of ${topic}`)
  await consumer.disconnect()
  assert.equal(out.length, count, topic)
  return out
}

const values = (prefix, count) => Array.from({ length: count }, (_, i) => `${prefix}${i}`)
const messages = (texts) => texts.map((value, i) => ({ key: `k${i}`, value, headers: { n: `${i}` } }))

async function codecs() {
  for (const name of ['None', 'GZIP', 'Snappy']) {
    const topic = `${run}-${name}`
    const sent = values('a value that repeats itself, itself, itself ', 500)
    const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
    await producer.connect()
    await producer.send({ topic, compression: CompressionTypes[name], messages: messages(sent) })
    await producer.disconnect()
    const read = await readAll(topic, 500)
    assert.deepEqual(read.map(({ value }) => value.toString()), sent)
    assert.deepEqual(read.map(({ offset }) => Number(offset)), sent.map((_, i) => i))
    assert.equal(read[7].key.toString(), 'k7')
    assert.equal(read[7].headers.n.toString(), '7')
  }
}

async function groups() {
  const topic = `${run}-group`
  await admin.createTopics({ topics: [{ topic, numPartitions: 4 }], waitForLeaders: true })
  const producer = kafka.producer()
  await producer.connect()
  const send = (prefix, count) =>
    producer.send({ topic, messages: values(prefix, count).map((value, i) => ({ value, partition: i % 4 })) })
  await send('', 400)
  const got = []
  const join = async () => {
    const consumer = kafka.consumer({ groupId: topic, heartbeatInterval: 500, sessionTimeout: 6000, maxWaitTimeInMs: 100 })
    await consumer.connect()
    await consumer.subscribe({ topic, fromBeginning: true })
    await consumer.run({ eachMessage: async ({ message }) => void got.push(message.value.toString()) })
    return consumer
  }
  const first = await join()
  await until(() => got.length >= 400, 'the first read')
  const second = await join()
  await until(async () => {
    const { groups } = await admin.describeGroups([topic])
    const held = groups[0].members.map(({ memberAssignment }) =>
      memberAssignment.length ? AssignerProtocol.MemberAssignment.decode(memberAssignment).assignment[topic]?.length : 0)
    return groups[0].state === 'Stable' && held.join() === '2,2'
  }, 'two members with two partitions each')
  await first.disconnect()
  await second.disconnect()
  await send('new', 8)
  const third = await join()
  await until(() => got.length >= 408, 'the new records')
  await third.disconnect()
  assert.deepEqual(got.slice(400).sort(), values('new', 8))
  const [{ partitions }] = await admin.fetchOffsets({ groupId: topic, topics: [topic] })
  assert.deepEqual(partitions.map(({ offset }) => offset), ['102', '102', '102', '102'])
  assert.ok((await admin.listGroups()).groups.some(({ groupId }) => groupId === topic))
  await admin.deleteGroups([topic])
  await producer.disconnect()
}

async function transactional(transactionalId) {
  const producer = kafka.producer({ transactionalId, maxInFlightRequests: 1, idempotent: true })
  await producer.connect()
  return producer
}

async function transactions() {
  const topic = `${run}-txn`
  await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] })
  const producer = await transactional(topic)
  const committed = []
  for (let round = 0; round < 9; round++) {
    const transaction = await producer.transaction()
    const sent = values(`${round}-`, 20)
    await transaction.send({ topic, messages: messages(sent) })
    if (round % 3 === 1) {
      await transaction.abort()
    } else {
      await transaction.commit()
      committed.push(...sent)
    }
  }
  await producer.disconnect()
  assert.deepEqual((await readAll(topic, committed.length)).map(({ value }) => value.toString()), committed)
  await readAll(topic, 180, { isolated: false })
}

// Copies a topic in transactions of which every second one aborts; the offsets go with the records.
async function exactlyOnce() {
  const [from, to] = [`${run}-from`, `${run}-to`]
  await admin.createTopics({ topics: [from, to].map((topic) => ({ topic, numPartitions: 1 })) })
  const plain = kafka.producer()
  await plain.connect()
  await plain.send({ topic: from, messages: messages(values('', 100)) })
  await plain.disconnect()
  const source = await readAll(from, 100)
  const producer = await transactional(to)
  for (let batch = 0; batch < 8; batch++) {
    const at = Math.floor(batch / 2) * 25
    const transaction = await producer.transaction()
    await transaction.send({ topic: to, messages: source.slice(at, at + 25).map(({ value }) => ({ value })) })
    const partitions = [{ partition: 0, offset: `${at + 25}` }]
    await transaction.sendOffsets({ consumerGroupId: to, topics: [{ topic: from, partitions }] })
    await (batch % 2 ? transaction.commit() : transaction.abort())
    const [{ partitions: [{ offset }] }] = await admin.fetchOffsets({ groupId: to, topics: [from] })
    assert.equal(offset, batch ? `${batch % 2 ? at + 25 : at}` : '-1', `after transaction ${batch}`)
  }
  await producer.disconnect()
  assert.deepEqual((await readAll(to, 100)).map(({ value }) => value.toString()), values('', 100))
}

async function administration() {
  const topic = `${run}-admin`
  const configEntries = [{ name: 'retention.ms', value: '60000' }]
  assert.equal(await admin.createTopics({ topics: [{ topic, numPartitions: 2, configEntries }] }), true)
  assert.equal(await admin.createTopics({ topics: [{ topic, numPartitions: 2 }] }), false)
  await assert.rejects(admin.createTopics({ topics: [{ topic: 'a b' }] }))
  await admin.createPartitions({ topicPartitions: [{ topic, count: 3 }] })
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
  assert.equal(topics[0].partitions.length, 3)
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false, resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configNames: ['retention.ms'] }],
  })
  assert.equal(resources[0].configEntries[0].configValue, '60000')
  const producer = kafka.producer()
  await producer.connect()
  await producer.send({ topic, messages: values('', 10).map((value, i) => ({ value, partition: 0, timestamp: `${1.7e12 + i}` })) })
  await producer.disconnect()
  assert.equal((await admin.fetchTopicOffsetsByTimestamp(topic, 1.7e12 + 5)).find(({ partition }) => partition === 0).offset, '5')
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '4' }] })
  const ends = (await admin.fetchTopicOffsets(topic)).find(({ partition }) => partition === 0)
  assert.deepEqual([ends.low, ends.high], ['4', '10'])
  await admin.deleteTopics({ topics: [topic] })
  assert.ok(!(await admin.listTopics()).includes(topic))
}

await admin.connect()
await codecs()
await groups()
await transactions()
await exactlyOnce()
await administration()
await admin.disconnect()
console.log('ok')
