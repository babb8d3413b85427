# A short front for Meson: `make demo` shows the product, `make check` tests all of it.
BUILD ?= build

.PHONY: all setup demo check check-long check-kubernetes format lint install clean

all: setup
	@test -f $(BUILD)/build.ninja || meson setup $(BUILD) >/dev/null
	@ninja -C $(BUILD)

setup:
	@tools/setup build

demo: all
	@tools/demo $(BUILD)

check:
	@tools/setup check
	@tools/check

check-long:
	@tools/setup check
	@tools/check --long

check-kubernetes: all
	@if [ -z "$$KUBECONFIG" ]; then echo "no KUBECONFIG: there is no cluster to check: skipped"; \
	else $(BUILD)/assay kubernetes check --conformance $(KUBERNETES_OPTIONS); fi

lint:
	@tools/setup check
	@tools/check lint

format:
	@clang-format-14 -i $$(git ls-files --cached --others --exclude-standard 'src/*.[ch]' 'tests/*.[ch]' 'bench/*.[ch]')

install: all
	@meson install -C $(BUILD)

clean:
	@rm -rf build build-check build-asan build-tsan build-fuzz
