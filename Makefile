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
	else $(BUILD)/assay kubernetes check --conformance $(KUBERNETES_OPTIONS) && \
	if [ -z "$$ASSAY_IMAGE" ] || [ -z "$$ASSAY_LINK_ADDRESS" ]; then \
		echo "no ASSAY_IMAGE or no ASSAY_LINK_ADDRESS (doc/kubernetes.md): the provider's promises were not tried: skipped"; \
	else $(BUILD)/tests/contract/contract_provider_kubernetes $(BUILD)/assay; fi; fi

lint:
	@tools/setup check
	@tools/check lint

format:
	@clang-format-14 -i $$(git ls-files --cached --others --exclude-standard 'src/*.[ch]' 'tests/*.[ch]' 'bench/*.[ch]')

install: all
	@meson install -C $(BUILD)

clean:
	@rm -rf build build-check build-asan build-tsan build-fuzz
