/* Throughput of librdkafka, as an application in C has it, into and out of partition 0 of a topic.
 *
 *     librdkafka produce ADDRESS TOPIC RECORDS BYTES    acks=all, to the last acknowledgement
 *     librdkafka consume ADDRESS TOPIC RECORDS          from the first record on
 *
 * Prints seconds and records a second as one JSON object. The clock starts once the topic's leader is known.
 */
#include <rdkafka.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BATCH 1000
#define PATIENCE_MS 60000

static int64_t answered, failed;

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

static void die(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value) {
    char why[512];
    if (rd_kafka_conf_set(conf, name, value, why, sizeof why) != RD_KAFKA_CONF_OK)
        die(name, why);
}

static void on_answer(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque) {
    (void)client, (void)opaque;
    answered++;
    failed += message->err != RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_t *open_client(rd_kafka_type_t type, rd_kafka_conf_t *conf) {
    char why[512];
    rd_kafka_t *client = rd_kafka_new(type, conf, why, sizeof why);
    if (!client)
        die("no client", why);
    return client;
}

static void await_leader(rd_kafka_t *client, rd_kafka_topic_t *topic) {
    const struct rd_kafka_metadata *metadata;
    rd_kafka_resp_err_t error = rd_kafka_metadata(client, 0, topic, &metadata, PATIENCE_MS);
    if (error)
        die("no metadata", rd_kafka_err2str(error));
    rd_kafka_metadata_destroy(metadata);
}

static double produce(rd_kafka_conf_t *conf, const char *name, int64_t records, size_t bytes) {
    set(conf, "acks", "all");
    set(conf, "queue.buffering.max.messages", "1000000");
    rd_kafka_conf_set_dr_msg_cb(conf, on_answer);
    rd_kafka_t *client = open_client(RD_KAFKA_PRODUCER, conf);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(client, name, NULL);
    await_leader(client, topic);
    char *value = malloc(bytes);
    memset(value, 'x', bytes);
    double begun = now();
    for (int64_t sent = 0; sent < records;) {
        if (rd_kafka_produce(topic, 0, RD_KAFKA_MSG_F_COPY, value, bytes, NULL, 0, NULL) == 0) {
            if (++sent % BATCH == 0)
                rd_kafka_poll(client, 0);
        } else if (rd_kafka_last_error() == RD_KAFKA_RESP_ERR__QUEUE_FULL)
            rd_kafka_poll(client, 1);
        else
            die("produce", rd_kafka_err2str(rd_kafka_last_error()));
    }
    while (answered < records)
        if (!rd_kafka_poll(client, PATIENCE_MS))
            die("produce", "no acknowledgement for a minute");
    double seconds = now() - begun;
    if (failed)
        die("produce", "records were refused");
    return seconds;
}

static double consume(rd_kafka_conf_t *conf, const char *name, int64_t records) {
    set(conf, "group.id", "bench");
    set(conf, "enable.auto.commit", "false");
    set(conf, "auto.offset.reset", "error");
    rd_kafka_t *client = open_client(RD_KAFKA_CONSUMER, conf);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(client, name, NULL);
    await_leader(client, topic);
    rd_kafka_topic_partition_list_t *from = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(from, name, 0)->offset = 0;
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(client);
    rd_kafka_message_t *messages[BATCH];
    double begun = now();
    rd_kafka_assign(client, from);
    for (int64_t read = 0; read < records;) {
        /* It waits for as many as it is asked for. */
        int64_t left = records - read;
        ssize_t count = rd_kafka_consume_batch_queue(queue, PATIENCE_MS, messages, left < BATCH ? left : BATCH);
        if (count <= 0)
            die("consume", "nothing came for a minute");
        for (ssize_t i = 0; i < count; i++) {
            if (messages[i]->err)
                die("consume", rd_kafka_message_errstr(messages[i]));
            rd_kafka_message_destroy(messages[i]);
        }
        read += count;
    }
    return now() - begun;
}

int main(int count, char **words) {
    int produces = count == 6 && !strcmp(words[1], "produce");
    if (!produces && !(count == 5 && !strcmp(words[1], "consume"))) {
        fputs("usage: librdkafka produce ADDRESS TOPIC RECORDS BYTES | consume ADDRESS TOPIC RECORDS\n", stderr);
        return 2;
    }
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", words[2]);
    int64_t records = atoll(words[4]);
    double seconds = produces ? produce(conf, words[3], records, atoi(words[5])) : consume(conf, words[3], records);
    printf("{\"wall_s\": %.4f, \"records_per_s\": %.0f}\n", seconds, records / seconds);
    fflush(stdout);
    /* What the client holds goes with the process; a polite end takes seconds. */
    _Exit(0);
}
