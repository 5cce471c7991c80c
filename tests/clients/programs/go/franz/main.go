// franz-go, each part as the client's own documentation does it: codecs, a direct consumer, a group that goes on where it
// was (classic and KIP-848), transactions, consume-transform-produce, administration. Usage: franz BOOTSTRAP
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

var (
	run = fmt.Sprintf("franz-%08x", rand.Uint32())
	ctx context.Context
)

func check(holds bool, format string, args ...any) {
	if !holds {
		log.Fatalf("franz: "+format, args...)
	}
}

func must(err error) { check(err == nil, "%v", err) }

func client(opts ...kgo.Opt) *kgo.Client {
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(os.Args[1]), kgo.AllowAutoTopicCreation())...)
	must(err)
	return cl
}

func values(prefix string, count int) []string {
	out := make([]string, count)
	for i := range out {
		out[i] = fmt.Sprintf("%s%d", prefix, i)
	}
	return out
}

func produce(cl *kgo.Client, topic string, values ...string) {
	for i, value := range values {
		cl.Produce(ctx, &kgo.Record{
			Topic: topic, Key: fmt.Appendf(nil, "k%d", i), Value: []byte(value), Headers: []kgo.RecordHeader{{Key: "n", Value: fmt.Append(nil, i)}},
		}, func(_ *kgo.Record, err error) { must(err) })
	}
	must(cl.Flush(ctx))
}

// read polls until `count` records have come, and no more than these.
func read(cl *kgo.Client, count int) []*kgo.Record {
	var out []*kgo.Record
	for len(out) < count {
		fetches := cl.PollFetches(ctx)
		must(fetches.Err())
		out = append(out, fetches.Records()...)
	}
	check(len(out) == count, "%d records of %d", len(out), count)
	return out
}

func codecs() {
	for name, codec := range map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	} {
		topic := run + "-" + name
		producer := client(kgo.ProducerBatchCompression(codec))
		sent := values("a value that repeats itself, itself, itself ", 500)
		produce(producer, topic, sent...)
		producer.Close()
		consumer := client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		for i, record := range read(consumer, 500) {
			check(record.Offset == int64(i) && string(record.Value) == sent[i], "%s: %d is %q", name, i, record.Value)
			check(string(record.Key) == fmt.Sprint("k", i) && string(record.Headers[0].Value) == fmt.Sprint(i), "%s: key or header of %d", name, i)
		}
		consumer.Close()
	}
}

// group reads with one member, shares with a second, and goes on with a third where the others left.
func group(admin *kadm.Client, kind string, opts ...kgo.Opt) {
	name := run + "-group-" + kind
	_, err := admin.CreateTopic(ctx, 4, 1, nil, name)
	must(err)
	producer := client(kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	produce(producer, name, values("", 400)...)
	member := func() *kgo.Client {
		return client(append(opts, kgo.ConsumerGroup(name), kgo.ConsumeTopics(name), kgo.DisableAutoCommit(),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.HeartbeatInterval(500*time.Millisecond))...)
	}
	first := member()
	read(first, 400)
	must(first.CommitUncommittedOffsets(ctx))
	second := member()
	for {
		for _, one := range []*kgo.Client{first, second} {
			poll, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
			check(one.PollFetches(poll).NumRecords() == 0, "%s: records came twice", kind)
			cancel()
		}
		if shared(admin, name, kind) {
			break
		}
	}
	first.Close()
	second.Close()
	produce(producer, name, values("new", 8)...)
	third := member()
	read(third, 8)
	must(third.CommitUncommittedOffsets(ctx))
	offsets, err := admin.FetchOffsets(ctx, name)
	must(err)
	total := int64(0)
	offsets.Each(func(offset kadm.OffsetResponse) { total += offset.At })
	check(total == 408, "%s: committed %d of 408", kind, total)
	third.Close()
	producer.Close()
	_, err = admin.DeleteGroup(ctx, name)
	must(err)
}

// shared says whether two members hold the four partitions, two each, as an administrator sees it.
func shared(admin *kadm.Client, name, kind string) bool {
	var held []int
	if kind == "848" {
		groups, err := admin.DescribeConsumerGroups(ctx, name)
		must(err)
		for _, member := range groups[name].Members {
			total := 0
			for _, partitions := range member.Assignment {
				total += len(partitions)
			}
			held = append(held, total)
		}
	} else {
		groups, err := admin.DescribeGroups(ctx, name)
		must(err)
		for _, member := range groups[name].Members {
			total := 0
			if assigned, ok := member.Assigned.AsConsumer(); ok {
				for _, topic := range assigned.Topics {
					total += len(topic.Partitions)
				}
			}
			held = append(held, total)
		}
	}
	return len(held) == 2 && held[0] == 2 && held[1] == 2
}

func committed(topic string, count int) []string {
	consumer := client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	defer consumer.Close()
	var out []string
	for _, record := range read(consumer, count) {
		out = append(out, string(record.Value))
	}
	return out
}

func transactions() {
	topic := run + "-txn"
	producer := client(kgo.TransactionalID(topic))
	var want []string
	for round := range 9 {
		must(producer.BeginTransaction())
		sent := values(fmt.Sprint(round, "-"), 20)
		produce(producer, topic, sent...)
		if round%3 == 1 {
			must(producer.EndTransaction(ctx, kgo.TryAbort))
		} else {
			must(producer.EndTransaction(ctx, kgo.TryCommit))
			want = append(want, sent...)
		}
	}
	got := committed(topic, len(want))
	for i := range want {
		check(got[i] == want[i], "committed: %d is %s, not %s", i, got[i], want[i])
	}
	// A second producer of the same id fences the first.
	must(producer.BeginTransaction())
	second := client(kgo.TransactionalID(topic))
	must(second.BeginTransaction())
	produce(second, topic, "of the new one")
	must(second.EndTransaction(ctx, kgo.TryCommit))
	err := producer.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("of the old one")}).FirstErr()
	check(errors.Is(err, kerr.InvalidProducerEpoch) || errors.Is(err, kerr.ProducerFenced), "a fenced producer got %v", err)
	check(committed(topic, len(want)+1)[len(want)] == "of the new one", "the new one's record is not the last")
	producer.Close()
	second.Close()
}

