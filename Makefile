# make figures   everything at the default scale, demo; SCALE=laptop or SCALE=paper for more
# make report    the same, and report.html: all of it in one page, with captions, params and provenance
# make pull      fetch the archived results of SCALE, if there are any: then `make figures` renders them without training
# make archive   put the finished runs of SCALE into their archive and the archive into archive/store, to be committed
# make documents the figures, then the tables and pictures in README.md, docs/results.md and docs/verdicts.md
# make test      the tests            make lint   style, formatting, workflow checks
# make soak      a campaign of which 100 processes are killed, compared with an undisturbed one
# make test-slurm  a campaign on a one-node Slurm that is installed and started for it (Debian, root; else it is skipped)
# make bench     curvature and training step beside other libraries and loops, in an environment of its own (.venv-bench)

PYTHON ?= python3
SCALE ?= demo
CORES ?= all
VENV := .venv
RUN := PATH="$(CURDIR)/$(VENV)/bin:$$PATH"

.PHONY: figures report pull archive documents test test-slurm lint soak bench clean

figures: $(VENV)/pipeline
	$(RUN) snakemake --cores $(CORES) --config scale=$(SCALE) -- figures

# The report is made after a failure too: it shows what there is and lists what failed.
report: $(VENV)/pipeline
	$(RUN) snakemake --cores $(CORES) --config scale=$(SCALE) -- figures; status=$$?; \
	$(RUN) snakemake --config scale=$(SCALE) --report report.html -- figures && exit $$status

pull: $(VENV)/pipeline
	$(RUN) dvc pull --remote archive archive/$(SCALE).dvc

archive: $(VENV)/pipeline
	$(RUN) catfish pack --scale $(SCALE)
	$(RUN) dvc add archive/$(SCALE)
	$(RUN) dvc push --remote archive archive/$(SCALE).dvc

documents: figures
	$(RUN) catfish document README.md docs/results.md docs/verdicts.md

test: $(VENV)/development
	$(RUN) python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/development
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) snakefmt --check Snakefile workflow
	$(RUN) snakemake --lint

soak: $(VENV)/pipeline
	$(RUN) python tests/soak.py --scale $(SCALE) $(SOAK)

test-slurm: $(VENV)/slurm
	$(RUN) PYTHONPATH=src python tests/slurm/run.py

bench: $(VENV)-bench/ready
	PYTHONPATH=src $(VENV)-bench/bin/python benchmarks/curvature.py $(CURVATURE)
	PYTHONPATH=src $(VENV)-bench/bin/python benchmarks/training.py $(TRAINING)

$(VENV)-bench/ready: benchmarks/requirements.txt requirements.txt
	$(PYTHON) -m venv $(VENV)-bench
	$(VENV)-bench/bin/pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	touch $@

$(VENV)/pipeline: requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 4) and "catfish needs Python 3.11.4 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

$(VENV)/development: requirements-dev.txt $(VENV)/pipeline
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

$(VENV)/slurm: requirements-slurm.txt $(VENV)/development
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r requirements-slurm.txt
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-bench
