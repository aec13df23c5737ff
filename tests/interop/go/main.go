// A full round with franz-go against a Kafka-protocol server: create a topic, produce with one codec, read
// everything back in a group of two members (the second joins later), commit, then three transactions in a topic of their
// own, the middle one aborted, and what a reader of committed records gets of them.
//
// Prints one JSON object a record read, then {"done": true, …}. Any failure ends it with code 1 and the reason.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

type line struct {
	Member    int    `json:"member"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Key       []byte `json:"key"`
	Value     []byte `json:"value"`
	Header    string `json:"header"`
}

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

func check(err error, doing string) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", doing, err)
		os.Exit(1)
	}
}

func main() {
	broker := flag.String("broker", "127.0.0.1:9092", "HOST:PORT")
	topic := flag.String("topic", "franz-go", "the topic to create")
	codec := flag.String("codec", "none", "none, gzip, snappy, lz4 or zstd")
	count := flag.Int("count", 1000, "records")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()

	producer, err := kgo.NewClient(kgo.SeedBrokers(*broker), kgo.ProducerBatchCompression(codecs[*codec]))
	check(err, "client")
	defer producer.Close()
	created, err := kadm.NewClient(producer).CreateTopic(ctx, 4, 1, nil, *topic)
	check(err, "create topic")
	check(created.Err, "create topic")
	records := make([]*kgo.Record, *count)
	for i := range records {
		records[i] = &kgo.Record{
			Topic: *topic, Key: fmt.Appendf(nil, "key-%d", i%50), Value: fmt.Appendf(nil, "value-%d-%s", i, *codec),
			Headers: []kgo.RecordHeader{{Key: "number", Value: fmt.Appendf(nil, "%d", i)}},
		}
	}
	check(producer.ProduceSync(ctx, records...).FirstErr(), "produce")

	var mutex sync.Mutex
	out := json.NewEncoder(os.Stdout)
	read := 0
	finished := make(chan struct{})
	var members sync.WaitGroup
	for member := 0; member < 2; member++ {
		members.Add(1)
		go func() {
			defer members.Done()
			if member == 1 {
				time.Sleep(300 * time.Millisecond) // joins a running group: a rebalance
			}
			consumer, err := kgo.NewClient(kgo.SeedBrokers(*broker), kgo.ConsumerGroup(*topic+"-group"), kgo.ConsumeTopics(*topic),
				kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll())
			check(err, "consumer")
			defer consumer.Close()
			for {
				poll, stop := context.WithTimeout(ctx, 200*time.Millisecond)
				fetches := consumer.PollRecords(poll, 100)
				stop()
				mutex.Lock()
				fetches.EachRecord(func(r *kgo.Record) {
					check(out.Encode(line{member, r.Partition, r.Offset, r.Key, r.Value, string(r.Headers[0].Value)}), "print")
					read++
					if read == *count {
						close(finished)
					}
				})
				mutex.Unlock()
				check(consumer.CommitUncommittedOffsets(ctx), "commit")
				consumer.AllowRebalance()
				select {
				case <-finished:
					return
				case <-ctx.Done():
					check(ctx.Err(), fmt.Sprintf("%d of %d records read", read, *count))
				default:
				}
			}
		}()
	}
	members.Wait()
	offsets, err := kadm.NewClient(producer).FetchOffsets(ctx, *topic+"-group")
	check(err, "fetch offsets")
	var committed int64
	offsets.Each(func(o kadm.OffsetResponse) { committed += o.At })
	transacted := transact(ctx, *broker, *topic+"-transactions")
	check(out.Encode(map[string]any{"done": true, "committed": committed, "transacted": transacted}), "print")
}

// transact writes ten records in each of three transactions, aborts the second, and reads committed records to the last.
func transact(ctx context.Context, broker, topic string) []string {
	producer, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.TransactionalID(topic), kgo.DefaultProduceTopic(topic))
	check(err, "transactional client")
	defer producer.Close()
	created, err := kadm.NewClient(producer).CreateTopic(ctx, 1, 1, nil, topic)
	check(err, "create topic")
	check(created.Err, "create topic")
	for number, ending := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit} {
		check(producer.BeginTransaction(), "begin")
		for i := range 10 {
			check(producer.ProduceSync(ctx, kgo.StringRecord(fmt.Sprintf("%d-%d", number, i))).FirstErr(), "produce")
		}
		check(producer.EndTransaction(ctx, ending), "end")
	}
	consumer, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	check(err, "consumer of committed records")
	defer consumer.Close()
	var values []string
	for len(values) == 0 || values[len(values)-1] != "2-9" {
		fetches := consumer.PollFetches(ctx)
		check(fetches.Err(), "read committed")
		fetches.EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
	}
	return values
}
