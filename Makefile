# make          build/ds4
# make demo     install what is missing, build, answer a prompt
# make test     install what is missing, build, run all tests
# make fuzz     each fuzz target for FUZZ_SECONDS (needs clang)
# make SAN=address,undefined test     the same with sanitizers; SAN=thread likewise
# make CC=clang ...                   another compiler

BUILD := build$(if $(SAN),-san-$(subst $(,),-,$(SAN)))
, := ,
PACKAGES := libpcre2-8 jansson libedit libxxhash
TEST_PACKAGES := cmocka

PKG_CONFIG ?= pkg-config
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
# tests/support/*.c is shared by the tests; every tests/test_*.c is a program of its own
SUPPORT_SOURCES := $(wildcard tests/support/*.c)
TEST_SOURCES := $(wildcard tests/test_*.c)
TESTS := $(TEST_SOURCES:%.c=$(BUILD)/%)
object = $(1:%.c=$(BUILD)/%.o)

.PHONY: all demo test fuzz deps clean format
all: $(BUILD)/ds4

$(BUILD)/ds4: $(call object,$(CLI_SOURCES)) $(BUILD)/libds4.a
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(BUILD)/libds4.a: $(call object,$(LIB_SOURCES))
	rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

$(BUILD)/tests/%.o: CPPFLAGS += -Itests $(TEST_CPPFLAGS)
$(BUILD)/tests/test_%: $(BUILD)/tests/test_%.o $(call object,$(SUPPORT_SOURCES)) $(BUILD)/libds4.a
	$(CC) $(LDFLAGS) $^ $(LDLIBS) $(TEST_LDLIBS) -o $@

clean:
	rm -rf build build-san-* build-fuzz

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
