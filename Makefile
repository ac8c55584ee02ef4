# make demo    the whole story on handwritten digits (sets everything up first)
# make test    linters, types and the tests (sets everything up first)
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
THREADS := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

.PHONY: demo test test-all lint format results clean

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Headstart needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.12" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "python3 -m venv failed. On Debian: apt install python3-venv" >&2; exit 2; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(STAMP)

demo: $(STAMP)
	$(BIN)/headstart demo

lint: $(STAMP)
	$(BIN)/ruff check src tests benchmarks scripts
	$(BIN)/ruff format --check src tests benchmarks scripts
	$(BIN)/mypy

test: lint
	$(THREADS) $(BIN)/python -m pytest -m "not slow and not gpu" -n 2

test-all: lint
	$(THREADS) $(BIN)/python -m pytest -m "not gpu" -n 2

format: $(STAMP)
	$(BIN)/ruff check --fix src tests benchmarks scripts
	$(BIN)/ruff format src tests benchmarks scripts

results: $(STAMP)
	$(BIN)/python benchmarks/results_vision.py --data ../shared/data --out docs/results.md
	$(BIN)/python benchmarks/results_ranking.py --data ../shared/data --out docs/results.md
	$(BIN)/python benchmarks/results_published.py --data ../shared/data --out docs/results.md
	$(BIN)/python benchmarks/results_adaptation.py --data ../shared/data --out docs/results.md
	$(BIN)/python benchmarks/results_plan.py --data ../shared/data --out docs/results.md
	$(BIN)/python benchmarks/results_finetuning.py --data ../shared/data --out docs/results.md
	$(BIN)/python benchmarks/results_deep_adaptation.py --data ../shared/data --out docs/results.md
	$(BIN)/python benchmarks/results_text.py --data ../shared/data --out docs/results.md
	$(BIN)/python benchmarks/results_questions.py --data ../shared/data --out docs/results.md

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist src/*.egg-info
