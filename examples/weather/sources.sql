-- Stations by their identifier, with a shorter name and the region they stand for.
CREATE TABLE stations (id STRING, place STRING, region STRING)
USING csv OPTIONS (header "true")
LOCATION '${env:MILLSTREAM_PROJECT}/data/stations';
