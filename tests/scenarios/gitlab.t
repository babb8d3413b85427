#!/bin/bash
# A project at GitLab, played by a fake that holds every request and answer against the types of GitLab's client; its webhooks are signed.
# shellcheck disable=SC2034
FORGE=gitlab
TOKEN=glpat-ffffffffffffffffffff
SECRETS='{"token": "glpat-ffffffffffffffffffff", "signing_token": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}'
SETTINGS='{"resolve": true}'
MISSING="webhook's Pipeline events"
FAULTS='GIT.push.POST lost
GIT.push.GET git503
POST.*/merge_requests$ lost
POST.*/statuses/ lost
POST.*/deployments$ lost
POST.*/environments$ html502
POST.*/notes$ lost
GET.*/members/all/ limit
GET.*/merge_requests$ 500'
# shellcheck source=tests/scenarios/forge.sh
. "${SOURCE_ROOT:?}/tests/scenarios/forge.sh"
