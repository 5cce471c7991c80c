// sarama, each part as the client's own documentation does it: codecs, a group that goes on where it was, transactions,
// consume-transform-produce, administration. Usage: sarama BOOTSTRAP
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"
)

var (
	run   = fmt.Sprintf("sarama-%08x", rand.Uint32())
	addrs []string
)

func check(holds bool, format string, args ...any) {
	if !holds {
		log.Fatalf("sarama: "+format, args...)
	}
}

func must(err error) { check(err == nil, "%v", err) }

func config() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.MaxVersion
	c.Producer.Return.Successes = true
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.Offsets.AutoCommit.Enable = false
	c.Consumer.Group.Heartbeat.Interval = 500 * time.Millisecond
	return c
}

func idempotent(c *sarama.Config) {
	c.Producer.Idempotent = true
	c.Net.MaxOpenRequests = 1
}

func producer(c *sarama.Config) sarama.SyncProducer {
	p, err := sarama.NewSyncProducer(addrs, c)
	must(err)
	return p
}

func messages(topic, prefix string, from, to, partitions int) []*sarama.ProducerMessage {
	var out []*sarama.ProducerMessage
	for i := from; i < to; i++ {
		n := fmt.Append(nil, i)
		out = append(out, &sarama.ProducerMessage{Topic: topic, Partition: int32(i % partitions), Key: sarama.ByteEncoder("k" + string(n)),
			Value: sarama.StringEncoder(prefix + string(n)), Headers: []sarama.RecordHeader{{Key: []byte("n"), Value: n}}})
	}
	return out
}

// read is everything of a topic's first partition from its begin, once `count` records have come.
func read(topic string, count int, level sarama.IsolationLevel) []*sarama.ConsumerMessage {
	c := config()
	c.Consumer.IsolationLevel = level
	consumer, err := sarama.NewConsumer(addrs, c)
	must(err)
	partition, err := consumer.ConsumePartition(topic, 0, sarama.OffsetOldest)
	must(err)
	var out []*sarama.ConsumerMessage
	for len(out) < count {
		select {
		case message := <-partition.Messages():
			out = append(out, message)
		case <-time.After(20 * time.Second):
			log.Fatalf("sarama: %s: %d records of %d", topic, len(out), count)
		}
	}
	must(partition.Close())
	must(consumer.Close())
	return out
}

func codecs() {
	for _, codec := range []sarama.CompressionCodec{
		sarama.CompressionNone, sarama.CompressionGZIP, sarama.CompressionSnappy, sarama.CompressionLZ4, sarama.CompressionZSTD,
	} {
		topic := fmt.Sprintf("%s-%s", run, codec)
		c := config()
		idempotent(c)
		c.Producer.Compression = codec
		p := producer(c)
		must(p.SendMessages(messages(topic, "a value that repeats itself, itself, itself ", 0, 500, 1)))
		must(p.Close())
		for i, message := range read(topic, 500, sarama.ReadUncommitted) {
			check(message.Offset == int64(i) && string(message.Key) == fmt.Sprint("k", i), "%s: %d has key %q", codec, i, message.Key)
			check(string(message.Headers[0].Value) == fmt.Sprint(i), "%s: header of %d", codec, i)
		}
	}
}

// member is one of a group: it tells how many partitions it reads, and hands over what it reads.
type member struct {
	group sarama.ConsumerGroup
	owned atomic.Int32
	read  chan *sarama.ConsumerMessage
	stop  context.CancelFunc
	ended chan error
}

func (m *member) Setup(sarama.ConsumerGroupSession) error { return nil }

func (m *member) Cleanup(session sarama.ConsumerGroupSession) error {
	session.Commit()
	return nil
}

func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	m.owned.Add(1)
	defer m.owned.Add(-1)
	for {
		select {
		case message, ok := <-claim.Messages():
			if !ok {
				return nil
			}
			session.MarkMessage(message, "")
			m.read <- message
		case <-session.Context().Done():
			return nil
		}
	}
}

func join(topic string, strategy sarama.BalanceStrategy) *member {
	c := config()
	c.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{strategy}
	group, err := sarama.NewConsumerGroup(addrs, topic, c)
	must(err)
	ctx, stop := context.WithCancel(context.Background())
	m := &member{group: group, read: make(chan *sarama.ConsumerMessage, 1000), stop: stop, ended: make(chan error, 1)}
	go func() {
		for ctx.Err() == nil {
			if err := group.Consume(ctx, []string{topic}, m); err != nil && ctx.Err() == nil {
				m.ended <- err
				return
			}
		}
		m.ended <- nil
	}()
	return m
}

func (m *member) leave() {
	m.stop()
	must(<-m.ended)
	must(m.group.Close())
}

// await waits until each member reads as many partitions as are wanted of it.
func await(want int32, members ...*member) {
	deadline := time.Now().Add(30 * time.Second)
	for _, m := range members {
		for m.owned.Load() != want {
			check(len(m.ended) == 0, "a member ended")
			check(time.Now().Before(deadline), "a member reads %d partitions, not %d", m.owned.Load(), want)
			time.Sleep(20 * time.Millisecond)
		}
	}
}

