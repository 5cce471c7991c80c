-- Each value of the topic is one CSV line of a turnstile audit: the counters of one turnstile at one moment.
CREATE TEMPORARY VIEW audits AS
SELECT r.*, try_to_timestamp(r.date || ' ' || r.time, 'MM/dd/yyyy HH:mm:ss') AS ts
FROM (SELECT from_csv(CAST(value AS STRING),
        'ca STRING, unit STRING, scp STRING, station STRING, linename STRING, division STRING, date STRING, time STRING, desc STRING, entries BIGINT, exits BIGINT') AS r
      FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'mta-turnstile', startingOffsets = 'earliest'));
