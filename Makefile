# `make test` is what CI runs. One release build serves the tests, the browser and the peers' runs.
SHELL := /bin/bash
export CARGO_BUILD_JOBS ?= 2
VENV := .venv
PYTEST := $(VENV)/bin/python -m pytest -q -p no:cacheprovider

# The files whose tests wait longest for a peer or a kill; they run beside all the others.
PEERS := $(addprefix tests/test_,suites.py kafka.py crash.py spark.py examples.py differential.py)
SLOW := $(filter-out tests/test_examples.py,$(PEERS)) $(addprefix tests/test_,broker_crash.py newcomer.py)

.PHONY: build test quick lint unit integration tools integration-peers integration-here soak bench bench-broker web

build:            ## the binary: target/release/millstream
	cargo build --release

test: lint build unit integration   ## everything; MILLSTREAM_STRICT=1 makes a missing part a failure

quick: build      ## what one runs while working: unit tests and the fast half of the integration tests
	cargo test --release --quiet
	$(MAKE) tools
	$(PYTEST) tests $(addprefix --ignore ,$(SLOW))

lint:             ## formatting and clippy, warnings denied
	cargo fmt --all --check
	cargo clippy --release --workspace -- -D warnings
	cargo clippy --release --workspace --all-targets -- -D warnings -A clippy::unwrap_used

unit:             ## the crates' own tests, golden pipelines among them
	cargo test --release --workspace

integration: tools   ## real clients, real peers, kill -9, the page in a browser: two lanes side by side
	$(MAKE) -j2 --output-sync=target integration-peers integration-here

integration-peers:
	$(PYTEST) $(PEERS) -ra

integration-here:
	$(PYTEST) tests -ra $(addprefix --ignore ,$(PEERS))

tools: $(VENV)/.complete   ## installs what the tests need; says so where it cannot
	@tests/tools

$(VENV)/.complete: tests/requirements.txt
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install -q -r tests/requirements.txt
	touch $@

soak: build       ## the peers' suites in their long form (a quarter of an hour), 1,000 kill -9 of the broker (an hour), power cuts, failing disks, simulated histories and damaged bytes by the thousand
	$(MAKE) tools
	MILLSTREAM_SOAK=1 $(PYTEST) tests/test_suites.py tests/test_clients.py tests/test_broker_crash.py -ra
	MILLSTREAM_SOAK=1 cargo test --release -p millstream-log --test power_cut --test compaction --test transactions
	MILLSTREAM_SOAK=1 cargo test --release -p millstream-broker -- simulation anybodys_choice

bench: build      ## the README's table: Millstream beside real Kafka and Spark (minutes)
	$(MAKE) tools
	$(VENV)/bin/python benches/run.py

bench-broker: build   ## the broker's table: Millstream beside real Kafka (minutes)
	$(MAKE) tools
	cargo build --release -p millstream-client --example bench
	$(VENV)/bin/python benches/broker.py

web:              ## rebuilds the page's committed files (needs Node)
	cd web && npm ci && npm run build
