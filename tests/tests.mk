# What proves Exia: tests, sanitizers, soaks, lint, benchmarks.  A part of the Makefile, paths as there.

# ---- test -----------------------------------------------------------------------------------

test: build/system-test ## pass the tests
	@$(MAKE) --no-print-directory -k test-c test-python # anew, for which modules can be built may be known only now
test-c: build/system-test $(tests) $(plugins) ## the C tests only; T=test_pool for one file
	@failed=; for t in $(if $(T),$(BUILD)/tests/$(T),$(tests)); do \
		echo "$$t"; $(RUN) $$t 2>&1 | sed '/^\[ RUN /d; /^\[       OK /d' || failed="$$failed $$t"; \
	done; [ -z "$$failed" ] || { echo "failed:$$failed"; exit 1; }
test-python: build/system-test $(filter $(BUILD)/tests/test_forged_% %/test_version,$(tests)) build/graphlib/.here $(venv)/.test $(venv)/.binding $(BUILD)/vedapkg $(module_files) ## the Python tests and those of the tool
	@$(python) -m pytest -q bindings/python/tests tests $(PYTEST)
test-torch: $(BUILD)/vedapkg ## the tests of objects of PyTorch, with Debian's in an environment of its own
	@EXIA_BUILD="$(CURDIR)/$(BUILD)" bash tests/torch.sh

.PHONY: test-huge
test-huge: $(venv)/.test $(venv)/.binding ## objects of more than 4 GiB; 15 GB of disk in TMPDIR, 12 GB of memory
	@EXIA_HUGE=1 $(python) -m pytest -q bindings/python/tests/test_objects_huge.py

# Debian has graphlib's own tests in a package, which need not be installed to run them.
build/graphlib/.here: | build/system-test ; @mkdir -p $(@D); $(PYTHON) -c 'import test.test_graphlib' 2>/dev/null || { \
		cd $(@D) && apt-get -qq download libpython$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')-testsuite 2>log && dpkg -x *.deb .; } && \
		touch "$(CURDIR)/$@" || echo "the tests of graphlib are not to be had and will be skipped: see $(@D)/log"

test-services: all $(filter %/test_driver_s3 $(BUILD)/tests/test_s3_%,$(tests)) $(venv)/.test $(venv)/.binding ## drivers, models and packages on real servers, built once: versitygw, MinIO; S=minio for one
	@bash tests/servers/test.sh "$(BUILD)" $(python) $(S)

asan: ## the C tests under the address and undefined-behaviour sanitizers
	@$(MAKE) --no-print-directory BUILD=build/asan SANITIZE=address,undefined test-c
tsan: ## the C tests under the thread sanitizer; T=test_pool for one file
	@$(MAKE) --no-print-directory BUILD=build/tsan SANITIZE=thread test-c
soak: build/system-test $(BUILD)/tests/test_pool_queue $(BUILD)/tests/test_pool_random ## the pool for an hour; SECONDS=3600, HANDOFFS=10000000, SEED=, SANITIZE=thread
	@EXIA_HANDOFFS=$(or $(HANDOFFS),10000000) $(RUN) $(BUILD)/tests/test_pool_queue
	@EXIA_SECONDS=$(or $(SECONDS),3600) EXIA_SEED=$(or $(SEED),$$RANDOM) $(RUN) $(BUILD)/tests/test_pool_random
soak-models: build/system-test $(BUILD)/tests/test_model_crash $(BUILD)/tests/test_model_race ## a library killed at every system call; races; SECONDS=60, SEED=
	@EXIA_CRASH_SAMPLE=0 $(RUN) $(BUILD)/tests/test_model_crash
	@EXIA_SECONDS=$(or $(SECONDS),60) EXIA_SEED=$(or $(SEED),$$RANDOM) $(RUN) $(BUILD)/tests/test_model_race
soak-registry: build/system-test $(BUILD)/tests/test_registry_crash $(BUILD)/tests/test_registry_soak ## homes and remotes killed at every system call; four processes at once; SECONDS=600, SEED=
	@EXIA_CRASH_SAMPLE=0 $(RUN) $(BUILD)/tests/test_registry_crash
	@EXIA_SECONDS=$(or $(SECONDS),600) EXIA_SEED=$(or $(SEED),$$RANDOM) $(RUN) $(BUILD)/tests/test_registry_soak
# One program, for clang, in a room of its own; the variable EXIA_FUZZ names the target.
fuzz_targets := index manifest package record version
$(BUILD)/fuzz: $(filter $(BUILD)/tests/fuzz/% %/forge.o,$(suite_objects) $(support_objects)) $(BUILD)/libexia.a
	$(call show,LD)$(CC) $(CFLAGS) $(LDFLAGS) -fsanitize=fuzzer,$(SANITIZE) -pthread -o $@ $^ $(pkg_libs) -lm -ldl
fuzz: build/system-fuzz ## each fuzzer for SECONDS=60; T=package for one; what they find lies in build/fuzz
	@$(MAKE) --no-print-directory BUILD=build/fuzz SANITIZE=address,undefined CC=clang CFLAGS="-O1 -g -fsanitize=fuzzer-no-link -fno-sanitize-recover=all" build/fuzz/fuzz
	@for t in $(or $(T),$(fuzz_targets)); do \
		mkdir -p build/fuzz/corpus/$$t; echo "$$t"; \
		EXIA_FUZZ=$$t build/fuzz/fuzz -max_total_time=$(or $(SECONDS),60) -max_len=20000 -rss_limit_mb=1024 -timeout=10 \
			-artifact_prefix=build/fuzz/$$t- -verbosity=0 -print_final_stats=1 build/fuzz/corpus/$$t tests/fuzz/corpus/$$t; \
	done
# What moves many megabytes, kills processes by the hundred or tells a stall from haste is left to the sanitizers.
not_watched := $(addprefix $(BUILD)/tests/test_,backup_crash cache_races delta delta_lies model_crash model_gc_races registry_crash registry_memory registry_soak s3_faults solve_told)
valgrind: build/system-check ## the C tests under valgrind
	@$(MAKE) --no-print-directory test-c tests="$(filter-out $(not_watched),$(tests))" \
		RUN="valgrind -q --fair-sched=try --leak-check=full --errors-for-leak-kinds=definite --error-exitcode=9"

# ---- lint -----------------------------------------------------------------------------------

lint: build/system-test layers headers symbols $(venv)/.test $(venv)/.binding ## style, layers, headers, symbols, types
	@$(python) -m ruff check -q bindings/python examples tests
	@$(python) -m ruff format -q --check bindings/python examples tests
	@$(python) -m mypy --config-file bindings/python/pyproject.toml --strict bindings/python/src/exia
	@$(venv)/bin/clang-format --dry-run -Werror $(c_files)
format: $(venv)/.test ## lay out the C and the Python code
	@$(venv)/bin/clang-format -i $(c_files)
	@$(python) -m ruff format -q bindings/python examples tests

# Which rooms of libexia/ a room may look into, besides itself and the public headers.
layers_base :=
layers_store := base
layers_drivers := base|store
layers_dag := base
layers_pool := base|dag
layers_model := base|store
layers_package := base
layers_registry := base|dag|store|package
layers: ## dependencies point one way; the library neither allocates by itself, nor prints, nor ends
	@failed=0; \
	$(foreach m,base store drivers dag pool model package registry,\
		if grep -nE '^ *# *include "' $$(find libexia/$(m) -name '*.[ch]') | grep -vE '"($(m)|exia$(if $(layers_$(m)),|$(layers_$(m))))(/|\.h)'; then failed=1; fi;) \
	if grep -nE '^ *# *include "' pkg/*.[ch] examples/*.c examples/*/*.c | grep -vE '"(exia(/|\.h)|[a-z_]+\.h")'; then failed=1; fi; \
	if grep -nE '(^|[^_a-zA-Z>.])(malloc|calloc|realloc|strdup|free|abort|exit|printf|fprintf|puts) *\(' $$(find libexia -name '*.c') \
		| grep -vE '^libexia/base/memory\.c:|: *(/\*| \*)'; then failed=1; fi; \
	exit $$failed
headers: | build/system-test ## each public header compiles alone, as C11 and as C++17, also under clang++ where it is
	@for h in $(headers) $(cpp_headers); do \
		printf '#include "%s"\n' "$${h#include/}" >build/header.c; \
		case $$h in *.h) $(CC) -std=c11 -Wall -Wextra -Wpedantic -Werror -Iinclude -fsyntax-only build/header.c; esac; \
		for cxx in "$(CXX)" $$(command -v clang++); do $$cxx -x c++ $(cpp_flags) -Werror -fsyntax-only build/header.c; done; \
	done
