// Kafka's own client with transactions: commit, abort, consume-transform-produce, fencing, administration.
// Usage: java Transactions BOOTSTRAP ROUNDS

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.UUID;
import org.apache.kafka.clients.admin.AbortTransactionSpec;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class Transactions {
  static final String RUN = "jtxn-" + UUID.randomUUID().toString().substring(0, 8);
  static String bootstrap;

  static KafkaProducer<String, String> producer(String id) {
    var settings = new Properties();
    settings.put("bootstrap.servers", bootstrap);
    settings.put("transactional.id", RUN + id);
    var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer());
    producer.initTransactions();
    return producer;
  }

  static KafkaConsumer<String, String> consumer(String group, String isolation) {
    var settings = new Properties();
    settings.put("bootstrap.servers", bootstrap);
    settings.put("group.id", group);
    settings.put("isolation.level", isolation);
    settings.put("auto.offset.reset", "earliest");
    settings.put("enable.auto.commit", "false");
    return new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
  }

  static List<String> all(String topic, String isolation) {
    try (var consumer = consumer(RUN + "none", isolation)) {
      var partition = new TopicPartition(topic, 0);
      consumer.assign(List.of(partition));
      consumer.seekToBeginning(List.of(partition));
      long end = consumer.endOffsets(List.of(partition)).get(partition);
      var out = new ArrayList<String>();
      while (consumer.position(partition) < end) {
        for (var record : consumer.poll(Duration.ofMillis(500))) out.add(record.value());
      }
      return out;
    }
  }

  static void check(boolean holds, Object what) {
    if (!holds) throw new AssertionError(String.valueOf(what));
  }

  static List<String> ends(String topic, int rounds) {
    var committed = new ArrayList<String>();
    try (var producer = producer("ends")) {
      for (int round = 0; round < rounds; round++) {
        producer.beginTransaction();
        for (int i = 0; i < 10; i++) {
          String value = round + "-" + i;
          producer.send(new ProducerRecord<>(topic, value));
          if (round % 3 != 1) committed.add(value);
        }
        if (round % 3 == 1) {
          producer.flush();
          producer.abortTransaction();
        } else {
          producer.commitTransaction();
        }
      }
      producer.beginTransaction();
      producer.commitTransaction();
      producer.beginTransaction();
      producer.abortTransaction();
    }
    check(all(topic, "read_committed").equals(committed), "committed");
    check(all(topic, "read_uncommitted").size() == rounds * 10, "uncommitted");
    return committed;
  }

  static void transform(String source, String target, List<String> expected) {
    int attempt = 0, seen = 0;
    try (var producer = producer("transform")) {
      while (seen < expected.size()) {
        try (var consumer = consumer(RUN + "group", "read_committed")) {
          consumer.subscribe(List.of(source));
          ConsumerRecords<String, String> got = consumer.poll(Duration.ofSeconds(5));
          while (got.isEmpty()) got = consumer.poll(Duration.ofSeconds(5));
          producer.beginTransaction();
          for (var record : got) producer.send(new ProducerRecord<>(target, record.value()));
          var partition = new TopicPartition(source, 0);
          var offsets = Map.of(partition, new OffsetAndMetadata(consumer.position(partition)));
          producer.sendOffsetsToTransaction(offsets, consumer.groupMetadata());
          if (attempt++ % 2 == 0) {
            producer.abortTransaction();
          } else {
            producer.commitTransaction();
            seen += got.count();
          }
        }
      }
    }
    check(all(target, "read_committed").equals(expected), "transformed");
  }

  static void fencing(String topic) throws Exception {
    int before = all(topic, "read_committed").size();
    var old = producer("fenced");
    old.beginTransaction();
    old.send(new ProducerRecord<>(topic, "of the old one"));
    old.flush();
    try (var fresh = producer("fenced")) {
      try {
        old.send(new ProducerRecord<>(topic, "of a zombie")).get();
        check(false, "a zombie wrote");
      } catch (java.util.concurrent.ExecutionException error) {
        check(error.getCause() instanceof InvalidProducerEpochException, error);
      }
      try {
        old.commitTransaction();
        check(false, "a zombie committed");
      } catch (KafkaException error) {
        check(error instanceof InvalidProducerEpochException, error);
      }
      fresh.beginTransaction();
      fresh.send(new ProducerRecord<>(topic, "of the new one"));
      fresh.commitTransaction();
    }
    old.close(Duration.ZERO);
    var seen = all(topic, "read_committed");
    check(seen.size() == before + 1 && seen.get(before).equals("of the new one"), seen.size());
  }

  static void administration(Admin admin, String topic) throws Exception {
    var features = admin.describeFeatures().featureMetadata().get();
    check(features.finalizedFeatures().get("transaction.version").maxVersionLevel() == 2, features);
    int before = all(topic, "read_committed").size();
    var open = producer("open");
    open.beginTransaction();
    open.send(new ProducerRecord<>(topic, "open")).get();
    var listed = admin.listTransactions().all().get().stream().map(one -> one.transactionalId()).toList();
    check(listed.contains(RUN + "open") && listed.contains(RUN + "ends"), listed);
    var described = admin.describeTransactions(List.of(RUN + "open")).all().get().get(RUN + "open");
    var partition = new TopicPartition(topic, 0);
    check(described.state().toString().equals("Ongoing") && described.topicPartitions().contains(partition), described);
    for (var state : admin.describeProducers(List.of(partition)).partitionResult(partition).get().activeProducers()) {
      if (state.currentTransactionStartOffset().isEmpty()) continue;
      check(state.producerId() == described.producerId(), state);
      int coordinator = state.coordinatorEpoch().orElse(0);
      var spec = new AbortTransactionSpec(partition, state.producerId(), (short) state.producerEpoch(), coordinator);
      admin.abortTransaction(spec).all().get();
    }
    check(all(topic, "read_committed").size() == before, "aborted by an administrator");
    open.commitTransaction();
    open.close();
    admin.fenceProducers(List.of(RUN + "ends")).all().get();
  }

  public static void main(String[] arguments) throws Exception {
    bootstrap = arguments[0];
    try (var admin = Admin.create(Map.of("bootstrap.servers", (Object) bootstrap))) {
      String source = RUN + "source", target = RUN + "target";
      admin.createTopics(List.of(new NewTopic(source, 1, (short) 1), new NewTopic(target, 1, (short) 1))).all().get();
      var committed = ends(source, Integer.parseInt(arguments[1]));
      transform(source, target, committed);
      fencing(target);
      administration(admin, target);
    }
    System.out.println("ok");
  }
}