func groups(admin sarama.ClusterAdmin) {
	for _, strategy := range []sarama.BalanceStrategy{
		sarama.NewBalanceStrategyRange(), sarama.NewBalanceStrategySticky(), sarama.NewBalanceStrategyCooperativeSticky(),
	} {
		topic := fmt.Sprintf("%s-group-%s", run, strategy.Name())
		must(admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 4, ReplicationFactor: 1}, false))
		c := config()
		c.Producer.Partitioner = sarama.NewManualPartitioner
		p := producer(c)
		must(p.SendMessages(messages(topic, "", 0, 400, 4)))
		first := join(topic, strategy)
		await(4, first)
		for range 400 {
			<-first.read
		}
		second := join(topic, strategy)
		await(2, first, second)
		described, err := admin.DescribeConsumerGroups([]string{topic})
		must(err)
		check(described[0].State == "Stable" && len(described[0].Members) == 2, "%s: %s with %d members", topic, described[0].State, len(described[0].Members))
		first.leave()
		second.leave()
		must(p.SendMessages(messages(topic, "new", 400, 408, 4)))
		must(p.Close())
		third := join(topic, strategy)
		for range 8 {
			message := <-third.read
			check(message.Offset >= 100, "%s: offset %d came again", topic, message.Offset)
		}
		third.leave()
		offsets, err := admin.ListConsumerGroupOffsets(topic, map[string][]int32{topic: {0, 1, 2, 3}})
		must(err)
		for partition := range int32(4) {
			check(offsets.GetBlock(topic, partition).Offset == 102, "%s-%d: committed %d", topic, partition, offsets.GetBlock(topic, partition).Offset)
		}
		must(admin.DeleteConsumerGroup(topic))
	}
}

func transactional(id string) sarama.SyncProducer {
	c := config()
	idempotent(c)
	c.Producer.Transaction.ID = id
	return producer(c)
}

func transactions() {
	topic := run + "-txn"
	p := transactional(topic)
	var want []string
	for round := range 9 {
		must(p.BeginTxn())
		prefix := fmt.Sprint(round, "-")
		must(p.SendMessages(messages(topic, prefix, 0, 20, 1)))
		if round%3 == 1 {
			must(p.AbortTxn())
			continue
		}
		must(p.CommitTxn())
		for i := range 20 {
			want = append(want, fmt.Sprint(prefix, i))
		}
	}
	for i, message := range read(topic, len(want), sarama.ReadCommitted) {
		check(string(message.Value) == want[i], "committed: %d is %s, not %s", i, message.Value, want[i])
	}
	read(topic, 180, sarama.ReadUncommitted)
	// A second producer of the same id fences the first.
	must(p.BeginTxn())
	second := transactional(topic)
	must(second.Close())
	err := p.SendMessages(messages(topic, "of the old one", 0, 1, 1))
	check(err != nil, "a producer that was replaced sent")
	_ = p.Close()
}

// exactlyOnce copies a topic in transactions of which every second one aborts; nothing is lost or twice.
func exactlyOnce(admin sarama.ClusterAdmin) {
	from, to := run+"-from", run+"-to"
	plain := producer(config())
	must(plain.SendMessages(messages(from, "", 0, 100, 1)))
	must(plain.Close())
	p := transactional(to)
	source := read(from, 100, sarama.ReadCommitted)
	for batch := range 8 {
		must(p.BeginTxn())
		first := batch / 2 * 25
		for _, message := range source[first : first+25] {
			must(p.SendMessages([]*sarama.ProducerMessage{{Topic: to, Value: sarama.ByteEncoder(message.Value)}}))
			must(p.AddMessageToTxn(message, to, nil))
		}
		if batch%2 == 0 {
			must(p.AbortTxn())
		} else {
			must(p.CommitTxn())
		}
		want := int64((batch + 1) / 2 * 25)
		if want == 0 {
			want = -1
		}
		at := int64(-2)
		for deadline := time.Now().Add(10 * time.Second); at != want; { // a transaction's end is answered before its offsets may be seen
			offsets, err := admin.ListConsumerGroupOffsets(to, map[string][]int32{from: {0}})
			must(err)
			at = offsets.GetBlock(from, 0).Offset
			check(at == want || time.Now().Before(deadline), "after transaction %d the group is at %d, not %d", batch, at, want)
		}
	}
	must(p.Close())
	for i, message := range read(to, 100, sarama.ReadCommitted) {
		check(string(message.Value) == fmt.Sprint(i), "copied: %d is %s", i, message.Value)
	}
}

func administration(admin sarama.ClusterAdmin) {
	topic, retention := run+"-admin", "60000"
	must(admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 2, ReplicationFactor: 1, ConfigEntries: map[string]*string{"retention.ms": &retention}}, false))
	err := admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 2, ReplicationFactor: 1}, false)
	check(errors.Is(err, sarama.ErrTopicAlreadyExists), "a topic made twice: %v", err)
	err = admin.CreateTopic("a b", &sarama.TopicDetail{NumPartitions: 2, ReplicationFactor: 1}, false)
	check(errors.Is(err, sarama.ErrInvalidTopic), "a wrong name: %v", err)
	entries, err := admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic, ConfigNames: []string{"retention.ms"}})
	must(err)
	check(len(entries) == 1 && entries[0].Value == retention, "retention.ms: %v", entries)
	must(admin.CreatePartitions(topic, 3, nil, false))
	p := producer(config())
	must(p.SendMessages(messages(topic, "", 0, 30, 1)))
	must(p.Close())
	must(admin.DeleteRecords(topic, map[int32]int64{0: 1}))
	topics, err := admin.ListTopics()
	must(err)
	check(topics[topic].NumPartitions == 3, "%d partitions", topics[topic].NumPartitions)
	_, controller, err := admin.DescribeCluster()
	must(err)
	logs, err := admin.DescribeLogDirs([]int32{controller})
	must(err)
	check(len(logs[controller]) == 1, "%d log folders", len(logs[controller]))
	must(admin.DeleteTopic(topic))
}

func main() {
	log.SetFlags(0)
	addrs = os.Args[1:2]
	admin, err := sarama.NewClusterAdmin(addrs, config())
	must(err)
	codecs()
	groups(admin)
	transactions()
	exactlyOnce(admin)
	administration(admin)
	must(admin.Close())
	fmt.Println("ok")
}
