# The commands of this repository. Works with GNU make 3.81 (macOS) and newer (Debian).

SHELL := /bin/sh
BIN := .venv/bin
# What a virtual environment depends on; a stamp is older when one of them changed.
PINS := pyproject.toml constraints.txt

.PHONY: help venv demo test check style types imports tools bench soak openapi clean
.DEFAULT_GOAL := help

help:
	@echo "make demo     install, start the database, load samples and serve on 127.0.0.1:8000"
	@echo "make test     every check: format, lint, types, imports, OpenAPI drift, tests"
	@echo "make check    the same without the tests"
	@echo "make bench    measure speed against its limits (needs wrk, nginx)"
	@echo "make soak     the same with a file of 1 GB and a log of a million entries"
	@echo "make openapi  write the OpenAPI documents anew"
	@echo "make venv     install everything for development into .venv"
	@echo "make clean    remove .venv and caches; data in .urbanos stay"

demo: .venv/.installed
	@$(BIN)/urbanos demo

venv: .venv/.installed-dev

check: style types imports

style: .venv/.installed-dev
	@echo "== ruff format" && $(BIN)/ruff format --check .
	@echo "== ruff check" && $(BIN)/ruff check .

types: .venv/.installed-dev
	@echo "== mypy" && $(BIN)/mypy

imports: .venv/.installed-dev
	@echo "== lint-imports" && $(BIN)/lint-imports
	@echo "== openapi drift" && $(BIN)/urbanos openapi --check

# What the tests need beside Python; installed while the types are checked.
tools:
	@command -v npm >/dev/null 2>&1 || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; \
	  then apt-get install -y -qq --no-install-recommends nodejs npm; \
	  else echo "make test needs Node.js: apt install nodejs npm (Debian), brew install node (macOS)" >&2; exit 1; \
	  fi; }
	@command -v chromium >/dev/null 2>&1 || command -v google-chrome >/dev/null 2>&1 || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; \
	  then apt-get install -y -qq --no-install-recommends chromium; \
	  else echo "make test needs Chromium on the path: apt install chromium (Debian)" >&2; exit 1; \
	  fi; }
	@PATH="$$PATH:/usr/sbin"; command -v mosquitto >/dev/null 2>&1 || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; \
	  then apt-get install -y -qq --no-install-recommends mosquitto; \
	  else echo "make test needs Mosquitto: apt install mosquitto (Debian)" >&2; exit 1; \
	  fi; }
	@command -v mariadb-install-db >/dev/null 2>&1 || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; \
	  then apt-get install -y -qq --no-install-recommends mariadb-server; \
	  else echo "make test needs MariaDB: apt install mariadb-server (Debian), brew install mariadb (macOS)" >&2; exit 1; \
	  fi; }
	@command -v ip >/dev/null 2>&1 || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; \
	  then apt-get install -y -qq --no-install-recommends iproute2; \
	  else echo "make test needs ip, and to be root: apt install iproute2 (Debian)" >&2; exit 1; \
	  fi; }

test: .venv/.installed-dev
	@$(MAKE) --no-print-directory -j2 check tools
	# One more than cores: many tests wait for a process or a database. What one process has compiled
	# the others read, and the commands that tests start, whatever the caller's environment says.
	@echo "== pytest" && PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -q --numprocesses=$$(($$(getconf _NPROCESSORS_ONLN) + 1)) --dist=loadfile --no-loadscope-reorder

bench: .venv/.installed-dev
	@command -v wrk >/dev/null 2>&1 || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; \
	  then apt-get install -y -qq wrk; \
	  else echo "make bench needs wrk: apt install wrk (Debian), brew install wrk (macOS)" >&2; exit 1; \
	  fi; }
	@command -v nginx >/dev/null 2>&1 || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; \
	  then apt-get install -y -qq nginx-light; \
	  else echo "make bench needs nginx: apt install nginx-light (Debian), brew install nginx (macOS)" >&2; exit 1; \
	  fi; }
	@$(BIN)/python -m tests.bench

soak: .venv/.installed-dev
	@$(BIN)/python -m tests.bench --soak

openapi: .venv/.installed-dev
	@$(BIN)/urbanos openapi --write

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name .urbanos -prune -o -name .git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.installed: $(PINS)
	@$(find_python); $(make_venv); $(install) -e '.[search]'
	@$(compile)
	@touch $@

.venv/.installed-dev: $(PINS)
	@$(find_python); $(make_venv); $(install) -e '.[dev]'
	@$(compile)
	@touch .venv/.installed $@

# uv installs no bytecode, and where it may not be written later every start would compile anew
# (a second more). What another Python's file says wrong does not matter here.
compile = $(BIN)/python -m compileall -q -j 0 .venv/lib app migrations >/dev/null 2>&1 || true

# Sets $python. A name may be a stub that fails, so each one is tried.
define find_python
python=; for name in python3.13 python3.12 python3.11 python3; do \
  if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; \
  then python=$$name; break; fi; \
done; \
if [ -z "$$python" ]; then \
  echo "Python 3.11 or newer is needed, and none of python3.13 python3.12 python3.11 python3 is that." >&2; \
  echo "Debian 12 or newer: apt install python3 python3-venv. macOS: brew install python@3.13" >&2; \
  exit 1; \
fi
endef

# Sets $uv. uv does not read pip's settings: where pip was told about package sources or
# certificates (pip.conf, PIP_*), pip is used.
define make_venv
uv=; if command -v uv >/dev/null 2>&1 \
  && ! "$$python" -m pip config list 2>/dev/null | grep -Eq 'index|find-links|proxy|cert'; \
then uv=1; fi; \
if ! $(BIN)/python -c '' >/dev/null 2>&1; then \
  echo "making .venv with $$python"; \
  if [ -n "$$uv" ]; then uv venv --quiet --clear --python "$$python" .venv || exit 1; \
  elif "$$python" -c 'import ensurepip, venv' >/dev/null 2>&1; \
  then "$$python" -m venv --clear .venv || exit 1; \
  else \
    echo "$$python cannot make a virtual environment. Debian: apt install python3-venv" >&2; exit 1; \
  fi; \
fi
endef

# A .venv made by uv holds no pip; ensurepip brings one without the network.
define install
echo "installing into .venv"; \
install_with() { \
  if [ -n "$$uv" ]; then uv pip install --quiet --python $(BIN)/python -c constraints.txt "$$@"; \
  else \
    $(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null || return 1; \
    $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "$$@"; \
  fi; \
}; install_with
endef
