# Everything that is done with this tree, by name. `make` lists the targets.

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
RELEASE := target/release
SDK := dist/bie-$(VERSION)
BUNDLE := models/default
BENCH_PYTHON := target/venv-bench/bin/python
EXPLAIN_PYTHON := target/venv-explain/bin/python
TEXTS ?= examples/abstract.txt
THREADS ?= 2
MODEL ?= minilm-l6

.DEFAULT_GOAL := help
.PHONY: help setup runtime build demo test lint doc bench bench-train bench-quantize bench-explain soak no-network sdk clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: ## install and download what building and testing need, only what is missing
	scripts/setup.sh

runtime: ## get ONNX Runtime, checked, into runtime/
	scripts/setup.sh tools runtime

build: ## build libbie.so, bie and distill (release) into target/release
	scripts/setup.sh tools crates runtime
	cargo build --release --locked
	cmp -s runtime/libbie_onnxruntime.so $(RELEASE)/libbie_onnxruntime.so || install -m 755 runtime/libbie_onnxruntime.so $(RELEASE)/
	ln -sf libbie.so $(RELEASE)/libbie.so.0

demo: build ## entities and relations of an abstract and why: by the command line, then by C programs
	@echo; echo "== bie extract: the command line reads examples/abstract.txt with the bundle $(BUNDLE)"
	$(RELEASE)/bie extract --bundle $(BUNDLE) examples/abstract.txt
	@echo; echo "== bie explain: why the first relation was found (also as a page: target/why.html)"
	$(RELEASE)/bie explain --bundle $(BUNDLE) --target r0 --html target/why.html examples/abstract.txt
	@echo; echo "== the same from C: examples/extract.c against include/bie.h and libbie.so"
	cc -std=c99 -Wall -Wextra -Iinclude examples/extract.c -o target/extract -L$(RELEASE) -lbie -Wl,-rpath,'$$ORIGIN/release'
	target/extract $(BUNDLE) examples/abstract.txt

test: ## all tests
	scripts/setup.sh
	cargo test --workspace --locked --no-fail-fast

lint: ## formatting, clippy, house rules, licences
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	scripts/check-house.sh
	scripts/licences.py --check

doc: ## the Rust documentation, into target/doc
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

bench: ## libbie over bare ONNX Runtime (criterion)
	scripts/setup.sh tools crates runtime
	cargo bench --locked --package bie

$(BENCH_PYTHON): benches/requirements.txt
	python3 -m venv target/venv-bench
	target/venv-bench/bin/pip install --quiet --disable-pip-version-check -r benches/requirements.txt
	@touch $@

bench-train: build $(BENCH_PYTHON) ## training speed against PyTorch, in one run (installs PyTorch into target/venv-bench: 5.5 GB)
	$(BENCH_PYTHON) benches/train_vs_pytorch.py --model $(MODEL) --threads $(THREADS) $(if $(LENGTHS),--lengths $(LENGTHS))

bench-quantize: $(BENCH_PYTHON) ## the bundle's encoder against PyTorch's export after quantize_dynamic, in one run
	$(BENCH_PYTHON) benches/extract_vs_quantize_dynamic.py $(BUNDLE)/encoder.onnx

target/venv-explain/ready: benches/requirements-explain.txt
	python3 -m venv target/venv-explain
	target/venv-explain/bin/pip install --quiet --disable-pip-version-check -r benches/requirements-explain.txt
	@touch $@

bench-explain: build target/venv-explain/ready ## explanations against Python's shap and lime, in one run, on TEXTS (installs them into target/venv-explain: 0.9 GB)
	$(EXPLAIN_PYTHON) benches/explain_vs_python.py --bundle $(BUNDLE) $(TEXTS)

soak: build ## memory of a C host that reads 1000 documents
	scripts/soak.sh

no-network: build ## trace a whole run: no socket, no file written
	scripts/setup.sh test-tools
	scripts/no-network.sh

sdk: build ## what a vendor gets: dist/bie-VERSION
	rm -rf $(SDK)
	mkdir -p $(SDK)/include $(SDK)/lib $(SDK)/bin $(SDK)/examples $(SDK)/models $(SDK)/licences
	cp include/bie.h include/bie.hpp $(SDK)/include/
	install -m 755 $(RELEASE)/libbie.so $(SDK)/lib/libbie.so.0
	ln -s libbie.so.0 $(SDK)/lib/libbie.so
	install -m 755 $(RELEASE)/libbie_onnxruntime.so $(SDK)/lib/
	install -m 755 $(RELEASE)/bie $(RELEASE)/distill $(SDK)/bin/
	ln -s ../lib/libbie_onnxruntime.so $(SDK)/bin/
	cp -r $(BUNDLE) $(SDK)/models/default
	cp examples/*.c examples/*.cpp examples/*.txt $(SDK)/examples/
	cp README.md CHANGELOG.md LICENSE NOTICE $(SDK)/
	cp runtime/onnxruntime-*.txt docs/licences.md $(SDK)/licences/
	scripts/licences.py --sdk $(SDK)
	@echo "SDK: $(SDK)"

clean: ## remove what was built and downloaded
	rm -rf target dist runtime