// exactlyOnce copies a topic by a group's sessions of which every second one aborts; nothing is lost or twice.
func exactlyOnce() {
	from, to := run+"-from", run+"-to"
	producer := client()
	produce(producer, from, values("", 300)...)
	producer.Close()
	for copied, start := 0, 0; copied < 300; start++ {
		session, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(os.Args[1]), kgo.AllowAutoTopicCreation(), kgo.TransactionalID(to), kgo.ConsumerGroup(to),
			kgo.ConsumeTopics(from), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.RequireStableFetchOffsets())
		must(err)
		fetches := session.PollRecords(ctx, 100)
		must(fetches.Err())
		must(session.Begin())
		var copies []*kgo.Record
		for _, record := range fetches.Records() {
			copies = append(copies, &kgo.Record{Topic: to, Value: record.Value})
		}
		must(session.ProduceSync(ctx, copies...).FirstErr())
		done, err := session.End(ctx, kgo.TransactionEndTry(start%2 == 1))
		must(err)
		if done {
			copied += fetches.NumRecords()
		}
		session.Close()
	}
	for i, value := range committed(to, 300) {
		check(value == fmt.Sprint(i), "copied: %d is %s", i, value)
	}
}

func administration(admin *kadm.Client) {
	topic, retention := run+"-admin", "60000"
	_, err := admin.CreateTopic(ctx, 2, 1, map[string]*string{"retention.ms": &retention}, topic)
	must(err)
	_, err = admin.CreateTopic(ctx, 2, 1, nil, topic)
	check(errors.Is(err, kerr.TopicAlreadyExists), "a topic made twice: %v", err)
	_, err = admin.CreateTopic(ctx, 2, 1, nil, "a b")
	check(errors.Is(err, kerr.InvalidTopicException), "a wrong name: %v", err)
	configs, err := admin.DescribeTopicConfigs(ctx, topic)
	must(err)
	for _, config := range configs[0].Configs {
		check(config.Key != "retention.ms" || config.MaybeValue() == retention, "retention.ms is %s", config.MaybeValue())
	}
	partitions, err := admin.CreatePartitions(ctx, 1, topic)
	must(errors.Join(err, partitions.Error()))
	topics, err := admin.ListTopics(ctx, topic)
	must(err)
	check(len(topics[topic].Partitions) == 3, "%d partitions", len(topics[topic].Partitions))
	_, err = admin.DeleteTopic(ctx, topic)
	must(err)
}

func main() {
	log.SetFlags(0)
	var cancel context.CancelFunc
	ctx, cancel = context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	admin := kadm.NewClient(client())
	codecs()
	group(admin, "cooperative-sticky")
	group(admin, "range", kgo.Balancers(kgo.RangeBalancer()))
	group(admin, "848", kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer()))
	transactions()
	exactlyOnce()
	administration(admin)
	admin.Close()
	fmt.Println("ok")
}
