# Every target sets up what it needs in .venv. `make bench` and `make test` are all that most people want.
PYTHON ?= python3
BIN := .venv/bin
# Suites whose reports `make docs` builds; `make docs GALLERY=` leaves them out.
GALLERY ?= all
INSTALLED := .venv/.installed

.PHONY: bench chromium numbers test test-slow test-faults benchmark gate-error-rates docs notebooks format clean links

bench: $(INSTALLED) ## run suite `quick` and make its report
	$(BIN)/l2obench run quick
	$(BIN)/l2obench report results/quick

test: $(INSTALLED) chromium ## lint, types and tests; less than ten minutes on 2 cores
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -m "not slow" --numprocesses auto --dist worksteal

test-slow: $(INSTALLED) ## the tests that take minutes, and those of properties with ten times the examples
	$(BIN)/pytest -m slow
	HYPOTHESIS_PROFILE=thorough $(BIN)/pytest -m "hypothesis and not slow"

test-faults: $(INSTALLED) ## kills, full disks, hostile inputs, dying workers, for real; more than an hour on 2 cores
	$(BIN)/pytest -m slow -s tests/faults tests/bench/run/test_executors.py tests/bench/metatrain/test_process_group.py
	$(BIN)/python -m tests.faults.campaign --inputs 10000 --kills 200 --seed 0 --retry --to docs/reliability.md

benchmark: $(INSTALLED) ## speed, as ratios to peers of the same run, in docs/performance.md; a busy machine is refused (BUSY=1: is not)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,peers]'
	$(BIN)/pytest tests/benchmarks --benchmark-enable --benchmark-columns=median,iqr,rounds --performance docs/performance.md $(if $(BUSY),--busy)
	$(BIN)/python -m tests.benchmarks.growth docs/performance.md $(if $(BUSY),--busy)
	$(BIN)/python docs/site/bound_numbers.py

gate-error-rates: $(INSTALLED) ## how often 'l2obench check' errs; resumable, more than an hour on 2 cores
	$(BIN)/python -m l2obench.bench.studies.error_rates --to docs/error_rates.csv

docs: $(INSTALLED) ## the documentation as a site, in build/site, with the reports of the reference results
	$(BIN)/python docs/site/assemble.py build/pages $(GALLERY)
	$(BIN)/zensical build --clean --strict

numbers: $(INSTALLED) ## the numbers of README.md and docs, written from results/reference
	$(BIN)/python docs/site/bound_numbers.py

notebooks: $(INSTALLED) ## run the tutorials, and keep them as notebooks with their pictures
	$(BIN)/python docs/site/notebooks.py

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

chromium: ## the browser that the report page is tested in; Debian's, where it is missing and may be installed
	@if ! command -v chromium >/dev/null && command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; fi

clean:
	rm -rf .cache .venv build .mypy_cache .pytest_cache .ruff_cache

links: ## the folders below src/l2obench; an sdist has none, and a git without symbolic links has text files there
	@for room in bench optimizers tasks reports; do \
	  test -d src/l2obench/$$room || ln -sfn ../../$$room src/l2obench/$$room; done

$(INSTALLED): pyproject.toml constraints.txt | links
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,docs]'
	touch $@
