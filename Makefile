# Exia: build, set-up, test, demo, bench, install.  `make help` lists the targets.
# All paths are relative, so that the tree may lie in a directory with spaces in its name.

PREFIX ?= /usr/local
BUILD ?= build
PYTHON ?= python3
CFLAGS ?= -O2 -g
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

version := $(shell sed -n 's/^.define EXIA_VERSION_[A-Z]* \([0-9]*\).*/\1/p' include/exia/common.h | paste -sd.)
major := $(firstword $(subst ., ,$(version)))

# What the system must have: for the demo, and more for the tests.
packages_demo := pkg-config libsqlite3-dev libzstd-dev libarchive-dev libssl-dev libjansson-dev \
	python3-dev python3-venv
packages_test := $(packages_demo) libcmocka-dev zstd libarchive-tools g++
packages_check := $(packages_test) valgrind
python_demo := "cffi>=1.16" "setuptools>=77" "numpy>=1.24" "scikit-learn>=1.3"
python_test := $(python_demo) "pytest>=8" "nbclient>=0.10" "ipykernel>=6.29" \
	"mypy==1.18.2" "ruff==0.14.5" "clang-format==14.0.6"
venv := build/venv
python := $(venv)/bin/python

# Asked once, and only when something is compiled: pkg-config may be installed by then.
libraries := sqlite3 libzstd libarchive libcrypto jansson
pkg_cflags = $(eval pkg_cflags := $(shell pkg-config --cflags $(libraries)))$(pkg_cflags)
pkg_libs = $(eval pkg_libs := $(shell pkg-config --libs $(libraries)))$(pkg_libs)

warnings := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Werror
sanitize := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer)
own_flags = -std=c11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -fvisibility=hidden -pthread $(warnings) \
	$(sanitize) -Iinclude -MMD -MP

library_sources := $(sort $(wildcard libexia/*/*.c))
library_objects := $(library_sources:%.c=$(BUILD)/%.o)
tool_objects := $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard pkg/*.c)))
support_objects := $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard tests/support/*.c)))
test_sources := $(sort $(wildcard tests/test_*.c))
tests := $(test_sources:tests/%.c=$(BUILD)/tests/%)
plugins := $(patsubst tests/%.c,$(BUILD)/tests/%.so,$(wildcard tests/plugin_*.c))
headers := include/exia.h $(sort $(wildcard include/exia/*.h))
c_files = $(shell git ls-files -co --exclude-standard '*.c' '*.h')
library := $(BUILD)/libexia.so.$(version)

.PHONY: all test test-c test-python demo bench install uninstall lint format asan tsan valgrind \
	clean help headers symbols layers
all: $(library) $(BUILD)/libexia.a $(BUILD)/vedapkg ## the library and the tool

# ---- set-up ---------------------------------------------------------------------------------

# $(call need,PACKAGES): install what is missing as root, else say how and stop.
define need
	@mkdir -p $(@D); missing=; for p in $(1); do \
		dpkg-query -W -f='$${db:Status-Status}' $$p 2>/dev/null | grep -q '^installed' || missing="$$missing $$p"; \
	done; \
	if [ -n "$$missing" ]; then \
		if [ "$$(id -u)" != 0 ] || [ -n "$${NO_APT:-}" ]; then \
			echo "Exia needs these packages; run:  sudo apt-get install -y$$missing" >&2; exit 1; \
		fi; \
		echo "installing with apt-get:$$missing"; \
		export DEBIAN_FRONTEND=noninteractive; \
		apt-get -qq update && apt-get -qq install -y --no-install-recommends $$missing >$@.log 2>&1 || { \
			tail -n 20 $@.log >&2; exit 1; }; \
	fi; touch $@
endef
build/system-demo: ; $(call need,$(packages_demo))
build/system-test: ; $(call need,$(packages_test))
build/system-check: ; $(call need,$(packages_check))

$(python): | build/system-demo
	@echo "making a virtual environment in $(venv)"
	@$(PYTHON) -m venv $(venv)
$(venv)/.demo: Makefile | $(python)
	@echo "installing Python packages: $(python_demo)"
	@$(python) -m pip install -q --disable-pip-version-check $(python_demo) && touch $@
$(venv)/.test: Makefile | $(python)
	@echo "installing Python packages for the tests"
	@$(python) -m pip install -q --disable-pip-version-check $(python_test) && touch $@ $(venv)/.demo

# ---- build ----------------------------------------------------------------------------------

$(BUILD)/libexia/%.o: libexia/%.c | build/system-demo
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(own_flags) -Ilibexia -fPIC $(pkg_cflags) -c -o $@ $<
$(BUILD)/pkg/%.o: pkg/%.c | build/system-demo
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(own_flags) $(pkg_cflags) -c -o $@ $<
$(BUILD)/tests/%.o: tests/%.c | build/system-test
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(own_flags) -Ilibexia -Itests $(pkg_cflags) -c -o $@ $<

$(BUILD)/libexia.a: $(library_objects)
	rm -f $@ && $(AR) rcs $@ $^
$(library): $(library_objects) libexia/exia.map
	$(CC) $(CFLAGS) $(LDFLAGS) $(sanitize) -shared -pthread -Wl,-soname,libexia.so.$(major) \
		-Wl,--version-script=libexia/exia.map $(if $(SANITIZE),,-Wl,-z,defs) \
		-o $@ $(library_objects) $(pkg_libs) -ldl
	ln -sf libexia.so.$(version) $(BUILD)/libexia.so.$(major)
	ln -sf libexia.so.$(major) $(BUILD)/libexia.so
$(BUILD)/vedapkg: $(tool_objects) $(library)
	$(CC) $(CFLAGS) $(LDFLAGS) $(sanitize) -pthread -o $@ $(tool_objects) -L$(BUILD) -lexia \
		-Wl,-rpath,'$$ORIGIN:$$ORIGIN/../lib' $$(pkg-config --libs jansson)

# C tests see the private symbols, so they link the archive.
$(BUILD)/tests/test_%: $(BUILD)/tests/test_%.o $(support_objects) $(BUILD)/libexia.a
	$(CC) $(CFLAGS) $(LDFLAGS) $(sanitize) -pthread -rdynamic -o $@ $< $(support_objects) \
		$(BUILD)/libexia.a $(pkg_libs) $$(pkg-config --libs cmocka) -ldl
$(BUILD)/tests/plugin_%.so: tests/plugin_%.c | build/system-test
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(own_flags) -fPIC -shared -o $@ $<
.SECONDARY:

# ---- test -----------------------------------------------------------------------------------

test: test-c test-python ## pass the tests
test-c: $(tests) $(plugins) ## the C tests only; T=test_pool for one file
	@failed=0; for t in $(if $(T),$(BUILD)/tests/$(T),$(tests)); do \
		$(if $(SANITIZE),,$(RUN)) $$t || failed=1; done; exit $$failed

clean: ## remove what was built; the virtual environment stays
	find build -mindepth 1 -maxdepth 1 ! -name venv ! -name 'system-*' -exec rm -rf {} +
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 18

-include $(library_objects:.o=.d) $(tool_objects:.o=.d) $(support_objects:.o=.d) $(tests:=.d)
