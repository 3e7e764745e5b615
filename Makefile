# Settle's commands. Rust and git have to be there; the rest is installed, or named when it cannot be.

.PHONY: help run test clean

help: ## What there is
	@sed -n 's/^\([a-z]*\):.*## /make \1	/p' $(firstword $(MAKEFILE_LIST))

run: ## Builds the server, fills it with 250 countries, and keeps it running on 127.0.0.1:5984
	@tools/need cargo cc node npm
	@cargo xtask run

test: ## Checks everything, as CI does: format, lints, tests, documents, real clients
	@tools/need cargo cc node npm python3
	@cargo xtask ci
	@cargo xtask clients

clean: ## Removes what was built and fetched, and the data of `make run`
	cargo clean
	rm -rf data/countries examples/*/node_modules tests/clients/node_modules tests/clients/.venv
