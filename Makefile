# The front door. `make demo` and `make test` do all their own set-up; the rest assume `make venv` once.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
DEMO   := build/demo
MODELS ?= $(DEMO)/models

.PHONY: demo test test-system test-slow test-simulation test-gpu fuzz check protos dashboards bench bench-loadtest bench-peers bench-overload bench-scrape docs-check image-try image-size venv clean

venv: $(STAMP)
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[export,loadtest,mlperf,dev]'
	touch $@

demo: $(STAMP)            ## train, export, gate, serve, rank and load-test; ends in a summary
	$(BIN)/python -m examples.demo --out $(DEMO)

check: $(STAMP)           ## lint and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: check               ## everything that needs pip only
	$(BIN)/pytest -m "not slow and not gpu and not system"

test-system: $(STAMP)     ## what needs Debian's tools
	$(BIN)/pytest -m "system and not slow"

test-slow: $(STAMP)       ## minutes each
	$(BIN)/pytest -m slow

test-simulation: $(STAMP) ## the scheduler against two million virtual requests; prints the seeds
	$(BIN)/pytest -m slow -rP tests/simulation

fuzz: $(STAMP)            ## mutated bundles for ten minutes (make test: 20 s, CI: 60); PODIUM_FUZZ_SEED=N repeats a run
	PODIUM_FUZZ_S=$${PODIUM_FUZZ_S:-600} $(BIN)/pytest -q tests/e2e/test_hostile_fuzz.py

image-try:                ## build and run the image with Debian's buildah and podman, as root (apt-get install buildah podman runc mmdebstrap)
	deploy/try-image $(MODELS)

image-size: $(STAMP)      ## estimate of the image's size, without building it
	$(BIN)/python deploy/image_size.py

test-gpu: $(STAMP)        ## needs onnxruntime-gpu and a device
	$(BIN)/pytest -m gpu

dashboards: $(STAMP)      ## write deploy/grafana/dashboards from their descriptions
	$(BIN)/python -m deploy.grafana.make

protos:                   ## regenerate podium/v1 with the oldest supported generator (6.31 gencode)
	$(PYTHON) -m venv build/protoc
	build/protoc/bin/pip install --quiet 'grpcio-tools==1.75.1' 'googleapis-common-protos>=1.66'
	build/protoc/bin/python protos/generate.py .

bench: $(STAMP)           ## raw ONNX Runtime beside Podium, one core, interleaved; prints the table of docs/measuring.md
	$(BIN)/python -m benchmarks.bench

bench-loadtest: $(STAMP)  ## what the load test itself costs; needs the demo's bundle (make demo)
	$(BIN)/python -m benchmarks.loadtest_bench

bench-peers: $(STAMP)     ## Podium beside Triton and MLServer (PyPI, environments of their own), one core; build/peers
	-$(BIN)/python -m benchmarks.peers.install
	$(BIN)/python -m benchmarks.peers

bench-overload: $(STAMP)  ## the proof that the budget holds under overload, every part (benchmarks/overload/README.md)
	$(BIN)/python -m benchmarks.overload all

bench-overload-%: $(STAMP)  ## one part: capacity, sweep, others, throttled, fifo, stalls, storm, idle, figure
	$(BIN)/python -m benchmarks.overload $*

bench-scrape: $(STAMP)    ## what a scrape of /metrics costs, and whether it moves p99 under load; 90 s
	$(BIN)/python -m benchmarks.scrape

docs-check: $(STAMP)      ## re-run the cheap figures of the docs; fail on a ratio off by more than 25 %
	$(BIN)/python -m benchmarks.docs_check

clean:
	rm -rf build $(VENV)
