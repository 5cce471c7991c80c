CREATE STREAMING TABLE a AS SELECT value FROM STREAM kafka WITH (startingOffsets = 'earliest');
CREATE STREAMING TABLE b AS SELECT value FROM STREAM kafka WITH (subscribe = 'a', assign = 'b');
CREATE STREAMING TABLE c AS SELECT value FROM STREAM kafka WITH (subscribe = 'a', startingOffsets = 'first');
CREATE STREAMING TABLE d AS SELECT value FROM STREAM kafka WITH (subscribe = 'a', maxOffsetsPerTrigger = 'x');
