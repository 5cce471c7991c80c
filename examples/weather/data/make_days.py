#!/usr/bin/env python3
"""Makes days.json.gz: four years of made-up daily weather at fourteen real places, as documents of one station and day.

    python3 examples/weather/data/make_days.py

The same seed gives the same documents. Their shape is that of the NOAA corpus of search benchmarks: fields come and go, what is
measured is a number and what is counted a text, TRANGE has its ends in order even where the thermometers were read the wrong way round.
"""

import datetime
import gzip
import json
import math
import pathlib
import random

SEED = 1872
FIRST, DAYS = datetime.date(2020, 11, 1), 1461  # Four whole years: a round of the feed ends where the next one begins.

# id, name, country code and name, state code and name, latitude, longitude, elevation,
# mean of the year, half of the difference between seasons, half of that between night and day, share of days with rain, mm on them
PLACES = [
    ("USW00023183", "PHOENIX AP", "US", "United States", "AZ", "ARIZONA", 33.4278, -112.0036, 339.2, 24.0, 10.5, 6.8, 0.08, 5),
    ("USC00023009", "FLAGSTAFF 4 SW", "US", "United States", "AZ", "ARIZONA", 35.1611, -111.7311, 2171.7, 7.5, 9.5, 9.0, 0.22, 7),
    ("USW00003103", "FLAGSTAFF AP", "US", "United States", "AZ", "ARIZONA", 35.1442, -111.6664, 2133.3, 8.2, 9.8, 9.4, 0.22, 7),
    ("USW00023160", "TUCSON INTL AP", "US", "United States", "AZ", "ARIZONA", 32.1317, -110.9564, 777.5, 21.0, 9.5, 8.0, 0.12, 6),
    ("USW00023195", "YUMA WSO AP", "US", "United States", "AZ", "ARIZONA", 32.6667, -114.6, 62.8, 23.6, 9.8, 7.4, 0.04, 5),
    ("USW00023174", "LOS ANGELES INTL AP", "US", "United States", "CA", "CALIFORNIA", 33.9381, -118.3867, 29.6, 17.2, 3.8, 4.2, 0.09, 9),
    ("USW00094728", "NY CITY CNTRL PARK", "US", "United States", "NY", "NEW YORK", 40.7789, -73.9692, 42.7, 13.0, 12.2, 4.4, 0.33, 9),
    ("CA006105976", "OTTAWA CDA", "CA", "Canada", None, None, 45.3833, -75.7167, 79.0, 6.6, 15.6, 5.2, 0.40, 6),
    ("UKM00003772", "HEATHROW", "UK", "United Kingdom", None, None, 51.478, -0.461, 25.3, 11.5, 6.6, 4.0, 0.42, 4),
    ("SZ000003700", "ZUERICH/FLUNTERN", "SZ", "Switzerland", None, None, 47.3831, 8.5667, 555.0, 9.6, 9.2, 4.4, 0.38, 8),
    ("JA000047759", "KYOTO", "JA", "Japan", None, None, 35.017, 135.733, 46.0, 16.2, 11.6, 4.9, 0.34, 11),
    ("AE000041196", "SHARJAH INTER. AIRP", "AE", "United Arab Emirates", None, None, 25.333, 55.517, 34.0, 27.4, 8.2, 6.2, 0.02, 9),
    ("KEM00063741", "NAIROBI/DAGORETTI", "KE", "Kenya", None, None, -1.3, 36.75, 1798.0, 19.0, 1.6, 5.6, 0.30, 9),
    ("ASN00066062", "SYDNEY (OBSERVATORY HILL)", "AS", "Australia", None, None, -33.8607, 151.205, 39.0, 18.2, 5.2, 4.0, 0.36, 8),
]


def station(place):
    id, name, country_code, country, state_code, state, lat, lon, elevation = place[:9]
    known = {"id": id, "name": name, "country_code": country_code, "country": country}
    if state_code:
        known |= {"state_code": state_code, "state": state}
    return known | {"location": {"lat": lat, "lon": lon}, "elevation": elevation}


def document(chance, place, day, unusual):
    lat, (mean, season, half, wet, amount) = place[6], place[9:]
    turn = math.cos((day.timetuple().tm_yday - 201) / 365.25 * math.tau) * (1 if lat >= 0 else -1)
    middle, half = mean + season * turn + unusual, max(0.8, half + chance.gauss(0, 1.3))
    low, high = round(middle - half, 1), round(middle + half, 1)
    if place[0] == "UKM00003772" and chance.random() < 0.04:
        low, high = high, low  # Read at another hour of the day than the archive believes.
    fields = {"TMIN": low, "TMAX": high}
    rain = 0.0
    if chance.random() < wet:
        rain = round(chance.expovariate(1 / amount), 1)
    if chance.random() < 0.93:
        fields["PRCP"] = rain
    if middle < 3:
        fields["SNOW"] = str(round(rain * 10)) if rain else "0"
    if chance.random() < 0.15:
        fields["AWND"] = round(abs(chance.gauss(3, 1.4)), 1)
    for gone in ("TMIN", "TMAX"):
        if chance.random() < 0.012:
            del fields[gone]
    if len({"TMIN", "TMAX"} & fields.keys()) == 2:
        fields["TRANGE"] = {"gte": min(low, high), "lte": max(low, high)}
    return {"station": station(place), "date": f"{day}T00:00:00"} | fields


def documents(chance):
    """Lines in the order in which they come in: a few late, a few twice, a few cut off."""
    unusual = dict.fromkeys((place[0] for place in PLACES), 0.0)
    held = []  # (day on which it comes in, line)
    for number in range(DAYS):
        day = FIRST + datetime.timedelta(days=number)
        yield from (line for due, line in held if due == number)
        held = [(due, line) for due, line in held if due > number]
        for place in PLACES:
            # Warm and cold spells last some days, and go further where seasons do.
            unusual[place[0]] = 0.75 * unusual[place[0]] + chance.gauss(0, 0.6 + place[10] / 8)
            doc = document(chance, place, day, unusual[place[0]])
            line = json.dumps(doc, separators=(",", ":"), ensure_ascii=False)
            luck = chance.random()
            if luck < 0.012 and number + 90 < DAYS:
                held.append((number + chance.randint(2, 85), line))
            elif luck < 0.0145:
                yield line[: chance.randint(1, len(line) - 2)]
            else:
                yield line
                if luck > 0.999:
                    yield line


def main():
    text = "".join(line + "\n" for line in documents(random.Random(SEED)))
    path = pathlib.Path(__file__).with_name("days.json.gz")
    path.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))


if __name__ == "__main__":
    main()
