# make          build/ds4
# make demo     install what is missing, build, answer a prompt
# make test     install what is missing, build, run all tests
# make fuzz     each fuzz target for FUZZ_SECONDS (needs clang)
# make eval-nano   asks the built-in model held-out questions (about twenty minutes)
# make check-train  compares the Python text code of train/ with build/ds4; part of make test
# make SAN=address,undefined test     the same with sanitizers; SAN=thread likewise
# make CC=clang ...                   another compiler
# make V=1 ...                        shows the commands

comma := ,
BUILD := build$(if $(SAN),-san-$(subst $(comma),-,$(SAN)))
PACKAGES := libpcre2-8 jansson libedit libxxhash
TEST_PACKAGES := cmocka

PKG_CONFIG ?= pkg-config
ifeq ($(shell uname),Darwin)
# Homebrew keeps its libedit out of the way of the system's
export PKG_CONFIG_PATH := $(shell brew --prefix libedit 2>/dev/null)/lib/pkgconfig:$(PKG_CONFIG_PATH)
endif
HAVE_PACKAGES := $(shell $(PKG_CONFIG) --exists $(PACKAGES) $(TEST_PACKAGES) 2>/dev/null && echo yes)

OPTIMISE ?= -O3
WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror
CPPFLAGS += -Iinclude -Isrc -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE -D_DARWIN_C_SOURCE
CFLAGS += -std=c11 $(OPTIMISE) -g -fno-math-errno -ffp-contract=fast $(WARNINGS) -pthread -MMD -MP
LDFLAGS += -pthread
LDLIBS += -lm
ifdef SAN
CFLAGS += -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer
LDFLAGS += -fsanitize=$(SAN)
endif
ifeq ($(HAVE_PACKAGES),yes)
CPPFLAGS += $(shell $(PKG_CONFIG) --cflags $(PACKAGES))
LDLIBS += $(shell $(PKG_CONFIG) --libs $(PACKAGES))
TEST_CPPFLAGS := $(shell $(PKG_CONFIG) --cflags $(TEST_PACKAGES))
TEST_LDLIBS := $(shell $(PKG_CONFIG) --libs $(TEST_PACKAGES))
endif

