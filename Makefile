# `make demo` and `make test` need Python 3.11 or newer and nothing else; they make their own .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt
DEMO := demo
MODEL := model
PHOTOS ?=
PAIRS ?= 24000
STEPS ?= 9000
REAL ?=
REAL_BLURRED ?= white
REAL_MASKS ?=

.PHONY: help demo model model-asked test torture torch lint format bench clean

help:
	@echo "make demo    200 pairs from the sample photos, verified, with a contact sheet: $(DEMO)/"
	@echo "make model PHOTOS=DIR   a model that finds blur, from photos of yours, in some half an hour: $(MODEL)/"
	@echo "make test    ruff and the tests"
	@echo "make torture kills, damage and mutants of shards, for some 25 minutes"
	@echo "make torch   adds the extra \`train\`, so that make test tests the training too"
	@echo "make bench   the benchmark that the README quotes"
	@echo "make format  ruff format, and the fixes that ruff makes by itself"
	@echo "make clean   remove .venv and the demo"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "blurgen needs Python 3.11 or newer; say which: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP) -e '.[test]'
	@touch $@

$(VENV)/.installed-torch: $(VENV)/.installed-test
	$(PIP) -e '.[test,train]'
	@touch $@

$(VENV)/.installed-train: $(VENV)/.installed
	$(PIP) -e '.[train]'
	@touch $@

torch: $(VENV)/.installed-torch

demo: $(VENV)/.installed
	@rm -rf $(DEMO)
	$(BIN)/blurgen make --source sample --n 200 --workers 2 --out $(DEMO)/shards
	$(BIN)/blurgen verify $(DEMO)/shards
	$(BIN)/blurgen preview $(DEMO)/shards --out $(DEMO)/preview.png
	@echo
	@echo "The data set is in $(DEMO)/shards. Look at $(DEMO)/preview.png, and at the numbers:"
	@echo "  $(BIN)/blurgen info $(DEMO)/shards"

# Interrupted? The same again goes on. With REAL=DIR the card scores the model on real photos with human masks
# (REAL_BLURRED=white or black, REAL_MASKS=the folder of the masks, if there are several).
model: model-asked $(VENV)/.installed-train
	$(BIN)/blurgen make --source folder --root "$(PHOTOS)" --recipe real --n $(PAIRS) --out "$(MODEL)/shards"
	$(BIN)/blurgen train "$(MODEL)/shards" --out "$(MODEL)/run" \
		$$(test -f "$(MODEL)/run/config.toml" && echo --resume || echo --steps $(STEPS))
	$(BIN)/blurgen card "$(MODEL)/run" "$(MODEL)/shards" $(if $(REAL),--real "$(REAL)" \
		--real-blurred "$(REAL_BLURRED)" $(if $(REAL_MASKS),--real-masks "$(REAL_MASKS)"))

model-asked:
	@test -d "$(PHOTOS)" || { echo "PHOTOS: no such folder: '$(PHOTOS)'; give that of your photos: make model PHOTOS=DIR"; exit 1; }
	@test -z "$(REAL)" || test -d "$(REAL)" || { echo "REAL: no such folder: $(REAL)"; exit 1; }

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

test: lint
	$(BIN)/python -m pytest

torture: $(VENV)/.installed-test
	$(BIN)/python -m pytest tests/torture -o python_files='torture_*.py' -s -p no:cacheprovider

format: $(VENV)/.installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed
	$(BIN)/python benchmarks/synthesis.py

clean:
	rm -rf $(VENV) $(DEMO) build *.egg-info
