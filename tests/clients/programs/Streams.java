// Two programs of Kafka Streams. Usage: java Streams BOOTSTRAP FOLDER word-count|exactly-once
//
// word-count counts the words of the topic `lines`, over all time (`counts`) and in windows of ten seconds (`windowed`, word@start), through
// a repartition topic into stores with changelogs. exactly-once answers each record of `keys` in `numbers` by how often its key has come.
// Both run until their input ends, with their states in FOLDER.

import static org.apache.kafka.streams.CloseOptions.GroupMembershipOperation.LEAVE_GROUP;

import java.time.Duration;
import java.util.Arrays;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.CloseOptions;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.TimeWindows;

public class Streams {
  static Topology wordCount(Properties settings) {
    settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
    var builder = new StreamsBuilder();
    KStream<String, String> lines = builder.stream("lines");
    var words = lines.flatMapValues(line -> Arrays.asList(line.split(" "))).groupBy((key, word) -> word, Grouped.as("words"));
    words.count(Materialized.as("all")).toStream().mapValues(String::valueOf).to("counts");
    words.windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofSeconds(10), Duration.ofDays(1)))
        .count(Materialized.as("windows")).toStream()
        .map((word, count) -> KeyValue.pair(word.key() + "@" + word.window().start(), String.valueOf(count)))
        .to("windowed");
    return builder.build();
  }

  static Topology exactlyOnce(Properties settings) {
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 50);
    settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0); // each count is sent, not the last of a commit
    settings.put("max.poll.records", 20);
    // What was killed is gone soon, and its changelogs are compacted while they are written.
    settings.put("session.timeout.ms", 6000);
    settings.put(StreamsConfig.producerPrefix("transaction.timeout.ms"), 5000);
    settings.put(StreamsConfig.topicPrefix("segment.ms"), 200);
    settings.put(StreamsConfig.topicPrefix("min.cleanable.dirty.ratio"), 0.01);
    var builder = new StreamsBuilder();
    KStream<String, String> keys = builder.stream("keys");
    keys.groupByKey().count(Materialized.as("all")).toStream().mapValues(String::valueOf).to("numbers");
    return builder.build();
  }

  public static void main(String[] arguments) throws Exception {
    String name = arguments[2];
    var settings = new Properties();
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
    settings.put(StreamsConfig.STATE_DIR_CONFIG, arguments[1]);
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, name);
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
    settings.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
    settings.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
    settings.put("auto.offset.reset", "earliest");
    var streams = new KafkaStreams(name.equals("word-count") ? wordCount(settings) : exactlyOnce(settings), settings);
    var stop = new CountDownLatch(1);
    streams.setUncaughtExceptionHandler(error -> {
      error.printStackTrace();
      stop.countDown();
      return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
    });
    streams.start();
    var input = new Thread(() -> {
      try {
        while (System.in.read() >= 0) {}
      } catch (java.io.IOException gone) {
        gone.printStackTrace();
      }
      stop.countDown();
    });
    input.setDaemon(true);
    input.start();
    stop.await();
    boolean closed = streams.close(CloseOptions.timeout(Duration.ofSeconds(20)).withGroupMembershipOperation(LEAVE_GROUP));
    System.exit(closed && streams.state() == KafkaStreams.State.NOT_RUNNING ? 0 : 1);
  }
}