LIB_SOURCES := $(wildcard src/base/*.c src/gguf/*.c src/model/*.c src/text/*.c src/backend/*.c src/backend/*/*.c src/engine/*.c)
CLI_SOURCES := $(wildcard src/cli/*.c)
# The first Python that has the modules of train/ which work without PyTorch.
has_modules = $(shell $(1) -c 'import numpy, regex' 2>/dev/null && echo $(1))
PYTHON := $(firstword $(foreach p,python3 /usr/bin/python3,$(call has_modules,$(p))))
NO_PYTHON := no python3 with the modules numpy and regex

# becomes part of the program
NANO := models/ds4-nano.gguf
# tests/support/*.c is shared by the tests; every tests/test_*.c is a program of its own
SUPPORT_SOURCES := $(wildcard tests/support/*.c)
TEST_SOURCES := $(wildcard tests/test_*.c)
TESTS := $(TEST_SOURCES:%.c=$(BUILD)/%)
object = $(1:%.c=$(BUILD)/%.o)

.SECONDARY:
.PHONY: all demo test run-tests check-train eval-nano fuzz deps test-deps clean format
all: $(BUILD)/ds4

# Missing packages are installed first, then make starts anew so that pkg-config is asked again.
NEED_DEPS := $(if $(HAVE_PACKAGES),,deps)
# apt has the Python modules too. Elsewhere the test that needs them is left out if they are missing.
NEED_TEST_DEPS := $(if $(and $(HAVE_PACKAGES),$(or $(PYTHON),$(if $(shell command -v apt-get),,without))),,test-deps)

demo: $(NEED_DEPS)
	@$(MAKE) --no-print-directory $(BUILD)/ds4 $(BUILD)/answers
	@./demo.sh $(BUILD)

test: $(NEED_TEST_DEPS)
	@$(MAKE) --no-print-directory run-tests

run-tests: $(BUILD)/ds4 $(TESTS) $(if $(PYTHON),$(BUILD)/tests/test_train)
	@tests/run.sh $(TESTS) $(if $(PYTHON),$(BUILD)/tests/test_train)
	$(if $(PYTHON),,@echo "test_train is left out: $(NO_PYTHON)")

check-train: $(BUILD)/ds4
	$(if $(PYTHON),,@echo "$(NO_PYTHON)" >&2; exit 1)
	@$(PYTHON) train/test_text.py $(BUILD)

eval-nano: $(NEED_TEST_DEPS)
	@$(MAKE) --no-print-directory $(BUILD)/answers
	$(if $(PYTHON),,@echo "$(NO_PYTHON)" >&2; exit 1)
	@$(PYTHON) train/evaluate.py $(BUILD)

deps:
	./deps.sh
test-deps:
	./deps.sh tests

QUIET := $(if $(V),,@)
say = $(if $(V),@:,@echo "$(1) $@")

$(BUILD)/ds4: $(call object,$(CLI_SOURCES)) $(BUILD)/libds4.a
	$(call say,LD)
	$(QUIET)$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(BUILD)/libds4.a: $(call object,$(LIB_SOURCES))
	$(call say,AR)
	$(QUIET)rm -f $@
	$(QUIET)$(AR) rcs $@ $^

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(QUIET)$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

$(BUILD)/tests/%.o: CPPFLAGS += -Itests $(TEST_CPPFLAGS)
$(BUILD)/tests/test_%: $(BUILD)/tests/test_%.o $(call object,$(SUPPORT_SOURCES)) $(BUILD)/libds4.a
	$(call say,LD)
	$(QUIET)$(CC) $(LDFLAGS) $^ $(LDLIBS) $(TEST_LDLIBS) -o $@

$(BUILD)/tiny_model: $(call object,tools/tiny_model.c tests/support/tiny_model.c tests/support/tiny_weights.c tests/support/sha256.c) $(BUILD)/libds4.a
	$(call say,LD)
	$(QUIET)$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@
$(BUILD)/tools/%.o: CPPFLAGS += -Itests
$(BUILD)/answers: $(call object,tools/answers.c $(filter-out src/cli/main.c,$(CLI_SOURCES))) $(BUILD)/libds4.a
	$(call say,LD)
	$(QUIET)$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@
$(BUILD)/src/cli/nano.o: $(NANO)
$(BUILD)/src/cli/nano.o: CPPFLAGS += -DNANO_FILE='"$(NANO)"'
$(BUILD)/tests/test_cli.o: CPPFLAGS += -DDS4_BINARY='"$(BUILD)/ds4"' -DNANO_FILE='"$(NANO)"'
$(BUILD)/tests/test_nano.o: CPPFLAGS += -DNANO_FILE='"$(NANO)"'
# prints what tests/run.sh counts
$(BUILD)/tests/test_train: train/test_text.py Makefile
	@mkdir -p $(@D)
	$(QUIET)printf '#!/bin/sh\n%s && echo "[       OK ] text" && echo "[==========] train: 1 test(s) run."\n' \
	    '$(PYTHON) train/test_text.py $(BUILD)' >$@
	$(QUIET)chmod +x $@

# libFuzzer comes with clang; the library is built once more with its instrumentation.
FUZZ_SECONDS ?= 120
FUZZ_CC ?= $(firstword $(foreach c,clang-19 clang-20 clang-18 clang-17 clang-16 clang,$(shell command -v $(c))))
FUZZERS := $(patsubst fuzz/fuzz_%.c,%,$(wildcard fuzz/fuzz_*.c))
fuzz: $(NEED_DEPS)
	@test -n "$(FUZZ_CC)" || { echo "make fuzz needs clang (apt install clang, or set FUZZ_CC)" >&2; exit 1; }
	@$(MAKE) --no-print-directory CC=$(FUZZ_CC) SAN=fuzzer-no-link,address,undefined BUILD=build-fuzz $(FUZZERS:%=build-fuzz/fuzz_%)
	@for name in $(FUZZERS); do \
	    echo "fuzz $$name for $(FUZZ_SECONDS) s"; mkdir -p build-fuzz/corpus/$$name; \
	    build-fuzz/fuzz_$$name -max_total_time=$(FUZZ_SECONDS) -timeout=20 -rss_limit_mb=2048 -verbosity=0 \
	        -print_final_stats=1 -artifact_prefix=build-fuzz/$$name- build-fuzz/corpus/$$name || exit 1; \
	done; echo "fuzz: $(words $(FUZZERS)) targets without a finding"
$(BUILD)/fuzz_%: $(BUILD)/fuzz/fuzz_%.o $(BUILD)/libds4.a
	$(call say,LD)
	$(QUIET)$(CC) $(LDFLAGS) -fsanitize=fuzzer $^ $(LDLIBS) -o $@

format:
	clang-format -i $(shell git ls-files '*.c' '*.h')

clean:
	rm -rf build build-*

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