symbols: $(library) ## the library exports what tests/abi/exia.symbols lists, and the headers declare it
	@nm -D --defined-only $(library) | awk '$$2 != "A" {print $$3}' | LC_ALL=C sort >build/symbols
	@diff -u tests/abi/exia.symbols build/symbols
	@grep -hoE '\bexia_[a-z0-9_]+\(' $(headers) | tr -d '(' | LC_ALL=C sort -u >build/declared
	@LC_ALL=C comm -23 build/symbols build/declared | { ! grep .; }

# ---- bench ----------------------------------------------------------------------------------

$(BUILD)/bench-pool: $(wildcard tests/bench/*.[ch]) $(library) | build/system-bench
	$(call show,CC)$(CC) $(CFLAGS) -std=c11 -D_GNU_SOURCE -pthread $(warnings) -Iinclude $$(pkg-config --silence-errors --cflags apr-util-1) \
		-o $@ $(filter %.c,$^) -L$(BUILD) -lexia -Wl,-rpath,'$$ORIGIN' $$(pkg-config --silence-errors --libs apr-util-1 apr-1)
$(BUILD)/bench-dag: $(wildcard tests/bench/*.cpp) $(library) | build/system-bench
	$(call show,CXX)$(CXX) $(CFLAGS) -std=c++20 -pthread -Wall -Wextra -Iinclude $(if $(TASKFLOW),-isystem "$(TASKFLOW)") \
		-o $@ $(filter %.cpp,$^) -L$(BUILD) -lexia -Wl,-rpath,'$$ORIGIN'
$(BUILD)/bench-blobs: tests/bench/blobs/blobs.c $(BUILD)/libexia.a | build/system-bench
	$(call show,CC)$(CC) $(CFLAGS) $(own_flags) -Ilibexia $(pkg_cflags) -o $@ $^ $(pkg_libs) -lm -ldl
bench: $(venv)/.bench $(BUILD)/bench-pool $(BUILD)/bench-dag $(BUILD)/bench-blobs $(venv)/.binding ## side by side with the field: time, peer, ratio; TASKFLOW=DIR, ROUNDS=5
	@$(python) tests/bench/bench.py $(BUILD)
