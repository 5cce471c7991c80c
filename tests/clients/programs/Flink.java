// Flink's Kafka source and sink, exactly once over a failure: each word of SOURCE is answered in TARGET by itself and how often it has come.
// Usage: java Flink BOOTSTRAP SOURCE TARGET RECORDS. It ends with the last of RECORDS words, and fails once on its way.

import java.util.concurrent.atomic.AtomicInteger;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.MapFunction;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.serialization.SimpleStringSchema;
import org.apache.flink.api.common.state.CheckpointListener;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

public class Flink {
  static final AtomicInteger seen = new AtomicInteger(), checkpoints = new AtomicInteger(), failures = new AtomicInteger();

  /** Slow enough that there are checkpoints on the way; after half of the records and some checkpoints it fails, once. */
  static class Slow implements MapFunction<String, String>, CheckpointListener {
    final int half;

    Slow(int half) {
      this.half = half;
    }

    @Override
    public String map(String word) throws Exception {
      if (seen.incrementAndGet() % 10 == 0) Thread.sleep(20);
      if (seen.get() > half && checkpoints.get() >= 2 && failures.compareAndSet(0, 1)) throw new IllegalStateException("once");
      return word;
    }

    @Override
    public void notifyCheckpointComplete(long checkpoint) {
      checkpoints.incrementAndGet();
    }
  }

  static class Count extends KeyedProcessFunction<String, String, String> {
    transient ValueState<Integer> count;

    @Override
    public void open(OpenContext context) {
      count = getRuntimeContext().getState(new ValueStateDescriptor<>("count", Integer.class));
    }

    @Override
    public void processElement(String word, Context context, Collector<String> out) throws Exception {
      int now = count.value() == null ? 1 : count.value() + 1;
      count.update(now);
      out.collect(word + " " + now);
    }
  }

  public static void main(String[] arguments) throws Exception {
    var settings = new Configuration();
    settings.setString("restart-strategy.type", "fixed-delay");
    settings.setString("restart-strategy.fixed-delay.delay", "0 s");
    var flink = StreamExecutionEnvironment.getExecutionEnvironment(settings);
    flink.setParallelism(2);
    flink.enableCheckpointing(200);
    var source = KafkaSource.<String>builder().setBootstrapServers(arguments[0]).setTopics(arguments[1]).setGroupId("flink")
        .setStartingOffsets(OffsetsInitializer.earliest()).setBounded(OffsetsInitializer.latest())
        .setValueOnlyDeserializer(new SimpleStringSchema()).build();
    var sink = KafkaSink.<String>builder().setBootstrapServers(arguments[0]).setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
        .setTransactionalIdPrefix("flink").setProperty("transaction.timeout.ms", "60000") // its own, an hour, is more than brokers allow
        .setRecordSerializer(KafkaRecordSerializationSchema.builder().setTopic(arguments[2]).setValueSerializationSchema(new SimpleStringSchema()).build())
        .build();
    flink.fromSource(source, WatermarkStrategy.noWatermarks(), "source").map(new Slow(Integer.parseInt(arguments[3]) / 2))
        .keyBy(word -> word).process(new Count()).sinkTo(sink);
    flink.execute();
    System.out.println("failures: " + failures + ", checkpoints: " + checkpoints);
    System.exit(failures.get() == 1 ? 0 : 1);
  }
}
