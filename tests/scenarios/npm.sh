# Packages from npm for a scenario, through the gateway: which registry and which certificates is asked of the npm client at run time. Sourced.
# shellcheck shell=bash

# npm_needed: skips the story aloud unless npm and its registry can be reached; sets registry, registry_host and certificates.
npm_needed() {
	command -v npm >/dev/null || skip_all 'needs npm'
	registry=$(npm config get registry 2>/dev/null)
	registry_host=$(sed -E 's|^https?://([^/:]+).*|\1|' <<<"$registry")
	certificates=$(npm config get cafile 2>/dev/null)
	# A registry of the machine's own network: the operator, not the blueprint, may allow that.
	ASSAY_REACH=$(getent ahosts "$registry_host" | awk '{ print $1 }' | sort -u | tr '\n' ' ')
	export ASSAY_REACH
	[ -f "$certificates" ] || certificates=/etc/ssl/certs/ca-certificates.crt
	timeout 20 npm view --prefer-online left-pad version >/dev/null 2>&1 || skip_all 'the npm registry cannot be reached'
}

# npm_setup FILE: the blueprint installs the packages of the lock file in the workspace, and may reach the registry for it and nothing else.
npm_setup() {
	npm_blueprint_drop "$1" workspace
	npm_blueprint_drop "$1" egress
	cat >>"$1" <<-END

		workspace:
		  setup: npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
		  env: {npm_config_registry: "$registry", npm_config_cafile: "$certificates", npm_config_update_notifier: "false"}
		  limits: {memory: 2G}

		egress:
		  rules:
		    - {host: "$registry_host", action: allow}
	END
}

# npm_blueprint_drop FILE KEY: takes a top-level key and what is below it out of the blueprint.
npm_blueprint_drop() {
	awk -v key="$2:" '/^[a-z]/ { out = $1 == key } !out' "$1" >"$1.new" && mv "$1.new" "$1"
}
