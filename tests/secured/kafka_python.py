"""kafka-python: PLAIN and SCRAM with and without TLS, wrong passwords, rules. Usage: kafka_python.py SASL_SSL SASL_PLAINTEXT SSL CERTIFICATES USER PASSWORD"""

import sys
import uuid

try:
    from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
    from kafka.admin import NewTopic
    from kafka.errors import KafkaError
except ImportError:
    print("kafka-python is not installed")
    sys.exit(77)

SASL_SSL, SASL_PLAINTEXT, _, CERTIFICATES, USER, PASSWORD = sys.argv[1:]
TOPIC = f"kafka-python-{uuid.uuid4().hex[:8]}"


def options(mechanism, tls, password=PASSWORD):
    out = dict(sasl_mechanism=mechanism, sasl_plain_username=USER, sasl_plain_password=password)
    if tls:
        return dict(out, bootstrap_servers=SASL_SSL, security_protocol="SASL_SSL", ssl_cafile=f"{CERTIFICATES}/ca.pem")
    return dict(out, bootstrap_servers=SASL_PLAINTEXT, security_protocol="SASL_PLAINTEXT")


def main():
    admin = KafkaAdminClient(**options("PLAIN", True))
    admin.create_topics([NewTopic(TOPIC, num_partitions=1, replication_factor=1)])
    count = 0
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]:
        for tls in [False, True]:
            producer = KafkaProducer(**options(mechanism, tls), acks="all")
            for _ in range(100):
                producer.send(TOPIC, b"x" * 1000)
            producer.flush()
            producer.close()
            count += 100
            consumer = KafkaConsumer(TOPIC, **options(mechanism, tls), auto_offset_reset="earliest", consumer_timeout_ms=5000, group_id=f"{TOPIC}-{mechanism}-{tls}")
            got = 0
            for _ in consumer:
                got += 1
                if got == count:
                    break
            assert got == count, (mechanism, tls, got)
            consumer.close()
        try:
            KafkaProducer(**options(mechanism, False, password="wrong"), api_version_auto_timeout_ms=3000, max_block_ms=3000).partitions_for(TOPIC)
        except KafkaError:
            continue
        raise AssertionError(f"{mechanism}: let in with a wrong password")
    admin.close()
    print("ok")


main()
