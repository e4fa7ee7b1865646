# Everything lands in .venv/ and in the cache folder that pip and asrq use; `make clean` removes what is here.

PYTHON ?= python3
BIN := .venv/bin
RUN_EXTRAS := worker,demo,embedded
ALL_EXTRAS := $(RUN_EXTRAS),base,qwen,speakers,server,http,onnx,bench,dashboard,sentry
# Which torch the Qwen tests use; on a machine without a GPU, the build for the CPU is much smaller.
TORCH ?= torch==2.13.0

.PHONY: help demo test unit simulate chaos soak lint docs locks pictures bench bench-systems clean

help:
	@echo "make demo [AUDIO=talk.mp3]  transcribe a sample (or your file) through a real queue"
	@echo "make test                   run the whole test suite"
	@echo "make unit                   run the tests that start no program and need no server"
	@echo "make simulate SECONDS=60    try schedules of clients, workers and reapers until one breaks something; SEED=7 shows one,"
	@echo "                            SERVER=redis runs them on redis-server instead of Valkey"
	@echo "make chaos SECONDS=60       kill workers, children, reapers and the server at random; SEED=1 chooses how,"
	@echo "                            BACKEND=whisper takes tiny.en instead of the fake backend, SERVER=redis redis-server"
	@echo "make soak SECONDS=600       work, kill engines and restart workers for long; nothing may be left behind"
	@echo "make lint                   style, types, import boundaries, generated docs"
	@echo "make docs                   write the generated reference pages again, and the site into build/site"
	@echo "make locks                  pin again what pyproject.toml asks for"
	@echo "make pictures               take the pictures in the docs again"
	@echo "make bench                  measure the overhead of the queue"
	@echo "make bench-systems          measure asrq beside other systems; ARGS=--help says what can be chosen"

demo: .venv/.run
	@$(BIN)/asrq demo $(if $(AUDIO),"$(AUDIO)")

test: .venv/.dev .venv/native/.made
	$(BIN)/pytest -n auto --lua-coverage

unit: .venv/.dev
	$(BIN)/pytest -n auto --hypothesis-profile few tests/unit

simulate: .venv/.dev
	PYTHONPATH=tests $(BIN)/python -m simulation.explore --seconds $(or $(SECONDS),60) \
	  $(if $(SEED),--seed $(SEED)) --first $(or $(FIRST),$(shell date -u +%Y%m%d000)) --server $(or $(SERVER),valkey)

chaos: .venv/.dev
	PYTHONPATH=tests $(BIN)/python -m chaos.run --seconds $(or $(SECONDS),60) --seed $(or $(SEED),1) \
	  --backend $(or $(BACKEND),fake) --server $(or $(SERVER),valkey)

soak: .venv/.dev
	PYTHONPATH=tests $(BIN)/python -m chaos.soak --seconds $(or $(SECONDS),600)

# A cache for each platform: mypy checks all again after another's.
lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --platform win32 --cache-dir .mypy_cache/win32 --no-warn-unreachable
	$(BIN)/mypy --platform darwin --cache-dir .mypy_cache/darwin --no-warn-unreachable
	$(BIN)/lint-imports
	$(BIN)/python ops/docs/reference.py --check

docs: .venv/.dev
	$(BIN)/python ops/docs/reference.py
	$(BIN)/mkdocs build --strict

locks: .venv/.dev
	$(BIN)/python ops/locks/compile.py

pictures: .venv/.dev
	PYTHONPATH=tests $(BIN)/python -m browser.pictures docs/img

bench: .venv/.dev
	$(BIN)/python ops/bench/overhead.py

bench-systems: .venv/.dev
	PYTHONPATH=ops/bench $(BIN)/python -m systems $(ARGS)

clean:
	rm -rf .venv build dist

.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "asrq needs Python 3.11 or newer; say which: make PYTHON=python3.12 …"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@touch $@

.venv/.run: .venv/.made pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[$(RUN_EXTRAS)]'
	@touch $@

.venv/.dev: .venv/.made pyproject.toml
	$(BIN)/python -m pip install --quiet '$(TORCH)'
	$(BIN)/python -m pip install --quiet --editable '.[$(ALL_EXTRAS)]' --group dev
	@touch $@ .venv/.run

# Transformers 5 beside the one that qwen-asr pins: an environment that takes all else from the one around it.
.venv/native/.made: .venv/.dev
	$(BIN)/python -m venv --without-pip .venv/native
	$(BIN)/python -c 'import site; print(f"import site; site.addsitedir({site.getsitepackages()[0]!r})")' >.venv/native/around.pth
	mv .venv/native/around.pth .venv/native/lib/python3*/site-packages/
	$(BIN)/python -m pip --python .venv/native/bin/python install --quiet --no-warn-conflicts --editable '.[qwen-native]'
	@touch $@
