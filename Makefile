# Two commands do everything: `make demo` and `make test`. Both set the environment up first.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python -m monai.bundle run
SAMPLE := sample
LABEL_VENV ?= .venv-monailabel
LABEL_BIN := $(LABEL_VENV)/bin
LABEL_PIP := $(LABEL_BIN)/python -m pip install --quiet --no-warn-conflicts -c constraints-monailabel.txt
SITE_PACKAGES := import sysconfig; print(sysconfig.get_path('purelib'))
STUDY ?= output/study
PORT ?= 8000

.PHONY: help setup sample demo workbench bundle test test-slow parity lint format clean setup-monailabel monailabel test-monailabel

help:
	@echo "make demo     set up, make the sample set, train on one template, infer, evaluate, draw"
	@echo "make test     set up and run the tests; make test-slow those that take long"
	@echo "make workbench  annotate, find and correct in the browser, on simulated hands; WORKBENCH_STUDY=folder: on yours"
	@echo "make bundle   write the bundle with models/model.pt, or else one of the sample, as output/one_shot_landmarks.zip"
	@echo "make parity OSL_REAL_DATA=folder   compare with points that the paper's public code found (minutes)"
	@echo "make monailabel       set up MONAI Label, make a study of simulated hands, start the server on it"
	@echo "make test-monailabel  set up MONAI Label and test the server through its REST interface"
	@echo "make lint     formatting, lint, types and who imports whom"
	@echo "make clean    remove what the other targets made, except the environment"

setup: $(VENV)/.installed

$(VENV)/.installed: requirements.txt requirements-dev.txt requirements-export.txt requirements-sr.txt requirements-workbench.txt constraints.txt pyproject.toml setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt -c constraints.txt
	$(BIN)/python -m pip install --quiet --no-deps -e .
	@touch $@

sample: $(SAMPLE)/landmarks.csv

# The table is written last: without it, what is there is the beginning of a set that was interrupted.
$(SAMPLE)/landmarks.csv: | setup
	$(BIN)/python scripts/make_phantoms.py --force --output_dir $(SAMPLE)

demo: setup sample
	$(RUN) training --config_file "['configs/train.json','configs/sample.json']"
	$(RUN) inference --config_file "['configs/inference.json','configs/sample.json']" --output_dir output/inference
	$(RUN) evaluation --config_file "['configs/evaluate.json','configs/sample.json']" --output_dir output/evaluation
	@echo "points, Slicer markups and pictures: output/inference; errors: output/evaluation; model: models/model.pt"

workbench: setup
	$(BIN)/python -m workbench $(if $(WORKBENCH_STUDY),--study "$(WORKBENCH_STUDY)")

bundle: setup $(if $(wildcard models/model.pt),,sample)
	$(BIN)/python scripts/make_bundle.py --output output/one_shot_landmarks.zip $(if $(wildcard models/model.pt),\
	    --model_path models/model.pt,\
	    --template_image $(SAMPLE)/template/phantom_000.dcm --template_landmarks $(SAMPLE)/template/landmarks.csv)

# Two processes of one thread each: the images of the tests are so small that threads would wait for each other.
test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile

test-slow: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow

# Needs isbi2015/images and isbi2015/landmarks_mean.csv in that folder.
parity: setup
	OSL_REAL_DATA="$(OSL_REAL_DATA)" $(BIN)/python -m pytest -rs tests/workflows/test_parity.py

# MONAI Label needs pydicom 2, so it has an environment of its own: the main one with other versions laid over it, which
# saves a second copy of PyTorch and its CUDA libraries (8 GB).
setup-monailabel: $(LABEL_VENV)/.installed

$(LABEL_VENV)/.installed: $(VENV)/.installed requirements-monailabel.txt constraints-monailabel.txt
	$(BIN)/python -m venv --clear $(LABEL_VENV)
	$(BIN)/python -c "$(SITE_PACKAGES)" > "$$($(LABEL_BIN)/python -c "$(SITE_PACKAGES)")/main-environment.pth"
	$(LABEL_BIN)/python -m pip install --quiet --upgrade pip
	$(LABEL_PIP) setuptools
	SAM2_BUILD_CUDA=0 $(LABEL_PIP) --no-deps --no-build-isolation sam2
	$(LABEL_PIP) -r requirements-monailabel.txt
	$(LABEL_BIN)/python -m pip install --quiet --no-deps -e .
	@touch $@

$(STUDY)/truth/landmarks.csv: | setup-monailabel
	$(LABEL_BIN)/python scripts/make_phantoms.py --study --force --count 5 --output_dir $(STUDY)

monailabel: setup-monailabel $(STUDY)/truth/landmarks.csv
	$(LABEL_BIN)/python -m label_server --studies $(STUDY) --port $(PORT)

test-monailabel: setup-monailabel
	OMP_WAIT_POLICY=PASSIVE $(LABEL_BIN)/python -m pytest tests/label_server tests/study -m "not endurance"

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(SAMPLE) output models/model.pt .pytest_cache .mypy_cache .ruff_cache
