# Each recipe does its own set-up and says what it is doing. CI runs `make test`.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo serve test package lint bench cost load crowd soak reliability peers beside enhance fuzz docs latency setup-build setup-demo setup-test setup-peers setup-beside setup-crowd setup-enhance

say = @printf '\n\033[1m== %s\033[0m\n' "$(1)"
FUZZ_SECONDS ?= 600
SOAK_SECONDS ?= 1800
DEMO_FLAGS ?=
PEERS_FLAGS ?=
BESIDE_FLAGS ?=
LOAD_FLAGS ?=
CROWD_FLAGS ?=
RELIABILITY_FLAGS ?=
STORM_FLAGS ?=
# Where cargo builds.
target = $(or $(CARGO_TARGET_DIR),target)

help: ## list the recipes
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup-build setup-demo setup-test setup-peers setup-beside setup-crowd setup-enhance: setup-%:
	@scripts/setup.sh $*

demo: setup-demo ## a whole call on this machine: server, two people, a report
	$(call say,building the offhook command (release; some minutes the first time))
	cargo build --release -p offhook-cli
	$(call say,calling)
	$(target)/release/offhook demo $(DEMO_FLAGS)

serve: setup-build ## a development server on 127.0.0.1:7070
	cargo run --release -p offhook-cli -- serve

test: setup-test ## everything CI runs: format, lints, docs, all tests
	$(call say,1/5 format)
	cargo fmt --all --check
	$(call say,2/5 clippy with warnings denied)
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	$(call say,3/5 documentation with warnings denied)
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --quiet
	$(call say,4/5 documentation examples)
	cargo test --workspace --doc --quiet
	$(call say,5/5 tests)
	scripts/run-tests.sh

package: setup-build ## a Debian package in target/package
	$(call say,building the package)
	scripts/package.sh $(target)/package

lint: setup-build ## format, clippy, licences, bans, sources; advisories, which need the network
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	scripts/deny.sh

bench: setup-build ## criterion benchmarks; results in target/criterion
	cargo bench --bench '*'

peers: setup-peers ## Offhook beside other receivers on the same networks; rewrites docs/QUALITY.md
	$(call say,peers: about half an hour; PEERS_FLAGS="--sets english:1" is a quarter of that)
	scripts/peers.sh $(PEERS_FLAGS)

beside: setup-beside ## calls with Chromium beside calls of Chromium's own; rewrites a table of docs/QUALITY.md
	$(call say,beside: about half an hour on an idle machine; BESIDE_FLAGS="--runs 1 --seconds 20" is a short try)
	scripts/beside.sh $(BESIDE_FLAGS)

enhance: setup-enhance ## echo and noise beside libwebrtc's on the same files; rewrites the tables of docs/ENHANCEMENT.md
	cargo build --release -p offhook-media --example enhance
	.tools/enhance/bin/python tools/enhance/compare.py --write docs/ENHANCEMENT.md

latency: setup-test ## ten demo calls in each of two modes; rewrites the tables of docs/LATENCY.md
	cargo build --release -p offhook-cli
	scripts/latency_table.py --write docs/LATENCY.md

cost: setup-build ## what an end of a call takes of processor and memory; rewrites the tables of docs/COST.md
	scripts/cost_table.py --write docs/COST.md $(COST_FLAGS)

load: setup-build ## one node under simulated clients; rewrites the table of docs/LOAD.md
	cargo build --release -p offhook-cli
	scripts/load_table.py --write docs/LOAD.md $(LOAD_FLAGS)

crowd: setup-crowd ## 20,000 clients and calls beside them where a process may open fewer files; rewrites a table of docs/LOAD.md
	cargo build --release -p offhook-cli
	$(call say,crowd: three minutes)
	scripts/crowd.py --program $(target)/release/offhook --write docs/LOAD.md $(CROWD_FLAGS)

reliability: setup-test ## calls through deaths, outages and partitions, and a storm of clients; rewrites docs/RELIABILITY.md
	cargo build --release -p offhook-cli
	scripts/reliability_table.py --write docs/RELIABILITY.md $(RELIABILITY_FLAGS)
	scripts/storm_table.py --write docs/RELIABILITY.md $(STORM_FLAGS)

soak: setup-build ## random clients and faults for SOAK_SECONDS (1800); SEED repeats a run
	$(call say,soak: $(SOAK_SECONDS) seconds)
	SOAK_SECONDS=$(SOAK_SECONDS) cargo test -p offhook-server --test behaviour -- --ignored --exact --nocapture chaos::every_promise_holds_for_long_and_memory_comes_back
	$(call say,memory after crowds of clients: six minutes)
	cargo test -p offhook-cli --test command -- --ignored --exact --nocapture memory::a_second_crowd_leaves_no_more_behind_than_the_first

fuzz: setup-build ## every fuzz target for FUZZ_SECONDS (default 600) each; needs a nightly tool chain
	FUZZ_SECONDS=$(FUZZ_SECONDS) scripts/fuzz.sh

docs: setup-build ## API documentation in target/doc
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps
	@echo "open $(target)/doc/offhook/index.html"
