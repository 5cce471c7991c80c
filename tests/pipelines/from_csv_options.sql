-- from_csv: options, what is missing or bad is null and is told of, the record as it was where it is asked for.
CREATE STREAMING TABLE rows USING csv AS
SELECT e.* FROM (SELECT from_csv(CAST(value AS STRING), 'k STRING, n INT, t STRING, _corrupt_record STRING',
                                 map('sep', ';', 'nullValue', '-', 'columnNameOfCorruptRecord', '_corrupt_record')) AS e
      FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest'));
