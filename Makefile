# make help lists what there is. Everything runs in .venv, which the first target creates.
VENV ?= .venv
PY := $(VENV)/bin/python
MCUFORMER := $(VENV)/bin/mcuformer
WORKERS ?= 2
COUNT ?= 200
SEED ?= 1
FIRST ?= 0
LEVEL ?= host
SUBJECTS_SINCE := 2278681
export VENV

.DEFAULT_GOAL := help
.PHONY: help demo demo-widths demo-tasks demo-ocr test test-long lint golden bench fuzz setup-demo setup-tasks setup-ocr setup-test

help:  ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

demo: setup-demo  ## compile the example for stm32f746 and run it on real images in Unicorn
	$(MCUFORMER) compile examples/fashion_vit.onnx --board stm32f746 \
	    --calibration examples/fashion_calibration.npz -o build/demo
	$(PY) examples/02_classify.py build/demo

demo-widths: setup-demo  ## compile one slimmable network at three widths for stm32f746 and run them all in Unicorn
	$(MCUFORMER) compile examples/digits_widths --operating-points 0.25,0.5,1 --board stm32f746 \
	    --calibration examples/digits_widths/calibration.npz -o build/widths --name eye
	$(PY) examples/03_widths.py build/widths

demo-tasks: setup-tasks  ## compile one network with the adapters of two tasks for stm32f746 and run both in Unicorn
	$(MCUFORMER) compile examples/cifar10_tasks --adapters digits,fashion --board stm32f746 -o build/tasks --name eye
	$(PY) examples/04_tasks.py build/tasks

demo-ocr: setup-ocr  ## compile PP-OCRv4 for stm32f746 and let the emulated chip read a line of text (TEXT=...)
	$(PY) examples/ocr/demo.py $(if $(TEXT),"$(TEXT)")

test: setup-test  ## install what is missing and run the tests (under 10 minutes on 2 cores)
	$(PY) -m pytest -n $(WORKERS) --dist worksteal -m "not long" -rfEs

test-long: setup-test  ## the minutes-long tests: emulated large models, many random ones
	$(PY) -m pytest -n $(WORKERS) --dist worksteal -m long -rfEs

lint: setup-test  ## ruff (rules and format), mypy, imports, clang-format, subjects of commits
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	git ls-files 'runtime_c/*.[ch]' | xargs clang-format --dry-run -Werror
	git ls-files 'examples/*.[ch]' 'tests/ocr/*.c' | xargs clang-format --style=file:runtime_c/.clang-format --dry-run -Werror
	@! git log --format=%s $(SUBJECTS_SINCE)..HEAD 2>/dev/null | grep -E '^.{72,}'

golden: setup-test  ## write the golden files anew after a change that is meant
	$(PY) -m pytest tests/golden --update-golden

bench: setup-test  ## print the kernels' measured figures beside their limits and CMSIS-NN's (under 5 minutes)
	$(PY) tests/bench/kernel_table.py

fuzz: setup-test  ## follow COUNT graphs drawn from SEED through the whole chain (LEVEL=plan: no C; PLANTED=1: planted faults; RAW=1: raw nodes; FAMILIES=1: widths and tasks)
	PYTHONPATH=tests $(PY) -m fuzz --count $(COUNT) --seed $(SEED) --first $(FIRST) --level $(LEVEL) \
	    $(if $(PLANTED),--planted) $(if $(RAW),--raw) $(if $(FAMILIES),--families)

setup-demo:
	@scripts/setup.sh demo

setup-tasks:
	@scripts/setup.sh tasks

setup-ocr:
	@scripts/setup.sh ocr

setup-test:
	@scripts/setup.sh test
