"""confluent-kafka: SASL over TLS, a client's certificate, users and rules by its administration, refusals of those whom no rule allows.
Usage: confluent.py SASL_SSL SASL_PLAINTEXT SSL CERTIFICATES USER PASSWORD"""

import sys
import time
import uuid

try:
    from confluent_kafka import Consumer, KafkaException, Producer
    from confluent_kafka.admin import (
        AclBinding, AclBindingFilter, AclOperation, AclPermissionType, AdminClient, NewTopic, ResourcePatternType, ResourceType,
        ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion,
    )
except ImportError:
    print("confluent-kafka is not installed")
    sys.exit(77)

SASL_SSL, SASL_PLAINTEXT, SSL, CERTIFICATES, USER, PASSWORD = sys.argv[1:]
TOPIC = f"confluent-{uuid.uuid4().hex[:8]}"
TLS = {"ssl.ca.location": f"{CERTIFICATES}/ca.pem"}
ADMIN = {**TLS, "bootstrap.servers": SASL_SSL, "security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": USER, "sasl.password": PASSWORD}
BOB = {"bootstrap.servers": SASL_PLAINTEXT, "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "SCRAM-SHA-256", "sasl.username": "bob", "sasl.password": "builder"}
BY_CERTIFICATE = {
    **TLS, "bootstrap.servers": SSL, "security.protocol": "SSL",
    "ssl.certificate.location": f"{CERTIFICATES}/client.pem", "ssl.key.location": f"{CERTIFICATES}/client.pem",
}


def send(options, count):
    """Sends records; gives the errors there were."""
    errors = []
    producer = Producer({**options, "enable.idempotence": True, "message.timeout.ms": 5000})
    for _ in range(count):
        producer.produce(TOPIC, b"x" * 1000, on_delivery=lambda error, _: error and errors.append(error.name()))
    producer.flush(10)
    return errors


def read(options, count):
    consumer = Consumer({**options, "group.id": f"{TOPIC}-{uuid.uuid4().hex[:4]}", "auto.offset.reset": "earliest"})
    consumer.subscribe([TOPIC])
    got, end = 0, time.time() + 20
    while time.time() < end:
        message = consumer.poll(0.2)
        if message is None:
            continue
        if message.error():
            consumer.close()
            return message.error().name()
        got += 1
        if got == count:
            break
    consumer.close()
    return got


def binding(principal, kind, name, operation, pattern=ResourcePatternType.LITERAL):
    return AclBinding(kind, name, pattern, principal, "*", operation, AclPermissionType.ALLOW)


def main():
    admin = AdminClient(ADMIN)
    done = lambda futures: [future.result(10) for future in futures.values()]
    done(admin.create_topics([NewTopic(TOPIC, 1, 1)]))
    done(admin.alter_user_scram_credentials([
        UserScramCredentialUpsertion("bob", ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 8192), b"builder"),
    ]))
    assert admin.describe_user_scram_credentials(["bob"])["bob"].result(10).scram_credential_infos[0].iterations == 8192
    assert send(ADMIN, 100) == []
    assert send(BOB, 1) in (["TOPIC_AUTHORIZATION_FAILED"], ["CLUSTER_AUTHORIZATION_FAILED"], ["_MSG_TIMED_OUT"], ["_FATAL"]), send(BOB, 1)
    assert read(BOB, 1) in ("TOPIC_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED"), read(BOB, 1)
    rules = [
        binding("User:bob", ResourceType.TOPIC, TOPIC, AclOperation.WRITE),
        binding("User:bob", ResourceType.TOPIC, TOPIC[:12], AclOperation.READ, ResourcePatternType.PREFIXED),
        binding("User:bob", ResourceType.GROUP, "*", AclOperation.READ),
        binding("User:CN=client", ResourceType.TOPIC, TOPIC, AclOperation.ALL),
        binding("User:CN=client", ResourceType.GROUP, "*", AclOperation.READ),
    ]
    done(admin.create_acls(rules))
    assert send(BOB, 50) == []
    assert (got := read(BOB, 150)) == 150, got
    assert send(BY_CERTIFICATE, 50) == []
    assert (got := read(BY_CERTIFICATE, 200)) == 200, got
    any_of = AclBindingFilter(ResourceType.ANY, None, ResourcePatternType.ANY, "User:bob", None, AclOperation.ANY, AclPermissionType.ANY)
    assert len(admin.describe_acls(any_of).result(10)) == 3
    gone = done(admin.delete_acls([any_of]))
    assert len(gone[0]) == 3 and read(BOB, 1) != 1, gone
    try:
        AdminClient({**BOB, "sasl.password": "wrong"}).list_topics(timeout=2)
        raise AssertionError("let in with a wrong password")
    except KafkaException:
        pass
    print("ok")


main()
